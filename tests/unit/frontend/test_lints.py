"""Each lint: where it speaks, and where it does not."""

from __future__ import annotations

import pytest

from bl_compiler.codes import CODES
from tests.support.lowering import spelled, warnings

PEDANTIC = ("pedantic",)


def model(body: str, head: str = "") -> str:
    return f"""{head}
model m {{
  plate batch[4] of 16
  input x: f32[batch, 3]
  input y: f32[batch]
  {body}
}}"""


FIT = "observe y ~ Normal(x |> dense(1) |> squeeze, 1)"

FIRES = {
    "posterior-support": (
        "sample s ~ Gamma(2, 1) by Normal(1, 0.1)\n observe y ~ Normal(x[:, 0], s)",
        "Normal(1, 0.1)",
    ),
    "unused-site": (
        f"sample w: f32[3] ~ Normal(0, 1) by mean_field\n {FIT}",
        "sample w: f32[3] ~ Normal(0, 1) by mean_field",
    ),
    "observed-twice": (f"{FIT}\n observe y ~ Normal(0, 1)", "observe y ~ Normal(0, 1)"),
    "unconstrained-scale": ("let h = x |> dense(2)\n observe y ~ Normal(h[:, 0], h[:, 1])", "h[:, 1]"),
    "improper-prior": (
        "param noise: f32[] = 1.0 in positive\n sample m ~ Normal(0, 1) by mean_field\n observe y ~ Normal(m, noise)",
        "noise",
    ),
    "unused-option": (FIT, "depth"),
    "unused-name": (f"let h = x * 2\n {FIT}", "h"),
    "unused-input": (f"input unseen: f32[batch]\n {FIT}", "unseen"),
    "unused-belief": (
        f"believe scale ~ Normal(0, 1) by mean_field\n {FIT}",
        "believe scale ~ Normal(0, 1) by mean_field",
    ),
    "large-covariance": (
        "sample w: f32[20_000] ~ Normal(0, 1) by full_rank\n observe y ~ Normal(w[0], 1)",
        "full_rank",
    ),
}


@pytest.mark.parametrize("lint", FIRES)
def test_lint_fires(lint: str) -> None:
    body, pointed = FIRES[lint]
    text = model(body, "option depth = 3" if lint == "unused-option" else "")
    found = [w for w in warnings(text, warn=PEDANTIC) if CODES[w.code].lint == lint]
    assert [spelled(w, text) for w in found] == [pointed]


def test_every_lint_of_the_front_end_is_here() -> None:
    elsewhere = {"monte-carlo-kl"}
    assert set(FIRES) | elsewhere >= {c.lint for code, c in CODES.items() if c.lint and code[3:5] in ("02", "03")}


@pytest.mark.parametrize("lint", FIRES)
def test_lint_can_be_allowed_in_the_source(lint: str) -> None:
    text = model(FIRES[lint][0], "option depth = 3" if lint == "unused-option" else "")
    lines = text.split("\n")
    found = next(w for w in warnings(text, warn=PEDANTIC) if CODES[w.code].lint == lint)
    lines.insert(found.span.line - 1, f"# blc: allow({lint})")
    assert [w for w in warnings("\n".join(lines), warn=PEDANTIC) if CODES[w.code].lint == lint] == []


