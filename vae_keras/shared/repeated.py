"""The rows of a batch, once for each of several draws."""

from __future__ import annotations

from typing import Any

from keras import ops, tree


def repeated(x: Any, num_samples: Any) -> Any:
    """All examples num_samples times, one set after another.

    Args:
        x: tensor (batch, ..), or a nested structure of such tensors.
        num_samples: how many times the examples are repeated, an integer or a scalar tensor.

    Returns:
        (num_samples * batch, ..), in the structure of x.

    Example:
        >>> print(ops.convert_to_numpy(repeated(ops.arange(2), 3)))
        [0 1 0 1 0 1]
    """

    def copies(a):
        shape = ops.shape(a)
        every = ops.broadcast_to(a[None], (num_samples, *shape))  # (num_samples, batch, ..)
        return ops.reshape(every, (-1, *shape[1:]))  # (num_samples * batch, ..)

    is_one = isinstance(num_samples, int) and num_samples == 1  # it may be a tensor in a graph
    return x if is_one else tree.map_structure(copies, x)
