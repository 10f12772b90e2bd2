"""Gradient variance and step time of the estimators on the examples, as ratios to shared draws.

    python benchmarks/estimators.py                        # all models and estimators, as Markdown
    python benchmarks/estimators.py --only MLP --seeds 64

The variance is the trace of the covariance of the gradient of the loss over seeds, at fixed parameters and a fixed
batch: at the start, and after some training (with shared draws, the same for all). Blocks of training steps of all
programs alternate in one process; a time ratio is the median over rounds. An estimator that is not exact for every
weight of a model is refused there and has no row: `auto` chooses for each weight.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

import bl_compiler as bl

EXAMPLES = Path(__file__).parent.parent / "examples"
ESTIMATORS = ("shared", "grouped(8)", "flipout", "local_reparameterization", "auto")


@dataclass(frozen=True)
class Example:
    """A model with uncertain weights, and its data.

    Attributes:
        file: the model.
        data: the training set.
        left_out: what is taken out of the model's text.
    """

    file: str
    data: str = "digits_train.npz"
    left_out: str = ""


MODELS = {
    "MLP": Example("bayesian_mlp.blg"),
    "CNN": Example("bayesian_cnn_digits.blg"),
    # Batch normalization mixes examples, which leaves the convolutions no choice but to share their draws.
    "CNN without batch norm": Example("bayesian_cnn_digits.blg", left_out="|> batch_norm"),
    "regression": Example("regression.blg", data="diabetes_train.npz"),
}
_POSTERIOR = re.compile(r"by mean_field(\([^)]*\))?")


@dataclass(frozen=True)
class Row:
    """One estimator on one model.

    Attributes:
        start: the variance of the gradient before training, and its standard error.
        trained: the same after training.
        step: the time of a training step in seconds.
        time_ratio: that time over the time with shared draws, the median over rounds.
    """

    start: tuple[float, float]
    trained: tuple[float, float]
    step: float
    time_ratio: float


def program_of(model: str, estimator: str) -> bl.Program | None:
    """The model with one estimator for all its weights; None where it is not exact for one of them."""
    example = MODELS[model]
    text = (EXAMPLES / example.file).read_text(encoding="utf-8")
    text = text.replace(example.left_out, "") if example.left_out else text
    text = _POSTERIOR.sub(lambda found: f"{found[0]} using {estimator}", text)
    with TemporaryDirectory() as folder:
        path = Path(folder) / example.file
        path.write_text(text, encoding="utf-8")
        try:
            return bl.compile(path)
        except bl.CompileError as refused:
            print(f"{model}, {estimator}: {_first_line(refused)}", flush=True)
            return None


def _first_line(refused: bl.CompileError) -> str:
    return str(refused).strip().partition("\n")[0]


def variance(program: bl.Program, params: Any, batch: Mapping[str, Any], seeds: int) -> tuple[float, float]:
    """The trace of the gradient's covariance over seeds, and its standard error."""
    loss = program.functions["loss"]
    trained = [path for path, parameter in program.params.items() if parameter.trained]

    def gradient(key: Any) -> Any:
        def objective(part: Any) -> Any:
            return loss({**params, **part}, batch, key)[0]

        return jax.grad(objective)({path: params[path] for path in trained})

    keys = jax.random.split(jax.random.key(1), seeds)
    found = jax.device_get(jax.jit(lambda each: jax.lax.map(gradient, each))(keys))
    squares = sum(((g - g.mean(0)) ** 2).reshape(seeds, -1).astype(np.float64).sum(1) for g in found.values())
    assert not isinstance(squares, int), "no parameter is trained"
    squares = squares * seeds / (seeds - 1)
    return float(squares.mean()), float(squares.std() / np.sqrt(seeds))


def trained_params(program: bl.Program, data: Mapping[str, NDArray[Any]], steps: int, size: int) -> Any:
    """Parameters after training, and before it for no steps."""
    state = program.train_init(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        rows = rng.choice(len(data["y"]), size, replace=False)
        state, _ = program.train_step(state, {name: values[rows] for name, values in data.items()})
    return state["params"]


def step_times(programs: Mapping[str, bl.Program], batch: Any, rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds a training step by program, a figure a round; the order of the programs turns from round to round."""
    states = {name: program.train_init(seed=0) for name, program in programs.items()}
    compiled = {
        name: jax.jit(program.functions["train_step"], donate_argnums=0).lower(states[name], batch).compile()
        for name, program in programs.items()
    }
    found: dict[str, list[float]] = {name: [] for name in programs}
    names = list(programs)
    for index in range(rounds + 1):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            start, state = time.perf_counter(), states[name]
            for _ in range(steps):
                state, metrics = compiled[name](state, batch)
            jax.device_get(metrics)
            states[name] = state
            if index:  # the first round warms up
                found[name].append((time.perf_counter() - start) / steps)
    return found


def measure(model: str, arguments: argparse.Namespace) -> dict[str, Row]:
    """All estimators on one model."""
    with np.load(EXAMPLES / "data" / MODELS[model].data) as file:
        data = {name: file[name] for name in ("x", "y")}
    compiled = {name: program_of(model, name) for name in ESTIMATORS}
    programs = {name: program for name, program in compiled.items() if program is not None}
    shared = programs["shared"]
    size = shared.inputs["x"].shape[0]
    assert isinstance(size, int)
    batch = jax.device_put({name: values[:size] for name, values in data.items()})
    points = [trained_params(shared, data, steps, size) for steps in (0, arguments.train)]
    times = step_times(programs, batch, arguments.rounds, arguments.steps)
    rows = {}
    for name, program in programs.items():
        start, trained = (variance(program, params, batch, arguments.seeds) for params in points)
        ratio = statistics.median(a / b for a, b in zip(times[name], times["shared"], strict=True))
        rows[name] = Row(start, trained, statistics.median(times[name]), ratio)
    return rows


def table(model: str, rows: Mapping[str, Row]) -> Iterator[str]:
    """The rows of a model, as ratios to shared draws; the last two columns are the product of time and variance."""
    base = rows["shared"]
    for name, row in rows.items():
        start, trained = (_ratio(a, b) for a, b in ((row.start, base.start), (row.trained, base.trained)))
        products = (row.time_ratio * a[0] / b[0] for a, b in ((row.start, base.start), (row.trained, base.trained)))
        times = f"{row.step * 1e3:.2f} | {row.time_ratio:.2f}"
        yield f"| {model} | {name} | {start} | {trained} | {times} | {' | '.join(f'{p:.3f}' for p in products)} |"


def _ratio(value: tuple[float, float], base: tuple[float, float]) -> str:
    """A ratio of two independent estimates with its standard error, to first order."""
    ratio = value[0] / base[0]
    return f"{ratio:.3f} ± {ratio * np.hypot(value[1] / value[0], base[1] / base[0]):.3f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="MODEL")
    parser.add_argument("--seeds", type=int, default=256, help="gradients a variance is estimated from")
    parser.add_argument("--train", type=int, default=500, help="steps before the second measurement")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10, help="training steps a block")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    found = {name: measure(name, arguments) for name in MODELS if name.startswith(arguments.only)}
    print(
        f"\njax {jax.__version__}, {jax.devices()[0].device_kind}, {arguments.seeds} seeds, {arguments.rounds} rounds\n"
    )
    print("| model | estimator | variance, start | trained | step, ms | time | time x variance, start | trained |")
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in found.items():
        print("\n".join(table(name, rows)))
    if arguments.out:
        figures = {model: {name: asdict(row) for name, row in rows.items()} for model, rows in found.items()}
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
