"""Small probabilistic models written in IR, for the tests of passes.

Invariant: what `ModelBuilder.module` gives has been verified.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Module, Objective, PlateInfo, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.types import Dim, DimKind, DType, TensorType, dims_of
from bl_compiler.ir.verify import verify
from bl_compiler.ir.walk import walk
from bl_compiler.passes.entries import derive_entries


class ModelBuilder(GraphBuilder):
    """The function `model`, with a word for each declaration."""

    def __init__(self) -> None:
        super().__init__(CORE_OPS, "model")
        self.plates: list[PlateInfo] = []

    def plate(self, name: str, size: int | str, total: int | None = None) -> Dim:
        """Declare a plate."""
        self.plates.append(PlateInfo(name, size, total))
        return Dim(size, name, DimKind.PLATE)

    def input(self, key: str, *dims: int | str | Dim, dtype: str = "f32") -> Value:
        """Declare an input."""
        return self.add("model.input", key=key, type=TensorType(DType(dtype), dims_of(*dims)), name=key)

    def param(self, path: str, *dims: int | str | Dim, constraint: str = "real", init: float = 0.5) -> Value:
        """Declare a parameter and give its value in the constrained space."""
        type_ = TensorType(DType.F32, dims_of(*dims))
        raw = self.add("model.param", path=path, type=type_, init=("constant", init), constraint=constraint, name=path)
        return raw if constraint == "real" else self.add("param.constrain", raw, constraint=constraint)

    def state(self, path: str, *dims: int | str | Dim) -> Value:
        """Declare a running statistic."""
        type_ = TensorType(DType.F32, dims_of(*dims))
        return self.add("model.state", path=path, type=type_, init=("constant", 0.0), name=path)

    def dist(self, family: str, *params: Value | float) -> Value:
        """A distribution; numbers become f32 constants."""
        return self.add(f"dist.{family}", *(p if isinstance(p, Value) else self.const(p, DType.F32) for p in params))

    def expand(self, d: Value, *dims: int | str | Dim) -> Value:
        """Independent copies."""
        return self.add("dist.expand", d, dims=dims_of(*dims))

    def standard(self, *dims: int | str | Dim) -> Value:
        """A standard Gaussian over these dimensions."""
        return self.expand(self.dist("Normal", 0.0, 1.0), *dims)

    def sample(self, site: str, prior: Value, posterior: Value) -> Value:
        """A latent variable."""
        return self.add("model.sample", prior, posterior, site=site, name=site)

    def weight(self, site: str, *dims: int | str | Dim) -> Value:
        """A latent variable with a standard Gaussian prior and a mean-field Gaussian posterior."""
        loc = self.param(f"{site}/loc", *dims)
        scale = self.param(f"{site}/scale", *dims, constraint="positive")
        return self.sample(site, self.standard(*dims), self.dist("Normal", loc, scale))

    def noise(self, site: str, d: Value) -> Value:
        """A variable that is drawn and never inferred."""
        return self.add("model.noise", d, site=site, name=site)

    def point(self, site: str, prior: Value, value: Value) -> Value:
        """A trained value with a prior."""
        return self.add("model.point", prior, value, site=site, name=site)

    def observe(self, site: str, x: Value, d: Value, mask: Value | None = None) -> None:
        """Data and its likelihood."""
        self.emit("model.observe", [x, d, *([] if mask is None else [mask])], {}, site=site)

    def predict(self, key: str, x: Value) -> None:
        """An output of prediction."""
        self.emit("model.predict", [x], {"key": key})

    def update(self, path: str, x: Value) -> None:
        """The new value of a statistic."""
        self.emit("model.update", [x], {"path": path})

    def phase(self, train: Value, predict: Value) -> Value:
        """A value that differs between entry points."""
        return self.add("model.phase", train, predict)

    def module(self, objective: Objective = Objective(), *, name: str = "m") -> Module:  # noqa: B008 (immutable)
        """The model so far as a verified module."""
        module = Module(name, {"model": self.finish()}, tuple(self.plates), objective)
        verify(module)
        return module

    def entries(self, objective: Objective = Objective()) -> Module:  # noqa: B008 (immutable)
        """The verified entry points of the model so far."""
        derived = derive_entries(self.module(objective))
        verify(derived, after="entries")
        return derived


def ops_in(module: Module, entry: str) -> Sequence[str]:
    """The names of the ops of an entry's own nodes, in order."""
    return [node.op.name for node in module.functions[entry].nodes]


def drawn(module: Module, entry: str) -> set[str | None]:
    """The sites that an entry draws, regions included."""
    return {node.site for node in walk(module.functions[entry]) if node.op.name == "random.draw"}
