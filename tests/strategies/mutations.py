"""Programs that are almost right: random ones, and those of the examples and the corpus, with tokens exchanged.

Invariant: draws are texts, of which many parse, so that the stages after the parser see them.
May import: hypothesis, `programs`.
"""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import strategies as st

from tests.strategies.programs import programs

_TESTS = Path(__file__).parents[1]
FOLDERS = (_TESTS.parent / "examples", _TESTS / "corpus" / "language", _TESTS / "golden" / "errors")
PROGRAMS = sorted(path for folder in FOLDERS for path in folder.rglob("*.blg"))
TEXTS = tuple(path.read_text(encoding="utf-8") for path in PROGRAMS)

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*|\|>|\*\*|//|\.\.\.|[=!<>]=|->|[A-Za-z_]\w*|[0-9][\w.]*|[^\s]')

NUMBERS = (
    *("0", "1", "2", "3", "-1", "7", "1_000", "0.5", "-0.5", "1e-3", "1e30", "1e300", "1e-300", "1e400", "1e999"),
    *("2147483647", "2147483648", "-2147483649", "4294967296", "9223372036854775807", "9223372036854775808"),
    *("99999999999999999999999999", "1000000000000", "0.0", "-0.0"),
)
WORDS = (
    *("true", "false", "none", "batch", "x", "y", "h", "z", "labels", "images", "kernel", "bias", "scale", "time"),
    *("dense", "conv2d", "batch_norm", "layer_norm", "dropout", "embedding", "relu", "softplus", "softmax", "flatten"),
    *("squeeze", "reshape", "concat", "split", "sum", "mean", "gaussian", "max_pool2d", "lstm", "where", "select"),
    *("Normal", "Categorical", "Bernoulli", "Laplace", "Gamma", "Dirichlet", "MultivariateNormal", "Uniform"),
    *("Mixture", "Independent", "Poisson", "StudentT", "mean_field", "point", "full_rank", "shared", "flipout"),
    *("zeros", "ones", "elbo", "iwae", "map", "mle", "adam", "sgd", "positive", "simplex", "interval", "logits"),
    *("probs", "loc", "units", "axis", "name", "shape", "sample", "log_prob", "f32", "i32", "bool", "u8"),
)
SIGNS = (
    *"+-*/%@<>()[]{},:.=~|",
    *("|>", "**", "//", "...", "==", "!=", "<=", ">=", "and", "or", "not", "in", "by"),
)
STATEMENTS = (
    "let q = x",
    "let h = x |> dense(3)",
    "let (a, b) = (x, x)",
    "plate other[3]",
    "input other: f32[batch, 3]",
    "param w: f32[3] = 0.0",
    "sample z: f32[3] ~ Normal(0, 1) by mean_field",
    "sample e ~ Normal(0, 1)",
    "observe x ~ Normal(0, 1)",
    "believe kernel ~ Normal(0, 1) by mean_field",
    "believe kernel = point",
    "predict p = x",
    "objective map",
    "optimize sgd",
    "if true { let q = x } else { predict q = x }",
    "return x",
    "mesh data=2",
    "repeat 3 from h = x { next h }",
)

texts = st.one_of(st.sampled_from(TEXTS), *[programs().map(lambda p: p.text)] * 3)
literals = st.sampled_from([*NUMBERS, '""', '"same"', '"relu"', '"a/b"', "[]", "()", "[1, 2]", "(3,)"])
words = st.one_of(st.sampled_from(WORDS), literals, st.sampled_from(SIGNS))


@st.composite
def token_swaps(draw: st.DrawFn) -> str:
    """A program with tokens replaced, exchanged, left out and put in."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        tokens = [m for m in _TOKEN.finditer(text) if not m[0].startswith("#")]
        if not tokens:
            break
        first, second = (draw(st.sampled_from(tokens)) for _ in range(2))
        match draw(st.integers(0, 5)):
            case 0:
                text = text[: first.start()] + draw(words) + text[first.end() :]
            case 1:
                text = text[: first.start()] + second[0] + text[first.end() :]
            case 2:
                text = text[: first.start()] + text[first.end() :]
            case 3:
                text = text[: first.end()] + " " + draw(words) + " " + text[first.end() :]
            case 4:
                start, end = sorted((first.start(), second.start()))
                text = text[:end] + text[start : min(end, start + 60)] + text[end:]
            case _:
                numbers = [t for t in tokens if t[0][0].isdigit()]
                chosen = draw(st.sampled_from(numbers)) if numbers else first
                text = text[: chosen.start()] + draw(literals) + text[chosen.end() :]
    return text


@st.composite
def line_swaps(draw: st.DrawFn) -> str:
    """A program with lines moved, doubled, left out, and statements put in."""
    lines = draw(texts).split("\n")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                lines.insert(place, draw(st.sampled_from(STATEMENTS)))
            case 1:
                lines.insert(place, lines[draw(st.integers(0, len(lines) - 1))])
            case 2 if len(lines) > 1:
                del lines[place]
            case _:
                other = draw(st.integers(0, len(lines) - 1))
                lines[place], lines[other] = lines[other], lines[place]
    return "\n".join(lines)


@st.composite
def byte_swaps(draw: st.DrawFn) -> str:
    """A program with bytes changed, as far as they are UTF-8."""
    data = bytearray(draw(texts).encode())
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        if not data:
            data = bytearray(b" ")
    return data.decode("utf-8", "ignore")
