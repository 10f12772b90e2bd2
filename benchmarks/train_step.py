"""Measures the emitted training step against the same network written by hand, paired in one run.

    python benchmarks/train_step.py            # all four workloads, medians and ratios, as Markdown

Blocks of steps of the two programs alternate; the ratio is the median over pairs of blocks. FLOPs and bytes are
XLA's own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handwritten
import jax
import numpy as np

import bl_compiler as bl

MODELS = Path(__file__).parent / "models"
WORKLOADS = {
    "MLP deterministic": ("mlp.blg", False, 128, (784,)),
    "MLP mean-field, shared draws": ("mlp.blg", True, 128, (784,)),
    "CNN deterministic": ("cnn.blg", False, 64, (32, 32, 3)),
    "CNN mean-field, shared draws": ("cnn.blg", True, 64, (32, 32, 3)),
}


def _compiled(step: Callable[..., Any], state: Any, batch: Any) -> Any:
    return jax.jit(step, donate_argnums=0).lower(state, batch).compile()


def _block(run: Any, state: Any, batch: Any, steps: int) -> tuple[float, Any]:
    start = time.perf_counter()
    for _ in range(steps):
        state, metrics = run(state, batch)
    jax.block_until_ready((state, metrics))
    return (time.perf_counter() - start) / steps, state


def measure(name: str, *, pairs: int, steps: int) -> dict[str, Any]:
    """One workload: medians in milliseconds, the ratio, and XLA's costs of both programs."""
    file, bayesian, size, shape = WORKLOADS[name]
    rng = np.random.default_rng(0)
    batch = {"x": rng.normal(size=(size, *shape)).astype("f4"), "y": rng.integers(0, 10, size).astype("i4")}
    # By hand the weights are drawn once a step, too; benchmarks/estimators.py compares other estimators.
    program = bl.compile(str(MODELS / file), defines={"bayesian": bayesian}, estimators="shared")
    hand = (handwritten.mlp if "MLP" in name else handwritten.cnn)(bayesian=bayesian)
    ours_state, hand_state = program.train_init(seed=0), hand.init(0)
    ours = _compiled(program.functions["train_step"], ours_state, batch)
    theirs = _compiled(hand.step, hand_state, batch)
    batch = jax.device_put(batch)
    _, ours_state = _block(ours, ours_state, batch, 3)
    _, hand_state = _block(theirs, hand_state, batch, 3)
    a, b = [], []
    for pair in range(pairs):
        for first in (True, False) if pair % 2 else (False, True):
            if first:
                seconds, ours_state = _block(ours, ours_state, batch, steps)
                a.append(seconds)
            else:
                seconds, hand_state = _block(theirs, hand_state, batch, steps)
                b.append(seconds)
    costs = [c.cost_analysis() for c in (ours, theirs)]
    return {
        "ours": statistics.median(a) * 1e3,
        "hand": statistics.median(b) * 1e3,
        "ratio": statistics.median(x / y for x, y in zip(a, b, strict=True)),
        "flops": costs[0]["flops"] / costs[1]["flops"],
        "bytes": costs[0]["bytes accessed"] / costs[1]["bytes accessed"],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {arguments.pairs} pairs of blocks\n")
    print("| workload | emitted, ms | by hand, ms | time ratio | FLOPs ratio | bytes ratio |")
    print("|---|---|---|---|---|---|")
    for name in WORKLOADS:
        if arguments.only.lower() in name.lower():
            steps = arguments.steps if "MLP" in name else max(arguments.steps // 5, 2)
            r = measure(name, pairs=arguments.pairs, steps=steps)
            times = f"{r['ours']:.2f} | {r['hand']:.2f} | {r['ratio']:.3f}"
            print(f"| {name} | {times} | {r['flops']:.4f} | {r['bytes']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
