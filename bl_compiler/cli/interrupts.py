"""Ctrl-C during training: the first asks for a checkpoint, the second stops at once.

May import: the standard library.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interrupts:
    """While entered, remembers SIGINT and SIGTERM instead of being stopped by them; a second one stops.

    Args:
        told: Called at the first signal.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._caught = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        # Python lets only the main thread have handlers; elsewhere there are no signals to wait for.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self._caught

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._caught:
            raise KeyboardInterrupt
        self._caught = True
        self._told()
