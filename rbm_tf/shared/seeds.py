"""Seeds as users give them: integers of Python, NumPy or a framework."""

from __future__ import annotations

import operator
import random
from typing import SupportsIndex

from keras import backend

from rbm_tf.shared.types import ArrayLike, Tensor

LIMIT = 2**31  # of seeds that become the first of two int32 numbers


def integer_seed(seed: SupportsIndex | None, *, limit: int | None = None) -> int | None:
    """The seed as a Python integer; None, which stands for another one every time, stays None.

    Args:
        seed: integer of any kind, or None.
        limit: the first integer that is too large, or None where all are allowed.

    Returns:
        The integer, or None.

    Raises:
        ValueError: if it is no integer, or outside 0 .. limit - 1 where there is a limit.

    Example:
        >>> integer_seed(np.int64(3))
        3
    """
    if seed is None:
        return None
    value = _integer(seed)
    if limit is not None and not 0 <= value < limit:
        raise ValueError(f"seed must be from 0 to {limit - 1}; got {value}.")
    return value


def seed_of_keras(seed: SupportsIndex | None) -> int | None:
    """A seed for `keras.random.SeedGenerator`, which would fail later, or take another, below 0.

    Args:
        seed: integer of any kind from 0 to 2^32 - 1, on PyTorch to 2^31 - 1, or None.

    Raises:
        ValueError: if it is another.

    Example:
        >>> seed_of_keras(3)
        3
    """
    return integer_seed(seed, limit=keras_limit())


def keras_limit() -> int:
    """The first integer that is too large for a seed of Keras, which PyTorch decides.

    Example:
        >>> keras_limit() in (2**31, 2**32)
        True
    """
    return 2**31 if backend.backend() == "torch" else 2**32


def seed_of_numpy(seed: SupportsIndex | None) -> int:
    """A seed for `numpy.random.default_rng`; None draws it from Python's generator, as `as_seed`.

    Args:
        seed: integer of any kind, 0 or above and below 2^64, or None.

    Raises:
        ValueError: if it is another.

    Example:
        >>> seed_of_numpy(np.uint8(3))
        3
    """
    value = integer_seed(seed, limit=2**64)
    return random.randrange(LIMIT) if value is None else value


def as_seed(seed: int | ArrayLike | None) -> Tensor:
    """Turn an integer, a (2,) int32 tensor or None into a (2,) int32 tensor.

    None draws from Python's generator, which `keras.utils.set_random_seed` seeds. Integers give
    different tensors up to 2^62.

    Args:
        seed: integer of any kind, also as a tensor in a graph, (2,) int32 tensor, or None.

    Returns:
        (2,) int32 tensor.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> as_seed(2**31 + 3).numpy()
        array([3, 1], dtype=int32)
    """
    import tensorflow as tf  # layers that run on every backend need integer_seed alone

    value: ArrayLike = random.randrange(LIMIT) if seed is None else seed
    if tf.is_tensor(value) and value.dtype.is_integer and value.shape.rank == 0:  # also in a graph
        value = tf.cast(value, tf.int64)
        value = tf.stack([value % LIMIT, value // LIMIT % LIMIT])
    elif not isinstance(value, (list, tuple)) and len(getattr(value, "shape", ())) == 0:
        value = _integer(value)
        value = [value % LIMIT, value // LIMIT % LIMIT]
    return tf.cast(value, tf.int32)


def _integer(seed):
    try:
        return operator.index(seed)
    except TypeError as error:
        raise ValueError(f"seed must be an integer or None; got {seed!r}.") from error
