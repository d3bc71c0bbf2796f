"""What users hand over, as arrays: conversion, the checks of data and weights, their lengths."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops, tree

from rbm_tf.shared.carriers import is_carrier
from rbm_tf.shared.types import ArrayLike, DType


def as_array(data: Any, dtype: DType | None, name: str = "x") -> np.ndarray:
    """The data as a NumPy array, whatever holds them in memory.

    Lists, NumPy arrays, tensors of any backend, pandas frames and masked arrays, whose missing
    values become NaN, and scipy's sparse matrices.

    Args:
        data: array-like, of any shape.
        dtype: the dtype of the result, None to keep that of the data; an array that has it already
            is not copied, nor a tensor of TensorFlow. Integers are made of whole numbers alone.
        name: what the error message calls the data.

    Returns:
        NumPy array, the shape of data.

    Raises:
        ValueError: if the data are None, text, ragged, or of another kind that holds no numbers;
            if they come in batches; if fractions were to become integers.

    Example:
        >>> as_array([[0, 1]], "float32")
        array([[0., 1.]], dtype=float32)
        >>> as_array(np.ma.masked_equal([[0, 1]], 1), "float32")
        array([[ 0., nan]], dtype=float32)
    """
    if is_carrier(data):
        raise ValueError(
            f"{name} must be in memory here: give arrays, such as np.concatenate(list(data)) of a "
            "tf.data.Dataset, or call evaluate, which takes batches."
        )
    try:
        if hasattr(data, "toarray"):  # scipy's sparse matrices
            array = data.toarray()
        elif hasattr(data, "iloc"):  # pandas
            array = data.to_numpy(dtype=dtype or float, na_value=np.nan)
        elif hasattr(data, "row_lengths"):  # TensorFlow's ragged tensors
            raise TypeError("its rows have lengths of their own: pad them, by data.to_tensor()")
        elif ops.is_tensor(data):
            array = _view(data)
        elif isinstance(data, np.ma.MaskedArray) and data.mask.any():
            array = np.ma.filled(data.astype(np.result_type(data, "float32")), np.nan)
        else:
            array = np.asarray(data)
        if array.dtype == object:
            if array.ndim == 0:
                raise TypeError(f"it is of type {type(data).__name__}")
            array = array.astype(dtype or float)
        if array.dtype.kind in "USMmc":  # text, dates and complex numbers
            raise TypeError(f"its values are of type {array.dtype}")
        with np.errstate(invalid="ignore"):  # NaN has no integer, and is refused below
            found = array if dtype is None else array.astype(dtype, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must hold numbers: give an array, a tensor, a table, a sparse matrix, a list "
            f"of lists, or what yields batches of them, a tf.data.Dataset, keras.utils.PyDataset, "
            f"DataLoader or generator; {error}."
        ) from error
    is_integer = found is not array and found.dtype.kind in "iu"
    if is_integer and not np.array_equal(found, array):
        raise ValueError(f"{name} must hold integers of type {dtype}: round it, or scale it.")
    return found


def _view(tensor):
    """The tensor itself, seen as an array, if TensorFlow has it in memory: copies take long."""
    if "CPU" in str(getattr(tensor, "device", "")):
        with contextlib.suppress(TypeError, ValueError):  # of another kind, or bfloat16
            return np.asarray(memoryview(tensor))
    return ops.convert_to_numpy(tensor)


def visible_states(
    data: Any, name: str, num_visible: int | None = None, binary: bool = False
) -> np.ndarray:
    """Visible states as a matrix, refused unless there are some and they lie in [0, 1].

    Args:
        data: array-like, (num, num_visible); its type is kept.
        name: what the error message calls the data.
        num_visible: the number of columns that there must be; None allows any.
        binary: whether to refuse grey levels too, where p(v) is that of binary units.

    Returns:
        NumPy array (num, num_visible).

    Raises:
        ValueError: for another shape, no data, values outside [0, 1] or NaN.

    Example:
        >>> visible_states([[0, 1]], "x", num_visible=2).shape
        (1, 2)
    """
    data = as_array(data, None, name)
    if data.ndim != 2 or (num_visible is not None and data.shape[1] != num_visible):
        raise ValueError(
            f"{name} must have shape (num, {num_visible or 'num_visible'}), one column per visible "
            f"unit; got {data.shape}. Flatten images with x.reshape(len(x), -1), and cut a "
            "tf.data.Dataset into batches with .batch(100)."
        )
    if not data.size:
        raise ValueError(f"{name} holds no data: its shape is {data.shape}.")
    if not (data.min() >= 0 and data.max() <= 1):  # false for NaN
        raise ValueError(
            f"{name} must lie in [0, 1], without NaN: divide 8-bit images by 255, and binarise "
            f"with rbm_tf.datasets.binarize. {_first(data, ~((data >= 0) & (data <= 1)))}."
        )
    if binary and not np.all((data == 0) | (data == 1)):
        raise ValueError(
            f"{name} must hold 0 and 1 alone: p(v) is that of binary units. Make grey levels "
            f"binary with rbm_tf.datasets.binarize. {_first(data, (data != 0) & (data != 1))}."
        )
    return data


def _first(data, wrong):
    row, column = np.argwhere(wrong)[0]
    return f"The first other value is {data[row, column]} in row {row}, column {column}"


def checked_weights(sample_weight: ArrayLike | None, num: int) -> np.ndarray | None:
    """The weights of examples as a float32 array, one for each; None stays None.

    Args:
        sample_weight: array-like, (num,) or (num, 1), or None.
        num: the number of examples.

    Returns:
        NumPy array (num,), float32, or None.

    Raises:
        ValueError: if there are more or fewer, or one is NaN or infinite.

    Example:
        >>> checked_weights([1, 2], num=2)
        array([1., 2.], dtype=float32)
    """
    if sample_weight is None:
        return None
    weights = as_array(sample_weight, "float32", "sample_weight")
    if weights.shape not in ((num,), (num, 1)) or not np.all(np.isfinite(weights)):
        raise ValueError(
            f"sample_weight must hold one finite number for each of {num} examples; got shape "
            f"{weights.shape}, {np.sum(~np.isfinite(weights))} of them NaN or infinite."
        )
    return weights.reshape(num)


def checked_batch_size(batch_size: int | None) -> int:
    """The batch size as an integer; None stands for Keras's 32.

    Args:
        batch_size: integer of any kind, or None.

    Raises:
        ValueError: if it is not an integer of 1 or more.

    Example:
        >>> checked_batch_size(None), checked_batch_size(np.int64(10))
        (32, 10)
    """
    if batch_size is None:
        return 32
    try:
        size = operator.index(batch_size)
    except TypeError:
        size = 0
    if size < 1:
        raise ValueError(f"batch_size must be an integer of 1 or more; got {batch_size!r}.")
    return size


def common_length(arrays: Sequence[np.ndarray]) -> int:
    """The length that arrays share.

    Args:
        arrays: sequence of arrays, each (num, ..).

    Raises:
        ValueError: if they differ in length, or have none.

    Example:
        >>> common_length((np.eye(3), np.ones(3)))
        3
    """
    lengths = {len(array) for array in arrays}
    if lengths == {0}:
        raise ValueError("There are no data: the first axis is empty.")
    if len(lengths) > 1:
        raise ValueError(
            f"Arrays must be of one length; got lengths {[len(array) for array in arrays]}."
        )
    return lengths.pop()


def held_back(data: Any, share: float) -> tuple[Any, Any]:
    """Cut the last examples off for validation, as `validation_split` of `keras.Model.fit` does.

    Args:
        data: nested arrays (num, ..) of one length; None stays None.
        share: which part of the examples to cut off, above 0 and below 1.

    Returns:
        The first examples and the last ones, both in the structure of data.

    Raises:
        ValueError: if the share is another, or leaves one side without an example.

    Example:
        >>> held_back((np.arange(10), None), 0.2)[1]
        (array([8, 9]), None)
    """
    num = next(len(array) for array in tree.flatten(data) if array is not None)
    first = int(num * (1 - share)) if 0 < share < 1 else 0
    if not 0 < first < num:
        raise ValueError(
            "validation_split must be above 0 and below 1 and leave an example on both sides; got "
            f"{share} for {num} examples."
        )

    def cut(part):
        return tree.map_structure(lambda a: None if a is None else a[part], data)

    return cut(slice(first)), cut(slice(first, None))


def epoch_rows(
    num: int, batch_size: int, num_steps: int, num_done: int, order_of: Callable[[int], np.ndarray]
) -> np.ndarray:
    """The rows of an epoch of a number of steps, which goes on where the last one ended.

    The passes over the data, each in its own order, make an endless sequence of rows, which is cut
    into batches and these into epochs.

    Args:
        num: the number of rows of the data.
        batch_size: the number of rows of a batch.
        num_steps: the number of batches of an epoch.
        num_done: the number of batches before this epoch.
        order_of: function that maps the number of a pass to the order of its rows, (num,).

    Returns:
        (num_steps * batch_size,) integers.

    Example:
        >>> epoch_rows(3, batch_size=2, num_steps=2, num_done=1, order_of=lambda _: np.arange(3))
        array([2, 0, 1, 2])
    """
    start, size = num_done * batch_size, num_steps * batch_size
    first = start // num
    passes = range(first, -(-(start + size) // num))
    rows = np.concatenate([order_of(index) for index in passes])
    return rows[start - first * num :][:size]
