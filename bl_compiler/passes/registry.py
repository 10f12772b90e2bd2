"""Passes by name, loaded when asked for, and the optimization levels.

Invariant: a registry is a value handed down; names load nothing. May import: floors 0-1, `base`, `faults`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import cast

from bl_compiler.passes.base import Pass


class Registry(Mapping[str, str]):
    """Where each pass is, as `module:Class`, in the order in which passes belong in a pipeline.

    Args:
        passes: name to place.
        levels: name to the text of a pipeline, in which other levels may appear.
    """

    def __init__(self, passes: Mapping[str, str], levels: Mapping[str, str] | None = None) -> None:
        self._passes = dict(passes)
        self.levels: Mapping[str, str] = dict(levels or {})
        self._loaded: dict[str, type[Pass]] = {}

    def __getitem__(self, name: str) -> str:
        return self._passes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._passes)

    def __len__(self) -> int:
        return len(self._passes)

    def rank(self, name: str) -> int:
        """The place of a pass in the usual order."""
        return list(self._passes).index(name)

    def load(self, name: str) -> type[Pass]:
        """The class of a pass; KeyError if there is none."""
        if name not in self._loaded:
            module, _, attribute = self._passes[name].partition(":")
            found = cast(type[Pass], getattr(importlib.import_module(module), attribute))
            if found.name != name:
                raise ValueError(f"pass `{found.name}` is registered as `{name}`")
            self._loaded[name] = found
        return self._loaded[name]


_PASSES = {
    "entries": "bl_compiler.passes.entries:Entries",
    "expose-scales": "bl_compiler.passes.estimators.expose_scales:ExposeScales",
    "choose-estimators": "bl_compiler.passes.estimators.choose:ChooseEstimators",
    "local-reparameterize": "bl_compiler.passes.estimators.rewriting:LocalReparameterize",
    "flipout": "bl_compiler.passes.estimators.rewriting:Flipout",
    "group-draws": "bl_compiler.passes.estimators.rewriting:GroupDraws",
    "moments": "bl_compiler.passes.moments.integrate:Moments",
    "canonicalize": "bl_compiler.passes.canonicalize:Canonicalize",
    "fold": "bl_compiler.passes.fold:Fold",
    "cse": "bl_compiler.passes.cse:Cse",
    "dce": "bl_compiler.passes.dce:Dce",
    "aggregate-kl": "bl_compiler.passes.aggregate_kl:AggregateKl",
}

LEVELS = {
    "O0": "",
    "O1": (
        "expose-scales,choose-estimators,local-reparameterize,flipout,group-draws,moments,"
        "canonicalize,fold,cse,dce,aggregate-kl"
    ),
    "O2": "O1",
}
"""What each level runs; O0 nothing but what every compilation needs."""

PASSES = Registry(_PASSES, LEVELS)
"""The passes that come with the compiler."""
