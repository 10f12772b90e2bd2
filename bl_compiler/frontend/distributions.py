"""Making distributions: parameters by NumPyro's names, other parameterizations, combinators, attributes.

May import: floors 0-1, `layers.spec`, `values`, `state`, `arguments`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bl_compiler.frontend.arguments import Arguments, match_arguments
from bl_compiler.frontend.state import Env, State
from bl_compiler.frontend.values import Combinator, Method, describe, is_array, is_distribution, is_number, size_of
from bl_compiler.ir.constraints import CONSTRAINTS
from bl_compiler.ir.families import Family, FamilyParam
from bl_compiler.ir.graph import Value
from bl_compiler.ir.improper import is_improper
from bl_compiler.ir.types import Dim, DistType, DType
from bl_compiler.layers.spec import ParamSpec
from bl_compiler.source import Span

METHODS = ("mean", "variance", "stddev", "log_prob", "sample", "probs", "event_shape", "batch_shape")
_CLAMP = 1.1920929e-07
"""Probabilities are kept this far from 0 and 1 (the spacing of f32 at 1), so that their logits are finite."""


def make_distribution(
    state: State,
    family: Family,
    positional: Sequence[object],
    named: Mapping[str, object],
    spans: Mapping[str, Span],
    at: Span,
) -> Value:
    """A distribution of a family; `spans` holds the place of each argument by name or position."""
    given = _assign(state, family, positional, named, spans, at)
    placed = {p.name: spans[str(i)] for i, p in enumerate(family.params) if str(i) in spans}
    spans = {**placed, **spans}
    operands: list[Value] = []
    if family.name == "Uniform":
        _check_bounds(state, given.get("low", 0.0), given.get("high", 1.0), at)
    with state.typed(at):
        for param in family.params:
            span = spans.get(param.name, at)
            alternative = next((a for a, c in family.alternatives if c == param.name and a in given), None)
            if param.name in given:
                _check_number(state, family, param, given[param.name], span)
                operands.append(_operand(state, param, given[param.name], span))
            elif alternative is not None:
                span = spans.get(alternative, at)
                operands.append(_converted(state, family, param, alternative, given[alternative], span))
            elif param.default is not None:
                operands.append(state.b.const(float(param.default), DType.F32))
            else:
                choices = " or ".join(
                    f"`{n}`" for n in [param.name, *(a for a, c in family.alternatives if c == param.name)]
                )
                state.fail("BLC0204", f"`{family.name}` needs {choices}", at)
        if family.letters and family.params[0].name == "loc" and operands[0].tensor.rank == 0:
            operands[0] = _over_event(state, family, operands)
        found = state.b.add(family.op, *operands)
    state.arguments.update({(found, p.name): spans[p.name] for p in family.params if p.name in spans})
    state.b.hint(found, family.name.lower())
    return found


def _over_event(state: State, family: Family, operands: Sequence[Value]) -> Value:
    """A location of one number over the event, as far as the other parameters tell that."""
    known: dict[str, Dim] = {}
    for param, x in zip(family.params[1:], operands[1:], strict=True):
        known |= dict(zip(reversed(param.letters), reversed(x.tensor.dims), strict=False))
    complete = all(letter in known for letter in family.letters)
    return state.b.broadcast(operands[0], [known[letter] for letter in family.letters]) if complete else operands[0]


def _assign(
    state: State,
    family: Family,
    positional: Sequence[object],
    named: Mapping[str, object],
    spans: Mapping[str, Span],
    at: Span,
) -> dict[str, object]:
    names = [p.name for p in family.params]
    known = [*names, *(a for a, _ in family.alternatives)]
    if len(positional) > len(names):
        state.fail(
            "BLC0204", f"`{family.name}` takes {len(names)} parameters ({', '.join(names)}), not {len(positional)}", at
        )
    # NumPyro has `probs` and `logits`, a covariance and its factor, in another order: a bare one would be a guess.
    for position, name in enumerate(names[: len(positional)]):
        choices = [name, *(a for a, c in family.alternatives if c == name)]
        if len(choices) > 1:
            where = spans.get(str(position), at)
            found = state.sink.error("BLC0204", f"say which parameter of `{family.name}` this is", at=where)
            written = (f"`{family.name}({'…, ' * position}{c}=…)`" for c in choices)
            found.help(f"write {' or '.join(written)}")
            state.fail_quietly()
    given = dict(zip(names, positional, strict=False))
    for name, value in named.items():
        if name not in known:
            state.unknown(f"parameter of `{family.name}`", name, known, spans.get(name, at), code="BLC0204")
        if name in given:
            state.fail("BLC0204", f"`{name}` of `{family.name}` is given twice", spans.get(name, at))
        given[name] = value
    for alternative, canonical in family.alternatives:
        rivals = [n for n in (canonical, *(a for a, c in family.alternatives if c == canonical)) if n in given]
        if len(rivals) > 1:
            state.fail(
                "BLC0204",
                f"`{family.name}` takes either `{rivals[0]}` or `{rivals[1]}`, not both",
                spans.get(alternative, at),
            )
    return given


def _check_number(state: State, family: Family, param: FamilyParam, value: object, at: Span) -> None:
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_number(state, family, param, item, at)
    if not is_number(value):
        return
    assert isinstance(value, (int, float))
    positive = param.constraint in ("positive", "positive_vector")
    bad = (positive and value <= 0) or (
        param.constraint == "nonnegative_integer" and (value < 0 or value != int(value))
    )
    if bad:
        rule = CONSTRAINTS[param.constraint].doc
        found = state.sink.error(
            "BLC0302", f"`{param.name}` of `{family.name}` must be {rule}", at=at, label=f"this is {value}"
        )
        if positive:
            found.help("write a number greater than 0, or constrain it with `softplus` or `param … in positive`")
        state.fail_quietly()


def _check_bounds(state: State, low: object, high: object, at: Span) -> None:
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and not low < high:
        state.fail("BLC0302", f"the bounds {low} and {high} of `Uniform` are not in order", at)


def _operand(state: State, param: FamilyParam, value: object, at: Span) -> Value:
    if isinstance(value, (list, tuple)):
        value = _constant(state, value, at)
    if not (is_array(value) or (is_number(value))):
        state.fail("BLC0205", f"`{param.name}` is an array or a number, found {describe(value)}", at)
    if is_number(value):
        assert isinstance(value, (int, float))
        return state.number(value, DType.F32, at)
    assert isinstance(value, Value)
    return value if value.tensor.dtype.is_float else state.b.cast(value, DType.F32)


def _constant(state: State, items: Sequence[object], at: Span) -> Value:
    def convert(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return tuple(convert(v) for v in value)
        if not is_number(value):
            state.fail("BLC0205", f"a list of numbers is needed here, found {describe(value)}", at)
        assert isinstance(value, (int, float))
        state.check_range(value, DType.F32, at)
        return float(value)

    return state.b.const(convert(items), DType.F32)


def _converted(state: State, family: Family, param: FamilyParam, alternative: str, value: object, at: Span) -> Value:
    """The canonical parameter from another: logits from probabilities, a Cholesky factor from a matrix."""
    b = state.b
    for number in _numbers(value) if alternative == "probs" else ():
        if not 0 <= number <= 1:
            state.fail("BLC0302", f"`probs` of `{family.name}` must be between 0 and 1", at, label=f"this is {number}")
    x = _operand(state, FamilyParam(alternative), value, at)
    if alternative == "probs":
        if param.constraint == "real_vector":
            return b.unary("log", b.binary("max", x, 1e-37))
        p = b.binary("min", b.binary("max", x, _CLAMP), 1.0 - _CLAMP)
        return b.binary("sub", b.unary("log", p), b.unary("log1p", b.unary("neg", p)))
    if alternative == "covariance_matrix":
        return b.add("linalg.cholesky", x)
    # With the exchange matrix J: J P J = M M', so P^-1 = L L' for L = J M^-T J, which is lower triangular.
    last = (x.tensor.rank - 2, x.tensor.rank - 1)
    factor = b.add("tensor.reverse", b.add("linalg.cholesky", b.add("tensor.reverse", x, axes=last)), axes=last)
    size = x.tensor.dims[-1]
    index = b.add("tensor.iota", dims=(size,), dtype=DType.I32)
    eye = b.cast(b.binary("eq", b.reshape(index, (size, Dim(1))), index), DType.F32)
    return b.add("linalg.triangular_solve", factor, eye, lower=False, transpose=True)


def _numbers(value: object) -> list[float]:
    """The numbers that a compile-time value holds."""
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [float(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def make_combined(
    state: State, combinator: Combinator, given: Mapping[str, object], spans: Mapping[str, Span], at: Span
) -> Value:
    """`Mixture(mixing, components)` and `Independent(base, ndims)`."""
    if combinator.name == "Independent":
        base, count = given["base"], given.get("ndims", 1)
        if not isinstance(base, Value) or not is_distribution(base):
            state.fail("BLC0301", f"`Independent` takes a distribution, found {describe(base)}", spans["base"])
        if not isinstance(count, int) or isinstance(count, bool):
            state.fail("BLC0205", f"`ndims` is an integer, found {describe(count)}", spans["ndims"])
        with state.typed(at):
            return state.b.add("dist.independent", base, ndims=int(count))
    mixing, components = given["mixing"], given["components"]
    if not isinstance(components, Value) or not is_distribution(components):
        words = f"the components of `Mixture` are a distribution, found {describe(components)}"
        state.fail("BLC0301", words, spans["components"])
    refuse_improper(state, components, spans["components"])
    node = state.b.producer(mixing) if isinstance(mixing, Value) and is_distribution(mixing) else None
    if node is None or node.op.name != "dist.Categorical":
        words = f"the first argument of `Mixture` is a `Categorical`, found {describe(mixing)}"
        state.fail("BLC0301", words, spans["mixing"])
    with state.typed(at):
        return state.b.add("dist.mixture", node.inputs[0], components)


def expand(state: State, d: Value, dims: tuple[Dim, ...], at: Span) -> Value:
    """`Normal(0, 1)[3072]`: independent copies as one event."""
    assert isinstance(d.type, DistType)
    if d.type.batch:
        found = state.sink.error(
            "BLC0206", f"only a distribution without batch dimensions expands, this one has {d.type}", at=at
        )
        found.help("give its parameters the full shape instead")
        state.fail_quietly()
    with state.typed(at):
        return state.b.add("dist.independent", state.b.add("dist.expand", d, dims=dims), ndims=len(dims))


def attribute(state: State, d: Value, name: str, at: Span) -> object:
    """`d.mean`, `d.stddev`, …; methods are given back unbound to arguments."""
    assert isinstance(d.type, DistType)
    with state.typed(at):
        match name:
            case "mean":
                return state.b.add("prob.mean", d)
            case "variance":
                return state.b.add("prob.variance", d)
            case "stddev":
                return state.b.unary("sqrt", state.b.add("prob.variance", d))
            case "probs":
                return class_probabilities(state, d, at)
            case "event_shape":
                return [size_of(s) for s in d.type.event]
            case "batch_shape":
                return [size_of(s) for s in d.type.batch]
            case "log_prob" | "sample":
                return Method(d, name)
    state.unknown("attribute of a distribution", name, list(METHODS), at)


def class_probabilities(state: State, d: Value, at: Span) -> Value:
    """Probabilities of a `Categorical`'s classes, or of a `Bernoulli`'s 1."""
    assert isinstance(d.type, DistType)
    if d.type.family == "Bernoulli":
        return state.b.add("prob.mean", d)
    node = state.b.producer(d)
    while node is not None and node.op.name in ("dist.expand", "dist.independent"):
        node = state.b.producer(node.inputs[0])
    if node is None or node.op.name != "dist.Categorical":
        state.fail("BLC0205", f"`{d.type.family}` has no class probabilities", at)
    return state.b.add("prob.probs", d, classes=node.inputs[0].tensor.dims[-1].size)


def call_method(state: State, method: Method, arguments: Arguments, env: Env, at: Span) -> Value:
    """`d.log_prob(x)` and `d.sample()`."""
    if method.name == "sample":
        match_arguments(state, "`sample`", (), arguments, at)
        refuse_improper(state, method.owner, at)
        site = state.claim(env.frame.instance_path("sample"), at)
        with state.typed(at):
            return state.b.add("model.noise", method.owner, site=site)
    given, spans = match_arguments(state, "`log_prob`", (ParamSpec("value", "object", True),), arguments, at)
    value = observation(state, given["value"], method.owner, spans["value"])
    with state.typed(at):
        return state.b.add("prob.log_prob", method.owner, value)


def observation(state: State, value: object, d: Value, at: Span, what: str = "an array") -> Value:
    """A value that a distribution tells the density of; a number is one of the distribution's."""
    assert isinstance(d.type, DistType)
    if d.type.dtype.is_float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return state.array(value, at, what)


def refuse_improper(state: State, d: Value, at: Span) -> None:
    """Refuse a density without an integral where a distribution must be one: where values are drawn or observed."""
    assert isinstance(d.type, DistType)
    if is_improper(d.type.family):
        words = f"{d.type.family} is improper: it is a prior, and there is nothing to draw from it"
        state.fail("BLC0301", words, at, help="use it as the prior of a weight: `kernel ~ LogUniform() by mean_field`")


def broadcast_to(state: State, d: Value, dims: tuple[Dim, ...], at: Span, *, what: str) -> Value:
    """A distribution over exactly `dims`: independent copies where it has fewer.

    A scalar prior of a weight is made one per element, so that a sum over the result counts every element once.
    """
    assert isinstance(d.type, DistType)
    event = len(d.type.event)
    batch = dims[: len(dims) - event]
    if event > len(dims) or [s.size for s in d.type.event] != [s.size for s in dims[len(dims) - event :]]:
        state.fail("BLC0206", f"{what} is over events {d.type} and the value is {list(map(str, dims))}", at)
    if d.type.batch == batch:
        return d
    with state.typed(at):
        return state.b.add("dist.expand", d, dims=batch)
