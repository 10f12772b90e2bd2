"""Statements: plates, inputs, parameters, blocks, masks, predictions, the objective and the optimizer."""

from __future__ import annotations

import numpy as np
import pytest

from bl_compiler.ir.graph import PlateInfo
from tests.support.lowering import compiled, error, errors, lowered, nodes, params, spelled, text_of, warnings
from tests.support.predicting import predicted

HEAD = "plate batch[4] of 16\n input x: f32[batch, 3]\n"
X = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0], [2.0, 2.0, 2.0], [-1.0, 4.0, 0.0]])


def model(body: str) -> str:
    return f"model m {{ {HEAD} {body}\n predict last = x\n }}"


def input_types(text: str, **settings: object) -> list[str]:
    return [str(n.result.type) for n in nodes(lowered(text, **settings), "model.input")]


# --- plates and inputs -----------------------------------------------------------------------------------------------


def test_plates() -> None:
    text = "model m { plate a[4] of 16\n plate b[2 * 3]\n input x: f32[a, b, 3]\n predict p = x }"
    assert lowered(text).plates == (PlateInfo("a", 4, 16), PlateInfo("b", 6, None))
    assert input_types(text) == ["f32[a@4, b@6, 3]"]


def test_batch_sizes_the_first_plate() -> None:
    text = "model m { plate a[4] of 16\n plate b[6] of 6\n input x: f32[a, b]\n predict p = x }"
    assert input_types(text, batch=8) == ["f32[a@8, b@6]"]
    assert lowered(text, batch=8).plates == (PlateInfo("a", 8, 16), PlateInfo("b", 6, 6))


def test_dynamic_batch_is_symbolic() -> None:
    text = "model m { plate a[4] of 16\n input x: f32[a, 3]\n predict p = x |> dense(2) |> softmax }"
    assert input_types(text, batch="dynamic") == ["f32[a@a, 3]"]
    assert lowered(text, batch="dynamic").plates == (PlateInfo("a", "a", 16),)


@pytest.mark.parametrize("batch", [0, -1, 17])
def test_batch_out_of_range(batch: int) -> None:
    assert error(model(""), batch=batch).code == "BLC0203"


@pytest.mark.parametrize(
    ("type_", "found"),
    [
        ("f32[]", "f32[]"),
        ("f32", "f32[]"),
        ("bf16[batch, time=5, 2]", "bf16[batch@4, time~5, 2]"),
        ("i64[width=2, 3]", "i64[width=2, 3]"),
        ("u8[n, n * 2]", "u8[3, 6]"),
        ("bool[x.shape[-1]]", "bool[3]"),
        ("f64[x.shape[0]]", "f64[batch@4]"),
        ("f32[batch=batch]", "f32[batch@4]"),
    ],
)
def test_types(type_: str, found: str) -> None:
    text = f"option n = 3  # blc: allow(unused-option)\n{model(f'input z: {type_}')}"
    assert input_types(text)[-1] == found


@pytest.mark.parametrize(
    ("type_", "code", "pointed"),
    [
        ("f31[3]", "BLC0214", "f31"),
        ("float[3]", "BLC0214", "float"),
        ("f32[batsh]", "BLC0214", "batsh"),
        ("f32[0]", "BLC0203", "0"),
        ("f32[-1]", "BLC0203", "-1"),
        ("f32[1.5]", "BLC0214", "1.5"),
        ("f32[true]", "BLC0214", "true"),
        ("f32[x]", "BLC0214", "x"),
        ("f32[relu]", "BLC0214", "relu"),
        ("f32[batch, batch]", "BLC0214", "f32[batch, batch]"),
        ("f32[other=batch]", "BLC0214", "other=batch"),
        ("f32[3:4]", "BLC0101", ":"),
        ('f32["a"]', "BLC0214", '"a"'),
    ],
)
def test_wrong_types(type_: str, code: str, pointed: str) -> None:
    text = model(f"input z: {type_}")
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


