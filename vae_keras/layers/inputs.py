"""Checks and casts of what layers are given."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from keras import ops, tree

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.inputs import float_dtype


def is_one_shape(shapes: Shapes) -> bool:
    """Whether shapes is the shape of one tensor, and not a sequence of shapes.

    Args:
        shapes: the shape of one tensor, or a sequence of shapes.

    Example:
        >>> is_one_shape((None, 3)), is_one_shape([(None, 3), (None, 3)])
        (True, False)
    """
    return not any(isinstance(shape, (tuple, list)) for shape in shapes)


def common_shape(shapes: Shapes, counts: Sequence[int], takes: str) -> Shape:
    """The shape that all tensors of an input share; None where it is not known.

    Args:
        shapes: sequence of shapes, or the shape of a single tensor, which is refused.
        counts: the numbers of tensors that are allowed.
        takes: who takes what, the beginning of the error message.

    Returns:
        Tuple of integers and None.

    Raises:
        ValueError: if there are too few or too many tensors, or their shapes differ.

    Example:
        >>> common_shape([(None, 3), (5, 3)], counts=(2,), takes="Layer takes a pair")
        (5, 3)
    """
    if is_one_shape(shapes) or len(shapes) not in counts:
        raise ValueError(f"{takes}; got input of shape {shapes}.")
    shapes = [tuple(shape) for shape in shapes]
    known = [{size for size in sizes if size is not None} for sizes in zip(*shapes, strict=False)]
    if len({len(shape) for shape in shapes}) > 1 or any(len(sizes) > 1 for sizes in known):
        raise ValueError(f"{takes}, of equal shape; got {' and '.join(map(str, shapes))}.")
    return tuple(sizes.pop() if sizes else None for sizes in known)


def common_mask(masks: Any) -> Tensor | None:
    """The Keras mask that all inputs of a layer share: true where each of theirs is.

    Args:
        masks: one mask or a sequence of them; None hides nothing.

    Returns:
        Boolean tensor of the masks' common shape, or None.

    Example:
        >>> masks = ops.convert_to_tensor([True, False]), None
        >>> print(ops.convert_to_numpy(common_mask(masks)))
        [ True False]
    """
    given = [mask for mask in tree.flatten(masks) if mask is not None]
    return functools.reduce(ops.logical_and, given) if given else None


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is in float64.

    Args:
        x: floating tensor, of any shape.

    Example:
        >>> at_least_float32(ops.ones((2,), "float16")).dtype.name
        'float32'
    """
    return ops.cast(x, float_dtype(x))
