"""Progress bars over long computations, which go on in parts meanwhile."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

_FIRST = 64  # steps of the first part
_SECONDS = 0.2  # that a part should take at least
_DELAY = 2.0  # seconds before a bar appears
_allowed = True  # False in a block of `bars(False)`


@contextlib.contextmanager
def bars(shown: bool) -> Iterator[None]:
    """In a block, allow progress bars or hide them all, whatever makes them.

    Args:
        shown: whether bars may appear.

    Example:
        >>> with bars(False):
        ...     estimate = ais(BernoulliRBM(6, 4), seed=0)
    """
    global _allowed
    before, _allowed = _allowed, _allowed and shown
    try:
        yield
    finally:
        _allowed = before


class Progress:
    """A progress bar that appears after two seconds and leaves with the block that it is made for.

    Args:
        total: the number of steps.
        description: what the bar says.
        unit: what a step is called.
        done: the number of steps that were done before.
        shown: whether to show the bar at all. The environment variable TQDM_DISABLE hides all bars.

    Example:
        >>> with Progress(3, "images", "image") as progress:
        ...     for _ in range(3):
        ...         progress.update(1)
    """

    def __init__(
        self, total: int, description: str, unit: str, *, done: int = 0, shown: bool = True
    ) -> None:
        self._options = {"total": total, "desc": description, "unit": unit, "leave": False}
        hidden = os.environ.get("TQDM_DISABLE", "") not in (
            "",
            "0",
        )  # which tqdm forgets in Jupyter
        self._done, self._shown = done, shown and _allowed and not hidden
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._start = time.perf_counter()
        return self

    def update(self, num: int) -> None:
        """Count num more steps as done."""
        self._done += num
        if self._bar is not None:
            self._bar.update(num)
        elif self._shown and time.perf_counter() - self._start >= _DELAY:
            from tqdm.auto import tqdm  # not at once: it costs a good part of a second

            # and no bar before it shows: in Jupyter each leaves a widget in the file
            self._bar = tqdm(**self._options, initial=self._done)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def in_parts(num_steps: int, description: str, progress: bool = True) -> Iterator[tuple[int, int]]:
    """Cut steps into parts of a few tenths of a second, behind a progress bar.

    Args:
        num_steps: the number of steps, 0 or more.
        description: what the bar says.
        progress: whether to show the bar.

    Yields:
        Pairs (first, last) for the steps from first on, without last.

    Example:
        >>> list(in_parts(100, "sweeps"))
        [(0, 64), (64, 100)]
    """
    first, size = 0, _FIRST
    with Progress(num_steps, description, "step", shown=progress) as bar:
        while first < num_steps:
            start, last = time.perf_counter(), min(first + size, num_steps)
            yield first, last
            bar.update(last - first)
            first = last
            if time.perf_counter() - start < _SECONDS:
                size *= 2