@pytest.mark.parametrize(
    ("plate", "code", "pointed"),
    [
        ("plate p[0]", "BLC0203", "0"),
        ("plate p[4] of 3", "BLC0203", "3"),
        ("plate p[1.5]", "BLC0205", "1.5"),
        ("plate p[true]", "BLC0205", "true"),
        ("plate p[3] of x", "BLC0205", "x"),
        ("plate batch[4]", "BLC0202", "batch"),
        ("if true { plate batch[4] }", "BLC0213", None),
        ("if true { input x: f32[3] }", "BLC0213", None),
        ("input x: f32[3]", "BLC0202", "x"),
    ],
)
def test_wrong_plates_and_inputs(plate: str, code: str, pointed: str | None) -> None:
    text = model(plate)
    found = error(text)
    assert found.code == code
    assert pointed is None or spelled(found, text) == pointed


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "init", "value"),
    [
        ("f32[2] = 0.5", ("constant", 0.5), [0.5, 0.5]),
        ("f32[] = -1", ("constant", -1.0), -1.0),
        ("f32[] = 2.0 in positive", ("constant", 2.0), 2.0),
        ("f32[] = 0.25 in unit_interval", ("constant", 0.25), 0.25),
        ("f32[] = 2.5 in interval(1, 4)", ("constant", 2.5), 2.5),
        ("f32[4] = 1.0 in simplex", ("constant", 1.0), [0.25] * 4),
        ("f32[2, 2] = 2.0 in lower_cholesky", ("identity", 2.0), [[2.0, 0.0], [0.0, 2.0]]),
        ('f32[2, 2] = "identity"', ("identity", 1.0), [[1.0, 0.0], [0.0, 1.0]]),
        ('f32[2, 3] = "zeros"', ("constant", 0.0), np.zeros((2, 3))),
    ],
)
def test_parameters_start_where_they_should(declared: str, init: tuple[object, ...], value: object) -> None:
    text = f"model m {{ param w: {declared}\n predict p = w }}"
    (node,) = nodes(lowered(text), "model.param")
    assert (node.attrs["init"], node.attrs["path"]) == (init, "w")
    np.testing.assert_allclose(predicted(text)["p"], value, rtol=1e-6)


@pytest.mark.parametrize(
    ("declared", "code", "pointed"),
    [
        ("i32[] = 0", "BLC0207", "i32[]"),
        ("f32[batch] = 0", "BLC0206", "f32[batch]"),
        ("f32[] = 0 in positive", "BLC0302", "0"),
        ("f32[] = 1 in unit_interval", "BLC0302", "1"),
        ("f32[] = 5 in interval(1, 4)", "BLC0302", "5"),
        ("f32[] = 5 in interval(4, 1)", "BLC0203", "interval(4, 1)"),
        ("f32[] = 5 in interval(4)", "BLC0204", "interval(4)"),
        ("f32[] = 5 in interval", "BLC0204", "interval"),
        ("f32[] = 1 in positive(3)", "BLC0204", "positive(3)"),
        ("f32[] = 1 in positiv", "BLC0201", "positiv"),
        ("f32[] = 1 in 3", "BLC0205", "3"),
        ("f32[] = 1 in simplex", "BLC0206", "f32[]"),
        ("f32[2] = -1 in simplex", "BLC0302", "-1"),
        ("f32[2] = 1 in lower_cholesky", "BLC0206", "f32[2]"),
        ('f32[2] = "zeros" in positive', "BLC0302", '"zeros"'),
        ('f32[2] = "zeroes"', "BLC0203", '"zeroes"'),
        ("f32[2] = none", "BLC0203", "none"),
        ("f32[2] = true", "BLC0203", "true"),
        ("f32[2] = x", "BLC0203", "x"),
        ("f32[2] = 1e300", "BLC0203", "1e300"),
    ],
)
def test_wrong_parameters(declared: str, code: str, pointed: str) -> None:
    text = model(f"param w: {declared}")
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


def test_two_parameters_of_one_path() -> None:
    assert params(lowered(model("param w: f32[] = 0.0\n if true { param w: f32[] = 1.0 }"))) == ["w", "w_1"]


# --- names -----------------------------------------------------------------------------------------------------------


def test_inner_block_may_hide_names() -> None:
    text = model("let h = 1\n if true { let h = x * 2\n predict inner = h }\n predict outer = zeros[3] + h")
    found = predicted(text, {"x": X})
    np.testing.assert_array_equal(found["inner"], X * 2)
    np.testing.assert_array_equal(found["outer"], [1, 1, 1])


