"""User layers: instances, arguments, beliefs, blocks, recursion."""

from __future__ import annotations

import pytest

from bl_compiler.frontend import user_layers
from tests.support.lowering import error, errors, lowered, nodes, params, sites, spelled, warnings

MODEL = """model m {{
  plate batch[4] of 16
  input x: f32[batch, 3]
  input y: i32[batch]
  {body}
  observe y ~ Categorical(logits=x |> dense(2, name="last"))
}}"""


def program(layers: str, body: str) -> str:
    """A file with layers and a model."""
    return f"{layers}\n{MODEL.format(body=body)}"


def paths(layers: str, body: str) -> list[str]:
    return [p for p in params(lowered(program(layers, body))) if not p.startswith("last")]


BLOCK = "layer block(x, units, rate = 0.0) { let h = x |> dense(units) |> relu  return x + h |> dense(3) }"


def test_weights_live_under_the_instance() -> None:
    assert paths(BLOCK, "let a = x |> block(3)")[::2] == ["a/block/h/dense/kernel", "a/block/dense/kernel"]


def test_each_place_is_an_instance() -> None:
    found = paths(BLOCK, "let a = x |> block(3) |> block(3)\n let b = block(x, 3)")
    assert [p for p in found if p.endswith("h/dense/kernel")] == [
        "a/block/h/dense/kernel",
        "a/block_1/h/dense/kernel",
        "b/block/h/dense/kernel",
    ]


def test_named_instance_shares_its_weights() -> None:
    module = lowered(program(BLOCK, "let f = block(3)\n let a = x |> f |> f"))
    assert [p for p in params(module) if p.endswith("kernel")][:-1] == [
        "f/block/h/dense/kernel",
        "f/block/dense/kernel",
    ]
    assert len(nodes(module, "linear.einsum")) == 5


def test_name_sets_the_path() -> None:
    assert paths(BLOCK, 'let a = x |> block(3, name="top")')[0] == "top/h/dense/kernel"


def test_layers_nest() -> None:
    layers = BLOCK + "\nlayer two(x) { let a = x |> block(3)  return a |> block(3) }"
    assert paths(layers, "let z = x |> two")[::4] == ["z/two/a/block/h/dense/kernel", "z/two/block/h/dense/kernel"]


def test_layers_may_stand_in_any_order() -> None:
    assert paths("layer a(x) { return x |> b }\nlayer b(x) { return x |> dense(3) }", "let z = x |> a")


def test_parameters_take_layers_and_functions() -> None:
    layer = "layer act(x, f) { return x |> f |> f }"
    assert paths(layer, "let a = x |> act(relu)") == []
    assert paths(layer, "let a = x |> act(layer_norm)") == [
        *("a/act/layer_norm/scale", "a/act/layer_norm/bias"),
        *("a/act/layer_norm_1/scale", "a/act/layer_norm_1/bias"),
    ]
    assert paths(layer, "let n = layer_norm()\n let a = x |> act(n)") == ["n/layer_norm/scale", "n/layer_norm/bias"]


def test_layer_of_a_default_belongs_to_the_instance() -> None:
    layer = "layer act(x, f = dense(3)) { return x |> f |> f }"
    assert paths(layer, "let a = x |> act |> act")[::2] == ["a/act/f/dense/kernel", "a/act_1/f/dense/kernel"]


def test_default_sees_the_file_only() -> None:
    layer = "option width = 3\nlayer act(x, units = width) { return x |> dense(units) }"
    assert paths(layer, "let a = x |> act")
    found = error(
        program("layer act(x, units = hidden) { return x |> dense(units) }", "let hidden = 3\n let a = x |> act")
    )
    assert found.code == "BLC0201"


def test_body_sees_parameters_and_the_file_only() -> None:
    found = error(program("layer f(v) { return v + x }", "let a = x |> f"))
    assert (found.code, "`x`" in found.message) == ("BLC0201", True)


def test_several_results() -> None:
    assert paths("layer f(x) { return (x |> dense(2), x) }", "let (a, b) = x |> f") == [
        "a/f/dense/kernel",
        "a/f/dense/bias",
    ]


