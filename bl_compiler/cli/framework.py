"""Click, bent to the house style: lazy commands, grouped help, `BLC_*` variables, suggestions.

Invariant: showing help imports no command but the one asked about.
May import: floor 0, click, `cli.config`, `cli.exits`, `cli.term`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from bl_compiler.cli.config import Config
from bl_compiler.cli.exits import MEANINGS, Exit
from bl_compiler.cli.term import COLORS, Terminal
from bl_compiler.render_json import FORMATS

F = TypeVar("F", bound=Callable[..., Any])

GROUPS = ("Input", "Output", "Target", "Optimization", "Training", "Diagnostics", "Compiler development", "General")
DEVELOPMENT = "Compiler development"
HELP_WIDTH = 100


class Opt(click.Option):
    """An option with a help section and an environment variable `BLC_` + its long name."""

    def __init__(self, *args: Any, section: str = "General", env: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        if env and self.envvar is None and self.name != "help":
            long = next((opt[2:] for opt in self.opts if opt.startswith("--")), None)
            self.envvar = f"BLC_{long.upper().replace('-', '_')}" if long else None

    def get_help_extra(self, ctx: click.Context) -> click.types.OptionHelpExtra:
        """What click adds in brackets; a range is told when it is missed."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


def opt(*names: str, section: str, **kwargs: Any) -> Callable[[F], F]:
    """Declare an option of a command."""
    return click.option(*names, cls=Opt, section=section, **kwargs)


class NumberRange(click.FloatRange):
    """A range that NaN, which no comparison keeps out, is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error."""
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value} is not a number", param, ctx)
        return found


class State:
    """What a command finds in `ctx.obj`."""

    def __init__(self, term: Terminal, config: Config) -> None:
        self.term = term
        self.config = config
        self.config_known_good = not config.values


class BlcCommand(click.Command):
    """A command with grouped help.

    Args:
        examples: Command lines with what they do.
        exits: The exit codes to document besides 0 and 2.
    """

    def __init__(
        self, *args: Any, examples: Sequence[tuple[str, str]] = (), exits: Sequence[Exit] = (), **kwargs: Any
    ) -> None:
        self.examples = tuple(examples)
        self.exits = tuple(exits)
        kwargs.setdefault("add_help_option", False)
        super().__init__(*args, **kwargs)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context, with defaults from the options file."""
        state = parent.find_object(State) if parent is not None else None
        if state is not None and state.config.values:
            if not state.config_known_good and parent is not None and isinstance(parent.command, BlcGroup):
                state.config.check(parent.command.load_all(parent))
                state.config_known_good = True
            extra.setdefault("default_map", state.config.for_command(self))
        return super().make_context(info_name, args, parent, **extra)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, what it does, the options by section, then environment, exit status and examples."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        brief = bool(ctx.meta.get("blc.brief"))
        for section in GROUPS:
            rows = [
                record
                for param in self.params
                if isinstance(param, Opt) and param.section == section and (record := param.get_help_record(ctx))
            ]
            if rows and not (brief and section == DEVELOPMENT):
                title = f"{section} (may change)" if section == DEVELOPMENT else section
                with formatter.section(title):
                    formatter.write_dl(rows)
        with formatter.section("Environment"):
            formatter.write_dl(
                [
                    (
                        "BLC_<OPTION>",
                        "a default for --<option>; so is a key in blc.toml or [tool.blc] of pyproject.toml",
                    ),
                    ("NO_COLOR, FORCE_COLOR", "as everywhere"),
                ]
            )
        with formatter.section("Exit status"):
            codes = sorted({Exit.OK, Exit.USAGE, Exit.INTERNAL, *self.exits})
            formatter.write_dl([(str(int(code)), MEANINGS[code]) for code in codes])
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_dl(list(self.examples), col_max=60)


class BlcGroup(click.Group):
    """The command `blc` itself: commands are imported when used.

    Args:
        lazy: Sections of commands: name to (module, one-line help).
        examples: Command lines with what they do.
    """

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Mapping[str, tuple[str, str]]],
        examples: Sequence[tuple[str, str]] = (),
        **kwargs: Any,
    ) -> None:
        self.lazy = lazy
        self.examples = tuple(examples)
        kwargs.setdefault("add_help_option", False)
        super().__init__(*args, **kwargs)

    @property
    def names(self) -> tuple[str, ...]:
        """All commands in the order of the help."""
        return tuple(name for section in self.lazy.values() for name in section)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, for completion."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        for section in self.lazy.values():
            if cmd_name in section:
                module = importlib.import_module(f"bl_compiler.cli.{section[cmd_name][0]}")
                command: click.Command = module.command
                return command
        return None

    def load_all(self, ctx: click.Context) -> Iterable[click.Command]:
        """Import all commands."""
        return [command for name in self.names if (command := self.get_command(ctx, name))]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named by the first argument, or an error with a suggestion."""
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise UnknownCommand(args[0], self.names, ctx)
        return args[0] if command else None, command, args[1:]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One screen: commands by section, global options, examples."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        indent = max(map(len, self.names))
        for title, commands in self.lazy.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{indent}}", text) for name, (_, text) in commands.items()])
        with formatter.section("Options"):
            formatter.write_dl([record for param in self.params if (record := param.get_help_record(ctx))])
        with formatter.section("Examples"):
            formatter.write_dl(list(self.examples), col_max=60)


