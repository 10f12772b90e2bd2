"""Options, their values from the command line, and what is computed at compile time."""

from __future__ import annotations

import pytest

from tests.support.lowering import compiled, error, errors, lowered, params, spelled, warnings
from tests.support.predicting import value_of


def model(head: str, expression: str = "1.0") -> str:
    return f"{head}\nmodel m {{ predict p = {expression} }}"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("true", True),
        ("3", 3),
        ("-3", -3),
        ("50_000", 50_000),
        ("-2.5e-3", -2.5e-3),
        ('"a \\n"', "a \n"),
        ("none", None),
        ("[1, 2.5, [true]]", [1, 2.5, [True]]),
        ('(1, "a")', (1, "a")),
        ("[]", []),
        ("()", ()),
    ],
)
def test_options_are_recorded(literal: str, value: object) -> None:
    module = lowered(model(f"option a = {literal}"))
    assert dict(module.options) == {"a": value}


def test_options_size_the_model() -> None:
    text = model("option widths = [4, 2]", "zeros[3] |> dense(widths[0]) |> dense(widths[1])")
    assert len(params(lowered(text))) == 4
    assert len(params(lowered(text, defines={"widths": [5, 2]}))) == 4


def test_options_of_the_language() -> None:
    for name, literal, expression in (
        ("f", '"relu"', "zeros[3] |> dense(2, activation=f)"),
        ("n", "2", "zeros[n, n]"),
        ("t", "(2, 3)", "zeros[t[0], t[1]]"),
        ("s", "0.5", "Normal(0, s).log_prob(1)"),
        ("k", "none", "zeros[3][k]"),
    ):
        lowered(model(f"option {name} = {literal}", expression))


# --- defines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "given", "value"),
    [
        ("true", False, False),
        ("3", 5, 5),
        ("0.5", 2.5, 2.5),
        ("0.5", 2, 2.0),
        ('"a"', "b", "b"),
        ("[1]", [2, 3], [2, 3]),
        ("none", 3, 3),
        ("none", "x", "x"),
    ],
)
def test_define_overrides(literal: str, given: object, value: object) -> None:
    module = lowered(model(f"option a = {literal}"), defines={"a": given})
    (found,) = [v for _, v in module.options]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("literal", "given"),
    [
        ("true", 1),
        ("3", True),
        ("3", 2.5),
        ("3", "3"),
        ("0.5", True),
        ('"a"', 3),
        ("[1]", 3),
        ("0.5", None),
        ("3", None),
    ],
)
def test_define_keeps_the_type(literal: str, given: object) -> None:
    found = error(model(f"option a = {literal}"), defines={"a": given})
    assert found.code == "BLC0004"
    assert found.helps


def test_unknown_define() -> None:
    found = error(model("option bayesian = true"), defines={"bayesain": False})
    assert (found.code, found.helps) == ("BLC0003", ["did you mean `bayesian`?"])


def test_define_of_an_imported_option() -> None:
    files = {"a.blg": "option width = 3"}
    module = lowered(model('import "a.blg"', "zeros[width]"), files=files, defines={"width": 4})
    assert module.options == (("width", 4),)


# --- wrong options ---------------------------------------------------------------------------------------------------


def test_option_twice() -> None:
    text = model("option a = 1\noption a = 2")
    assert (error(text).code, spelled(error(text), text)) == ("BLC0202", "a")


def test_option_of_a_layer_s_name() -> None:
    assert error(model("option a = 1\nlayer a(x) { return x }")).code == "BLC0202"


def test_model_and_its_statements_may_hide_options() -> None:
    lowered("option m = 1\noption a = 2\nmodel m { let a = 3.0\n predict p = zeros[2] + a * m }")


def test_unused_option_warns() -> None:
    text = model("option a = 1\noption b = 2", "zeros[b]")
    (found,) = warnings(text)
    assert (found.code, spelled(found, text)) == ("BLC0355", "a")


def test_unused_option_of_an_import_does_not_warn() -> None:
    assert not warnings(model('import "a.blg"'), files={"a.blg": "option a = 1"})


