"""Lowering for platforms that are not here, with unknown sizes, to bytes that depend on the program alone."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bl_compiler.backends.jax.lower import Leaf, compile_entry, lower
from bl_compiler.backends.jax.program import InputError, Program
from bl_compiler.diagnostics import CompileError, UnavailableError
from bl_compiler.ir.types import DType
from tests.unit.jax.models import data, program, regression, typed_inputs

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("entry", ["train_step", "predict"])
def test_lowering_needs_no_plugin(entry: str, platform: str) -> None:
    found = lower(program(), entry, platform, draws=2)
    assert f"module @jit_{entry}" in found.text
    assert found.portable[:4] == b"ML\xefR", "MLIR bytecode"
    assert b"StableHLO_v" in found.portable
    assert "loc(" not in found.plain_text
    assert "stablehlo.dot_general" in found.plain_text or "stablehlo.multiply" in found.plain_text


def test_every_entry_point_lowers() -> None:
    for entry in program().entries:
        assert lower(program(), entry, draws=2).entry == entry
    with pytest.raises(InputError, match="no entry point `fit`"):
        lower(program(), "fit")


def test_the_state_is_donated() -> None:
    assert "tf.aliasing_output" in lower(program(), "train_step").plain_text


def test_arguments_and_results_have_names() -> None:
    found = lower(program(), "predict", draws=2)
    assert found.inputs == (
        Leaf("params/dense/kernel/loc", "float32", (3,)),
        Leaf("params/dense/kernel/scale", "float32", (3,)),
        Leaf("params/noise", "float32", ()),
        Leaf("params/standardize/mean", "float32", (3,)),
        Leaf("inputs/x", "float32", (4, 3)),
        Leaf("seed", "uint32", (2,)),
    )
    assert [leaf.path for leaf in found.outputs] == ["growth/mean", "growth/stddev", "y/mean", "y/stddev"]
    assert "inputs/y" in {leaf.path for leaf in lower(program(), "train_step").inputs}


def test_symbolic_sizes_stay_symbolic_unless_stated() -> None:
    free = Program(regression(size="batch"))
    open_ended, fixed = lower(free, "predict", draws=2), lower(free, "predict", batch=7, draws=2)
    assert Leaf("inputs/x", "float32", ("batch", 3)) in open_ended.inputs
    assert Leaf("y/mean", "float32", ("batch",)) in open_ended.outputs
    assert "tensor<?x3xf32>" in open_ended.plain_text
    assert Leaf("inputs/x", "float32", (7, 3)) in fixed.inputs
    assert "tensor<7x3xf32>" in fixed.plain_text
    lower(free, "train_step", "tpu")


SCRIPT = """
import sys
from hashlib import sha256
from bl_compiler.backends.jax.lower import lower
from bl_compiler.backends.jax.program import Program
from tests.unit.jax.models import data, program, regression
if sys.argv[1] == "after":
    other = Program(regression(size=9))
    other.train_step(other.train_init(0), data(9))
    lower(other, "predict", "tpu")
    lower(program(), "predict", "tpu")
for entry in ("train_step", "predict"):
    found = lower(program(), entry, "tpu")
    print(sha256(found.portable).hexdigest(), sha256(found.text.encode()).hexdigest())
"""


def test_bytes_depend_on_the_program_alone(tmp_path: Path) -> None:
    """Neither on the folder, nor on the caller, nor on what the process did before."""
    here = [_digests(lower(program(), entry, "tpu")) for entry in ("train_step", "predict")]
    for folder, history in (("one", "fresh"), ("another", "after")):
        (tmp_path / folder).mkdir()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        found = subprocess.run(
            [sys.executable, "-c", SCRIPT, history],
            cwd=tmp_path / folder,
            env=environment,
            check=True,
            capture_output=True,
        )
        assert found.stdout.decode().split("\n")[:2] == here
    for lowered in (lower(program(), entry, "tpu") for entry in program().entries):
        assert str(ROOT).encode() not in lowered.portable
        assert b".py" not in lowered.portable


def _digests(lowered: object) -> str:
    return f"{sha256(lowered.portable).hexdigest()} {sha256(lowered.text.encode()).hexdigest()}"  # type: ignore[attr-defined]


def test_lowering_leaves_compiled_functions_alone() -> None:
    traced = []
    function = jax.jit(lambda x: traced.append(None) or x + 1)
    function(jnp.zeros(2))
    lower(program(), "predict", draws=2)
    function(jnp.ones(2))
    assert len(traced) == 1


def test_an_executable_runs_and_knows_its_cost() -> None:
    found = compile_entry(program(), "predict", draws=2)
    params = program().init(0)
    key = jax.random.key_data(jax.random.key(5))
    result = found.compiled(params, {"x": data()["x"]}, key)
    expected = program().predict(params, {"x": data()["x"]}, 5, draws=2)
    np.testing.assert_allclose(result["y"]["mean"], expected["y"]["mean"], rtol=1e-5)
    assert found.cost.flops is not None
    assert found.cost.flops > 10
    assert found.cost.argument_bytes is not None
    assert found.cost.argument_bytes >= 4 * (3 + 3 + 1 + 3 + 12 + 2)
    assert "HloModule jit_predict" in found.hlo


def test_platforms_that_are_not_here_are_unavailable() -> None:
    with pytest.raises(UnavailableError, match="no tpu device here"):
        compile_entry(program(), "predict", "tpu")


def test_wide_types_are_refused_before_jax_narrows_them() -> None:
    with pytest.raises(CompileError, match="JAX is set to 32 bits"):
        lower(Program(typed_inputs(DType.F64)), "predict")
