"""Names of instances, parameters and sites: language.md, section 5."""

from __future__ import annotations

import pytest

from bl_compiler.ir.graph import Module
from tests.support.lowering import error, lowered, nodes, params, sites

HEAD = """model m {
  plate batch[4] of 16
  input x: f32[batch, 3]
  input image: f32[batch, 8, 8, 1]
  input y: i32[batch]
"""


def model(body: str, head: str = "") -> str:
    """A model whose own statements are `body`."""
    return f"{head}{HEAD}{body}\n observe y ~ Categorical(logits=x[:, :2])\n}}"


def paths(body: str, head: str = "") -> list[str]:
    return params(lowered(model(body, head)))


def test_instance_is_named_after_its_let_and_its_layer() -> None:
    assert paths("let logits = x |> dense(10)") == ["logits/dense/kernel", "logits/dense/bias"]


def test_second_of_a_kind_is_counted_from_one() -> None:
    body = (
        'let h = image |> conv2d(2, kernel_size=3) |> conv2d(2, kernel_size=3, padding="same") |> flatten |> dense(3)'
    )
    assert [p for p in paths(body) if p.endswith("kernel")] == [
        "h/conv2d/kernel",
        "h/conv2d_1/kernel",
        "h/dense/kernel",
    ]


def test_kinds_are_counted_apart_in_each_let() -> None:
    body = "let a = x |> dense(3) |> dense(3)\n let b = x |> dense(3)"
    assert [p for p in paths(body) if p.endswith("kernel")] == [
        "a/dense/kernel",
        "a/dense_1/kernel",
        "b/dense/kernel",
    ]


def test_several_names_are_held_by_the_first() -> None:
    assert paths("let (a, b) = x |> dense(4) |> split(2)") == ["a/dense/kernel", "a/dense/bias"]


def test_layers_of_an_observation_are_named_after_what_is_observed() -> None:
    text = HEAD + "observe y ~ Categorical(logits=x |> dense(5) |> relu |> dense(2))\n}"
    module = lowered(text)
    assert params(module)[::2] == ["y/dense/kernel", "y/dense_1/kernel"]
    assert sites(module, "model.observe") == ["y"]


@pytest.mark.parametrize(
    ("target", "site"),
    [
        ("x", "x"),
        ("x[:, 0]", "x"),
        ("x |> relu", "x"),
        ("relu(x)", "x"),
        ("x.T", "x"),
        ("-x + 1", "x"),
        ("1.0", "observed"),
    ],
)
def test_observation_is_named_after_the_innermost_name(target: str, site: str) -> None:
    module = lowered(HEAD + f"let z = {target}\n observe {target} ~ Normal(z, 1)\n}}")
    assert sites(module, "model.observe") == [site]


def test_layers_of_a_sample_and_of_a_prediction_are_named_after_it() -> None:
    body = """sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x |> dense(2), x |> dense(2) |> softplus)
      predict deep = z |> dense(1)"""
    assert paths(body)[::2] == ["z/dense/kernel", "z/dense_1/kernel", "deep/dense/kernel"]


def test_mean_field_posterior_is_two_parameters_and_a_site() -> None:
    module = lowered(model("believe kernel ~ Normal(0, 1) by mean_field\n predict h = x |> dense(2)"))
    assert params(module) == ["h/dense/kernel/loc", "h/dense/kernel/scale", "h/dense/bias"]
    assert sites(module) == ["h/dense/kernel"]


def test_name_sets_the_path() -> None:
    assert paths('let h = x |> dense(3, name="head")')[0] == "head/kernel"
    assert paths('let h = x |> dense(3, name="head/first.layer-2")')[0] == "head/first.layer-2/kernel"


@pytest.mark.parametrize("name", ['""', '"/a"', '"a/"', '"a//b"', '"a b"', '"a\\n"', "3", "none", '["a"]'])
def test_name_is_a_path(name: str) -> None:
    assert error(model(f"let h = x |> dense(3, name={name})")).code == "BLC0203"


def test_two_instances_of_one_name_are_an_error() -> None:
    found = error(model('let a = x |> dense(3, name="n")\n let b = x |> dense(3, name="n")'))
    assert found.code == "BLC0213"
    assert len(found.labels) == 2


def test_name_that_a_counted_instance_has_is_an_error() -> None:
    found = error(model('let h = x |> dense(3, name="h/dense_1") |> dense(3) |> dense(3)'))
    assert found.code == "BLC0213"