def test_names_of_a_block_end_with_it() -> None:
    assert error(model("if true { let h = 1 } else { }\n let k = h")).code == "BLC0201"


def test_names_may_hide_those_of_the_language() -> None:
    found = predicted(
        model("let relu = x * 2\n let Normal = relu\n let zeros = 3\n predict p = Normal + zeros"), {"x": X}
    )
    np.testing.assert_array_equal(found["p"], X * 2 + 3)


@pytest.mark.parametrize(
    "statement", ["let a = 1", "param a: f32[] = 1.0", "sample a ~ Normal(0, 1)", "input a: f32[]"]
)
def test_names_are_given_once_in_a_block(statement: str) -> None:
    text = model(f"let a = 2\n {statement}")
    found = error(text)
    assert (found.code, spelled(found, text), len(found.labels)) == ("BLC0202", "a", 2)


def test_fault_in_one_statement_is_one_error() -> None:
    text = model(
        "let a = dens(3)\n let b = a + 1\n let (c, d) = b\n sample z ~ Normal(c, 1)\n observe x ~ Normal(z + d, 1)"
    )
    assert [e.code for e in errors(text)] == ["BLC0201"]


def test_several_faults_are_several_errors() -> None:
    text = model("let a = x |> dens(3)\n let b = x |> dense(0)\n let c = y\n plate q[0]\n let d = zeros[q]")
    assert [e.code for e in errors(text)] == ["BLC0201", "BLC0203", "BLC0201", "BLC0203"]


@pytest.mark.parametrize(
    ("statement", "code", "pointed"),
    [
        ("let (a, b) = x", "BLC0205", "x"),
        ("let (a, b) = (1, 2, 3)", "BLC0205", "(1, 2, 3)"),
        ("let (a, a) = (1, 2)", "BLC0202", "a"),
        ("let a = Nrmal(0, 1)", "BLC0201", "Nrmal"),
        ("let a = mean_field", "BLC0205", "mean_field"),
        ("let a = flow(3)", "BLC0205", "flow"),
        ("let a = x |> gru(3)", "BLC0210", "gru"),
        ("let a = 3(4)", "BLC0205", "3(4)"),
        ("let a = x |> 3", "BLC0205", "3"),
        ("let a = zeros", None, None),
        ("let a = zeros(3)", "BLC0205", "zeros(3)"),
        ("let a = 3 |> relu", None, None),
        ("return x", "BLC0209", "return x"),
        ("next x", "BLC0209", "next x"),
        ("emit x", "BLC0209", "emit x"),
        ("mesh data=3", "BLC0210", "mesh"),
        ("shard batch -> data", "BLC0210", "shard"),
        ("repeat 3 { }", "BLC0210", "repeat"),
    ],
)
def test_wrong_statements(statement: str, code: str | None, pointed: str | None) -> None:
    text = model(statement)
    if code is None:
        assert not errors(text)
        return
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


# --- if --------------------------------------------------------------------------------------------------------------


def test_only_the_chosen_block_is_read() -> None:
    text = model("if 1 > 2 { let a = nonsense } else if 3 > 2 { predict p = x } else { let a = nonsense }")
    assert [n.attrs["key"] for n in nodes(lowered(text), "model.predict")] == ["p", "last"]


@pytest.mark.parametrize(
    ("condition", "code"), [("x[0, 0] > 1", "BLC0208"), ("3", "BLC0205"), ("none", "BLC0205"), ("y", "BLC0201")]
)
def test_condition_is_known_at_compile_time(condition: str, code: str) -> None:
    text = model(f"if {condition} {{ }}")
    assert (error(text).code, spelled(error(text), text)) == (code, condition)


# --- observations and masks ------------------------------------------------------------------------------------------


def test_mask() -> None:
    text = model("observe x ~ Normal(0, 1) where x > 0")
    (node,) = nodes(lowered(text), "model.observe")
    assert str(node.inputs[2].type) == "bool[batch@4, 3]"


