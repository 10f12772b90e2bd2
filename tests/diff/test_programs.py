"""Whole programs from their text: emitted JAX against the reference interpreter, in 64 bits and on the same draws.

The interpreter runs the module as lowered, JAX what each optimization level makes of it. `FAMILIES_TEXT` sends a draw
of every posterior into the parameters of every likelihood, so each pair of them lies on a path of the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from bl_compiler.backends.jax.program import Program
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.driver.running import made_up
from bl_compiler.ir.families import FAMILIES
from bl_compiler.ir.graph import Module
from tests.support.compiling import compiled
from tests.support.quick import quick_compiles
from tests.support.streams import JaxStreams, MovingStreams

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

POSTERIORS = {
    "Normal": ("Normal(0, 1)", "Normal(a, s)"),
    "Laplace": ("Normal(0.1, 1.2)", "Laplace(a, s)"),
    "StudentT": ("StudentT(5.0, 0, 1)", "StudentT(c + 2, a, s)"),
    "Cauchy": ("Cauchy(0, 2)", "Cauchy(a, s)"),
    "Logistic": ("Normal(0, 1.5)", "Logistic(a, s)"),
    "Gumbel": ("Normal(normal, 1.5)", "Gumbel(a, s)"),
    "HalfNormal": ("Exponential(0.5)", "HalfNormal(s)"),
    "HalfCauchy": ("HalfCauchy(2)", "HalfCauchy(s)"),
    "LogNormal": ("Gamma(2, 1.5)", "LogNormal(a, s)"),
    "Exponential": ("Gamma(1.5, 2)", "Exponential(c)"),
    "Gamma": ("Gamma(2, 1)", "Gamma(c, s)"),
    "InverseGamma": ("InverseGamma(3, 1)", "InverseGamma(c, s)"),
    "Beta": ("Beta(2, 1.5)", "Beta(c, s + 0.5)"),
    "Uniform": ("Normal(laplace, 2)", "Uniform(a - s, a + s)"),
    "Dirichlet": ("Dirichlet(0.5 + softplus(a))", "Dirichlet(c)"),
    "MultivariateNormal": ("MultivariateNormal(zeros[2], scale_tril=root)", "MultivariateNormal(a, scale_tril=root)"),
    "LowRankMultivariateNormal": ("Normal(0.1, s + 0.5)", "LowRankMultivariateNormal(a, factor, c)"),
    "MatrixNormal": ("Normal(0.1, s)", "MatrixNormal(matrix, scale_tril_row=root, scale_tril_column=root)"),
}
"""Priors and posteriors; `a` and `s` are locations and scales, `c` is a shape; some priors depend on other draws."""

LIKELIHOODS = {
    "Normal": "Normal(m, r)",
    "Laplace": "Laplace(m, r)",
    "StudentT": "StudentT(r + 2, m, r)",
    "Cauchy": "Cauchy(m, r)",
    "Logistic": "Logistic(m, r)",
    "Gumbel": "Gumbel(m, r)",
    "HalfNormal": "HalfNormal(r)",
    "HalfCauchy": "HalfCauchy(r)",
    "LogNormal": "LogNormal(m, r)",
    "Exponential": "Exponential(r)",
    "Gamma": "Gamma(r + 1, r)",
    "InverseGamma": "InverseGamma(r, r + 1)",
    "Beta": "Beta(r, r + 1)",
    "Uniform": "Uniform(m - 9, m + 9)",
    "Dirichlet": "Dirichlet(v |> softplus)",
    "MultivariateNormal": "MultivariateNormal(v[:, :2], scale_tril=root)",
    "LowRankMultivariateNormal": "LowRankMultivariateNormal(v[:, :2], factor, c)",
    "MatrixNormal": "MatrixNormal(stack([v[:, :2], v[:, 1:]], axis=-1), scale_tril_row=root, scale_tril_column=root)",
    "Bernoulli": "Bernoulli(logits=m)",
    "Categorical": "Categorical(logits=v)",
    "OneHotCategorical": "OneHotCategorical(logits=v)",
    "Binomial": "Binomial(logits=m, total_count=3)",
    "Multinomial": "Multinomial(logits=v, total_count=4)",
    "Poisson": "Poisson(r)",
    "NegativeBinomial": "NegativeBinomial(r, logits=m)",
}
WIDTHS: dict[str, str] = {
    **dict.fromkeys(("Dirichlet", "OneHotCategorical", "Multinomial"), "3"),
    **dict.fromkeys(("MultivariateNormal", "LowRankMultivariateNormal"), "2"),
    "MatrixNormal": "2, 2",
}
INTEGERS = ("Bernoulli", "Categorical", "OneHotCategorical", "Binomial", "Multinomial", "Poisson", "NegativeBinomial")


def families_text() -> str:
    lines = [
        "model families {",
        "plate batch[3] of 12",
        "input x: f32[batch]",
        "param a: f32[2] = 0.2",
        "param s: f32[2] = 0.7 in positive",
        "param c: f32[2] = 1.8 in positive",
        'param root: f32[2, 2] = "identity" in lower_cholesky',
        "param factor: f32[2, 1] = 0.6",
        "param matrix: f32[2, 2] = 0.4",
    ]
    for name, (prior, posterior) in POSTERIORS.items():
        dims = "2, 2" if name == "MatrixNormal" else "2"
        lines.append(f"sample {name.lower()}: f32[{dims}] ~ {prior} by {posterior}")
    draws = " + ".join(f"tanh({name.lower()})" + "[0]" * (name == "MatrixNormal") for name in POSTERIORS)
    lines += [
        f"let drawn = {draws}",
        "let m = 0.3 * x * drawn[0] + 0.2 * drawn[1]",
        "let r = 0.3 + softplus(m)",
        "let v = [m, 0.5 * m - 1, tanh(m)] |> stack(axis=-1)",
    ]
    for name, likelihood in LIKELIHOODS.items():
        dims = f"batch, {WIDTHS[name]}" if name in WIDTHS else "batch"
        lines.append(f"input y_{name.lower()}: {'i32' if name in INTEGERS else 'f32'}[{dims}]")
        lines.append(f"observe y_{name.lower()} ~ {likelihood}")
    lines += [
        "input y_mixture: f32[batch]",
        "observe y_mixture ~ Mixture(Categorical(logits=v), Normal(v, 0.5))",
        "}",
    ]
    return "\n".join(lines)


NETWORK = """
model network {
  plate batch[4] of 20
  plate other[3] of 9
  input image: f32[batch, 4, 4, 1]
  input word: i32[batch]
  input y: f32[batch, 2]
  input seen: bool[batch, 2]
  input u: f32[other]

  believe kernel ~ Laplace(0, 1) by mean_field(init_scale=0.2)
  believe bias ~ Normal(0, 1) by mean_field(family=Gumbel, init_scale=0.2)
  let features = image |> conv2d(2, kernel_size=3, padding="same") |> batch_norm |> tanh |> max_pool2d(2) |> flatten
  let enc = dense(4)
  let h = (features |> dense(4)) + (word |> embedding(7, 4)) |> layer_norm |> enc |> gelu |> enc |> dropout(0.25)
  sample z: f32[batch, 2] ~ StudentT(4.0, 0, 1) by Normal(h |> dense(2), h |> dense(2) |> softplus)
  sample jitter: f32[batch, 2] ~ Normal(0, 0.1)
  sample shift: f32[] ~ Normal(0, 1) by mean_field(init_scale=0.3)
  observe y ~ Normal((z |> dense(2, kernel = point)) + jitter + shift, 0.5) where seen
  observe u ~ Laplace(shift, 1)
  objective OBJECTIVE
}
"""
SAMPLED = "sample z: f32[batch, 2] ~ StudentT(4.0, 0, 1) by Normal(h |> dense(2), h |> dense(2) |> softplus)"
SECOND_PLATE = ("plate other[3] of 9", "input u: f32[other]", "observe u ~ Laplace(shift, 1)")


def network(objective: str, *without: str) -> str:
    """The network with an objective, less some of its lines."""
    text = NETWORK.replace("OBJECTIVE", objective)
    for line in without:
        assert line in text
        text = text.replace(line, "")
    return text


TEXTS = {
    "families": families_text(),
    "elbo": network("elbo(samples=2, kl_weight=anneal(0.1, 1.0, steps=10))"),
    "iwae": network("iwae(samples=3)", *SECOND_PLATE),
    "map": network("map").replace(SAMPLED, "let z = h |> dense(2)"),
}
STEP, SEED = 4.0, 5


@pytest.fixture(autouse=True)
def _wide_and_quick() -> Iterator[None]:
    with jax.enable_x64(True), quick_compiles():
        yield


@cache
def module_of(name: str, level: int, estimators: str = "shared") -> Module:
    optimized = compiled(TEXTS[name], level=level, estimators=estimators, allow=("BLC0359",)).optimized
    assert optimized is not None
    return optimized.module


@cache
def functions_of(name: str, level: int, estimators: str = "shared") -> Mapping[str, Any]:
    """The emitted functions with 64-bit floats for 32-bit ones: the interpreter, too, knows one width only."""
    text = Program(module_of(name, level, estimators)).text.replace("float32", "float64")
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(text, f"{name}.py", "exec"), namespace)
    return namespace


@cache
def feeds(name: str) -> tuple[Arrays, Arrays]:
    """Parameters, of which none is special, and inputs."""
    module = module_of(name, 0)
    rng = np.random.default_rng(8)
    params = ReferenceProgram(module).init(1)
    noisy = {k: v + 0.1 * rng.normal(size=v.shape) if k.count("var") == 0 else v for k, v in params.items()}
    program = Program(module)
    return noisy, {k: np.asarray(v) for k, v in made_up(program.inputs, None, 2).items()} | supported(program)


def supported(program: Program) -> Arrays:
    """Data that the families' likelihoods can produce."""
    rng = np.random.default_rng(9)
    found: Arrays = {}
    for key, type_ in program.inputs.items():
        family = next((f for f in LIKELIHOODS if key == f"y_{f.lower()}"), None)
        shape = tuple(int(s) for s in type_.shape)
        if family is None:
            continue
        if family in ("OneHotCategorical", "Multinomial"):
            found[key] = rng.multinomial(4 if family == "Multinomial" else 1, np.full(3, 1 / 3), shape[:-1])
        elif family in ("Dirichlet",):
            found[key] = rng.dirichlet(np.ones(3), shape[:-1])
        elif family in INTEGERS:
            found[key] = rng.integers(0, 2, shape)
        elif FAMILIES[family].support in ("positive", "nonnegative", "unit_interval"):
            found[key] = rng.uniform(0.1, 0.9, shape)
    return found