# --- what does not change names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    ["let other = x |> dense(7) |> dense(7)", "predict other = x |> dense(2)", "let d = dense(4)", "let k = x * 2"],
)
def test_layer_elsewhere_leaves_names_alone(before: str) -> None:
    body = "let h = x |> dense(5) |> layer_norm |> dense(2)\n sample w: f32[3] ~ Normal(0, 1) by mean_field"
    alone = paths(body)
    assert [p for p in paths(f"{before}\n{body}") if not p.startswith("other")] == alone
    assert [p for p in paths(f"{body}\n{before}") if not p.startswith("other")] == alone


def test_layers_outside_a_statement_with_a_name_do_not_depend_on_the_one_before() -> None:
    head = "layer f(x) { let unused = x * 2  return x |> dense(3) }\n"
    assert paths("let h = x |> f", head)[0] == paths("let h = x |> f", head.replace("let unused = x * 2", ""))[0]
    assert paths("let h = x |> f", head)[0] == "h/f/dense/kernel"


# --- sharing ---------------------------------------------------------------------------------------------------------


def test_named_instance_shares_its_weights() -> None:
    module = lowered(model("let enc = dense(3)\n let a = x |> enc\n let b = x |> enc |> enc"))
    assert params(module) == ["enc/dense/kernel", "enc/dense/bias"]
    assert len(nodes(module, "linear.einsum")) == 3


def test_shared_uncertain_weight_is_one_site() -> None:
    body = (
        "believe kernel ~ Normal(0, 1) by mean_field\n let enc = dense(3)\n predict a = x |> enc\n predict b = x |> enc"
    )
    assert sites(lowered(model(body))) == ["enc/dense/kernel"]


def test_each_place_in_the_text_is_an_instance_of_its_own() -> None:
    assert len(paths("let a = [x |> dense(3), x |> dense(3), dense(x, 3)]")) == 6


def test_instance_of_a_list_is_shared() -> None:
    body = "let encs = [dense(3), dense(3)]\n let a = x |> encs[0] |> encs[1] |> encs[0]"
    assert paths(body)[::2] == ["encs/dense/kernel", "encs/dense_1/kernel"]


def test_instance_keeps_the_beliefs_of_where_it_was_made() -> None:
    made_before = "let enc = dense(3)\n believe kernel ~ Normal(0, 1) by mean_field\n predict a = x |> enc\n"
    with_belief = made_before + "predict b = x |> dense(2)"
    assert sites(lowered(model(with_belief))) == ["b/dense/kernel"]


def test_instance_used_with_another_shape_is_an_error() -> None:
    found = error(model("let enc = dense(4)\n let a = x |> enc\n let b = a |> enc"))
    assert found.code == "BLC0211"


def test_function_argument_is_a_layer_of_its_own_each_time() -> None:
    body = "let h = x |> dense(3, activation=batch_norm) |> dense(3, activation=batch_norm)"
    assert {p for p in paths(body) if "batch_norm" in p} == {
        "h/dense/batch_norm/scale",
        "h/dense/batch_norm/bias",
        "h/dense_1/batch_norm/scale",
        "h/dense_1/batch_norm/bias",
    }


def test_shared_instance_shares_the_layer_that_is_its_activation() -> None:
    body = "let enc = dense(3, activation=layer_norm)\n let a = x |> enc |> enc"
    assert [p for p in paths(body) if "norm" in p] == ["enc/dense/layer_norm/scale", "enc/dense/layer_norm/bias"]


# --- sites -----------------------------------------------------------------------------------------------------------


def test_sites_of_blocks_are_counted() -> None:
    body = """if true { sample z: f32[2] ~ Normal(0, 1) by mean_field predict a = z }
      if true { sample z: f32[2] ~ Normal(0, 1) by mean_field predict b = z }"""
    assert sites(lowered(model(body))) == ["z", "z_1"]


def test_observing_a_parameter_of_that_name_gets_a_site_of_its_own() -> None:
    module = lowered(HEAD + "param w: f32[3] = 0.0\n observe w ~ Normal(0, 1)\n predict p = w\n}")
    assert sites(module, "model.observe") == ["w/observed"]


def test_draw_of_a_distribution_is_a_site_of_its_let() -> None:
    module = lowered(model("let d = Normal(x, 1)\n let a = d.sample() + d.sample()\n let b = d.sample()"))
    assert sites(module, "model.noise") == ["a/sample", "a/sample_1", "b/sample"]


def test_dropout_is_a_site_of_its_instance() -> None:
    module = lowered(model("let h = x |> dropout(0.5) |> dropout(0.5)"))
    assert sites(module, "model.noise") == ["h/dropout/mask", "h/dropout_1/mask"]


def scopes(module: Module) -> set[str]:
    return {n.scope for n in module.functions["model"].nodes}


def test_nodes_carry_the_path_of_their_instance() -> None:
    assert scopes(lowered(model("let h = x |> dense(3) |> relu"))) >= {"h/dense", ""}
