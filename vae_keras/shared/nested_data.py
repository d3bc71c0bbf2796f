"""Data for many examples at once: one array, or nested arrays with as many rows each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import tree

from rbm_tf.shared.arrays import as_array


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
        The data, with arrays for lists and sparse matrices, and the number of examples. Tensors,
        of any framework, and tables stay what they are.

    Raises:
        ValueError: if there is no example, data hold no numbers or come in batches, or nested
            arrays have different numbers of rows.

    Example:
        >>> as_data({"x": np.zeros((3, 64)), "y": np.zeros((3, 10))})[1]
        3
    """
    x = mapped(_sliceable, x)
    return x, num_examples(tree.flatten(x))


def _sliceable(x):
    is_sparse = hasattr(x, "toarray") or hasattr(x, "dense_shape") or hasattr(x, "row_lengths")
    return as_array(x, None) if is_sparse or not hasattr(x, "shape") else x


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
