"""Bayesian networks as programs: every kind of layer that estimators tell apart, with weights drawn from posteriors.

`networks()` draws texts that lower without errors; most draws meet examples, so that passes have something to do.
Invariant: sizes are small, and programs have one plate. May import: hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

_PRIORS = ("Normal(0, 1)", "Normal(0, 1)", "Normal(0.5, 2)", "Laplace(0, 1)", "StudentT(4, 0, 1)")
_POSTERIORS = (
    *("mean_field(init_scale=0.3)", "mean_field(init_scale=0.3)", "mean_field(family=Laplace, init_scale=0.3)"),
    *("low_rank(rank=1)", "full_rank"),
)
_ROLES = ("kernel", "kernel, bias", "kernel, bias, embedding", "kernel, scale, embedding", "bias, embedding")


@dataclass
class _Net:
    """A network on its way: statements, and the value so far with its dimensions after the plate's."""

    draw: st.DrawFn
    statements: list[str]
    value: str
    dims: tuple[int, ...]
    made: int = 0

    def let(self, text: str, dims: tuple[int, ...]) -> None:
        """A name for a new value."""
        self.made += 1
        self.statements.append(f"let h{self.made} = {text}")
        self.value, self.dims = f"h{self.made}", dims

    def size(self) -> int:
        """A number of units."""
        return self.draw(st.integers(1, 3))


def _dense(n: _Net) -> None:
    units = n.size()
    n.let(f"{n.value} |> dense({units})", (*n.dims[:-1], units))


def _function(n: _Net) -> None:
    n.let(f"{n.value} |> {n.draw(st.sampled_from(['tanh', 'relu', 'softmax', 'sigmoid']))}", n.dims)


def _norm(n: _Net) -> None:
    n.let(f"{n.value} |> {n.draw(st.sampled_from(['layer_norm', 'layer_norm', 'batch_norm']))}", n.dims)


def _residual(n: _Net) -> None:
    n.let(f"{n.value} + ({n.value} |> dense({n.dims[-1]}))", n.dims)


def _twice(n: _Net) -> None:
    n.made += 1
    n.statements.append(f"let d{n.made} = dense({n.dims[-1]})")
    n.let(f"{n.value} |> d{n.made} |> tanh |> d{n.made}", n.dims)


def _tied(n: _Net) -> None:
    n.made += 1
    units, name = n.size(), f"w{n.made}"
    n.statements.append(f"sample {name}: f32[{n.dims[-1]}, {units}] ~ Normal(0, 1) by mean_field(init_scale=0.3)")
    way = n.draw(st.sampled_from(["{h} @ {w}", "tanh({h} @ {w}) @ transpose({w})", "{h} @ (0.5 * {w})"]))
    text = way.format(h=n.value, w=name)
    n.let(text, n.dims if "transpose" in way else (*n.dims[:-1], units))


def _weight(n: _Net) -> None:
    """A weight of one number for each feature."""
    n.made += 1
    name, op = f"w{n.made}", n.draw(st.sampled_from(["*", "+", "-"]))
    n.statements.append(f"sample {name}: f32[{n.dims[-1]}] ~ Normal(0, 1) by mean_field(init_scale=0.3)")
    n.let(f"{n.value} {op} {name}", n.dims)


def _conv(n: _Net) -> None:
    if len(n.dims) != 3 or n.dims[0] < 2:
        return _dense(n)
    filters, window = n.size(), n.draw(st.sampled_from([2, n.dims[0]]))
    side = n.dims[0] - window + 1
    n.let(f"{n.value} |> conv2d({filters}, kernel_size={window})", (side, side, filters))
    return None


_LAYERS = (_dense, _dense, _function, _norm, _residual, _twice, _tied, _weight, _conv, _conv)


@st.composite
def networks(draw: st.DrawFn, *, layers: int = 4) -> str:
    """A program."""
    batch = draw(st.sampled_from([2, 4, 8, 16]))
    kind = draw(st.sampled_from(["vectors", "vectors", "sequences", "images", "tokens", "texts"]))
    shape, dims = {
        "vectors": ("f32[batch, 3]", (3,)),
        "sequences": ("f32[batch, time=2, 3]", (2, 3)),
        "images": ("f32[batch, 3, 3, 2]", (3, 3, 2)),
        "tokens": ("i32[batch]", ()),
        "texts": ("i32[batch, 2]", (2,)),
    }[kind]
    prior, posterior = draw(st.sampled_from(_PRIORS)), draw(st.sampled_from(_POSTERIORS))
    net = _Net(draw, [f"plate batch[{batch}] of {batch * 5}", f"input x: {shape}"], "x", dims)
    net.statements.append(f"believe {draw(st.sampled_from(_ROLES))} ~ {prior} by {posterior}")
    if shape.startswith("i32"):
        net.let("x |> embedding(4, 2)", (*dims, 2))
    for layer in draw(st.lists(st.sampled_from(_LAYERS), max_size=layers)):
        layer(net)
    if len(net.dims) > 1:
        net.let(f"{net.value} |> flatten", (0,))
    if draw(st.integers(0, 3)) == 0:
        net.statements.append(f"predict c = {net.value} - mean({net.value}, axis=0)")
    net.statements.append("input y: f32[batch, 2]")
    net.statements.append(f"observe y ~ Normal({net.value} |> dense(2), 0.7)")
    net.statements.append(draw(st.sampled_from(["", "", "objective elbo(samples=2, kl_weight=0.5)"])))
    return "model net {\n  " + "\n  ".join(s for s in net.statements if s) + "\n}\n"