class UnknownCommand(click.UsageError):
    """A command that is none."""

    def __init__(self, name: str, known: Sequence[str], ctx: click.Context) -> None:
        super().__init__(f"unknown command `{name}`", ctx)
        self.name, self.known = name, known


# --- options of every command ----------------------------------------------------------------------------------------


def _show_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    ctx.meta["blc.brief"] = param.name == "brief_help"
    state = ctx.find_object(State)
    term = state.term if state else Terminal()
    ctx.max_content_width = ctx.terminal_width = min(term.width(), HELP_WIDTH)
    term.out(ctx.get_help() + "\n")
    ctx.exit()


def help_options(function: F) -> F:
    """`--help`, and `-h` without the options of compiler development."""
    for spelling, name, text in (("-h", "brief_help", "the common options"), ("--help", "full_help", "all options")):
        function = click.option(
            spelling,
            name,
            cls=Opt,
            env=False,
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_show_help,
            help=f"Show {text} and exit.",
        )(function)
    return function


def _set_terminal(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    state = ctx.find_object(State)
    if state is None or value is None or value is False or (param.name == "verbose" and not value):
        return
    match param.name:
        case "color":
            state.term.color = value
        case "message_format":
            state.term.format = value
        case "verbose":
            from bl_compiler.cli.logs import show_verbosely

            state.term.verbosity = value
            show_verbosely(ctx, value)
        case "quiet":
            state.term.verbosity = -1
        case "traceback":
            state.term.traceback = True
        case "log":
            from bl_compiler.cli.logs import show_components

            show_components(ctx, value)
        case _:
            raise AssertionError(param.name)


def _complete_log(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from bl_compiler.cli.logs import complete

    return complete(ctx, param, incomplete)


def general_options(function: F) -> F:
    """The options that every command has."""
    shared: dict[str, Any] = {"cls": Opt, "expose_value": False, "callback": _set_terminal, "is_eager": True}
    formats = {
        "type": click.Choice(FORMATS),
        "metavar": "FORMAT",
        "help": f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}.",
    }
    logs = {
        "metavar": "LEVELS",
        "help": "Log parts of the compiler, such as passes=debug,shapes=info.",
        "shell_complete": _complete_log,
    }
    general: tuple[tuple[tuple[str, ...], str, dict[str, Any]], ...] = (
        (("--message-format",), "Diagnostics", formats),
        (("--traceback",), "Diagnostics", {"is_flag": True, "help": "Show Python tracebacks of errors."}),
        (("--color",), "General", {"type": click.Choice(COLORS), "metavar": "WHEN", "help": "auto, always or never."}),
        (("-v", "--verbose"), "General", {"count": True, "help": "Say more; -vv says all."}),
        (("--log",), "General", logs),
        (("-q", "--quiet"), "General", {"is_flag": True, "help": "Say nothing but errors."}),
    )
    for names, section, extra in general:
        keywords: dict[str, Any] = {**shared, **extra, "section": section}
        function = click.option(*names, **keywords)(function)
    return help_options(function)


def command(
    name: str, *, examples: Sequence[tuple[str, str]] = (), exits: Sequence[Exit] = (Exit.FINDINGS,)
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command; its function returns an exit code or None for 0."""

    def declare(function: Callable[..., Any]) -> click.Command:
        make = click.command(name, cls=BlcCommand, examples=examples, exits=exits)
        made: click.Command = make(general_options(function))
        return made

    return declare


def terminal() -> Terminal:
    """The terminal of the command that runs."""
    state = click.get_current_context().find_object(State)
    return state.term if state else Terminal()
