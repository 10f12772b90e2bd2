"""The options file: `blc.toml`, or the table `[tool.blc]` of `pyproject.toml`, of this folder or the nearest above.

Keys are long options without dashes (`target = "gpu"`); a table named after a command holds keys for it alone.
Invariant: flag beats environment beats command table beats common key beats default. May import: floor 0, click.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from bl_compiler.options import OptionError


@dataclass(frozen=True, slots=True)
class Config:
    """What an options file says; empty without one."""

    path: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    def for_command(self, command: click.Command) -> dict[str, object]:
        """The defaults for a command's parameters, by parameter name."""
        options = long_options(command)
        own = self.values.get(command.name or "", {})
        merged = {key: value for key, value in self.values.items() if not isinstance(value, Mapping) or key in options}
        merged.update(own if isinstance(own, Mapping) else {})
        return {options[key].name or key: _plain(value) for key, value in merged.items() if key in options}

    def check(self, commands: Iterable[click.Command]) -> None:
        """Raise `OptionError` for a key that no command knows."""
        known: set[str] = set()
        tables = {command.name or "": long_options(command) for command in commands}
        for options in tables.values():
            known |= set(options)
        for key, value in self.values.items():
            if key in tables and isinstance(value, Mapping):
                for inner in value:
                    if inner not in tables[key]:
                        raise self._unknown(inner, tables[key])
            elif key not in known:
                raise self._unknown(key, {*known, *tables})

    def _unknown(self, key: str, known: Iterable[str]) -> OptionError:
        error = OptionError.unknown("option", key, sorted(known), code="BLC0003")
        return OptionError(f"{error.message} in `{self.path}`", help=error.help, code="BLC0003")


def long_options(command: click.Command) -> dict[str, click.Option]:
    """A command's options by their long names without dashes."""
    found = {}
    for param in command.params:
        if isinstance(param, click.Option) and param.name != "help":
            for spelling in (*param.opts, *param.secondary_opts):
                if spelling.startswith("--"):
                    found[spelling[2:]] = param
    return found


def load(path: str | None) -> Config:
    """The options file at `path`, or the nearest one for None; "none" is no file.

    Raises:
        OptionError: It cannot be read or is not TOML.
    """
    if path == "none":
        return Config()
    if path is not None:
        return _read(Path(path), required=True) or Config()
    folder = Path.cwd()
    for place in (folder, *folder.parents):
        for name in ("blc.toml", "pyproject.toml"):
            found = _read(place / name, required=False)
            if found is not None:
                return found
    return Config()


def _read(path: Path, *, required: bool) -> Config | None:
    try:
        text = path.read_bytes().decode("utf-8")
        if path.name == "pyproject.toml" and "tool.blc" not in text:
            return None
        values = tomllib.loads(text)
    except OSError as fault:
        if required:
            raise OptionError(
                f"cannot read the options file `{path}`: {(fault.strerror or str(fault)).lower()}", code="BLC0001"
            ) from fault
        return None
    except ValueError as fault:
        if not required and path.name == "pyproject.toml":
            return None
        raise OptionError(f"the options file `{path}` is not TOML: {str(fault)[:1].lower()}{str(fault)[1:]}") from fault
    if path.name == "pyproject.toml":
        tool = values.get("tool", {})
        values = tool.get("blc", {}) if isinstance(tool, Mapping) else {}
    return Config(str(path), values)


def _plain(value: object) -> object:
    """A TOML value as click takes it: tables become NAME=VALUE, truth values the words of the language."""
    if isinstance(value, Mapping):
        return [f"{name}={_word(inner)}" for name, inner in value.items()]
    if isinstance(value, list):
        return [_word(inner) for inner in value]
    return value


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
