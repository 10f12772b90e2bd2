"""`full_rank`, `low_rank` and `matrix_normal`: what they lower to for weights of any shape, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import bl_compiler as bl
from bl_compiler.backends.reference.program import ReferenceProgram
from bl_compiler.ir.graph import Module, Node
from bl_compiler.ir.types import DistType, distribution
from bl_compiler.passes.densities import kl_form
from bl_compiler.passes.entries import derive_entries
from tests.support.lowering import errors, lowered, nodes, params, same, spelled, warnings


def sample(posterior: str, dims: str = "", prior: str = "Normal(0, 1)", objective: str = "elbo") -> str:
    return f"model m {{ objective {objective}\n sample w{dims} ~ {prior} by {posterior}\n predict p = w }}"


def shapes(module: Module) -> dict[str, str]:
    return {n.attrs.text("path"): str(n.attrs["type"]) for n in nodes(module, "model.param")}


def posterior(node: Node) -> DistType:
    return distribution(node.inputs[1].type)


@pytest.mark.parametrize(
    ("form", "dims", "expected", "family"),
    [
        ("full_rank", "3", {"loc": "f32[3]", "scale_tril": "f32[3, 3]"}, "MultivariateNormal<f32[][3]>"),
        (
            "full_rank",
            "2, 4",
            {"loc": "f32[2, 4]", "scale_tril": "f32[8, 8]"},
            "Reshaped(MultivariateNormal)<f32[][2, 4]>",
        ),
        ("full_rank", "", {"loc": "f32[]", "scale_tril": "f32[1, 1]"}, "Reshaped(MultivariateNormal)<f32[][]>"),
        (
            "low_rank(rank=2)",
            "3, 2, 2",
            {"loc": "f32[3, 2, 2]", "cov_factor": "f32[3, 2, 2, 2]", "scale": "f32[3, 2, 2]"},
            "Reshaped(LowRankMultivariateNormal)<f32[][3, 2, 2]>",
        ),
        (
            "low_rank(5)",
            "3",
            {"loc": "f32[3]", "cov_factor": "f32[3, 3]", "scale": "f32[3]"},
            "LowRankMultivariateNormal<f32[][3]>",
        ),
        (
            "matrix_normal",
            "4, 2",
            {"loc": "f32[4, 2]", "row_scale_tril": "f32[4, 4]", "column_scale_tril": "f32[2, 2]"},
            "MatrixNormal<f32[][4, 2]>",
        ),
        (
            "matrix_normal",
            "3, 3, 2, 5",
            {"loc": "f32[3, 3, 2, 5]", "row_scale_tril": "f32[18, 18]", "column_scale_tril": "f32[5, 5]"},
            "Reshaped(MatrixNormal)<f32[][3, 3, 2, 5]>",
        ),
        ("matrix_normal", "3", {"loc": "f32[3]", "scale_tril": "f32[3, 3]"}, "MultivariateNormal<f32[][3]>"),
    ],
)
def test_parameters_and_site(form: str, dims: str, expected: dict[str, str], family: str) -> None:
    module = lowered(sample(form, f": f32[{dims}]"))
    assert shapes(module) == {f"w/{name}": type_ for name, type_ in expected.items()}
    (node,) = nodes(module, "model.sample")
    assert node.site == "w"
    assert str(node.result.type) == f"f32[{dims}]"
    assert str(posterior(node)) == family
    assert kl_form(posterior(node), distribution(node.inputs[0].type)) == "closed-form"


FORMS = ("full_rank(init_scale=0.3)", "low_rank(rank=2, init_scale=0.3)", "matrix_normal(init_scale=0.3)")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dims", ["", "4", "3, 2", "2, 2, 3"])
def test_the_covariance_starts_at_the_scale_asked_for(form: str, dims: str) -> None:
    """Draws at the initial parameters: the factor of low rank adds about a hundredth."""
    module = lowered(sample(form, f": f32[{dims}]"))
    b = ReferenceProgram(derive_entries(module))
    start = b.init(3)
    draws = np.stack([b.run("predict", start, {}, seed=i)["value:p"].ravel() for i in range(1200)])
    covariance = np.cov(draws.T).reshape(draws.shape[1], -1)
    np.testing.assert_allclose(covariance, 0.09 * np.eye(len(covariance)), atol=0.09 * 5 * np.sqrt(2 / 1200))
    np.testing.assert_allclose(start["w/loc"], 0)


def test_the_factor_of_low_rank_does_not_start_at_zero() -> None:
    module = lowered(sample("low_rank(rank=4, init_scale=0.2)", ": f32[9]"))
    (factor,) = (n for n in nodes(module, "model.param") if n.attrs["path"] == "w/cov_factor")
    assert factor.attrs["init"] == ("normal", 0.0, pytest.approx(0.1 * 0.2 / 2))


NETWORK = """model net {{
  plate batch[4] of 16
  input x: f32[batch, 6, 6, 1]
  input y: i32[batch]
  believe kernel, bias ~ Normal(0, 1) by {form}
  observe y ~ Categorical(logits=x |> conv2d(2, kernel_size=3) |> relu |> flatten |> dense(3))
}}"""


@pytest.mark.parametrize("form", ["full_rank", "low_rank(rank=3)", "matrix_normal"])
def test_beliefs_about_a_network(form: str) -> None:
    module = lowered(NETWORK.format(form=form))
    found = {str(n.site): (str(n.result.type), posterior(n)) for n in nodes(module, "model.sample")}
    assert {site: type_ for site, (type_, _) in found.items()} == {
        "y/conv2d/kernel": "f32[3, 3, 1, 2]",
        "y/conv2d/bias": "f32[2]",
        "y/dense/kernel": "f32[32, 3]",
        "y/dense/bias": "f32[3]",
    }
    assert all(d.batch == () for _, d in found.values())
    # Locations start as the layer asks, whatever the posterior.
    inits = {n.attrs.text("path"): n.attrs["init"] for n in nodes(module, "model.param")}
    plain = lowered(NETWORK.format(form="mean_field"))
    for node in nodes(plain, "model.param"):
        if node.attrs.text("path").endswith("/loc"):
            assert inits[node.attrs.text("path")] == node.attrs["init"]


def test_the_builder_says_the_same() -> None:
    with bl.Model("m") as model:
        batch = bl.plate("batch", 4, of=16)
        x = bl.input("x", bl.f32[batch, 3])
        y = bl.input("y", bl.f32[batch])
        w = bl.sample("w", bl.Normal(0, 1), by=bl.low_rank(rank=2, init_scale=0.1), type=bl.f32[3])
        with bl.believe(kernel=bl.Normal(0, 1).by(bl.matrix_normal()), bias=bl.Normal(0, 1).by(bl.full_rank)):
            mean = x | bl.dense(1) | bl.squeeze
        bl.observe(y, bl.Normal(mean + x @ w, 1))
    text = """model m {
  plate batch[4] of 16
  input x: f32[batch, 3]
  input y: f32[batch]
  sample w: f32[3] ~ Normal(0, 1) by low_rank(rank=2, init_scale=0.1)
  believe kernel ~ Normal(0, 1) by matrix_normal()
  believe bias ~ Normal(0, 1) by full_rank
  let mean = x |> dense(1) |> squeeze
  believe kernel, bias = point
  observe y ~ Normal(mean + x @ w, 1)
}"""
    same(model, text)
    assert {"w/cov_factor", "mean/dense/kernel/row_scale_tril", "mean/dense/bias/scale_tril"} <= {
        *params(lowered(text))
    }


def test_the_objectives_map_and_mle_make_points_of_them() -> None:
    for objective in ("map", "mle"):
        for form in FORMS:
            assert params(lowered(sample(form, ": f32[3]", objective=objective))) == ["w"]


def test_a_latent_value_per_element_of_a_whole_plate() -> None:
    text = (
        "model m { plate b[4] of 4\n input y: f32[b]\n sample z: f32[b] ~ Normal(0, 1) by full_rank\n "
        "observe y ~ Normal(z, 1) }"
    )
    (node,) = nodes(lowered(text), "model.sample")
    assert str(node.result.type) == "f32[b@4]"
    found = ReferenceProgram(derive_entries(lowered(text)))
    outputs = found.run("train", found.init(0), {"y": np.zeros(4)})
    assert float(outputs["kl"]) == pytest.approx(0.5 * (1e-4 - 1 - np.log(1e-4)), rel=1e-6)


@pytest.mark.parametrize(
    ("prior", "form"),
    [
        ("MultivariateNormal(zeros[3], scale_tril=[[1.0, 0, 0], [0.5, 1, 0], [0, 0, 1]])", "closed-form"),
        ("LowRankMultivariateNormal(0, ones[3, 1], ones[3])", "closed-form"),
        ("Laplace(0, 1)", "monte-carlo"),
        ("Mixture(Categorical(logits=zeros[2]), Normal(0, [1.0, 2.0]))", "monte-carlo"),
    ],
)
def test_priors_of_a_vector(prior: str, form: str) -> None:
    for posterior_ in ("full_rank", "low_rank(rank=2)"):
        (node,) = nodes(lowered(sample(posterior_, ": f32[3]", prior)), "model.sample")
        assert kl_form(posterior(node), distribution(node.inputs[0].type)) == form


def test_a_matrix_with_a_matrix_prior() -> None:
    prior = "MatrixNormal(0, scale_tril_row=[[1.0, 0.0], [0.5, 2.0]], scale_tril_column=[[1.0]])"
    for form, expected in (("matrix_normal", "closed-form"), ("full_rank", "monte-carlo")):
        (node,) = nodes(lowered(sample(form, ": f32[2, 1]", prior)), "model.sample")
        assert kl_form(posterior(node), distribution(node.inputs[0].type)) == expected


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "dims", "prior", "code", "pointed"),
    [
        ("low_rank", "3", "Normal(0, 1)", "BLC0204", "low_rank"),
        ("low_rank(rank=0)", "3", "Normal(0, 1)", "BLC0204", "low_rank(rank=0)"),
        ("low_rank(rank=1.5)", "3", "Normal(0, 1)", "BLC0204", "low_rank(rank=1.5)"),
        ("low_rank(rank=true)", "3", "Normal(0, 1)", "BLC0204", "low_rank(rank=true)"),
        ("low_rank(rnk=2)", "3", "Normal(0, 1)", "BLC0204", "rnk"),
        ("full_rank(rank=2)", "3", "Normal(0, 1)", "BLC0204", "rank"),
        ("full_rank(init_scale=0)", "3", "Normal(0, 1)", "BLC0203", "full_rank(init_scale=0)"),
        ("low_rank(2, init_scale=-1)", "3", "Normal(0, 1)", "BLC0203", "low_rank(2, init_scale=-1)"),
        ('matrix_normal(init_scale="a")', "3, 2", "Normal(0, 1)", "BLC0203", 'matrix_normal(init_scale="a")'),
        ("full_rank", "3", "Gamma(2, 1)", "BLC0303", "full_rank"),
        ("matrix_normal", "3, 3", "Dirichlet([1.0, 1.0, 1.0])", "BLC0303", "matrix_normal"),
        ("low_rank(rank=1)", "3", "HalfNormal(1)", "BLC0303", "low_rank(rank=1)"),
        ("full_rank", "300, 200", "Normal(0, 1)", "BLC0303", "full_rank"),
        ("matrix_normal", "100_000, 2", "Normal(0, 1)", "BLC0303", "matrix_normal"),
    ],
)
def test_refusals(form: str, dims: str, prior: str, code: str, pointed: str) -> None:
    text = sample(form, f": f32[{dims}]", prior)
    (found,) = errors(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


def test_refusals_say_the_way_out() -> None:
    def helps(form: str, dims: str, prior: str = "Normal(0, 1)") -> str:
        (found,) = errors(sample(form, f": f32[{dims}]", prior))
        return " ".join(found.helps)

    assert "low_rank(rank=4)" in helps("low_rank", "3")
    assert "`low_rank(rank=…)` or `matrix_normal`" in helps("full_rank", "300, 200")
    assert "matrix_normal" not in helps("full_rank", "60_000")
    assert "by mean_field" in helps("full_rank", "3", "Gamma(2, 1)")
    assert "by Dirichlet(…)" in helps("full_rank", "3", "Dirichlet([1.0, 1.0, 1.0])")


def test_plates_of_which_a_step_sees_a_part() -> None:
    text = "model m { plate b[4] of 40\n sample z: f32[b] ~ Normal(0, 1) by full_rank\n predict p = z }"
    (found,) = errors(text)
    assert found.code == "BLC0303"


def test_large_factors_are_pointed_at() -> None:
    (found,) = warnings(sample("full_rank", ": f32[200, 100]"))
    assert (found.code, "20_000 by 20_000" in found.message) == ("BLC0361", True)
    assert warnings(sample("low_rank(rank=8)", ": f32[200, 100]")) == []
