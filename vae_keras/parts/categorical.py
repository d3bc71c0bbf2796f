"""Classes: the integers 0 .. num_classes - 1, which networks see one-hot."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, Shape, Shapes, Tensor
from vae_keras.parts.closed_forms import categorical_kl_terms
from vae_keras.parts.inputs import check_event, check_range, float_dtype, gumbel
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_rule


@keras.saving.register_keras_serializable(package="vae_keras")
class Categorical(Part):
    """Classes with probabilities softmax(logits): words of a text, pixels' colours, latents.

    ln p = sum [logit of the class - logsumexp of the logits]. A value is an integer, and `emit`
    makes it one-hot. A draw, the largest of logits with Gumbel noise, has no gradient.

    Args:
        num_classes: the number of classes, 2 or more.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: the logits, (rows, .., num_classes).

    Output: one-hot classes, (rows, .., num_classes), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if num_classes is below 2, or logits or value have another shape.

    Reference: Maddison, Tarlow and Minka (2014), A* sampling (the draw).

    Example:
        >>> float(Categorical(4).log_prob(ops.zeros((1, 3, 4)), ops.array([[0, 1, 3]]))[0])
        -4.158883094787598
    """

    own_activation = "softmax"
    space = "discrete"
    has_path = False
    is_factorized = True

    def __init__(self, num_classes: int, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        check_counts(2, num_classes=num_classes)
        self.num_classes = num_classes

    @property
    def num_values(self) -> int:
        return self.num_classes

    def noise(self, statistics: Tensor, rows: Any, seed: Any) -> Tensor:
        return gumbel((rows, *statistics.shape[1:]), float_dtype(statistics), seed)

    def draw(self, statistics: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        value = ops.cast(ops.argmax(statistics + noise, axis=-1), "int32")
        return value, self.log_prob(statistics, value)

    def terms(self, statistics: Tensor, value: Tensor) -> Tensor:
        if statistics.shape[-1] != self.num_classes:
            raise ValueError(
                f"Categorical({self.num_classes}) takes logits with a last axis of "
                f"{self.num_classes}; got shape {tuple(statistics.shape)}."
            )
        check_event(self, value, statistics.shape[1:-1])
        return ops.sum(self.emit(value) * ops.log_softmax(statistics, axis=-1), axis=-1)

    def check_value(self, value: ArrayLike) -> None:
        remedy = "give class numbers, not one-hot rows (numpy.argmax(one_hot, -1))"
        check_range(self, value, 0, self.num_classes - 1, is_whole=True, remedy=remedy)

    def mean(self, statistics: Tensor) -> Tensor:
        return ops.softmax(statistics, axis=-1)

    def emit(self, value: Tensor) -> Tensor:
        return ops.one_hot(ops.cast(value, "int32"), self.num_classes, dtype="float32")

    def shapes(self, event: Shape) -> Shapes:
        return (*event, self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


@kl_rule(Categorical, Categorical)
def _categoricals(q, logits, p, prior_logits, is_standard):
    return categorical_kl_terms(logits, prior_logits)
