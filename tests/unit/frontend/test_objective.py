"""The objective and the optimizer: what they say to the module, and wrong ones."""

from __future__ import annotations

import pytest

from bl_compiler.ir.graph import Objective, Optimizer
from tests.support.lowering import error, lowered, spelled


def model(body: str) -> str:
    return f"model m {{ {body}\n predict last = 1.0\n }}"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("", Objective()),
        ("objective elbo", Objective()),
        ("objective elbo()", Objective()),
        ("objective elbo(samples=3)", Objective("elbo", 3)),
        ("objective elbo(3, 0.5)", Objective("elbo", 3, 0.5)),
        ("objective elbo(kl_weight=anneal(0.0, 0.5, steps=10_000))", Objective("elbo", 1, 0.5, (0.0, 0.5, 10_000))),
        ("objective iwae(samples=2 + 3)", Objective("iwae", 5)),
        ("objective map", Objective("map")),
        ("objective mle()", Objective("mle")),
    ],
)
def test_objective(statement: str, expected: Objective) -> None:
    assert lowered(model(statement)).objective == expected


@pytest.mark.parametrize(
    ("statement", "code", "pointed"),
    [
        ("objective elba", "BLC0201", "elba"),
        ("objective 3", "BLC0205", "3"),
        ("objective elbo(samples=0)", "BLC0203", "0"),
        ("objective elbo(samples=1.5)", "BLC0205", "1.5"),
        ("objective elbo(sample=1)", "BLC0204", "sample"),
        ("objective elbo(1, 2, 3)", "BLC0204", "3"),
        ("objective elbo(samples=1, samples=2)", "BLC0204", "samples=2"),
        ("objective map(1)", "BLC0204", "1"),
        ("objective elbo(kl_weight=-1)", "BLC0203", "-1"),
        ("objective elbo(kl_weight=x)", "BLC0201", "x"),
        ("objective elbo(kl_weight=anneal(0, 1))", "BLC0204", "anneal(0, 1)"),
        ("objective elbo(kl_weight=anneal(-1, 1, steps=3))", "BLC0203", "anneal(-1, 1, steps=3)"),
        ("objective elbo(kl_weight=anneal(0, 1, steps=0))", "BLC0203", "0"),
        ("objective elbo\n objective map", "BLC0202", "objective map"),
        ("if true { objective map }", "BLC0209", "objective map"),
    ],
)
def test_wrong_objective(statement: str, code: str, pointed: str) -> None:
    text = model(statement)
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("", Optimizer()),
        ("optimize sgd", Optimizer("sgd", (("learning_rate", 1e-3),))),
        ("optimize adam(1e-2)", Optimizer("adam", (("learning_rate", 1e-2),))),
        (
            "optimize sgd(0.1, momentum=0.9, nesterov=true)",
            Optimizer("sgd", (("learning_rate", 0.1), ("momentum", 0.9), ("nesterov", True))),
        ),
        ("optimize adafactor", Optimizer("adafactor", ())),
        (
            "optimize adam(learning_rate=cosine_decay_schedule(1e-3, decay_steps=100))",
            Optimizer(
                "adam", (("learning_rate", ("cosine_decay_schedule", (("decay_steps", 100), ("init_value", 1e-3)))),)
            ),
        ),
        ("if true { optimize sgd(0.5) }", Optimizer("sgd", (("learning_rate", 0.5),))),
    ],
)
def test_optimizer(statement: str, expected: Optimizer) -> None:
    assert lowered(model(statement)).optimizer == expected


@pytest.mark.parametrize(
    ("statement", "code", "pointed"),
    [
        ("optimize adma", "BLC0201", "adma"),
        ("optimize adam(lr=1)", "BLC0204", "lr"),
        ("optimize adam(learning_rate=-1)", "BLC0203", "-1"),
        ("optimize adam(learning_rate=true)", "BLC0203", "true"),
        ('optimize adam(b1="x")', "BLC0205", '"x"'),
        ("optimize adam(learning_rate=cosine(1))", "BLC0201", "cosine"),
        ("optimize adam\n optimize sgd", "BLC0202", "optimize sgd"),
    ],
)
def test_wrong_optimizer(statement: str, code: str, pointed: str) -> None:
    text = model(statement)
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)
