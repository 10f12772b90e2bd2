"""Prints how long the front end and the passes take: start-up, a 200-line model, graphs of up to 10,000 nodes.

python benchmarks/front_end.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def model_text(lines: int) -> str:
    """A model of that many statements, each of a few nodes."""
    rows = ["model big {", "  plate batch[32] of 1000", "  input x: f32[batch, 16]", "  input y: f32[batch, 16]"]
    rows += ["  believe kernel ~ Normal(0, 1) by mean_field", "  let h0 = x |> dense(16)"]
    for i in range(1, lines - 7):
        step = "dense(16) |> relu" if i % 10 == 0 else "tanh"
        rows.append(f"  let h{i} = (h{i - 1} |> {step}) * 0.5 + h{max(i - 3, 0)}")
    rows += [f"  observe y ~ Normal(h{lines - 8}, 1)", "}"]
    return "\n".join(rows) + "\n"


def command_seconds(arguments: list[str], repeats: int = 7) -> float:
    """The median wall time of a command."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "bl_compiler", *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def stages(lines: int) -> tuple[int, float, float, float]:
    """Nodes of the model function, and seconds to parse, to lower, and for all passes."""
    from bl_compiler.diagnostics import Sink
    from bl_compiler.driver.optimize import entry_points, optimize
    from bl_compiler.frontend.lower import lower
    from bl_compiler.frontend.sources import load_sources
    from bl_compiler.frontend.state import LowerSettings
    from bl_compiler.options import Options
    from bl_compiler.source import SourceFile

    sink = Sink()
    start = time.perf_counter()
    sources = load_sources(SourceFile("big.blg", model_text(lines)), sink)
    parsed = time.perf_counter()
    assert sources is not None, sink.diagnostics
    module = lower(sources, LowerSettings(), sink)
    lowered = time.perf_counter()
    assert module is not None, sink.diagnostics
    entries = entry_points(module, sink)
    assert entries is not None
    optimize(entries, Options(), lambda text: None)
    return len(module.functions["model"].nodes), parsed - start, lowered - parsed, time.perf_counter() - lowered


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.blg"
        path.write_text(model_text(200), encoding="utf-8")
        print(f"blc --help                 {command_seconds(['--help']):6.3f} s")
        print(f"blc check, 200 lines       {command_seconds(['check', str(path)]):6.3f} s")
    print("\n| statements | nodes | parse, s | lower, s | passes, s | total, s | µs a node |")
    print("|---|---|---|---|---|---|---|")
    stages(50)
    for lines in (250, 500, 1000, 2000, 3100):
        nodes, parse, lower, passes = stages(lines)
        total = parse + lower + passes
        cells = (
            str(lines),
            str(nodes),
            *(f"{t:.2f}" for t in (parse, lower, passes, total)),
            f"{total / nodes * 1e6:.0f}",
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
