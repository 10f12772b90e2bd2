"""Small models, one for each kind of layer and posterior that estimators tell apart, with what must be said of each.

A verdict is the text of the reasons against an estimator, joined by `; `, or EXACT. Invariant: every model lowers
without errors on a plate of eight examples. May import: the front end, the passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bl_compiler.ir.estimators import Estimator
from bl_compiler.ir.graph import Module
from bl_compiler.ir.walk import graphs_in
from bl_compiler.passes.entries import derive_entries
from bl_compiler.passes.estimators.legality import Site, Verdict, verdict
from bl_compiler.passes.estimators.rewriting import facts_of_entry
from tests.support.lowering import lowered

LOCAL, FLIPOUT, GROUPED = "local_reparameterization", "flipout", "grouped(4)"
ESTIMATORS = (LOCAL, FLIPOUT, GROUPED)
EXACT = ""
Verdicts = tuple[str, str, str]
"""Of local reparameterization, flipout and grouped draws."""

ALL: Verdicts = (EXACT, EXACT, EXACT)
TABLE = "`tensor.take` cannot take a weight for each group"
_OWN = "each element of plate `batch` has its own draw already"
_BEHIND = "the examples' axis stands behind the weight's"


@dataclass(frozen=True)
class Cell:
    """A model.

    Attributes:
        text: its statements.
        verdicts: by site; sites that are left out are not looked at.
        entry: the entry point.
        batch: the size of the plate, or `dynamic`.
    """

    text: str
    verdicts: dict[str, Verdicts] = field(default_factory=dict)
    entry: str = "train"
    batch: str | None = None

    @property
    def module(self) -> Module:
        """Its entry points."""
        settings = {} if self.batch is None else {"batch": self.batch}
        return derive_entries(lowered(f"model m {{ plate batch[8] of 100 {self.text} }}", **settings))


def reused(dims: str) -> str:
    """Why local reparameterization is not exact where positions share a weight."""
    return f"every position of an example along {dims} uses the same weight"


def unlike(posterior: str) -> tuple[str, str]:
    """Why a posterior fits neither local reparameterization nor flipout."""
    return (
        f"the posterior {posterior} is not an independent Gaussian for each weight",
        f"the posterior {posterior} is not independent for each weight and symmetric",
    )


def every(reason: str) -> Verdicts:
    """One reason against all."""
    return (reason, reason, reason)


def but_grouped(reason: str) -> Verdicts:
    """One reason against all but grouped draws."""
    return (reason, reason, EXACT)


X = "input x: f32[batch, 5] input y: f32[batch, 3] "
DENSE = X + "believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.5) "
BOTH = "believe kernel, bias ~ Normal(0, 1) by mean_field(init_scale=0.5) "
W = X + "sample w: f32[5, 3] ~ Normal(0, 1) by mean_field(init_scale=0.5) "
IMAGES = "input x: f32[batch, 4, 4, 2] " + BOTH
BATCH_MEAN = "`math.mean` combines the elements of plate `batch`"
TWO = "plate rows[6] of 60 "
SEVERAL = "it meets examples of several plates; `{}` gives no axis or several axes of examples"
"""Why examples of two plates are not grouped."""

CELLS: dict[str, Cell] = {
    "dense": Cell(DENSE + "observe y ~ Normal(x |> dense(3), 1)", {"y/dense/kernel": ALL}),
    "bias": Cell(
        X + "believe bias ~ Normal(0, 1) by mean_field(init_scale=0.5) observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/bias": ALL},
    ),
    "kernel and bias": Cell(
        X + BOTH + "observe y ~ Normal(x |> dense(3), 1)", {"y/dense/kernel": ALL, "y/dense/bias": ALL}
    ),
    "two layers": Cell(
        DENSE + "observe y ~ Normal(x |> dense(4) |> tanh |> dense(3), 1)",
        {"y/dense/kernel": ALL, "y/dense_1/kernel": ALL},
    ),
    "sequence": Cell(
        f"input x: f32[batch, time=3, 5] input y: f32[batch, time=3, 2] {BOTH} observe y ~ Normal(x |> dense(2), 1)",
        {site: (reused("[time~3]"), EXACT, EXACT) for site in ("y/dense/kernel", "y/dense/bias")},
    ),
    "conv": Cell(
        IMAGES + "input y: f32[batch, 2, 2, 3] observe y ~ Normal(x |> conv2d(3, kernel_size=3), 1)",
        {site: (reused("[2, 2]"), EXACT, EXACT) for site in ("y/conv2d/kernel", "y/conv2d/bias")},
    ),
    "conv over the whole image": Cell(
        IMAGES + "input y: f32[batch, 1, 1, 3] observe y ~ Normal(x |> conv2d(3, kernel_size=4), 1)",
        {"y/conv2d/kernel": ALL, "y/conv2d/bias": ALL},
    ),
    "table": Cell(
        "input x: i32[batch] input y: f32[batch, 3] believe embedding ~ Normal(0, 1) by mean_field(init_scale=0.5) "
        "observe y ~ Normal(x |> embedding(4, 3), 1)",
        {"y/embedding/embedding": (EXACT, EXACT, TABLE)},
    ),
    "table of a sequence": Cell(
        "input x: i32[batch, 2] input y: f32[batch, 2, 3] "
        "believe embedding ~ Normal(0, 1) by mean_field(init_scale=0.5) observe y ~ Normal(x |> embedding(4, 3), 1)",
        {"y/embedding/embedding": (reused("[2]"), EXACT, TABLE)},
    ),
    "layer norm": Cell(
        X + "believe scale, bias ~ Normal(0, 1) by mean_field(init_scale=0.5) let h = x |> layer_norm "
        "observe y ~ Normal(h[:, :3], 1)",
        {"h/layer_norm/scale": ALL, "h/layer_norm/bias": ALL},
    ),
    "tied": Cell(
        W + "let h = tanh(x @ w) observe x ~ Normal(h @ transpose(w), 1)",
        {"w": ("the weight is used 2 times", EXACT, EXACT)},
    ),
    "layer used twice": Cell(
        "input x: f32[batch, 4] input y: f32[batch, 4] believe kernel ~ Normal(0, 1) by mean_field(init_scale=0.5) "
        "let d = dense(4) observe y ~ Normal(x |> d |> tanh |> d, 1)",
        {"d/dense/kernel": ("the weight is used 2 times", EXACT, EXACT)},
    ),
    "used twice and scaled": Cell(
        W + "observe y ~ Normal(x @ w + x @ (2 * w), 1)",
        {
            "w": (
                "the weight is used 2 times",
                "the weight is used several times, and reshaped or scaled in between",
                EXACT,
            )
        },
    ),
    "batch norm before": Cell(DENSE + "observe y ~ Normal(x |> batch_norm |> dense(3), 1)", {"y/dense/kernel": ALL}),
    "batch norm after": Cell(
        DENSE + "observe y ~ Normal(x |> dense(3) |> batch_norm, 1)", {"y/dense/kernel": every(BATCH_MEAN)}
    ),
    "batch norm in repeated draws": Cell(
        DENSE + "observe y ~ Normal(x |> dense(3) |> batch_norm, 1) objective elbo(samples=3)",
        {"y/dense/kernel": every(BATCH_MEAN)},
    ),
    "centered by hand": Cell(
        DENSE + "let h = x |> dense(3) observe y ~ Normal(h - mean(h, axis=0), 1)",
        {"h/dense/kernel": every(BATCH_MEAN)},
    ),
    "mixed where predicted": Cell(
        DENSE + "let h = x |> dense(3) predict c = h - mean(h, axis=0) observe y ~ Normal(h, 1)",
        {"h/dense/kernel": every(BATCH_MEAN)},
        "predict",
    ),
    "mixed where predicted only": Cell(
        DENSE + "let h = x |> dense(3) predict c = h - mean(h, axis=0) observe y ~ Normal(h, 1)",
        {"h/dense/kernel": ALL},
    ),
    "exported": Cell(
        W + "predict w = w observe y ~ Normal(x @ w, 1)", {"w": every("its value is the output `value:w`")}, "predict"
    ),
    "exported elsewhere": Cell(W + "predict w = w observe y ~ Normal(x @ w, 1)", {"w": ALL}),
    "log-normal": Cell(
        X + "sample w: f32[5, 3] ~ LogNormal(0, 1) by mean_field(family=LogNormal) observe y ~ Normal(x @ w, 1)",
        {"w": (*unlike("LogNormal"), EXACT)},
    ),
    "Gumbel": Cell(
        X + "sample w: f32[5, 3] ~ Gumbel(0, 1) by mean_field(family=Gumbel) observe y ~ Normal(x @ w, 1)",
        {"w": (*unlike("Gumbel"), EXACT)},
    ),
    "Laplace": Cell(
        X
        + "sample w: f32[5, 3] ~ Laplace(0, 1) by mean_field(family=Laplace, init_scale=0.5) "
        + "observe y ~ Normal(x @ w, 1)",
        {"w": (unlike("Laplace")[0], EXACT, EXACT)},
    ),
    "full rank": Cell(
        X + "believe kernel ~ Normal(0, 1) by full_rank observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/kernel": (*unlike("MultivariateNormal"), EXACT)},
    ),
    "low rank": Cell(
        X + "believe kernel ~ Normal(0, 1) by low_rank(rank=2) observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/kernel": (*unlike("LowRankMultivariateNormal"), EXACT)},
    ),
    "matrix normal": Cell(
        X + "believe kernel ~ Normal(0, 1) by matrix_normal observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/kernel": (EXACT, unlike("MatrixNormal")[1], EXACT)},
    ),
    "matrix normal on a sequence": Cell(
        "input x: f32[batch, 2, 5] input y: f32[batch, 2, 3] believe kernel ~ Normal(0, 1) by matrix_normal "
        "observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/kernel": (reused("[2]"), unlike("MatrixNormal")[1], EXACT)},
    ),
    "heavy-tailed prior": Cell(
        X + "believe kernel ~ StudentT(4, 0, 1) by mean_field(init_scale=0.5) observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/kernel": ALL},
    ),
    "scaled": Cell(W + "param s: f32[3] = 0.5 in positive observe y ~ Normal(x @ (0.5 * w * s), 1)", {"w": ALL}),
    "transposed": Cell(
        X + "sample w: f32[3, 5] ~ Normal(0, 1) by mean_field(init_scale=0.5) observe y ~ Normal(x @ transpose(w), 1)",
        {"w": ALL},
    ),
    "reshaped": Cell(
        X
        + "sample w: f32[15] ~ Normal(0, 1) by mean_field(init_scale=0.5) "
        + "observe y ~ Normal(x @ reshape(w, [5, 3]), 1)",
        {"w": ALL},
    ),
    "repeated": Cell(
        X + "sample w: f32[5] ~ Normal(0, 1) by mean_field(init_scale=0.5) "
        "observe y ~ Normal(x @ (expand_dims(w, 1) * ones[5, 3]), 1)",
        {"w": but_grouped("`math.mul` repeats or mixes its elements before it meets examples")},
    ),
    "squared": Cell(
        W + "observe y ~ Normal(x @ (w * w), 1)",
        {"w": but_grouped("`math.mul` combines it with a value that depends on it")},
    ),
    "through a function": Cell(
        W + "observe y ~ Normal(x @ tanh(w), 1)",
        {"w": but_grouped("it enters `math.tanh`, which is not linear in it")},
    ),
    "counted inputs": Cell(
        "input x: i32[batch, 5] input y: f32[batch, 3] "
        "sample w: f32[5, 3] ~ Normal(0, 1) by mean_field(init_scale=0.5) observe y ~ Normal(x @ w, 1)",
        {"w": ALL},
    ),
    "factors": Cell(
        X + "believe kernel ~ Normal(0, 1) by rank1(prior_scale=0.5, init_scale=0.5) "
        "observe y ~ Normal(x |> dense(3, use_bias=false), 1)",
        {
            f"y/dense/kernel/{part}": but_grouped("`math.mul` repeats or mixes its elements before it meets examples")
            for part in "rs"
        },
    ),
    "members": Cell(
        X + "believe kernel, bias ~ Normal(0, 1) by hyper_batch_ensemble(3) observe y ~ Normal(x |> dense(3), 1)",
        {
            site: (*(f"it enters `{op}`, which is not linear in it; {reason}" for reason in unlike(law)), EXACT)
            for site, op, law in (("member_3", "tensor.take", "Categorical"), ("strength_3", "math.add", "Uniform"))
        },
    ),
    "one number": Cell(
        X + "sample w: f32[] ~ Normal(0, 1) by mean_field(init_scale=0.5) observe y ~ Normal(w * x[:, :3], 1)",
        {"w": (reused("[3]"), "no axis of it can carry signs", EXACT)},
    ),
    "as many as examples": Cell(
        "input x: f32[batch, 5] input y: f32[batch] sample w: f32[8] ~ Normal(0, 1) by mean_field(init_scale=0.5) "
        "observe y ~ Normal(sum(x, axis=1) * w, 1)",
        {"w": (EXACT, "no axis of it can carry signs", _BEHIND)},
    ),
    "rows for each example": Cell(
        "input x: f32[batch, 5] input y: f32[batch] sample w: f32[8, 5] ~ Normal(0, 1) by mean_field(init_scale=0.5) "
        'observe y ~ Normal(einsum("bi,bi->b", x, w), 1)',
        {"w": (EXACT, EXACT, "the examples' axis is one of the weight's")},
    ),
    "repeated draws": Cell(
        X + BOTH + "observe y ~ Normal(x |> dense(3), 1) objective elbo(samples=3)",
        {"y/dense/kernel": ALL, "y/dense/bias": ALL},
    ),
    "importance weights": Cell(
        "input x: f32[batch, 5] sample z: f32[batch, 2] ~ Normal(0, 1) by Normal(x |> dense(2), 1) "
        "believe kernel ~ Normal(0, 1) by mean_field observe x ~ Normal(z |> dense(5), 1) objective iwae(samples=3)",
        {
            "x/dense/kernel": every("it is used inside repeated draws or a loop"),
            "z": (
                f"{_OWN}; {reused('[5]')}",
                f"{_OWN}; no axis of it can carry signs",
                _OWN,
            ),
        },
    ),
    "two plates": Cell(
        f"{TWO} input x: f32[batch, rows, 5] input y: f32[batch, rows, 2] {BOTH} observe y ~ Normal(x |> dense(2), 1)",
        {
            "y/dense/kernel": (EXACT, EXACT, SEVERAL.format("linear.einsum")),
            "y/dense/bias": (EXACT, EXACT, SEVERAL.format("math.add")),
        },
    ),
    "uses on two plates": Cell(
        f"{TWO} input x: f32[batch, 5] input u: f32[rows, 5] input y: f32[batch, rows] "
        "sample w: f32[5] ~ Normal(0, 1) by mean_field observe y ~ Normal(expand_dims(x @ w, 1) + u @ w, 1)",
        {
            "w": (
                "the weight is used 2 times",
                "its uses are on different plates",
                "it meets examples of several plates",
            )
        },
    ),
    "any number of examples": Cell(
        DENSE + "observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/kernel": (EXACT, EXACT, "the number of examples in a step is not known at compile time")},
        batch="dynamic",
    ),
    "no example": Cell(
        X + "param b: f32[3] = 0.5 sample w: f32[3] ~ Normal(0, 1) by mean_field observe w ~ Normal(b, 1) "
        "observe y ~ Normal(x |> dense(3), 1)",
        {"w": every("it never meets examples")},
    ),
    "no draw": Cell(DENSE + "observe y ~ Normal(x |> dense(3), 1) objective map", {}),
}


def sites_of(module: Module, entry: str) -> dict[str, Site]:
    """The draws of an entry point."""
    graph = module.functions[entry]
    facts = facts_of_entry(entry, graph)
    return {
        node.site or "": Site(replace(facts, graph=body), node)
        for body in graphs_in(graph)
        for node in body.of("random.draw")
    }


def said(found: Verdict) -> str:
    """The text of a verdict."""
    return "; ".join(reason.text for reason in found.reasons)


def check_cell(cell: Cell) -> None:
    """What is said of a model's draws is what must be said."""
    sites = sites_of(cell.module, cell.entry)
    for name, verdicts in cell.verdicts.items():
        for estimator, wanted in zip(ESTIMATORS, verdicts, strict=True):
            found = said(verdict(sites[name], Estimator.parse(estimator)))
            assert found == wanted, f"{estimator} at {name}: {found!r}, not {wanted!r}"
