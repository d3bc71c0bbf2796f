"""Small operations on rows: casts, sums, standard noise, and the check of a value's shape."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import backend, ops, tree

from rbm_tf.shared.seeds import seed_of_keras
from rbm_tf.shared.types import ArrayLike, Shape, Tensor

SMALLEST = 2.0**-24  # how near uniform noise comes to 0 and 1


def is_floating(x: Tensor) -> bool:
    """Whether a tensor has a floating type, so that gradients may pass through it.

    Args:
        x: tensor, also symbolic.

    Example:
        >>> is_floating(ops.ones((2,))), is_floating(ops.arange(2))
        (True, False)
    """
    return backend.is_float_dtype(backend.standardize_dtype(x.dtype))


def wide(tensors: Any) -> Any:
    """Floating tensors in float32 at least, as densities are computed; others as they are.

    Args:
        tensors: nested tensors, or None.

    Returns:
        The same structure.

    Example:
        >>> [x.dtype.name for x in wide((ops.ones((2,), "float16"), ops.ones((2,), "int32")))]
        ['float32', 'int32']
    """

    def cast(x):
        narrow = is_floating(x) and backend.standardize_dtype(x.dtype) != "float64"
        return ops.cast(x, "float32") if narrow else ops.convert_to_tensor(x)

    return None if tensors is None else tree.map_structure(cast, tensors)


def num_rows(tensors: Any) -> Any:
    """The common length of the first axis of nested tensors, an integer or a scalar tensor.

    Args:
        tensors: nested tensors, each (rows, ..).

    Example:
        >>> num_rows((ops.ones((3, 2)), ops.ones((3,))))
        3
    """
    return ops.shape(tree.flatten(tensors)[0])[0]


def change_of(x: Tensor) -> Tensor:
    """Zero, with the gradient of x.

    Args:
        x: floating tensor, of any shape.

    Example:
        >>> float(change_of(ops.ones(())))
        0.0
    """
    return x - ops.stop_gradient(x)


def present(statistics: Any) -> Any:
    """The statistics, or no tensors in place of None.

    Args:
        statistics: nested tensors, or None.

    Example:
        >>> present(None)
        {}
    """
    return {} if statistics is None else statistics


def total(terms: Tensor) -> Tensor:
    """The sum over every axis but the first.

    Args:
        terms: tensor, (rows, ..).

    Returns:
        (rows,).

    Example:
        >>> print(ops.convert_to_numpy(total(ops.ones((2, 3, 4)))))
        [12. 12.]
    """
    axes = tuple(range(1, len(terms.shape)))
    return ops.sum(terms, axis=axes) if axes else terms


def widened(values: Tensor, like: Tensor) -> Tensor:
    """Values of the first axes of a tensor, with as many axes of length 1 as they lack.

    Args:
        values: tensor (rows,) or (rows, ..), such as one value a row, or a mask.
        like: the other tensor, of as many axes or more.

    Returns:
        (rows, .., 1, ..), which combines with it.

    Example:
        >>> tuple(widened(ops.ones((5,)), ops.ones((5, 2, 3))).shape)
        (5, 1, 1)
    """
    missing = (1,) * (len(like.shape) - len(values.shape))
    return ops.reshape(values, (*ops.shape(values), *missing))


def as_generator(seed: Any) -> keras.random.SeedGenerator:
    """The seed as a generator, so that several draws from one seed differ.

    Args:
        seed: integer, None, or a `keras.random.SeedGenerator`, which stays as it is.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> as_generator(3).next().shape[0]
        2
    """
    is_one = isinstance(seed, keras.random.SeedGenerator)
    return seed if is_one else keras.random.SeedGenerator(seed_of_keras(seed))


def open_uniform(shape: Any, dtype: str, seed: Any) -> Tensor:
    """Uniform noise on (0, 1) without its ends, where logarithms and quantiles are infinite.

    Args:
        shape: of the noise.
        dtype: of the noise.
        seed: integer, None, or a `keras.random.SeedGenerator`.

    Example:
        >>> u = open_uniform((1000,), "float32", 0)
        >>> bool(ops.all((u > 0) & (u < 1)))
        True
    """
    uniform = keras.random.uniform(shape, dtype=dtype, seed=seed)
    return ops.clip(uniform, SMALLEST, 1 - SMALLEST)


def logistic(shape: Any, dtype: str, seed: Any) -> Tensor:
    """Standard logistic noise: a logit with it is above 0 with the probability sigmoid(logit).

    Args:
        shape: of the noise.
        dtype: of the noise.
        seed: integer, None, or a `keras.random.SeedGenerator`.

    Example:
        >>> tuple(logistic((3, 2), "float32", 0).shape)
        (3, 2)
    """
    u = open_uniform(shape, dtype, seed)
    return ops.log(u) - ops.log1p(-u)


def gumbel(shape: Any, dtype: str, seed: Any) -> Tensor:
    """Standard Gumbel noise: the largest of logits with it is a draw of their softmax.

    Args:
        shape: of the noise.
        dtype: of the noise.
        seed: integer, None, or a `keras.random.SeedGenerator`.

    Example:
        >>> tuple(gumbel((3, 2), "float32", 0).shape)
        (3, 2)
    """
    return -ops.log(-ops.log(open_uniform(shape, dtype, seed)))


def float_dtype(tensors: Any) -> str:
    """The type in which densities are computed and noise is drawn: float64 if any tensor has it.

    `keras.backend.result_type` knows float64 under TensorFlow alone.

    Args:
        tensors: nested tensors.

    Returns:
        "float64" or "float32".

    Example:
        >>> float_dtype((ops.ones((2,), "float16"), ops.ones((2,))))
        'float32'
    """
    dtypes = {backend.standardize_dtype(x.dtype) for x in tree.flatten(tensors)}
    return "float64" if "float64" in dtypes else "float32"


def check_event(owner: Any, value: Tensor, event: Shape) -> None:
    """Refuse a value whose rows have another shape than the statistics ask for.

    A value (rows, 4) against statistics (rows, 1) would combine without a word, and the density be
    another one.

    Args:
        owner: the part, for the error message.
        value: tensor, (rows, ..).
        event: the shape of one row, with None where a length varies.

    Raises:
        ValueError: with both shapes.

    Example:
        >>> check_event("Gaussian", ops.ones((5, 4)), (4,))
    """
    given, event = tuple(value.shape[1:]), tuple(event)
    pairs = zip(given, event, strict=False)
    if len(given) != len(event) or any(a != b for a, b in pairs if None not in (a, b)):
        name = owner if isinstance(owner, str) else type(owner).__name__
        raise ValueError(
            f"{name} was given a value of shape (rows, {', '.join(map(str, given))}), but its "
            f"statistics are those of values (rows, {', '.join(map(str, event))}): make the "
            "network's output fit the value, or reshape the value."
        )


def check_range(
    owner: Any,
    value: ArrayLike,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    is_whole: bool = False,
    remedy: str,
) -> None:
    """Refuse data outside the support of a part, and NaN.

    Args:
        owner: the part, for the error message.
        value: array or eager tensor, of any shape.
        low: the least value.
        high: the greatest one; an infinite value is always refused.
        is_whole: whether values must be integers.
        remedy: what to do, the end of the message.

    Raises:
        ValueError: with the range and the remedy.

    Example:
        >>> check_range("Poisson", np.arange(3.0), 0, is_whole=True, remedy="count")
    """
    if not isinstance(value, np.ndarray):  # which would be copied
        value = ops.convert_to_numpy(value)
    if not value.size:
        return
    lowest, highest = value.min(), value.max()  # NaN if one value is
    finite = np.isfinite(lowest) and np.isfinite(highest)
    within = finite and low <= lowest and highest <= high
    if within and not (is_whole and np.any(value != np.round(value))):
        return
    name = owner if isinstance(owner, str) else type(owner).__name__
    if math.isinf(low):
        what = "must be finite"
    else:
        what = (
            f"must lie in [{low}, {high}], without NaN" if high < math.inf else "must be 0 or more"
        )
    whole = " and be integers" if is_whole else ""
    raise ValueError(f"Data of {name} {what}{whole}: {remedy}.")


def check_tensorflow(part: Any) -> None:
    """Refuse a part on another backend than TensorFlow, if it needs that.

    Args:
        part: the part.

    Raises:
        ValueError: with the backend that there is.

    Example:
        >>> check_tensorflow(keras.layers.Layer())
    """
    backend_name = keras.backend.backend()
    if backend_name != "tensorflow":
        raise ValueError(
            f"{type(part).__name__} needs TensorFlow, but Keras runs on {backend_name}: set "
            "KERAS_BACKEND=tensorflow before Keras is imported, or take another part."
        )