SILENT = {
    "large-covariance": [
        "sample w: f32[16_384] ~ Normal(0, 1) by full_rank\n observe y ~ Normal(w[0], 1)",
        "sample w: f32[20_000] ~ Normal(0, 1) by low_rank(rank=2)\n observe y ~ Normal(w[0], 1)",
        "sample w: f32[16_384, 20] ~ Normal(0, 1) by matrix_normal\n observe y ~ Normal(w[0, 0], 1)",
    ],
    "posterior-support": [
        "sample s ~ Gamma(2, 1) by mean_field\n observe y ~ Normal(x[:, 0], s)",
        "sample s ~ HalfNormal(1) by LogNormal(0, 1)\n observe y ~ Normal(x[:, 0], s)",
        "sample s ~ Normal(0, 1) by Beta(2, 2)\n observe y ~ Normal(s, 1)",
    ],
    "unused-site": [
        f"sample w: f32[3] ~ Normal(0, 1) by mean_field\n predict p = w * 2\n {FIT}",
        f"sample e ~ Normal(0, 1)\n {FIT}",
        "sample w ~ Normal(0, 1) by mean_field\n sample v ~ Normal(w, 1) by mean_field\n observe y ~ Normal(v, 1)",
        f"sample w ~ Normal(0, 1) by point\n {FIT}",
    ],
    "observed-twice": [
        f"{FIT}\n observe x ~ Normal(0, 1)",
        "observe y[:2] ~ Normal(0, 1)\n observe y[2:] ~ Normal(0, 2)",
    ],
    "unconstrained-scale": [
        f"observe y ~ Normal(0, {scale})"
        for scale in (
            *("1", "x[:, 0] |> softplus", "x[:, 0] |> exp", "x[:, 0] ** 2 |> sqrt", "square(x[:, 0]) + 1e-3"),
            *("y", "abs(x[:, 0]) * 0.5 + 1", "maximum(x[:, 0], 0.1)", "softmax(x)[:, 0]", "exp(x |> sum(axis=-1))"),
            *(
                "where(x[:, 0] > 0, 1.0, 2.0)",
                "select(x[:, 0] > 0, exp(x[:, 1]), 2.0)",
                "[exp(x), ones[4, 3]] |> concat |> max(axis=-1)",
            ),
            *(
                "exp(x[:, 0]) |> reshape(1) |> squeeze(axis=-1)",
                "Gamma(2, 1).sample()",
                "Normal(0, exp(x[:, 0])).stddev",
            ),
            *("clip(x[:, 0], 0.1, 10)", "logaddexp(x[:, 0], x[:, 1]) |> softplus", "sigmoid(x[:, 0])"),
        )
    ]
    + [
        "param s: f32[] = 1.0 in positive\n observe y ~ Normal(0, s)",
        "param s: f32[] = 1.0 in interval(0.1, 3)\n observe y ~ Normal(0, s)",
        "sample s ~ HalfNormal(1) by point\n observe y ~ Normal(0, s)",
        "let (m, s) = (x[:, 0], exp(x[:, 1]))\n observe y ~ Normal(m, s)",
    ],
    "improper-prior": [
        "param noise: f32[] = 1.0 in positive\n observe y ~ Normal(0, noise)",
        "param loc: f32[] = 1.0\n sample m ~ Normal(0, 1) by Normal(loc, 1)\n observe y ~ Normal(m, 1)",
        f"believe kernel ~ Normal(0, 1) by mean_field\n {FIT}",
        "param w: f32[] = 1.0\n sample m ~ Normal(0, 1) by mean_field\n observe y ~ Normal(m, 1)\n predict p = w",
    ],
    "unused-option": [f"let n = depth\n {FIT}"],
    "unused-name": [f"let _h = x * 2\n {FIT}", "let h = x * 2\n observe y ~ Normal(h[:, 0], 1)"],
    "unused-input": ["observe y ~ Normal(0, 1)\n observe x ~ Normal(0, 1)"],
    "unused-belief": [
        f"believe kernel ~ Normal(0, 1) by mean_field\n {FIT}",
        f"believe scale = point\n {FIT}",
        f"believe scale ~ Normal(0, 1) by mean_field when false\n {FIT}",
    ],
}


@pytest.mark.parametrize(("lint", "body"), [(lint, body) for lint, bodies in SILENT.items() for body in bodies])
def test_lint_is_silent(lint: str, body: str) -> None:
    text = model(body, "option depth = 3" if lint == "unused-option" else "")
    found = [w for w in warnings(text, warn=PEDANTIC) if CODES[w.code].lint == lint]
    assert [spelled(w, text) for w in found] == []


@pytest.mark.parametrize("scale", ["x[:, 0] - 3", "-y", "tanh(x[:, 0])", "param_s", "log(y)", "Normal(0, 1).sample()"])
def test_unconstrained_scale_fires_on(scale: str) -> None:
    text = model(f"param param_s: f32[] = 1.0\n let v = param_s * 1\n observe y ~ Normal(0, {scale})")
    assert "BLC0354" in [w.code for w in warnings(text)]


@pytest.mark.parametrize(
    "family", ["Normal(0, SCALE)", "Gamma(SCALE, 1)", "StudentT(SCALE, 0, 1)", "HalfCauchy(SCALE)"]
)
def test_positive_parameters_of_every_family(family: str) -> None:
    text = model(f"let s = x[:, 0] - 1\n observe y ~ {family.replace('SCALE', 's')}")
    assert [(w.code, spelled(w, text)) for w in warnings(text)] == [("BLC0354", "s")]


def test_deep_arithmetic_of_a_scale_is_followed() -> None:
    lets = "\n".join(f"let s{i} = s{i - 1} + exp(s{i - 1})" for i in range(1, 400))
    assert not warnings(model(f"let s0 = exp(x[:, 0])\n {lets}\n observe y ~ Normal(0, s399)"))
