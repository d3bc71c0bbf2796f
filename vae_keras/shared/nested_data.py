"""Data for many examples at once: one array, or nested arrays with as many rows each."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import tree


def as_data(x: Any) -> tuple[Any, int]:
    """The data as they may be sliced, and how many examples there are.

    Args:
        x: array or tensor (num, ..), a list of rows, or a dict or tuple of these.

    Returns:
        The data, with an array for a list, and the number of examples.

    Raises:
        ValueError: if there is no example, or nested arrays have different numbers of rows.

    Example:
        >>> as_data({"x": np.zeros((3, 64)), "y": np.zeros((3, 10))})[1]
        3
    """
    x = np.asarray(x) if isinstance(x, list) else x
    lengths = {len(array) for array in tree.flatten(x)}
    if len(lengths) > 1:
        raise ValueError(f"Nested data must be of one length; got {sorted(lengths)} rows.")
    if not lengths or lengths == {0}:
        raise ValueError("x must hold at least one image.")
    return x, lengths.pop()


def examples(x: Any, start: int, stop: int) -> Any:
    """The examples from one number on, without a last one.

    Args:
        x: data, nested (num, ..).
        start: the first number.
        stop: the number after the last.

    Returns:
        The same structure, (stop - start, ..).

    Example:
        >>> examples({"x": np.zeros((3, 64)), "y": np.zeros((3, 10))}, 1, 3)["y"].shape
        (2, 10)
    """
    return tree.map_structure(lambda array: array[start:stop], x)
