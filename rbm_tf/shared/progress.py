"""Progress bars over long computations, which go on in parts meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

_FIRST = 64  # steps of the first part
_SECONDS = 0.2  # that a part should take at least
_DELAY = 2.0  # seconds before a bar appears


def in_parts(num_steps: int, description: str, progress: bool = True) -> Iterator[tuple[int, int]]:
    """Cut steps into parts of a few tenths of a second, behind a progress bar.

    The bar appears after two seconds and leaves when all is done.

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
    from tqdm.auto import tqdm  # a good part of a second, which importing a package should not cost

    first, size = 0, _FIRST
    options = {"total": num_steps, "desc": description, "unit": "step"}
    with tqdm(**options, delay=_DELAY, leave=False, disable=not progress) as bar:
        while first < num_steps:
            start, last = time.perf_counter(), min(first + size, num_steps)
            yield first, last
            bar.update(last - first)
            first = last
            if time.perf_counter() - start < _SECONDS:
                size *= 2
