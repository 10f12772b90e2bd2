"""A program said again with the Python builder, call by call.

Invariant: what the builder records is the tree it was given. May import: the frontend's tree and builder.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import bl_compiler as bl
from bl_compiler.frontend import ast
from bl_compiler.frontend.expression import BeliefSpec, NamedDim, tree_of

_OPERATORS: dict[str, Any] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "@": lambda a, b: a @ b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a.__class__(ast.Binary("or", tree_of(a), tree_of(b))),
}

Names = dict[str, Any]


def replayed(file: ast.File) -> bl.Model:
    """The model of a file with one model, built by the builder."""
    (definition,) = (item for item in file.items if isinstance(item, ast.ModelDef))
    names: Names = {}
    with ExitStack() as beliefs, bl.Model(definition.name) as model:
        for item in file.items:
            if isinstance(item, ast.Option):
                names[item.name] = bl.option(item.name, inline(item.value, names))
            elif isinstance(item, ast.LayerDef):
                names[item.name] = layer(item, dict(names))
                tree_of(names[item.name])  # defines it, as the file does, whether it is used or not
        for statement in definition.body.statements:
            play(statement, names, beliefs)
    return model


def layer(definition: ast.LayerDef, names: Names) -> bl.Expression:
    """A user layer as a Python function."""
    words = ["_" if p.default is None else f"{p.name}=_default_{p.name}" for p in definition.params]
    header = ", ".join(p.name if word == "_" else word for p, word in zip(definition.params, words, strict=True))

    def body(given: Names) -> object:
        inner = {**names, **given}
        stack = ExitStack()  # left open: a belief in a layer holds to its end
        for statement in definition.body.statements:
            if isinstance(statement, ast.Return):
                return inline(statement.value, inner)
            play(statement, inner, stack)
        raise AssertionError("a layer ends with return")

    space: Names = {"_body": body}
    for param in definition.params:
        if param.default is not None:
            space[f"_default_{param.name}"] = inline(param.default, names)
    passed = ", ".join(f"{p.name!r}: {p.name}" for p in definition.params)
    exec(f"def {definition.name}({header}):\n    _result = [_body({{{passed}}})]\n    return _result[0]", space)
    made: bl.Expression = bl.layer(space[definition.name])
    return made


def play(statement: ast.Stmt, names: Names, beliefs: ExitStack) -> None:
    """Say one statement."""
    match statement:
        case ast.Plate(name, size, total):
            names[name] = bl.plate(name, inline(size, names), of=None if total is None else inline(total, names))
        case ast.Input(name, type_):
            names[name] = bl.input(name, type_of(type_, names))
        case ast.Param(name, type_, init, constraint):
            within = None if constraint is None else inline(constraint, names)
            names[name] = bl.param(name, type_of(type_, names), inline(init, names), within)
        case ast.Let((name,), tree, False):
            names[name] = bl.let(name, inline(tree, names))
        case ast.Let(chosen, tree, _):
            made = inline(tree, names)
            exec(f"{', '.join(chosen)}, = made", {"made": made}, names)
        case ast.Sample(name, prior, type_, posterior, estimator):
            names[name] = bl.sample(
                name,
                inline(prior, names),
                by=None if posterior is None else inline(posterior, names),
                type=None if type_ is None else type_of(type_, names),
                using=None if estimator is None else inline(estimator, names),
            )
        case ast.Observe(data, distribution, mask):
            where = None if mask is None else inline(mask, names)
            bl.observe(inline(data, names), inline(distribution, names), where=where)
        case ast.Believe(roles, layers, prior, posterior, estimator, condition):
            spec = belief(prior, posterior, estimator, names)
            when = None if condition is None else inline(condition, names)
            beliefs.enter_context(bl.believe(roles, spec, layers=layers, when=when))
        case ast.Predict(name, tree):
            bl.predict(name, inline(tree, names))
        case ast.Objective(tree):
            bl.objective(inline(tree, names))
        case ast.Optimize(tree):
            bl.optimize(inline(tree, names))
        case _:
            raise NotImplementedError(type(statement).__name__)


def belief(prior: ast.Expr | None, posterior: ast.Expr | None, estimator: ast.Expr | None, names: Names) -> object:
    """A belief."""
    if prior is None:
        assert posterior is not None
        return inline(posterior, names)
    made = inline(prior, names)
    if posterior is None:
        return BeliefSpec(tree_of(made), None, None if estimator is None else tree_of(inline(estimator, names)))
    return made.by(inline(posterior, names), using=None if estimator is None else inline(estimator, names))


def type_of(syntax: ast.TypeSyntax, names: Names) -> Any:
    """A type."""
    dims = tuple(NamedDim(d.name, inline(d.size, names)) if d.name else inline(d.size, names) for d in syntax.dims)
    return getattr(bl, syntax.dtype)[dims]


def inline(tree: ast.Expr, names: Names) -> Any:
    """An expression that no variable here gives its name to."""
    return [value(tree, names)][0]


def value(tree: ast.Expr, names: Names) -> Any:
    """An expression."""
    match tree:
        case ast.Literal(literal):
            return literal
        case ast.Name(name):
            return names[name] if name in names else getattr(bl, name)
        case ast.ListExpr(items):
            return [value(item, names) for item in items]
        case ast.TupleExpr(items):
            return tuple(value(item, names) for item in items)
        case ast.Unary("-", operand):
            return -value(operand, names)
        case ast.Unary("not", operand):
            return ~value(operand, names)
        case ast.Binary(op, left, right):
            return _OPERATORS[op](value(left, names), value(right, names))
        case ast.Attribute(owner, name):
            return getattr(value(owner, names), name)
        case ast.Index(owner, indices):
            return value(owner, names)[tuple(index(i, names) for i in indices)]
        case ast.Pipe(source, stage):
            return value(source, names) | value(stage, names)
        case ast.Call(function, arguments):
            positional = [inline(a.value, names) for a in arguments if isinstance(a, ast.Argument) and not a.name]
            named = {}
            for a in arguments:
                if isinstance(a, ast.BeliefArgument):
                    named[a.role] = belief(a.prior, a.posterior, a.estimator, names)
                    if not isinstance(named[a.role], BeliefSpec):
                        named[a.role] = BeliefSpec(tree_of(named[a.role]))
                elif a.name:
                    named[a.name] = inline(a.value, names)
            return value(function, names)(*positional, **named)
    raise NotImplementedError(type(tree).__name__)


def index(tree: ast.Expr, names: Names) -> object:
    """An index."""
    match tree:
        case ast.Slice(start, stop, step):
            return slice(*(None if p is None else value(p, names) for p in (start, stop, step)))
        case ast.Ellipsis():
            return ...
        case ast.Named(name, size):
            return NamedDim(name, value(size, names))
    return value(tree, names)
