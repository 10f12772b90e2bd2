"""A program's methods, and what they say of arguments that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bl_compiler.backends.jax.program import InputError, Program
from bl_compiler.diagnostics import CompileError
from bl_compiler.ir.graph import Objective, Optimizer
from bl_compiler.ir.types import DType
from tests.unit.jax.models import SOURCES, data, program, regression, typed_inputs


def test_init_gives_raw_parameters_and_statistics() -> None:
    params = program().init(seed=0)
    assert {path: p.shape for path, p in params.items()} == {
        "dense/kernel/loc": (3,),
        "dense/kernel/scale": (3,),
        "noise": (),
        "standardize/mean": (3,),
    }
    values = program().constrained(params)
    np.testing.assert_allclose(values["dense/kernel/scale"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(values["noise"], 1.0, rtol=1e-6)
    assert not program().params["standardize/mean"].trained


def test_loss_is_the_sum_of_its_parts() -> None:
    params = program().init(0)
    loss, metrics = program().loss(params, data(), seed=1)
    np.testing.assert_allclose(loss, metrics["nll"] + metrics["kl"], rtol=1e-6)
    again, _ = program().loss(params, data(), seed=jax.random.key(1))
    other, _ = program().loss(params, data(), seed=2)
    assert loss == again != other


def test_training_lowers_the_loss_and_keeps_the_statistics() -> None:
    trained = Program(regression(optimizer=Optimizer("adam", (("learning_rate", 0.05),))))
    state = trained.train_init(seed=0)
    losses = []
    for _ in range(200):
        state, metrics = trained.train_step(state, data())
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:20])
    assert set(metrics) == {"loss", "nll", "kl"}
    assert int(state["step"]) == 200
    np.testing.assert_allclose(state["params"]["standardize/mean"], data()["x"].mean(0), rtol=1e-4)
    assert all(isinstance(leaf, jax.Array) and leaf.dtype != jax.dtypes.prng_key for leaf in jax.tree.leaves(state))


def test_a_step_uses_up_its_state() -> None:
    state = program().train_init(0)
    program().train_step(state, data())
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(state["params"]["noise"])
    with pytest.raises(InputError, match="the arrays of the state were used up by a training step"):
        program().train_step(state, data())
    with pytest.raises(InputError, match="the parameters were used up by a training step"):
        program().loss(state["params"], data(), 0)


def test_predictions_follow_the_law_of_total_variance() -> None:
    params = program().init(0)
    found = program().predict(params, data(), seed=3, draws=400)
    assert set(found) == {"y", "growth"}
    x, values = data()["x"], program().constrained(params)
    np.testing.assert_allclose(found["y"]["mean"], x @ values["dense/kernel/loc"], atol=0.01)
    np.testing.assert_allclose(found["y"]["stddev"], np.sqrt(1 + x**2 @ values["dense/kernel/scale"] ** 2), rtol=1e-3)
    one = program().predict(params, data(), seed=3, draws=1)
    np.testing.assert_allclose(one["growth"]["stddev"], 0)


def test_more_draws_start_with_the_same_ones() -> None:
    params = program().init(0)
    few, many = (program().log_likelihood(params, data(), seed=3, draws=n)["y"] for n in (2, 5))
    assert many.shape == (5, 4)
    np.testing.assert_array_equal(few, many[:2])


def test_joint_density_of_a_sample() -> None:
    params = program().init(0)
    drawn = program().sample(params, 7, data(), draws=3)
    assert {site: v.shape for site, v in drawn.items()} == {"dense/kernel": (3, 3), "y": (3, 4), "growth": (3, 4)}
    w, y = (np.asarray(drawn[site][0], np.float64) for site in ("dense/kernel", "y"))
    found = program().log_joint(params, {"dense/kernel": w}, {"x": data()["x"], "y": y})
    half = 0.5 * np.log(2 * np.pi)
    expected = np.sum(-0.5 * w**2 - half) + 100 / 4 * np.sum(-0.5 * (y - data()["x"] @ w) ** 2 - half)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_prior_draws_ignore_the_posterior() -> None:
    params = program().init(0)
    drawn = program().sample(params, 7, data(), draws=2000, weights="prior")["dense/kernel"]
    np.testing.assert_allclose(np.std(drawn, axis=0), 1, atol=0.1)


def test_functions_are_ordinary_jax() -> None:
    params = program().init(0)
    loss = program().functions["loss"]
    gradient = jax.jit(jax.grad(lambda p: loss(p, data(), 0)[0]))(params)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in gradient.values())
    losses = jax.vmap(lambda key: loss(params, data(), key)[0])(jax.random.split(jax.random.key(0), 3))
    assert losses.shape == (3,)
    checked = jax.grad(lambda p: program().loss(p, data(), 0)[0])(params)
    np.testing.assert_allclose(checked["noise"], gradient["noise"], rtol=1e-5)


def test_annealing_ends_with_training() -> None:
    annealed = Program(regression(objective=Objective(anneal=(0.0, 1.0, 10))))
    params = annealed.init(0)
    parts = {step: annealed.loss(params, data(), 0, step=step) for step in (0, 5, None)}
    for step, weight in ((0, 0.0), (5, 0.5), (None, 1.0)):
        loss, metrics = parts[step]
        np.testing.assert_allclose(loss, metrics["nll"] + weight * metrics["kl"], rtol=1e-5)


def test_open_plates_take_their_size_at_run_time() -> None:
    opened = Program(regression(total=None))
    params = opened.init(0)
    (_, small), (_, large) = (opened.loss(params, data(), 0, sizes={"batch": n}) for n in (100, 1000))
    np.testing.assert_allclose(small["kl"], 10 * large["kl"], rtol=1e-5)
    with pytest.raises(InputError, match=r"the number of examples along plate `batch` is not known"):
        opened.loss(params, data(), 0)
    with pytest.raises(KeyError, match="size of plate `batch`"):
        opened.functions["loss"](params, data(), 0)
    with pytest.raises(InputError, match="no plate `btch`"):
        opened.loss(params, data(), 0, sizes={"btch": 3})


def test_symbolic_batches_take_any_number_of_examples() -> None:
    free = Program(regression(size="batch"))
    params = free.init(0)
    for size in (1, 4, 9):
        assert free.log_likelihood(params, data(size), 0, draws=2)["y"].shape == (2, size)
    for entry in (lambda: free.loss(params, data(0), 0), lambda: free.train_step(free.train_init(0), data(0))):
        with pytest.raises(InputError, match="input `x` holds no examples"):
            entry()
    with pytest.raises(InputError, match="`x` has 4 and `y` has 9"):
        free.loss(params, {"x": data(4)["x"], "y": data(9)["y"]}, 0)
    with pytest.raises(ValueError, match="no input of this entry point has the size"):
        Program(_without_inputs("batch")).sample({}, 0)


def _without_inputs(size: str) -> Any:
    from bl_compiler.passes.entries import derive_entries
    from tests.support.models import ModelBuilder

    b = ModelBuilder()
    batch = b.plate("batch", size, 100)
    b.observe("y", b.input("y", batch), b.standard(batch))
    return derive_entries(b.module())


X, Y = data()["x"], data()["y"]
FAULTS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "missing": (lambda p: p.loss(p.init(0), {"x": X}, 0), ("input `y` is missing", "pass it by name")),
    "unknown": (lambda p: p.loss(p.init(0), {"x": X, "Y": Y, "y": Y}, 0), ("no input `Y`", "did you mean `y`?")),
    "shape": (
        lambda p: p.loss(p.init(0), {"x": X[:, :2], "y": Y}, 0),
        ("input `x` has the shape [4, 2], the program takes [4, 3]", "feed an array of shape [4, 3]", "statement 1"),
    ),
    "batch": (lambda p: p.loss(p.init(0), {"x": X[:2], "y": Y}, 0), ("[2, 3]", "compile with `--batch 2`")),
    "rank": (lambda p: p.loss(p.init(0), {"x": X[0], "y": Y}, 0), ("has the shape [3]",)),
    "complex": (lambda p: p.loss(p.init(0), {"x": X * 1j, "y": Y}, 0), ("element type complex64", "feed numbers")),
    "parameter": (lambda p: p.loss({}, {"x": X, "y": Y}, 0), ("parameter `standardize/mean` is missing",)),
    "parameter shape": (
        lambda p: p.loss({**p.init(0), "noise": np.zeros(2)}, {"x": X, "y": Y}, 0),
        ("parameter `noise` has the shape [2]", "that `init` of this program gave"),
    ),
    "parameter kind": (
        lambda p: p.loss({**p.init(0), "noise": np.complex64(1j)}, {"x": X, "y": Y}, 0),
        ("parameter `noise` has the element type complex64",),
    ),
    "list": (lambda p: p.loss(p.init(0), [X, Y], 0), ("value for each input is expected, found `list`", "by name")),
    "none": (lambda p: p.loss(None, {"x": X, "y": Y}, 0), ("for each parameter is expected, found `NoneType`",)),
    "no state": (lambda p: p.train_step(None, {"x": X, "y": Y}), ("found `NoneType`",)),
    "no rows": (lambda p: p.loss(p.init(0), {"x": X[:0], "y": Y[:0]}, 0), ("`x` has the shape [0, 3]",)),
    "seed": (lambda p: p.init(-1), ("the seed is -1", "from 0 to 4294967295")),
    "large seed": (lambda p: p.init(2**32), ("the seed is 4294967296",)),
    "float seed": (lambda p: p.init(np.ones(())), ("the seed is array(1.)",)),
    "no seed": (lambda p: p.init(None), ("the seed is None",)),
    "draws": (lambda p: p.predict(p.init(0), {"x": X}, 0, draws=0), ("`draws` is 0", "positive integer")),
    "weights": (lambda p: p.sample(p.init(0), 0, {"x": X}, weights="both"), ("`weights` is 'both'",)),
    "site": (lambda p: p.log_joint(p.init(0), {"dense": X}, {"x": X, "y": Y}), ("no site `dense`", "dense/kernel")),
    "state": (lambda p: p.train_step({"params": {}}, {"x": X, "y": Y}), ("entry of the state `step` is missing",)),
    "entry": (lambda p: p.compiled("fit"), ("no entry point `fit`", "train_step")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_say_what_is_wrong_and_the_way_out(fault: str) -> None:
    call, words = FAULTS[fault]
    with pytest.raises(InputError) as caught:
        call(program())
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CompileError)
    for word in ("error[BLC0605]", *words):
        assert word in str(caught.value)


def test_inputs_an_entry_does_not_need_are_left_aside() -> None:
    program().predict(program().init(0), {"x": X, "y": Y}, seed=0, draws=1)
    program().predict(program().init(0), {"x": X, "y": "not even an array"}, seed=0, draws=1)


ACCEPTED = [
    (DType.F32, np.arange(2.0)),
    (DType.F32, np.arange(2)),
    (DType.F32, [1, 2.5]),
    (DType.F32, np.array([True, False])),
    (DType.I32, np.arange(2, dtype=np.int64)),
    (DType.I32, np.arange(2, dtype=np.uint8)),
    (DType.U8, np.array([0, 255])),
    (DType.U8, np.array([3, 4], np.uint8)),
    (DType.BOOL, np.array([True, False])),
    (DType.BF16, np.arange(2.0)),
    (DType.F32, jnp.arange(2)),
]
REFUSED = [
    (DType.I32, np.array([0.5, 1.0]), "feed whole numbers"),
    (DType.I32, np.array([0, 2**40]), "1099511627776, which is no i32"),
    (DType.U8, np.array([-1, 3]), "-1, which is no u8"),
    (DType.BOOL, np.array([0, 1]), "feed truth values, such as `x0 != 0`"),
    (DType.F32, np.array(["a", "b"]), "feed numbers"),
]


@pytest.mark.parametrize(("dtype", "value"), ACCEPTED)
def test_arrays_are_cast_where_no_number_changes(dtype: DType, value: Any) -> None:
    found = Program(typed_inputs(dtype)).predict({}, {"x0": value}, 0, draws=1)["y0"]["mean"]
    np.testing.assert_array_equal(np.asarray(found, np.float64), np.asarray(value, np.float64))


@pytest.mark.parametrize(("dtype", "value", "way_out"), REFUSED)
def test_arrays_are_refused_where_numbers_would_change(dtype: DType, value: Any, way_out: str) -> None:
    with pytest.raises(InputError, match="x0") as caught:
        Program(typed_inputs(dtype)).predict({}, {"x0": value}, 0, draws=1)
    assert way_out in str(caught.value)


def test_wide_types_need_a_wide_jax() -> None:
    wide = Program(typed_inputs(DType.I64))
    with pytest.raises(CompileError, match="JAX is set to 32 bits"):
        wide.predict({}, {"x0": np.arange(2)}, 0, draws=1)
    with jax.enable_x64(True):
        wide.predict({}, {"x0": np.arange(2)}, 0, draws=1)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (Optimizer("adamm", ()), "did you mean `adam`?"),
        (Optimizer("adam", (("learning_rat", 0.1),)), "did you mean `learning_rate`?"),
        (Optimizer("adam", (("learning_rate", ("cosine_decay", ())),)), "optax has no `cosine_decay`"),
    ],
)
def test_optimizers_are_those_of_optax(optimizer: Optimizer, words: str) -> None:
    with pytest.raises(CompileError) as caught:
        Program(regression(optimizer=optimizer))
    assert words in str(caught.value)


def test_optimizers_nest() -> None:
    schedule = ("exponential_decay", (("init_value", 0.1), ("transition_steps", 10), ("decay_rate", 0.9)))
    clipped = Optimizer(
        "chain", (("0", ("clip_by_global_norm", (("max_norm", 1.0),))), ("1", ("adam", (("learning_rate", schedule),))))
    )
    trained = Program(regression(optimizer=clipped))
    assert "optax.chain(optax.clip_by_global_norm(max_norm=1.0), optax.adam(" in trained.text
    trained.train_step(trained.train_init(0), data())


def test_messages_quote_the_source() -> None:
    assert program().name == regression().name
    assert SOURCES["model.blg"].line(1) == "statement 1"
