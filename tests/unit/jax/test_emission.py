"""The emitted text: readable, deterministic, complete in itself; products, names, literals and random streams."""

from __future__ import annotations

import ast
import builtins
import os
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bl_compiler.backends.jax import pyexpr
from bl_compiler.backends.jax.einsum import product
from bl_compiler.backends.jax.emit import emit_module
from bl_compiler.backends.jax.entries import optimizer_text
from bl_compiler.backends.jax.functions import JAX_EMIT
from bl_compiler.backends.jax.link import closure, runtime
from bl_compiler.backends.jax.names import NameSupply
from bl_compiler.ir.builder import GraphBuilder
from bl_compiler.ir.graph import Graph, Optimizer, Value
from bl_compiler.ir.ops import CORE_OPS
from bl_compiler.ir.parser import parse_module
from bl_compiler.ir.printer import print_module
from bl_compiler.ir.types import DType, TensorType, dims_of
from tests.unit.jax.models import data, program, regression
from tests.unit.jax.running import emitted, function_of, outputs_of

VECTOR = TensorType(DType.F32, dims_of(2))
DECLARED_AWAY = {
    *("model.sample", "model.point", "model.noise", "model.observe", "model.predict", "model.update", "model.phase")
}


def test_the_table_lacks_only_what_the_entries_remove() -> None:
    assert JAX_EMIT.missing(CORE_OPS) == DECLARED_AWAY


def test_text_is_the_same_for_equal_modules() -> None:
    module = regression()
    again = parse_module(print_module(module), CORE_OPS)
    assert emit_module(module).text == emit_module(regression()).text == emit_module(again).text


def test_text_reads_like_a_program() -> None:
    text = program().text
    assert '    with jax.named_scope("dense"):\n' in text
    assert '        dense_kernel_loc = params["dense/kernel/loc"]  # model.blg:3\n' in text
    assert f"jax.random.fold_in(key, {crc32(b'dense/kernel')})" in text
    assert "# blocks.blg:4" in text
    assert "div = neg / 4.0" in text, "constants stand where they are used"
    assert "lgamma" not in text, "only the helpers that are used are there"
    ast.parse(text)


STANDALONE = """
import sys
for name in ("bl_compiler", "scipy", "lark", "networkx"):
    sys.modules[name] = None
import numpy as np
import emitted
x = np.load("x.npy"); y = np.load("y.npy")
state = emitted.train_init(3)
state, metrics = emitted.train_step(state, {"x": x, "y": y})
found = emitted.predict(state["params"], {"x": x}, 5, draws=4)
np.savez("found.npz", loss=metrics["loss"], mean=found["y"]["mean"])
"""


def test_text_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "emitted.py").write_text(program().text)
    for name, array in data().items():
        np.save(tmp_path / f"{name}.npy", array)
    subprocess.run([sys.executable, "-c", STANDALONE], cwd=tmp_path, env=_environment(), check=True)
    found = np.load(tmp_path / "found.npz")
    state, metrics = program().train_step(program().train_init(3), data())
    np.testing.assert_allclose(found["loss"], metrics["loss"], rtol=1e-6)
    mean = program().predict(state["params"], data(), 5, draws=4)["y"]["mean"]
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)


def _environment() -> dict[str, str]:
    return {"JAX_PLATFORMS": "cpu", "PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    ("spec", "written"),
    [
        ("ab,bc->ac", "x @ w"),
        ("ab,cb->ac", "x @ w.T"),
        ("bc,ab->ac", "w @ x"),
        ("abk,kn->abn", "contract(x, w)"),
        ("abk,khd->abhd", "contract(x, w)"),
        ("abhd,hdk->abk", "contract(x, w, 2)"),
        ("gbk,gkn->gbn", "x @ w"),
        ("bqhd,bkhd->bhqk", 'jnp.einsum("bqhd,bkhd->bhqk", x, w)'),
        ("ab,ab->", 'jnp.einsum("ab,ab->", x, w)'),
        ("ab,ab->ab", 'jnp.einsum("ab,ab->ab", x, w)'),
        ("ab,b->a", 'jnp.einsum("ab,b->a", x, w)'),
        ("abc,bcd->ad", "contract(x, w, 2)"),
        ("abk,nk->abn", "contract(x, w.T)"),
    ],
)
def test_products_are_plain_where_they_can_be(spec: str, written: str) -> None:
    assert pyexpr.text(product(spec, [pyexpr.name("x"), pyexpr.name("w")])) == written
    sizes = dict(zip("abcdghknqt", (2, 3, 4, 5, 6, 7, 2, 3, 4, 5), strict=True))
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=[sizes[c] for c in part]) for part in spec.split("->")[0].split(","))
    b = GraphBuilder(CORE_OPS, "predict")
    x, w = (
        b.add("model.input", key=k, type=TensorType(DType.F32, dims_of(*v.shape)))
        for k, v in (("x", left), ("w", right))
    )
    found = outputs_of(b.finish([("y", b.einsum(spec, x, w))]), {"x": left, "w": right})["y"]
    np.testing.assert_allclose(found, np.einsum(spec, left, right), rtol=1e-4, atol=1e-5)


