"""A likelihood of padded sequences, which leaves out what is padding."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.parts.inputs import total, widened
from vae_keras.parts.of_part import SomeTerms
from vae_keras.parts.part import Part
from vae_keras.parts.values import filled


@keras.saving.register_keras_serializable(package="vae_keras")
class Masked(SomeTerms):
    """ln p of the steps that are not padding; steps are the value's second axis.

    A step counts unless all its entries are the padding, which may be a number that the part does
    not know, or NaN. The mask follows from the value itself: a Keras mask would be lost when rows
    are repeated, and never reaches a method.

    Draws are those of the part, and of full length. If the part can draw the padding, as a
    Categorical its class 0, then such a step is not scored, and the joint density of z and a drawn
    sequence is not normalised: for exact draws, as in `reverse_ais`, take a padding outside of the
    part's values, or a decoder that gives this class no probability, as `sequence_vae` does.

    Args:
        part: the part, with terms of shape (rows, steps, ..).
        padding: the number that padding consists of, or NaN.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: those of the part.

    Output: a draw of the part, and its log-probability, (rows,), nats.

    Example:
        >>> part, words = Masked(Categorical(3)), ops.array([[2, 1, 0, 0]])
        >>> float(part.log_prob(ops.zeros((1, 4, 3)), words)[0])  # -2 ln 3
        -2.1972246170043945
    """

    def __init__(
        self, part: Part, padding: float = 0, *, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(part, seed=seed, **kwargs)
        self.padding = padding

    def log_prob(self, statistics: Any, value: Tensor) -> Tensor:
        return total(self.terms(statistics, value))

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        counts = self._counts(value)
        terms = self.part.terms(statistics, filled(value, counts))
        return ops.where(widened(counts, terms), terms, 0.0)

    def _counts(self, value):
        is_padding = ops.isnan(value) if math.isnan(self.padding) else value == self.padding
        return ops.any(ops.logical_not(is_padding), axis=tuple(range(2, len(value.shape))))

    def check_value(self, value: ArrayLike) -> None:
        """Refuse what the part refuses, but for padding.

        Args:
            value: array or eager tensor, (rows, steps, ..).

        Raises:
            ValueError: as the part's own.
        """
        value = ops.convert_to_tensor(value)
        if len(value.shape) > 1:
            value = filled(value, self._counts(value))
        self.part.check_value(ops.convert_to_numpy(value))

    def exactly(self) -> Part:
        exact = self.part.exactly()
        return self if exact is self.part else Masked(exact, self.padding)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding}
