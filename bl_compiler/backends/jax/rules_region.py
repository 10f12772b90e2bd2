"""How regions are written: a nested function under `jax.vmap` or `jax.lax.scan`.

Captured values need no arguments: the nested function sees the variables around it. In a round the key is first folded
with the round's number (for `scan`, the position in the sequence), then with the site.
May import: floors 0-1, `pyexpr`, `context`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.context import Context, Rule, body_of
from bl_compiler.ir.graph import Graph, Node, Value
from bl_compiler.ir.opspec import Effect
from bl_compiler.ir.tables import RuleTable

REGION_RULES: RuleTable[Rule] = RuleTable("JAX_EMIT, region")


def draws(graph: Graph) -> bool:
    """Whether anything in a graph or its regions is drawn."""
    return any(
        node.op.effect is Effect.DRAWS or any(draws(v) for v in node.attrs.values() if isinstance(v, Graph))
        for node in graph.nodes
    )


def _capture(cx: Context, args: Sequence[Value], operands: Sequence[Value]) -> None:
    for arg, operand in zip(args, operands, strict=True):
        cx.alias(arg, operand)


def _outputs(cx: Context, values: Sequence[Value]) -> str:
    return pyexpr.text(pyexpr.tuple_of([cx.array(value) for value in values]))


def _targets(cx: Context, values: Sequence[Value], hint: str) -> str:
    """New variables for values, as a tuple to assign to."""
    found = []
    for value in values:
        name = cx.names.fresh(value.name or hint)
        cx.bindings[value] = name
        found.append(pyexpr.name(name))
    return pyexpr.text(pyexpr.tuple_of(found))


@REGION_RULES.rule("region.draws")
def _draws(cx: Context, node: Node) -> None:
    body, count = body_of(node), node.attrs.integer("count")
    function, key = cx.names.fresh(body.name or "draw"), cx.names.fresh("key")
    inner = cx.inner(key)
    _capture(inner, body.args, node.inputs)
    inner.write(body.nodes)
    inner.frame(f"return {_outputs(inner, [o.value for o in body.outputs])}", node)
    cx.statement(f"def {function}({key}):", inner.lines)
    # A body that draws nothing still runs `count` times in meaning; the keys only carry the number of rounds.
    key_of_all = cx.key or "jax.random.key(0)"
    cx.statement(f"{_targets(cx, node.results, 'drawn')} = jax.vmap({function})(fold_range({key_of_all}, {count}))")


@REGION_RULES.rule("region.repeat")
def _repeat(cx: Context, node: Node) -> None:
    _loop(cx, node, node.attrs.integer("count"), node.attrs.integer("stacked"))


@REGION_RULES.rule("region.scan")
def _scan(cx: Context, node: Node) -> None:
    reverse = "reverse=True" if node.attrs.flag("reverse") else ""
    _loop(cx, node, node.attrs.integer("length"), node.attrs.integer("walked"), reverse)


def _loop(cx: Context, node: Node, count: int, sliced: int, option: str = "") -> None:
    body, carries = body_of(node), node.attrs.integer("carries")
    random = draws(body)
    names = cx.names
    function, carry, item = names.fresh(body.name or "step"), names.fresh("carry"), names.fresh("item")
    inner = cx.inner(names.fresh("key") if random else None)
    _capture(inner, body.args[carries + sliced :], node.inputs[carries + sliced :])
    if carries:
        inner.frame(f"{_targets(inner, body.args[:carries], 'carry')} = {carry}", node)
    index = names.fresh("index") if random else ""
    walked = _targets(inner, body.args[carries : carries + sliced], "item")
    if random:
        inner.frame(f"({index}, {walked}) = {item}" if sliced else f"{index} = {item}", node)
        inner.frame(f"{inner.key} = jax.random.fold_in({cx.key}, {index})", node)
    elif sliced:
        inner.frame(f"{walked} = {item}", node)
    inner.write(body.nodes)
    outputs = [o.value for o in body.outputs]
    inner.frame(f"return ({_outputs(inner, outputs[:carries])}, {_outputs(inner, outputs[carries:])})", node)
    cx.statement(f"def {function}({carry}, {item}):", inner.lines)

    start = _outputs(cx, node.inputs[:carries])
    items = _outputs(cx, node.inputs[carries : carries + sliced]) if sliced else "None"
    if random:
        positions = f"jnp.arange({count})"
        items = f"({positions}, {items})" if sliced else positions
    ends, stacked = _targets(cx, node.results[:carries], "end"), _targets(cx, node.results[carries:], "stacked")
    arguments = [function, start, items, f"length={count}", *([option] if option else [])]
    cx.statement(f"({ends}, {stacked}) = jax.lax.scan({', '.join(arguments)})")
