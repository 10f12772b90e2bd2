"""More small models: weights behind linear maps, in odd places, beside other draws, and under other posteriors.

Invariant: as for `cells`. May import: `cells`.
"""

from __future__ import annotations

from tests.support.cells import ALL, EXACT, SEVERAL, TABLE, Cell, X, but_grouped, reused, unlike

MF = "~ Normal(0, 1) by mean_field(init_scale=0.5) "
BELIEF = f"believe kernel {MF}"
SMALL = "input x: f32[batch, 3, 3, 2] input y: f32[batch, 2, 2, 2] " + BELIEF
SQUARE = "input x: f32[batch, 2, 3] input y: f32[batch, 2, 3] "
TWICE = "the weight is used 2 times"
MIXED = "`linear.einsum` repeats or mixes its elements before it meets examples"

MORE: dict[str, Cell] = {
    # --- behind linear maps
    "divided": Cell(
        X + f"param s: f32[3] = 0.5 in positive sample w: f32[5, 3] {MF} observe y ~ Normal(x @ (w / s), 1)", {"w": ALL}
    ),
    "sliced": Cell(X + f"sample w: f32[6, 4] {MF} observe y ~ Normal(x @ w[1:, :3], 1)", {"w": ALL}),
    "summed": Cell(X + f"sample w: f32[2, 5, 3] {MF} observe y ~ Normal(x @ sum(w, axis=0), 1)", {"w": ALL}),
    "averaged": Cell(X + f"sample w: f32[2, 5, 3] {MF} observe y ~ Normal(x @ mean(w, axis=0), 1)", {"w": ALL}),
    "rows mixed": Cell(
        X + f"param a: f32[5, 5] = 0.5 sample w: f32[5, 3] {MF} observe y ~ Normal(x @ (a @ w), 1)",
        {"w": but_grouped(MIXED)},
    ),
    "two parts": Cell(
        X + f"sample w: f32[5, 6] {MF} observe y ~ Normal(x @ w[:, :3] + tanh(x @ w[:, 3:]), 1)",
        {"w": (TWICE, "the weight is used several times, and reshaped or scaled in between", EXACT)},
    ),
    # --- without a product
    "subtracted": Cell(X + f"sample w: f32[3] {MF} observe y ~ Normal(x[:, :3] - w, 1)", {"w": ALL}),
    "taken from": Cell(X + f"sample w: f32[3] {MF} observe y ~ Normal(w - x[:, :3], 1)", {"w": ALL}),
    "over data": Cell(X + f"sample w: f32[3] {MF} observe y ~ Normal(w / (1 + exp(x[:, :3])), 1)", {"w": ALL}),
    "one row for all": Cell(
        SQUARE + f"sample w: f32[1, 3] {MF} observe y ~ Normal(x * w, 1)", {"w": (reused("[2]"), EXACT, EXACT)}
    ),
    "one column for all": Cell(
        SQUARE + f"sample w: f32[2, 1] {MF} observe y ~ Normal(x * w, 1)", {"w": (reused("[3]"), EXACT, EXACT)}
    ),
    # --- products of several arrays
    "bilinear": Cell(
        f"input x: f32[batch, 3, 4] input y: f32[batch, 3, 2] sample q: f32[4, 2] {MF} "
        'let a = einsum("bti,ij,bsj->bts", x, q, x[:, :, :2]) '
        "observe y ~ Normal(softmax(a, axis=-1) @ x[:, :, :2], 1)",
        {"q": (reused("[3, 3]"), EXACT, EXACT)},
    ),
    "positions summed": Cell(
        f"input x: f32[batch, 2, 3] input y: f32[batch] sample w: f32[3] {MF} "
        'observe y ~ Normal(einsum("bti,i->b", x, w), 1)',
        {"w": ("`linear.einsum` sums its other operands among themselves", EXACT, EXACT)},
    ),
    "its own square": Cell(
        X + f"sample w: f32[5, 3] {MF} observe y ~ Normal((x @ w) * (x @ w), 1)", {"w": (TWICE, EXACT, EXACT)}
    ),
    "table used as weight": Cell(
        f"input x: i32[batch] input y: f32[batch, 4] sample w: f32[4, 3] {MF} "
        "observe y ~ Normal(tanh(take(w, x, axis=0)) @ transpose(w), 1)",
        {"w": (TWICE, EXACT, TABLE)},
    ),
    "plates in another order": Cell(
        f"plate rows[3] of 60 input x: f32[batch, rows, 5] input y: f32[batch, rows, 2] sample w: f32[5, 2] {MF} "
        'let a = einsum("bri,ij->brj", x, w) let b = einsum("bri,ij->rbj", x, w) '
        "observe y ~ Normal(a + transpose(tanh(b), [1, 0, 2]), 1)",
        {
            "w": (
                TWICE,
                EXACT,
                f"{SEVERAL.format('linear.einsum')}; `linear.einsum` gives no axis or several axes of examples",
            )
        },
    ),
    # --- convolutions
    "channels in groups": Cell(
        SMALL + "observe y ~ Normal(x |> conv2d(2, kernel_size=2, groups=2), 1)",
        {"y/conv2d/kernel": (reused("[2, 2]"), EXACT, EXACT)},
    ),
    "transposed convolution": Cell(
        SMALL + "observe y ~ Normal((x |> conv2d_transpose(2, kernel_size=2))[:, :2, :2], 1)",
        {"y/conv2d_transpose/kernel": (reused("[4, 4]"), EXACT, EXACT)},
    ),
    # --- beside other draws
    "product of two draws": Cell(
        X + f"sample w: f32[5, 3] {MF} sample v: f32[5, 3] {MF} observe y ~ Normal(x @ (w * v), 1)",
        {"w": ALL, "v": ALL},
    ),
    "scale that is drawn": Cell(
        X + "sample t: f32[] ~ LogNormal(0, 1) by mean_field(family=LogNormal) "
        "sample w: f32[5, 3] ~ Normal(0, t) by mean_field(init_scale=0.5) observe y ~ Normal(x @ w, 1)",
        {"w": ALL},
    ),
    "noise for all": Cell(
        X + f"sample e: f32[5] ~ Normal(0, 0.5) {BELIEF} observe y ~ Normal((x + e) |> dense(3), 1)",
        {"e": ALL, "y/dense/kernel": ALL},
    ),
    "posterior of the batch": Cell(
        X + "sample w: f32[5, 3] ~ Normal(0, 1) by Normal(mean(x) * ones[5, 3], 0.5) observe y ~ Normal(x @ w, 1)",
        {"w": ALL},
    ),
    # --- other posteriors
    "variational dropout": Cell(
        X + "believe kernel ~ LogUniform() by variational_dropout observe y ~ Normal(x |> dense(3), 1)",
        {"y/dense/kernel": ALL},
    ),
    "dropout of units": Cell(
        X + "believe kernel ~ Normal(0, 1) by dropout(0.2) observe y ~ Normal(x |> dense(3), 1)",
        {
            "y/dense/kernel/mask": (
                f"{unlike('Bernoulli')[0]}; `math.mul` repeats or mixes its elements before it meets examples",
                f"{unlike('Bernoulli')[1]}; `math.mul` repeats or mixes its elements before it meets examples",
                EXACT,
            )
        },
    ),
}
