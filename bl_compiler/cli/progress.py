"""How a training run shows itself: a progress bar on terminals, JSON lines on request, nothing else.

May import: floor 0, `cli.term`; rich inside functions.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bl_compiler.cli.term import Terminal

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text


class TrainingDisplay:
    """A watcher of the training loop.

    Args:
        term: The terminal.
        start: The step the run starts from.
        steps: The step it goes to.
        as_json: Whether records go to stdout as JSON lines.
        measure: What an evaluation measures.
    """

    def __init__(self, term: Terminal, start: int, steps: int, *, as_json: bool, measure: str) -> None:
        self._term = term
        self._start = start
        self._steps = steps
        self._as_json = as_json
        self._measure = measure
        self._means = self._evaluation = ""
        self._bar: Progress | None = None

    def __enter__(self) -> TrainingDisplay:
        if self._term.progress:
            self._bar = _bar(self._term)
            self._bar.start()
            self._bar.add_task("compiling", total=self._steps, completed=self._start, metrics="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stepped(self, step: int, means: Mapping[str, float]) -> None:
        """Show the metrics of a stretch of steps."""
        if self._as_json:
            self._record({"type": "metrics", "step": step, **means})
        if self._bar is not None:
            names = [name for name in ("loss", "nll", "kl") if name in means]
            self._means = " ".join(f"{name} {means[name]:.4g}" for name in names)
            self._update(step)

    def evaluated(self, step: int, nll: float, standard_error: float, *, better: bool) -> None:
        """Show an evaluation."""
        if self._as_json:
            value = nll if math.isfinite(nll) else None
            error = standard_error if math.isfinite(standard_error) else None
            self._record(
                {"type": "evaluation", "step": step, self._measure: value, "standard_error": error, "better": better}
            )
        self._evaluation = f"val {nll:.4g}{'' if better else ' (no better)'}"
        if self._bar is not None:
            self._update(step)
        else:
            text = f"{self._measure.replace('_', ' ')} {nll:.4g}{'' if better else ' (no better)'}"
            self._term.note(f"step {step}: {text}", level=1)

    def _update(self, step: int) -> None:
        assert self._bar is not None
        text = f"{self._means} {self._evaluation}".strip()
        self._bar.update(self._bar.task_ids[0], completed=step, description="training", metrics=text)

    def saved(self, step: int, path: Path) -> None:
        """Mention a checkpoint to those who want to know."""
        self._term.note(f"step {step}: checkpoint {path}", level=1)

    def _record(self, record: Mapping[str, object]) -> None:
        self._term.out(json.dumps(record) + "\n")
        sys.stdout.flush()


def _bar(term: Terminal) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        """Steps or examples per second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")

    console = Console(stderr=True, force_terminal=True, no_color=not term.color_err)
    columns: list[ProgressColumn | str] = [
        TextColumn("{task.description}"),
        # On narrow terminals the numbers matter more than the bar.
        *([BarColumn(bar_width=20)] if console.width >= 110 else []),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[metrics]}"),
    ]
    return Progress(*columns, console=console, transient=True)


class ExamplesDisplay:
    """A bar over the examples of an evaluation or prediction."""

    def __init__(self, term: Terminal, what: str, total: int) -> None:
        self._term = term
        self._what = what
        self._total = total
        self._bar: Progress | None = None

    def __enter__(self) -> ExamplesDisplay:
        if self._term.progress:
            self._bar = _bar(self._term)
            self._bar.start()
            self._bar.add_task(self._what, total=self._total, metrics="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int) -> None:
        """Show how many examples are done."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)
