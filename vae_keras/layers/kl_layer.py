"""What all closed-form KL layers have in common: one value per example, in float32 or wider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.layers.inputs import (
    at_least_float32,
    common_mask,
    common_shape,
    is_one_shape,
)
from vae_keras.parts.inputs import float_dtype, total, widened


class KLLayer(keras.layers.Layer):
    """Sums `terms` over every axis but the first; a subclass computes the terms.

    `tensors` names what the layer takes, for its error messages, and `counts` how many tensors it
    may be given; one alone need not stand in a tuple. What a Keras mask hides, such as padding
    behind a sequence, does not count.

    Call arguments:
        inputs: the tensors that `tensors` names, all of one shape (batch, ..).
        mask: Keras mask of the inputs; what it hides adds nothing.

    Output: one value per example, (batch,), nats, float32 or wider whatever the policy.

    Raises:
        ValueError: if the input is not such tensors of equal shape.

    Example:
        >>> class Deterministic(KLLayer):
        ...     tensors, counts = "z", (1,)
        ...     def terms(self, z):
        ...         return 0.5 * ops.square(z)
        >>> float(Deterministic()(ops.ones((1, 4)))[0])
        2.0
    """

    tensors = ""
    counts: Sequence[int] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Shapes) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Tensor | tuple[Tensor, ...], mask: Any = None) -> Tensor:
        inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        terms = self.terms(*(at_least_float32(x) for x in inputs))
        mask = common_mask(mask)
        if mask is not None:
            mask = widened(mask, terms)
            terms = ops.where(mask, terms, 0.0)
        return total(self.adjusted(terms, mask))

    def adjusted(self, terms: Tensor, mask: Tensor | None) -> Tensor:
        """The terms as they enter the sum, (batch, ..); mask is None, or true where one counts."""
        return terms

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None: the values are per example."""

    def compute_output_shape(self, input_shape: Shapes) -> Shape:
        shapes = (input_shape,) if is_one_shape(input_shape) else input_shape
        takes = f"{type(self).__name__} takes {self.tensors}"
        return common_shape(shapes, self.counts, takes)[:1]

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        tensors = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        shape = self.compute_output_shape([x.shape for x in tensors])
        return keras.KerasTensor(shape, float_dtype(tensors))
