"""Data for many examples at once: one array, or nested arrays with as many rows each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import tree

from vae_keras.shared.checks import array_or_tensor


def mapped(function: Callable[[Any], Any], x: Any) -> Any:
    """A function of each array of nested data, where a list is one array, of rows.

    Args:
        function: maps an array, whatever holds it, to anything but None.
        x: data, or a dict or tuple of data.

    Returns:
        The same structure.

    Example:
        >>> mapped(np.shape, {"x": [[1, 2], [3, 4], [5, 6]]})
        {'x': (3, 2)}
    """
    return tree.traverse(lambda a: None if isinstance(a, (dict, tuple)) else function(a), x)


def as_data(x: Any) -> tuple[Any, int]:
    """The data as they may be sliced, and how many examples there are.

    Args:
        x: array-like, table, sparse matrix or tensor (num, ..), or a dict or tuple of these.

    Returns:
        The data as arrays and tensors, and the number of examples.

    Raises:
        ValueError: if there is no example, data hold no numbers or come in batches, or nested
            arrays have different numbers of rows.

    Example:
        >>> as_data({"x": np.zeros((3, 64)), "y": np.zeros((3, 10))})[1]
        3
    """
    x = mapped(lambda array: array_or_tensor(array, None, "x"), x)
    return x, num_examples(tree.flatten(x))


def num_examples(arrays: Sequence[Any]) -> int:
    """How many rows all arrays have.

    Args:
        arrays: arrays or tensors, each (num, ..).

    Raises:
        ValueError: if there is no row, or they have different numbers of them.

    Example:
        >>> num_examples([np.zeros((3, 64)), np.zeros((3, 10))])
        3
    """
    lengths = {len(array) if len(array.shape) else 0 for array in arrays}
    if len(lengths) > 1:
        raise ValueError(f"Nested data must be of one length; got {sorted(lengths)} rows.")
    if not lengths or lengths == {0}:
        raise ValueError("x must hold at least one image.")
    return lengths.pop()


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