def test_first_parameter_may_be_a_number_or_a_list() -> None:
    assert not errors(program("layer scale(k, x) { return k * x }", "let a = scale(2.0, x)"))
    assert not errors(
        program("layer join(parts) { return parts |> concat }", "let a = [x, x] |> join  let b = join([x])")
    )
    assert not errors(program("layer double(k) { return k * 2 }", "let a = 3 |> double |> double\n let z = zeros[a]"))


def test_layer_without_parameters() -> None:
    assert paths("layer table() { param t: f32[3] = 0.0  return t }", "let a = table()  let b = table()") == [
        "a/table/t",
        "b/table/t",
    ]


def test_parameter_of_a_shared_instance_is_one() -> None:
    assert paths("layer f(x) { param t: f32[3] = 0.0  return x + t }", "let g = f()\n let a = x |> g |> g") == ["g/f/t"]


def test_global_site_of_a_shared_instance_is_one() -> None:
    layer = "layer f(x) { sample t: f32[3] ~ Normal(0, 1) by mean_field  return x + t }"
    module = lowered(program(layer, "let g = f()\n predict a = x |> g |> g"))
    assert sites(module) == ["g/f/t"]


def test_local_site_of_a_shared_instance_is_drawn_at_each_use() -> None:
    layer = "layer f(x) { sample t ~ Normal(0, 1) by Normal(x, 1.0)  return x + t }"
    module = lowered(program(layer, "let g = f()\n predict a = x |> g |> g"))
    assert sites(module) == ["g/f/t", "g/f/t_1"]


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_return_inside_if() -> None:
    layer = "layer f(x, deep) { if deep { return x |> dense(3) } else { return x } }"
    assert paths(layer, "let a = x |> f(false)") == []
    assert len(paths(layer, "let a = x |> f(true)")) == 2


def test_return_before_the_end_of_a_layer() -> None:
    layer = "layer f(x, n) { if n == 0 { return x }  return x |> dense(3) |> f(n - 1) }"
    assert len(paths(layer, "let a = x |> f(5)")) == 10


def test_statements_after_return_are_an_error() -> None:
    found = error(program("layer f(x) { return x  let y = x }", "let a = x |> f"))
    assert found.code == "BLC0209"


def test_layer_without_return_points_at_its_name() -> None:
    text = program("layer f(x) { if false { return x } }", "let a = x |> f")
    assert (error(text).code, spelled(error(text), text)) == ("BLC0209", "f")


@pytest.mark.parametrize("statement", ["plate p[3]", "input i: f32[3]", "objective mle", "optimize sgd"])
def test_declarations_of_the_model_do_not_stand_in_layers(statement: str) -> None:
    assert error(program(f"layer f(x) {{ {statement}  return x }}", "let a = x |> f")).code == "BLC0209"


def test_observation_inside_a_layer() -> None:
    layer = "layer head(x, y) { observe y ~ Normal(x, 1)  return x }"
    module = lowered(program(layer, "let a = x |> head(x * 2)"))
    assert sites(module, "model.observe") == ["a/head/y", "y"]


# --- beliefs ---------------------------------------------------------------------------------------------------------


def test_belief_around_an_instance_reaches_into_it() -> None:
    text = program(
        BLOCK, "believe kernel ~ Normal(0, 1) by mean_field\n predict a = x |> block(3)\n believe kernel = point"
    )
    assert sites(lowered(text)) == ["a/block/h/dense/kernel", "a/block/dense/kernel"]


def test_belief_in_a_body_goes_before_the_one_around() -> None:
    layer = "layer f(x) { believe kernel = point  return x |> dense(3) }"
    text = program(
        layer, "believe kernel ~ Normal(0, 1) by mean_field\n predict a = x |> f |> dense(3)\n believe kernel = point"
    )
    assert sites(lowered(text)) == ["a/dense/kernel"]


def test_belief_in_a_body_ends_with_it() -> None:
    layer = "layer f(x) { believe kernel ~ Normal(0, 1) by mean_field  return x |> dense(3) }"
    assert sites(lowered(program(layer, "predict a = x |> f |> dense(3)"))) == ["a/f/dense/kernel"]


