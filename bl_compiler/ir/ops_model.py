"""What a model declares: inputs, parameters, statistics, sites, observations, and the choice between entry points.

After the pass `entries` only `model.input`, `model.param`, `model.state`, `model.plate_size` and `model.step` remain.
May import: floor 0, `types`, `attrs`, `opspec`, `ops_dist`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bl_compiler.ir.attrs import Attrs
from bl_compiler.ir.ops_dist import check_event
from bl_compiler.ir.opspec import REQUIRED, Effect, OpSpec, PlateRule
from bl_compiler.ir.types import (
    DType,
    TensorType,
    Type,
    TypeRuleError,
    broadcast_dims,
    dims_text,
    distribution,
    tensor,
)

Result = tuple[Type, ...]


def _typed(types: Sequence[Type], attrs: Attrs) -> Result:
    return (attrs.array_type("type"),)


def _plate_size(types: Sequence[Type], attrs: Attrs) -> Result:
    return (TensorType(DType.F32),)


def _sample(types: Sequence[Type], attrs: Attrs) -> Result:
    prior, posterior = distribution(types[0]), distribution(types[1])
    if tuple(d.size for d in prior.sample_type.dims) != tuple(d.size for d in posterior.sample_type.dims):
        a, b = dims_text(prior.sample_type.dims), dims_text(posterior.sample_type.dims)
        raise TypeRuleError(f"the prior is over {a} and the posterior over {b}")
    return (TensorType(posterior.dtype, broadcast_dims(prior.sample_type.dims, posterior.sample_type.dims)),)


def _point(types: Sequence[Type], attrs: Attrs) -> Result:
    prior, value = distribution(types[0]), tensor(types[1])
    if tuple(d.size for d in prior.sample_type.dims) != value.shape:
        raise TypeRuleError(
            f"the prior is over {dims_text(prior.sample_type.dims)} and the value is {dims_text(value.dims)}"
        )
    return (value,)


def _noise(types: Sequence[Type], attrs: Attrs) -> Result:
    return (distribution(types[0]).sample_type,)


def _observe(types: Sequence[Type], attrs: Attrs) -> Result:
    x, d = tensor(types[0]), distribution(types[1])
    full = broadcast_dims(x.dims, d.batch + d.event)
    if x.rank != len(full) or any(a.size != b.size for a, b in zip(x.dims, full, strict=True)):
        raise TypeRuleError(
            f"the data is {dims_text(x.dims)} and the distribution is over {dims_text(d.batch + d.event)}"
        )
    check_event(d, x)
    if len(types) > 2:
        mask = tensor(types[2])
        if mask.dtype is not DType.BOOL:
            raise TypeRuleError(f"the mask is {mask.dtype}, not bool")
        batch = x.dims[: x.rank - len(d.event)]
        if [a.size for a in broadcast_dims(mask.dims, batch)] != [b.size for b in batch]:
            raise TypeRuleError(f"the mask {dims_text(mask.dims)} does not fit the observations {dims_text(batch)}")
    return ()


def _nothing(types: Sequence[Type], attrs: Attrs) -> Result:
    tensor(types[0])
    return ()


def _phase(types: Sequence[Type], attrs: Attrs) -> Result:
    a, b = tensor(types[0]), tensor(types[1])
    if a.shape != b.shape or a.dtype != b.dtype:
        raise TypeRuleError(f"the value in training is {a} and in prediction {b}")
    return (a,)


def _same(types: Sequence[Type], attrs: Attrs) -> Result:
    return (tensor(types[0]),)


_D = Effect.DECLARES
_SPACE = {"constraint": REQUIRED, "low": 0.0, "high": 1.0}

MODEL_OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "model.input",
        (),
        _typed,
        "a value the caller feeds under `key`",
        {"key": REQUIRED, "type": REQUIRED},
        _D,
        PlateRule.NONE,
    ),
    OpSpec(
        "model.param",
        (),
        _typed,
        "the raw array of a trained parameter; `init` is an initializer, `constraint` the space its value lives in",
        {"path": REQUIRED, "type": REQUIRED, "init": REQUIRED, "constraint": "real", "low": 0.0, "high": 1.0},
        _D,
        PlateRule.NONE,
    ),
    OpSpec(
        "model.state",
        (),
        _typed,
        "a running statistic: kept with the parameters, not trained by gradients",
        {"path": REQUIRED, "type": REQUIRED, "init": REQUIRED},
        _D,
        PlateRule.NONE,
    ),
    OpSpec(
        "model.plate_size",
        (),
        _plate_size,
        "the number of examples in the data set",
        {"plate": REQUIRED},
        Effect.PURE,
        PlateRule.NONE,
    ),
    OpSpec(
        "model.step",
        (),
        _plate_size,
        "the training step, a float; outside training the last step",
        {},
        Effect.PURE,
        PlateRule.NONE,
    ),
    OpSpec("param.constrain", ("x",), _same, "a raw array mapped into the constrained space", _SPACE),
    OpSpec("param.unconstrain", ("x",), _same, "the inverse of `param.constrain`", _SPACE),
    OpSpec(
        "param.initialize",
        (),
        _typed,
        "an initial value drawn for `path` as `init` says",
        {"path": REQUIRED, "type": REQUIRED, "init": REQUIRED},
        Effect.DRAWS,
        PlateRule.NONE,
    ),
    OpSpec(
        "model.sample",
        ("prior", "posterior"),
        _sample,
        "a latent variable with its prior and posterior; `estimator` is the one asked for with `using`",
        {"estimator": "auto"},
        Effect.DRAWS,
    ),
    OpSpec(
        "model.point",
        ("prior", "value"),
        _point,
        "a trained value with a prior: its density joins the objective (MAP)",
        {},
        Effect.OBSERVES,
    ),
    OpSpec(
        "model.noise",
        ("d",),
        _noise,
        "a variable that is drawn and never inferred; `estimator` is the one asked for with `using`",
        {"estimator": "auto"},
        Effect.DRAWS,
    ),
    OpSpec(
        "model.observe",
        ("x", "d", "mask?"),
        _observe,
        "data and its likelihood; false entries of the mask are left out",
        {},
        Effect.OBSERVES,
    ),
    OpSpec("model.predict", ("x",), _nothing, "the output `key` of prediction", {"key": REQUIRED}, Effect.UPDATES),
    OpSpec(
        "model.update", ("x",), _nothing, "the new value of the statistic `path`", {"path": REQUIRED}, Effect.UPDATES
    ),
    OpSpec("model.phase", ("train", "predict"), _phase, "one value in training, another in every other entry point"),
)