@pytest.mark.parametrize("mask", ["x[:, :1] > 0", "x[0] > 0", "true"])
def test_masks_broadcast(mask: str) -> None:
    assert len(nodes(lowered(model(f"observe x ~ Normal(0, 1) where {mask}")), "model.observe")[0].inputs) == 3


@pytest.mark.parametrize(
    ("mask", "code"),
    [("x", "BLC0207"), ("1", "BLC0207"), ("zeros[7] > 0", "BLC0206"), ("none", "BLC0205"), ("Normal(0, 1)", "BLC0205")],
)
def test_error_of_a_mask_points_at_the_mask(mask: str, code: str) -> None:
    text = model(f"observe x ~ Normal(0, 1) where {mask}")
    assert (error(text).code, spelled(error(text), text)) == (code, mask)


@pytest.mark.parametrize(
    ("observation", "code", "pointed"),
    [
        ("observe x ~ x", "BLC0301", "x"),
        ("observe x ~ 3", "BLC0301", "3"),
        ("observe x ~ Normal", "BLC0301", "Normal"),
        ("observe relu ~ Normal(0, 1)", "BLC0205", "relu"),
        ("observe x ~ Normal(zeros[4], 1)", "BLC0206", "x ~ Normal(zeros[4], 1)"),
        ("observe x ~ Normal(zeros[2, 4, 3], 1)", "BLC0206", "x ~ Normal(zeros[2, 4, 3], 1)"),
        ("observe x ~ Categorical(logits=zeros[4, 2, 2])", "BLC0206", "x ~ Categorical(logits=zeros[4, 2, 2])"),
        ("observe x > 0 ~ Normal(0, 1)", "BLC0207", "x > 0"),
    ],
)
def test_wrong_observations(observation: str, code: str, pointed: str) -> None:
    text = model(observation)
    found = error(text)
    assert (found.code, spelled(found, text)) == (code, pointed)


def test_numbers_can_be_observed() -> None:
    module = lowered("model m { sample w ~ Normal(0, 1) by mean_field\n observe 3 ~ Normal(w, 1) }")
    assert str(nodes(module, "model.observe")[0].inputs[0].type) == "f32[]"


# --- predictions -----------------------------------------------------------------------------------------------------


def test_predictions() -> None:
    found = predicted(model("predict a = x * 2\n predict b = 3\n predict c = true"), {"x": X})
    np.testing.assert_array_equal(found["a"], X * 2)
    assert (found["b"], found["c"]) == (3, True)


@pytest.mark.parametrize(
    ("statement", "code", "pointed"),
    [
        ("predict last = x * 2", "BLC0213", None),
        ("predict p = Normal(0, 1)", "BLC0205", "Normal(0, 1)"),
        ("predict p = relu", "BLC0205", "relu"),
        ("predict p = [x]", "BLC0205", "[x]"),
    ],
)
def test_wrong_predictions(statement: str, code: str, pointed: str | None) -> None:
    text = model(statement)
    found = error(text)
    assert found.code == code
    assert pointed is None or spelled(found, text) == pointed


def test_model_without_observation_or_prediction() -> None:
    text = "model encoder { input x: f32[3] }"
    assert (error(text).code, spelled(error(text), text)) == ("BLC0307", "encoder")
    assert error("model m { }").code == "BLC0307"


# --- the whole -------------------------------------------------------------------------------------------------------


def test_lowering_is_deterministic() -> None:
    text = model(
        """believe kernel ~ Normal(0, 1) by mean_field
        let h = x |> dense(5) |> relu
        observe x ~ Normal(h |> dense(3), 1)"""
    )
    assert text_of(lowered(text)) == text_of(lowered(text))


def test_warnings_do_not_stop_lowering() -> None:
    text = model("input unused: f32[3]")
    assert lowered(text)
    assert [w.code for w in warnings(text)] == ["BLC0357"]


def test_long_sums_and_pipes_and_lists() -> None:
    pipe = "x" + " |> relu" * 60
    total = " + ".join(["x"] * 60)
    lets = "\n".join(f"let h{i} = h{i - 1} + 1" for i in range(1, 2000))
    module, sink = compiled(model(f"let a = {pipe}\n let b = {total}\n let h0 = x\n {lets}"))
    assert module is not None, sink.errors
