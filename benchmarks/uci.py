"""Regression on the small UCI data sets with a Bayesian network: test RMSE and NLL beside published figures.

    python benchmarks/uci.py --data DIR                              # four sets, 20 splits each, as Markdown
    python benchmarks/uci.py --data DIR --sets yacht --splits 1 --estimators auto,shared --out uci.json

DIR holds one `.npz` a set: `x[row, feature]`, `y[row]`, and `test_mask[split, row]`, the standard 90/10 splits of
Hernández-Lobato and Adams (arXiv 1502.05336). The model is `models/uci.blg`: one hidden layer of 50 ReLU, mean-field
Normal weights and biases, learned noise; full batches, Adam. Inputs and targets are standardized on the training part,
and errors and densities are those of the original units. NLL is by log-mean-exp over draws.

Nothing is stopped early or chosen by test rows. With `--validate` a tenth of the training rows of each split takes the
place of its test rows, which are not looked at. The prior of the model was chosen by training rows of split 0 alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

import bl_compiler as bl

MODEL = Path(__file__).parent / "models" / "uci.blg"
SETS = ("yacht", "energy", "boston", "concrete")
Array = NDArray[Any]

PUBLISHED: Mapping[str, Mapping[str, tuple[float | None, float]]] = {
    # RMSE (where given) and NLL. UB: github.com/google/uncertainty-baselines, baselines/uci (arXiv 2106.04015); its own
    # 80/20 splits. MC dropout: Mukhoti, Stenetorp and Gal, arXiv 1811.09385, standard splits. VMG: Louizos and Welling,
    # arXiv 1603.04733. HS-BNN: Ghosh, Yao and Doshi-Velez, arXiv 1806.05975. PBP-MV: Sun, Chen and Carin, AISTATS 2017.
    "VI, mean-field MLP (UB)": {
        "boston": (None, 3.12),
        "concrete": (None, 3.22),
        "energy": (None, 0.93),
        "yacht": (None, 2.01),
    },
    "refined VI (UB)": {
        "boston": (None, 2.94),
        "concrete": (None, 3.08),
        "energy": (None, 0.75),
        "yacht": (None, 1.68),
    },
    "ensemble of 10 (UB)": {
        "boston": (None, 6.11),
        "concrete": (None, 3.20),
        "energy": (None, 0.61),
        "yacht": (None, 0.73),
    },
    "MC dropout": {
        "boston": (2.904, 2.402),
        "concrete": (4.826, 2.937),
        "energy": (0.539, 1.212),
        "yacht": (0.666, 1.250),
    },
    "VMG": {"boston": (None, 2.46), "concrete": (None, 3.01), "energy": (None, 1.06), "yacht": (None, 1.30)},
    "HS-BNN": {"boston": (None, 2.54), "concrete": (None, 3.09), "energy": (None, 2.66), "yacht": (None, 2.33)},
    "PBP-MV": {"boston": (None, 2.54), "concrete": (None, 3.04), "energy": (None, 1.01), "yacht": (None, 1.64)},
}


@dataclass(frozen=True)
class Split:
    """One division of a data set, standardized by its training part.

    Attributes:
        train: `x[row, feature]` and `y[row]` to learn from.
        test: those to measure on.
        scale: the deviation of the training targets, in original units.
    """

    train: Mapping[str, Array]
    test: Mapping[str, Array]
    scale: float


@dataclass(frozen=True)
class Score:
    """One trained network: figures in original units; `bound` is -ELBO/N of standardized data near the end."""

    rmse: float
    nll: float
    bound: float
    seconds: float


def split_of(data: Mapping[str, Array], index: int, *, validate: bool) -> Split:
    """A split of a data set; with `validate`, one of its training rows alone."""
    rows = np.flatnonzero(data["test_mask"][index] == 0)
    held = np.flatnonzero(data["test_mask"][index] != 0)
    if validate:
        shuffled = np.random.default_rng(index).permutation(rows)
        held, rows = np.sort(shuffled[: len(rows) // 10]), np.sort(shuffled[len(rows) // 10 :])
    x, y = data["x"], data["y"]
    center, spread = x[rows].mean(0), x[rows].std(0)
    spread = np.where(spread > 0, spread, 1.0)
    mean, scale = y[rows].mean(), y[rows].std()

    def part(chosen: Array) -> dict[str, Array]:
        return {
            "x": ((x[chosen] - center) / spread).astype(np.float32),
            "y": ((y[chosen] - mean) / scale).astype(np.float32),
        }

    return Split(part(rows), part(held), float(scale))


def trainer(program: bl.Program, steps: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    """All training steps as one compiled loop: `state, inputs -> state, losses[step]`."""
    step = program.functions["train_step"]

    def run(state: Any, inputs: Any) -> tuple[Any, Any]:
        def once(before: Any, _: None) -> tuple[Any, Any]:
            after, metrics = step(before, inputs)
            return after, metrics["loss"]

        return jax.lax.scan(once, state, None, length=steps)

    return jax.jit(run, donate_argnums=0)


def measured(program: bl.Program, train: Callable[..., Any], split: Split, seed: int, draws: int) -> Score:
    """Train on one split and measure."""
    state = program.train_init(seed=seed)
    start = time.perf_counter()
    state, losses = train(state, split.train)
    losses = np.asarray(losses)
    seconds = time.perf_counter() - start
    params = state["params"]
    inside = np.asarray(program.log_likelihood(params, split.test, seed=seed, draws=draws)["y"], np.float64)
    # A density of y / scale is scale times that of y.
    density = np.logaddexp.reduce(inside, axis=0) - np.log(draws) - np.log(split.scale)
    predicted = np.asarray(program.predict(params, {"x": split.test["x"]}, seed=seed, draws=draws)["y"]["mean"])
    rmse = np.sqrt(np.mean((predicted - split.test["y"]) ** 2)) * split.scale
    bound = losses[-max(1, len(losses) // 10) :].mean()
    return Score(float(rmse), float(-density.mean()), float(bound), seconds)


def scores(data: Mapping[str, Array], estimators: str, arguments: argparse.Namespace) -> Iterator[Score]:
    """The figures of each split; one program serves all of them."""
    first = split_of(data, 0, validate=arguments.validate)
    rows, features = first.train["x"].shape
    defines = {"rows": rows, "features": features, "steps": arguments.steps}
    program = bl.compile(MODEL, defines=defines, estimators=estimators)
    train = trainer(program, arguments.steps)
    jax.device_get(train(program.train_init(seed=0), first.train))  # compiles it
    for index in range(min(arguments.splits, len(data["test_mask"]))):
        split = split_of(data, index, validate=arguments.validate)
        yield measured(program, train, split, index, arguments.draws)


def summary(values: list[float], digits: int = 3) -> str:
    """Mean ± standard error over splits."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"


