"""What holds for a cell of the exactness table: what is allowed keeps the law of an example, what is refused says why.

Two halves of each allowed cell: means, variances and covariances of all outputs of one example over 10^5 draws, and the
expected gradient of the loss. `deterministic` draws nothing, so its gradient alone is held to its expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bl_compiler.backends.jax.program import Program
from bl_compiler.driver.running import made_up
from bl_compiler.ir.estimators import Estimator
from tests.support.exactness import ESTIMATORS, POSTERIORS, cell, entries_of, marked, program
from tests.support.laws import REWRITES, after, assert_same, flat, gradients, mean_z, outputs, z_scores
from tests.support.quick import quick_compiles

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
DRAWS, SLOPES = 100_000, 10_000


def cells(*kinds: str) -> list[tuple[str, str]]:
    """The rows of the table for these ways of use."""
    return [(kind, p) for kind in kinds for p in POSTERIORS if cell(kind, p, ESTIMATORS[0]) is not None]


@dataclass(frozen=True)
class Plain:
    """What rewritten programs are compared with: the program as it is.

    Attributes:
        params: parameters, of which none is special.
        inputs: inputs.
        law: outputs, [draws, examples, outputs].
        slopes: gradients of the loss, [draws, parameters] by path.
    """

    params: Arrays
    inputs: Arrays
    law: Array
    slopes: Arrays


@cache
def plain(source: str) -> Plain:
    """The program of a cell, which other draws of its posterior have as well, without rewrites."""
    module = entries_of(source)
    built = Program(module)
    rng = np.random.default_rng(3)
    start = built.init(1)
    params = {path: np.asarray(v) + rng.normal(0, 0.2, np.shape(v)).astype(np.float32) for path, v in start.items()}
    inputs = {name: np.asarray(v) for name, v in made_up(built.inputs, None, 2).items()}
    law = flat(outputs(module, "predict", params, inputs, 1, DRAWS))
    return Plain(params, inputs, law, gradients(module, params, inputs, 2, SLOPES))


def allowed(kind: str, posterior: str) -> list[Estimator]:
    verdicts = {estimator: cell(kind, posterior, estimator) for estimator in ESTIMATORS}
    return [estimator for estimator, verdict in verdicts.items() if verdict is not None and verdict.exact]


def check_allowed(kind: str, posterior: str) -> None:
    """Compare the rewritten programs of a row with the program as it is."""
    with quick_compiles():
        whole = plain(program(kind, posterior))
        params, inputs = whole.params, whole.inputs
        for seed, estimator in enumerate(allowed(kind, posterior), start=3):
            start = marked(kind, posterior, estimator)
            module = after(start, REWRITES)
            for entry in ("train", "predict"):
                assert module.functions[entry] != start.functions[entry]
                marks = {n.attrs["estimator"] for n in module.functions[entry].of("random.draw")}
                assert marks <= {"shared", "auto"}, "every mark is carried out"
            if estimator.name != "deterministic":
                other = flat(outputs(module, "predict", params, inputs, 10 * seed, DRAWS))
                assert_same(z_scores(whole.law, other), f"outputs of an example under `{estimator}`")
            for path, slope in gradients(module, params, inputs, 10 * seed + 1, SLOPES).items():
                assert_same(mean_z(whole.slopes[path], slope), f"gradient in `{path}` under `{estimator}`")


def check_refused(kind: str, posterior: str) -> None:
    """Reasons are told in the style of messages, and point at the program."""
    for estimator in ESTIMATORS:
        verdict = cell(kind, posterior, estimator)
        assert verdict is not None
        for reason in verdict.reasons:
            assert reason.text
            assert reason.text[0].islower() or reason.text[0] in "`0123456789"
            assert not reason.text.endswith(".")
            assert reason.span.known
