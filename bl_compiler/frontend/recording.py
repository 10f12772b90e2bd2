"""A model while the Python builder writes it: its blocks, the names taken in them, the beliefs in force.

Invariant: a model is built by one thread, between entering and leaving its `with`.
May import: floor 0, `ast`, `library`, `words`, `caller`, `expression`, `sharing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType

from bl_compiler.frontend import ast
from bl_compiler.frontend.caller import source_named, span_of, target_name, user_frame
from bl_compiler.frontend.expression import OPEN, BeliefSpec, Expression, here, tree_of
from bl_compiler.frontend.library import FORMS, POSTERIORS
from bl_compiler.frontend.sharing import NAME, Depths, children, copied, with_names
from bl_compiler.frontend.words import PYTHON_CONSTANTS, RESERVED, is_name
from bl_compiler.source import SourceFile

MAX_DEPTH = 30
"""How deep trees may nest before a part gets a name; much deeper ones could not be read back from their text."""


@dataclass(eq=False, slots=True)
class _Block:
    """Statements under construction: `beliefs` are in force, `stale` are roles whose beliefs are to be stated again."""

    statements: list[ast.Stmt] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    beliefs: list[ast.Believe] = field(default_factory=list)
    stale: dict[str, None] = field(default_factory=dict)


class Model:
    """A model under construction.

    Args:
        name: the model's name.

    Example:
        >>> import bl_compiler as bl
        >>> with bl.Model("coin") as model:
        ...     toss = bl.plate("toss", 10, of=10)
        ...     heads = bl.input("heads", bl.i32[toss])
        ...     p = bl.param("p", bl.f32[()], 0.5, bl.unit_interval)
        ...     bl.observe(heads, bl.Bernoulli(probs=p))
        >>> print(model.to_blg().splitlines()[0])
        model coin {
    """

    def __init__(self, name: str) -> None:
        self.name = checked_name(name)
        self.source: SourceFile | None = None
        self._file = "<python>"
        self._items: list[ast.Option | ast.LayerDef] = []
        self._item_names: set[str] = set()
        self._layers: dict[Callable[..., object], str] = {}
        self._blocks = [_Block()]
        self._depths = Depths()

    def __enter__(self) -> Model:
        self._file = span_of(user_frame()).file or self._file
        self.source = source_named(self._file)
        OPEN.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        OPEN.remove(self)

    @property
    def file(self) -> ast.File:
        """The syntax tree of the file this model stands for."""
        block = self._blocks[0]
        body = ast.Block(with_names(block.statements, block.taken | self._item_names))
        return ast.File(self._file, (*self._items, ast.ModelDef(self.name, body)))

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """The Python files that the model's spans point into."""
        names: dict[str, None] = {self._file: None}
        todo: list[ast.Syntax] = [self.file]
        while todo:
            node = todo.pop()
            names.setdefault(node.span.file, None)
            todo.extend(children(node))
        return tuple(found for name in names if (found := source_named(name)) is not None)

    def to_blg(self) -> str:
        """The same model in the language."""
        from bl_compiler.frontend.format import format_source

        return format_source(self.file)

    # --- statements --------------------------------------------------------------------------------------------------

    def add(self, statement: ast.Stmt) -> None:
        """Append a statement to the open block."""
        block = self._blocks[-1]
        if isinstance(statement, ast.Believe) and _is_plain(statement):
            for role in statement.roles:
                block.stale.pop(role, None)
        if block.stale and (isinstance(statement, ast.Believe) or _constructs(statement)):
            self._restate(block)
        block.statements.append(statement)

    def add_option(self, name: str, value: ast.Expr) -> None:
        """Append an option to the file."""
        self._claim_item(name)
        self._items.append(ast.Option(name, value, span=here()))

    @contextmanager
    def block(self) -> Iterator[tuple[list[ast.Stmt], set[str]]]:
        """Collect statements in a block of their own; gives them, and the names taken among them."""
        block = _Block()
        self._blocks.append(block)
        try:
            yield block.statements, block.taken
        finally:
            self._blocks.pop()

    # --- names -------------------------------------------------------------------------------------------------------

    def declare(self, name: str) -> str:
        """Take a name that the user gave.

        Raises:
            ValueError: if it cannot be a name, or is that of an option or a layer.
        """
        if checked_name(name) in self._item_names:
            raise ValueError(f"`{name}` is an option or a layer of this model; choose another name")
        self._blocks[-1].taken.add(name)
        return name

    def take(self, name: str) -> str:
        """A name not yet used in the open block: `name`, or `name_1`, and so on."""
        taken, count, found = self._blocks[-1].taken | self._item_names, 0, name
        while found in taken:
            count += 1
            found = f"{name}_{count}"
        self._blocks[-1].taken.add(found)
        return found

    def _claim_item(self, name: str) -> None:
        if checked_name(name) in self._item_names or any(name in block.taken for block in self._blocks):
            raise ValueError(f"`{name}` is already taken in this model; choose another name")
        self._item_names.add(name)

    def check_word(self, word: str) -> None:
        """Refuse a word of the language that a value of the model hides."""
        if word in FORMS and word not in POSTERIORS:
            return  # no name hides these
        if word in self._blocks[-1].taken or word in self._item_names:
            raise ValueError(
                f"a value of this model is named `{word}`, which hides `bl.{word}` from here on; "
                "rename the Python variable"
            )

    # --- expressions -------------------------------------------------------------------------------------------------

    def record(self, made: Expression) -> Expression:
        """A new expression becomes a `let` if it is stored to a variable, or nests too deep."""
        name = target_name(user_frame())
        if name is None and self._depths.of(made.tree) <= MAX_DEPTH:
            return made
        return self._let((NAME if name is None else _language_name(name),), made.tree, grouped=False)[0]

    def unpack(self, whole: Expression, names: tuple[str, ...]) -> tuple[Expression, ...]:
        """What is taken apart, as in `a, b = …`, becomes a `let` of several names."""
        return self._let(tuple(map(_language_name, names)), tree_of(whole), grouped=True)

    def _let(self, names: tuple[str, ...], tree: ast.Expr, *, grouped: bool) -> tuple[Expression, ...]:
        chosen = tuple(self.take(name) for name in names)
        self.add(ast.Let(chosen, tree, grouped=grouped, span=tree.span))
        return tuple(Expression(ast.Name(name, span=tree.span)) for name in chosen)

    # --- layers ------------------------------------------------------------------------------------------------------

    def layer_name(self, function: Callable[..., object], define: Callable[[str], ast.LayerDef]) -> str:
        """The name of a user layer in this file, which is defined when it is first used."""
        if function not in self._layers:
            wanted, count = _language_name(function.__name__), 0
            name = wanted
            while name in self._item_names or any(name in block.taken for block in self._blocks):
                count += 1
                name = f"{wanted}_{count}"
            self._item_names.add(name)
            self._layers[function] = name
            self._items.append(define(name))
        return self._layers[function]

    # --- beliefs -----------------------------------------------------------------------------------------------------

    @contextmanager
    def believing(
        self, specs: Mapping[tuple[str, ...], BeliefSpec], layers: tuple[str, ...], when: object
    ) -> Iterator[None]:
        """Hold beliefs for a while; afterwards the earlier ones are stated again, as soon as a layer may follow."""
        block, span = self._blocks[-1], here()
        condition = None if when is None else tree_of(when)
        made = [
            ast.Believe(roles, layers, spec.prior, spec.posterior, spec.estimator, condition, span=span)
            for roles, spec in specs.items()
        ]
        for statement in made:
            self.add(statement)
            block.beliefs.append(statement)
        yield
        del block.beliefs[len(block.beliefs) - len(made) :]
        block.stale.update((role, None) for statement in made for role in statement.roles)

    def _restate(self, block: _Block) -> None:
        """State again, for each stale role, what is believed about it from the last belief without conditions on."""
        alike: dict[tuple[int, ...], list[str]] = {}
        for role in block.stale:
            about = [i for i, b in enumerate(block.beliefs) if role in b.roles]
            first = max((i for i in about if _is_plain(block.beliefs[i])), default=_FROM_POINT)
            alike.setdefault((first, *(i for i in about if i > first)), []).append(role)
        block.stale.clear()
        for chain, roles in alike.items():
            for index in chain:
                if index != _FROM_POINT:
                    block.statements.append(replace(copied(block.beliefs[index]), roles=tuple(roles)))
                elif len(self._blocks) > 1:
                    raise RuntimeError(
                        "in a layer a belief holds to the end of it: put what follows the `with` into another layer"
                    )
                else:
                    block.statements.append(ast.Believe(tuple(roles), posterior=ast.Name("point"), span=here()))


_FROM_POINT = -1


def _is_plain(belief: ast.Believe) -> bool:
    """Whether a belief replaces all earlier ones about its roles."""
    return not belief.layers and belief.condition is None


def checked_name(name: object) -> str:
    """A name that the user gave.

    Raises:
        ValueError: if the language cannot write it.
    """
    if not isinstance(name, str) or not is_name(name):
        raise ValueError(f"{name!r} is no name: letters a to z, digits and `_`, and no word of the language")
    return name


def _language_name(name: str) -> str:
    """A Python name as the language can write it."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"{plain}_" if plain in RESERVED or plain in PYTHON_CONSTANTS else plain


def _constructs(node: ast.Syntax) -> bool:
    """Whether a tree may construct a layer."""
    return isinstance(node, (ast.Call, ast.Pipe)) or any(map(_constructs, children(node)))