def expected(name: str, params: Arrays, noise: JaxStreams | MovingStreams) -> Arrays:
    return ReferenceProgram(module_of(name, 0)).run("train", params, feeds(name)[1], noise=noise, step=STEP)


@cache
def found(name: str, level: int) -> tuple[float, Arrays, Arrays]:
    """Loss, its parts and the new statistics, and the gradient: of level 1 only, for it takes long to compile."""
    params, inputs = feeds(name)
    trained = {path: p.trained for path, p in Program(module_of(name, level)).params.items()}
    train = functions_of(name, level)["_train"]

    def loss(free: Any, fixed: Any) -> Any:
        return train({**free, **fixed}, inputs, jax.random.key(SEED), {}, STEP)

    free = {k: jnp.asarray(v) for k, v in params.items() if trained[k]}
    fixed = {k: jnp.asarray(v) for k, v in params.items() if not trained[k]}
    if level == 1:
        (value, (parts, states)), slopes = jax.jit(jax.value_and_grad(loss, has_aux=True))(free, fixed)
    else:
        value, (parts, states) = jax.jit(loss)(free, fixed)
        slopes = {}
    told = {**parts, **{f"state:{path}": new for path, new in states.items()}}
    told, slopes = ({k: np.asarray(v) for k, v in tree.items()} for tree in (told, slopes))
    return float(value), told, slopes