def table(found: Mapping[str, Mapping[str, list[Score]]]) -> Iterator[str]:
    """The measured rows as Markdown, and those published."""
    yield "| set | estimators | RMSE | NLL | -ELBO/N | s a split |"
    yield "|---|---|---|---|---|---|"
    for name, by_estimators in found.items():
        for estimators, rows in by_estimators.items():
            rmse, nll, bound = ([getattr(s, field) for s in rows] for field in ("rmse", "nll", "bound"))
            seconds = f"{np.median([s.seconds for s in rows]):.1f}"
            yield f"| {name} | {estimators} | {summary(rmse)} | {summary(nll)} | {summary(bound)} | {seconds} |"
    yield ""
    yield "| NLL | " + " | ".join(found) + " |"
    yield "|---" * (len(found) + 1) + "|"
    for estimators in dict.fromkeys(e for by_estimators in found.values() for e in by_estimators):
        cells = [summary([s.nll for s in by_estimators[estimators]], 2) for by_estimators in found.values()]
        yield f"| **this compiler, `{estimators}`** | " + " | ".join(cells) + " |"
    for method, values in PUBLISHED.items():
        yield f"| {method} | " + " | ".join(f"{values[n][1]:.2f}" if n in values else "-" for n in found) + " |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = partial(str.split, sep=",")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sets", type=names, default=list(SETS), metavar="A,B")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--estimators", type=names, default=["auto"], metavar="A,B")
    parser.add_argument("--validate", action="store_true", help="measure on a tenth of the training rows instead")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every split's figures as JSON")
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[Score]]] = {}
    for name in arguments.sets:
        with np.load(arguments.data / f"{name}.npz") as file:
            data = {key: file[key] for key in ("x", "y", "test_mask")}
        found[name] = {each: list(scores(data, each, arguments)) for each in arguments.estimators}
    part = "validation rows" if arguments.validate else "test rows"
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__}, {device}; {arguments.splits} splits, {arguments.steps} steps, {part}\n")
    print("\n".join(table(found)))
    if arguments.out:
        settings = {key: getattr(arguments, key) for key in ("splits", "steps", "draws", "validate")}
        rows = {n: {e: [asdict(s) for s in each] for e, each in found[n].items()} for n in found}
        arguments.out.write_text(json.dumps({"settings": settings, "scores": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
