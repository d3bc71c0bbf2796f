"""A likelihood of padded sequences, which leaves out what is padding."""

from __future__ import annotations

from typing import Any, Self

import keras
from keras import ops

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.inputs import total
from vae_keras.parts.part import Part


@keras.saving.register_keras_serializable(package="vae_keras")
class Masked(Part):
    """ln p of the steps that are not padding; steps are the value's second axis.

    A step counts unless all its entries are the padding. The mask follows from the value itself: a
    Keras mask would be lost when rows are repeated, and never reaches a method. Draws are those of
    the part, without padding.

    Args:
        part: the part, with terms of shape (rows, steps, ..).
        padding: the number that padding consists of.
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
        super().__init__(seed, **kwargs)
        self.part, self.padding = part, padding
        self.space, self.has_path = part.space, part.has_path
        self.has_density, self.has_mean = part.has_density, part.has_mean

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Any:
        return self.part.noise(statistics, rows, seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Any, Tensor]:
        return self.part.draw(statistics, noise)

    def log_prob(self, statistics: Any, value: Tensor) -> Tensor:
        return total(self.terms(statistics, value))

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        terms = self.part.terms(statistics, value)
        counts = ops.any(value != self.padding, axis=tuple(range(2, len(value.shape))))
        missing = (1,) * (len(terms.shape) - 2)
        counts = ops.reshape(counts, (-1, value.shape[1], *missing))
        return ops.where(counts, terms, 0.0)

    def check_value(self, value: Any) -> None:
        self.part.check_value(value)

    def mean(self, statistics: Any) -> Any:
        return self.part.mean(statistics)

    def emit(self, value: Any) -> Any:
        return self.part.emit(value)

    def exactly(self) -> Part:
        exact = self.part.exactly()
        return self if exact is self.part else Masked(exact, self.padding)

    def shapes(self, event: Shape) -> Shapes:
        return self.part.shapes(event)

    def get_config(self) -> dict[str, Any]:
        part = keras.saving.serialize_keras_object(self.part)
        return {**super().get_config(), "part": part, "padding": self.padding}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        part = keras.saving.deserialize_keras_object(config["part"])
        return cls(**{**config, "part": part})