# --- numbers at compile time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4 - 5", 9),
        ("7 // 2 + 7 % 3", 4),
        ("-7 // 2", -4),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("7 / 2", 3.5),
        ("1e3 + 1", 1001),
        ("(1 + 2) * 3", 9),
        ("[1, 2, 3][1] + (4, 5)[0]", 6),
    ],
)
def test_arithmetic_is_that_of_python(expression: str, value: float) -> None:
    assert value_of(f"0 + {expression}") == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 < 2 and 2 <= 2 and not 3 > 4", True),
        ("1 == 1.0 and 2 != 3", True),
        ('"a" == "a" and "a" != "b"', True),
        ("[1, 2] == [1, 2] and (1,) != (2,)", True),
        ("none == none and not none == 0", True),
        ("false or 3 >= 4", False),
        ("[1] + [2] == [1, 2] and (1,) + (2,) == (1, 2)", True),
        ('"a" + "b" == "ab"', True),
    ],
)
def test_conditions_are_those_of_python(expression: str, value: bool) -> None:
    assert bool(value_of(expression)) == value


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("1 / 0", "BLC0203"),
        ("1 // 0", "BLC0203"),
        ("1 % 0", "BLC0203"),
        ("0 ** -1", "BLC0203"),
        ("(-1) ** 0.5", "BLC0203"),
        ("10 ** 1000", "BLC0203"),
        ("10.0 ** 1000", "BLC0203"),
        ("2 ** 63", "BLC0203"),
        ("9_000_000_000_000_000_000 + 9_000_000_000_000_000_000", "BLC0203"),
        ("-(-9_223_372_036_854_775_808)", "BLC0203"),
        ("1e308 * 10", "BLC0203"),
        ("1e308 * 10 - 1e308 * 10", "BLC0203"),
        ("1 + true", "BLC0205"),
        ("1 + none", "BLC0205"),
        ('1 + "a"', "BLC0205"),
        ('"a" * 3', "BLC0205"),
        ("[1] + (2,)", "BLC0205"),
        ("1 and 2", "BLC0205"),
        ("not 3", "BLC0205"),
        ('-"a"', "BLC0205"),
        ("-true", "BLC0205"),
        ("[1] < [2]", "BLC0205"),
        ("relu + 1", "BLC0205"),
        ("3_000_000_000", "BLC0203"),
        ("zeros[2] + 1e39", "BLC0203"),
        ("one_hot(zeros[2] |> argmax, 3) * 1e39", "BLC0203"),
        ('cast(zeros[2], "u8") + 300', "BLC0203"),
        ('cast(zeros[2], "u8") * -1', "BLC0203"),
    ],
)
def test_wrong_arithmetic(expression: str, code: str) -> None:
    text = model("", expression)
    assert error(text).code == code


def test_lists_that_double_are_an_error() -> None:
    lets = "\n".join(f"let a{i} = a{i - 1} + a{i - 1}" for i in range(1, 64))
    (found,) = errors(f"model m {{ let a0 = [1]\n {lets}\n predict p = 1.0 }}")
    assert found.code == "BLC0203"


# --- choosing a model ------------------------------------------------------------------------------------------------

TWO = "model a { predict p = 1.0 }\nmodel b { predict q = 1.0 }"


def test_model_is_chosen_by_name() -> None:
    assert lowered(TWO, model="b").name == "b"
    assert lowered(TWO, model="a").name == "a"


def test_several_models_need_a_choice() -> None:
    found = error(TWO)
    assert (found.code, found.helps) == ("BLC0005", ["choose one with `--model`: `a`, `b`"])


def test_unknown_model() -> None:
    found = error(TWO, model="c")
    assert found.code == "BLC0005"
    assert error("model encoder { predict p = 1.0 }", model="encodr").helps == ["did you mean `encoder`?"]


def test_two_models_of_one_name() -> None:
    assert error("model a { predict p = 1.0 }\nmodel a { predict p = 1.0 }").code == "BLC0202"


@pytest.mark.parametrize("text", ["", "   \n", "# only a comment", "option a = 1", "layer f(x) { return x }"])
def test_file_without_model(text: str) -> None:
    module, sink = compiled(text)
    assert module is None
    assert [e.code for e in sink.errors] == ["BLC0005"]
