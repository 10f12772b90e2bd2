"""The text of rewritten programs: names that say what a value is, the same every time, streams by site alone."""

from __future__ import annotations

import re

import pytest

from tests.support.compiling import program

TEXT = """model m {{
  plate batch[8] of 100
  input x: f32[batch, 3]
  input y: f32[batch, 2]
  believe kernel, bias ~ Normal(0, 1) by mean_field using {estimator}
  let h = x |> dense(4)
  {before}
  let f = h |> relu |> dense(2)
  observe y ~ Normal(f, 0.5)
}}"""
LINES = {
    "local_reparameterization": ["mean = x @ loc", r"variance = square_\d @ square", r"stddev = jnp\.sqrt"],
    "flipout": [
        r"signs = jax\.random\.rademacher",
        "signed_x = x \\* signs",
        "noise = signed_x @ kernel_noise",
        r"signed_noise = noise \* signs_1",
        "mean = x @ loc",
        "signed_bias_noise",
    ],
    "grouped(4)": [r"x_in_groups = jnp\.reshape", "in_groups = x_in_groups @ kernel", "bias_of_each"],
}


def text(estimator: str, before: str = "") -> str:
    return program(TEXT.format(estimator=estimator, before=before)).text


@pytest.mark.parametrize("estimator", LINES)
def test_names_say_what_values_are(estimator: str) -> None:
    found = text(estimator)
    for line in LINES[estimator]:
        assert re.search(line, found), (line, found)


@pytest.mark.parametrize("estimator", ["auto", *LINES])
def test_text_is_the_same_every_time_and_streams_stay_when_a_layer_is_added(estimator: str) -> None:
    found = text(estimator)
    assert text(estimator) == found
    streams = set(re.findall(r"fold_in\(key, (\d+)\)", found))
    assert streams
    deeper = text(estimator, "predict g = x |> dense(5) |> relu |> dense(6)")
    assert streams <= set(re.findall(r"fold_in\(key, (\d+)\)", deeper))