def test_names_are_identifiers_and_never_shadow() -> None:
    supply = NameSupply(["jnp", "softplus"])
    hints = ["h", "h", "h_1", "logits/dense", "2x", "", "class", "jnp", "softplus", "sum", "é", "match", "h"]
    found = [supply.fresh(hint) for hint in hints]
    assert found[:5] == ["h", "h_1", "h_1_1", "logits_dense", "_2x"]
    assert len(set(found)) == len(found)
    assert all(name.isidentifier() and name not in ("jnp", "softplus", "class", "sum", "match") for name in found)


def test_odd_names_do_not_reach_python() -> None:
    b = GraphBuilder(CORE_OPS, "predict")
    x = b.add("model.input", key='a "quoted" \\ key', type=VECTOR, name="lambda")
    with b.at(scope="odd ' scope"):
        y = b.add("math.exp", x, name="jnp")
    z = b.add("math.exp", y, name="normal_sample")
    found = outputs_of(b.finish([("é 'out'", z)]), {'a "quoted" \\ key': np.zeros(2, np.float32)})
    np.testing.assert_allclose(found["é 'out'"], np.exp(1))


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), -1.5, -0.0, 0, True, 1e-40, 10**12])
def test_numbers_are_written_as_literals(value: float) -> None:
    found = eval(pyexpr.text(pyexpr.number(value)), {"jnp": jnp})
    np.testing.assert_array_equal(found, value)
    assert np.signbit(found) == np.signbit(value) or np.isnan(value)