def test_belief_argument_of_a_user_layer() -> None:
    text = program(BLOCK, "predict a = x |> block(3, kernel ~ Normal(0, 1) by mean_field) |> dense(3)")
    assert sites(lowered(text)) == ["a/block/h/dense/kernel", "a/block/dense/kernel"]
    text = program(
        BLOCK, "believe bias ~ Normal(0, 1) by mean_field\n predict a = x |> block(3, bias = point) |> dense(3)"
    )
    assert [s for s in sites(lowered(text)) if "last" not in s] == ["a/dense/bias"]


def test_belief_in_a_user_layer_by_name() -> None:
    text = program(
        BLOCK, "believe kernel in block ~ Normal(0, 1) by mean_field\n predict a = x |> block(3) |> dense(3)"
    )
    assert sites(lowered(text)) == ["a/block/h/dense/kernel", "a/block/dense/kernel"]


def test_belief_argument_about_no_weight_warns() -> None:
    layer = "layer f(x) { return x * 2 }"
    (found,) = warnings(program(layer, "predict a = x |> f(kernel ~ Normal(0, 1) by mean_field)"))
    assert found.code == "BLC0358"


def test_belief_of_a_shared_instance_is_read_once() -> None:
    layers = BLOCK + "\nlayer twice(x) { let b = x |> block(3, kernel ~ Normal(0, 1) by mean_field)  return b }"
    module = lowered(program(layers, "let t = twice()\n predict a = x |> t |> t"))
    assert not warnings(program(layers, "let t = twice()\n predict a = x |> t |> t"))
    assert len(sites(module)) == 2


# --- endless programs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers",
    [
        "layer f(x) { return x |> f }",
        "layer f(x) { let a = f(x)  let b = f(x)  return a + b }",
        "layer f(x) { return g(x) + g(x) }\nlayer g(x) { let u = f(x)  let v = f(x)  return u + v }",
        "layer f(x, n = 0) { return f(x, n + 1) }",
        "layer f(x, g = f()) { return x |> g }",
        "layer f(x, g = f(zeros[2])) { return x }",
    ],
)
def test_layer_that_uses_itself_is_one_error(layers: str) -> None:
    found = errors(program(layers, "let a = x |> f\n let b = x |> f"))
    assert [e.code for e in found] == ["BLC0215"]


@pytest.mark.parametrize("body", ["return x + x", "let u = x |> dense(3)  return u"])
@pytest.mark.parametrize("limit", ["MAX_APPLICATIONS", "MAX_NODES"])
def test_layers_that_multiply_are_one_error(body: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_layers, limit, 1000)
    layers = [f"layer f0(x) {{ {body} }}"]
    layers += [f"layer f{i}(x) {{ let a = x |> f{i - 1}  let b = a |> f{i - 1}  return a + b }}" for i in range(1, 60)]
    found = errors(program("\n".join(layers), "let a = x |> f59"))
    assert [e.code for e in found] == ["BLC0215"]
    assert "bounds" in found[0].message


# --- wrong calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "code", "pointed"),
    [
        ("x |> block", "BLC0204", "block"),
        ("x |> block(3, 0.1, 5)", "BLC0204", "5"),
        ("x |> block(3, units=3)", "BLC0204", "units=3"),
        ("x |> block(3, unit=3)", "BLC0204", "unit"),
        ("x |> block(3, kernel ~ Normal(0, 1), kernal ~ Normal(0, 1))", "BLC0201", "kernal"),
        ("x |> block(units=3, 0.1)", "BLC0204", "0.1"),
        ("block(3, name=3)", "BLC0203", "name=3"),
        ("x |> block(3)(4)", "BLC0204", "block(3)(4)"),
    ],
)
def test_wrong_call(call: str, code: str, pointed: str) -> None:
    text = program(BLOCK, f"let a = {call}")
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


def test_two_parameters_of_one_name() -> None:
    assert error(program("layer f(x, x) { return x }", "let a = f(x, x)")).code == "BLC0202"


def test_an_instance_is_no_result() -> None:
    assert error(program("layer f(x) { return dense(3) }", "let a = x |> f")).code == "BLC0205"


def test_instance_takes_its_input_only() -> None:
    assert error(program(BLOCK, "let b = block(3)\n let a = b(x, 4)")).code == "BLC0204"