def test_every_family_takes_part() -> None:
    reparameterized = {name for name, family in FAMILIES.items() if family.reparameterized}
    assert set(POSTERIORS) == reparameterized
    assert set(LIKELIHOODS) == set(FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("name", TEXTS)
def test_values_agree_at_every_level(name: str, level: int) -> None:
    if level == 2 and module_of(name, 2) == module_of(name, 1):
        level = 1  # no pass is of level 2 only, or none found anything to do
    loss, told, _ = found(name, level)
    reference = expected(name, feeds(name)[0], JaxStreams(SEED))
    assert np.isfinite(loss)
    assert loss == pytest.approx(float(reference.pop("loss")), rel=1e-9)
    assert set(told) == set(reference)
    assert sum(output.startswith("state:") for output in told) == (0 if name == "families" else 2)
    for output, value in reference.items():
        np.testing.assert_allclose(told[output], value, rtol=1e-9, err_msg=output)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["families", "elbo", "iwae"])
def test_rewritten_draws_are_the_same_in_both_backends(name: str) -> None:
    """Chosen estimators draw other things than the program as lowered; both backends draw the same of them."""
    module, (params, inputs) = module_of(name, 1, "low-variance"), feeds(name)
    assert module != module_of(name, 1)
    train = functions_of(name, 1, "low-variance")["_train"]
    loss, (parts, _) = train(params, inputs, jax.random.key(SEED), {}, STEP)
    reference = ReferenceProgram(module).run("train", params, inputs, noise=JaxStreams(SEED), step=STEP)
    assert float(loss) == pytest.approx(float(reference["loss"]), rel=1e-9)
    for output, value in parts.items():
        assert float(value) == pytest.approx(float(reference[output]), rel=1e-9), output


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_gradients_are_the_differences_of_the_reference(name: str) -> None:
    """Central differences: an error of h² in the formula, and of 1e-13 / h by rounding."""
    params, _ = feeds(name)
    _, _, slopes = found(name, 1)
    noise = MovingStreams(JaxStreams(SEED))
    expected(name, params, noise)
    rng, h = np.random.default_rng(0), 1e-5
    size = max(float(np.abs(slope).max()) for slope in slopes.values())
    for path, slope in slopes.items():
        # One random direction tells a wrong array of any size; small ones are checked element by element.
        directions = (
            np.eye(slope.size).reshape(-1, *slope.shape) if slope.size <= 4 else rng.normal(size=(1, *slope.shape))
        )
        for direction in directions:
            ends = [expected(name, params | {path: params[path] + sign * h * direction}, noise) for sign in (1, -1)]
            difference = (float(ends[0]["loss"]) - float(ends[1]["loss"])) / (2 * h)
            assert float(np.sum(slope * direction)) == pytest.approx(difference, rel=1e-5, abs=1e-6 * size), path