def test_runtime_names_are_distinct_and_closed() -> None:
    known = runtime().definitions
    bound = {*known, *runtime().imports, *dir(builtins)}
    for definition in known.values():
        arguments = {n.arg for n in ast.walk(ast.parse(definition.text)) if isinstance(n, ast.arg)}
        stored = {
            n.id
            for n in ast.walk(ast.parse(definition.text))
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        assert definition.reads - arguments - stored <= bound, definition.name
    assert [d.name for d in closure(["to_positive"])] == ["Real", "softplus", "to_positive"]


def test_optimizers_are_written_as_calls() -> None:
    arguments = (("b1", 0.9), ("mu_dtype", "bfloat16"), ("nesterov", True), ("weight_decay_mask", None))
    assert optimizer_text(Optimizer("adam", arguments)) == (
        'optax.adam(b1=0.9, mu_dtype="bfloat16", nesterov=True, weight_decay_mask=None)'
    )


# --- random streams ---------------------------------------------------------------------------------------------------


def _draw(b: GraphBuilder, loc: Value, site: str = "w") -> Value:
    return b.add("random.draw", b.add("dist.Normal", loc, b.const(1.0, DType.F32)), site=site)


def _body(*types: TensorType, steps: int = 1) -> tuple[GraphBuilder, list[Value]]:
    args = [Value(t) for t in types]
    return GraphBuilder(CORE_OPS, "body", args), args


def site_key(key: jax.Array, site: str) -> jax.Array:
    return jax.random.fold_in(key, crc32(site.encode()))


def test_the_stream_of_a_site_depends_on_its_path_alone() -> None:
    b = GraphBuilder(CORE_OPS, "predict")
    zero = b.full(0.0, dims_of(2))
    first = b.finish([("w", _draw(b, zero))])
    _draw(b, zero, "another")
    moved = b.finish([("v", _draw(b, zero, "v")), ("w", first.output("w"))])
    key = jax.random.key(7)
    expected = jax.random.normal(site_key(key, "w"), (2,))
    for graph in (first, moved):
        np.testing.assert_array_equal(function_of(graph)({}, {}, key)["w"], expected)


def test_rounds_fold_in_their_number() -> None:
    inner, (loc,) = _body(VECTOR)
    body = inner.finish([("w", _draw(inner, loc))])
    b = GraphBuilder(CORE_OPS, "predict")
    results = b.emit("region.draws", [b.full(5.0, dims_of(2))], {"count": 3, "body": body}).results
    key = jax.random.key(7)
    found = function_of(b.finish([("w", results[0])]))({}, {}, key)["w"]
    expected = [5 + jax.random.normal(site_key(jax.random.fold_in(key, i), "w"), (2,)) for i in range(3)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_steps_fold_in_their_position(*, reverse: bool) -> None:
    """A walk h -> h + x_t + noise_t, in either direction, with the noise stacked by position."""
    inner, (h, x) = _body(VECTOR, VECTOR)
    noise = _draw(inner, x)
    body = inner.finish([("h", inner.binary("add", h, noise)), ("noise", noise)])
    b = GraphBuilder(CORE_OPS, "predict")
    xs = b.add("model.input", key="xs", type=TensorType(DType.F32, dims_of(4, 2)))
    attrs = {"length": 4, "carries": 1, "walked": 1, "reverse": reverse, "body": body}
    last, seen = b.emit("region.scan", [b.full(0.0, dims_of(2)), xs], attrs).results
    key, fed = jax.random.key(7), np.arange(8.0, dtype=np.float32).reshape(4, 2)
    found = function_of(b.finish([("last", last), ("seen", seen)]))({}, {"xs": fed}, key)
    expected = [fed[i] + jax.random.normal(site_key(jax.random.fold_in(key, i), "w"), (2,)) for i in range(4)]
    np.testing.assert_allclose(found["seen"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["last"], np.sum(expected, axis=0), rtol=1e-5)


def test_nested_rounds_fold_in_both_numbers() -> None:
    innermost, (loc,) = _body(VECTOR)
    draws = innermost.finish([("w", _draw(innermost, loc))])
    middle, (h, captured) = _body(VECTOR, VECTOR)
    drawn = middle.emit("region.draws", [captured], {"count": 2, "body": draws}).result
    step = middle.finish([("h", h), ("all", drawn)])
    b = GraphBuilder(CORE_OPS, "predict")
    zero = b.full(0.0, dims_of(2))
    _, stacked = b.emit("region.repeat", [zero, zero], {"count": 3, "carries": 1, "body": step}).results
    key = jax.random.key(1)
    found = function_of(b.finish([("all", stacked)]))({}, {}, key)["all"]
    for i in range(3):
        for j in range(2):
            stream = site_key(jax.random.fold_in(jax.random.fold_in(key, i), j), "w")
            np.testing.assert_array_equal(found[i, j], jax.random.normal(stream, (2,)))


def test_mixtures_draw_from_their_components() -> None:
    b = GraphBuilder(CORE_OPS, "predict")
    loc = b.const((-10.0, 0.0, 10.0), DType.F32)
    logits = b.const((0.0, 1.0, -1.0), DType.F32)
    components = b.add("dist.Normal", loc, b.const(0.5, DType.F32))
    d = b.add("dist.expand", b.add("dist.mixture", logits, components), dims=dims_of(4000))
    found = outputs_of(b.finish([("x", b.add("random.draw", d, site="x"))]))["x"]
    shares = [np.mean(np.abs(found - center) < 4) for center in (-10, 0, 10)]
    np.testing.assert_allclose(shares, np.exp([0, 1, -1]) / np.sum(np.exp([0, 1, -1])), atol=0.03)


def test_vector_mixtures_choose_whole_events() -> None:
    b = GraphBuilder(CORE_OPS, "predict")
    loc = b.const(((-10.0, -10.0), (10.0, 10.0)), DType.F32)
    components = b.add("dist.independent", b.add("dist.Normal", loc, b.const(0.5, DType.F32)), ndims=1)
    d = b.add("dist.expand", b.add("dist.mixture", b.const((0.0, 0.0), DType.F32), components), dims=dims_of(50))
    graph = b.finish([("x", b.add("random.draw", d, site="x")), ("mean", b.add("prob.mean", d))])
    found = outputs_of(graph)
    assert found["x"].shape == (50, 2)
    assert np.all(np.sign(found["x"][:, 0]) == np.sign(found["x"][:, 1]))
    assert 5 < np.sum(found["x"][:, 0] > 0) < 45
    np.testing.assert_allclose(found["mean"], np.zeros((50, 2)), atol=1e-5)


def graph_of_scalar() -> Graph:
    """A graph that gives a constant."""
    b = GraphBuilder(CORE_OPS, "predict")
    return b.finish([("y", b.const(2.0, DType.F32))])


def test_constants_that_are_given_back_are_arrays() -> None:
    value = function_of(graph_of_scalar())({}, {}, jax.random.key(0))["y"]
    assert value.dtype == jnp.float32
    assert "jnp.float32(2.0)" in emitted(graph_of_scalar()).text
