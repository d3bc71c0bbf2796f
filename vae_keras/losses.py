"""A part's negative log-likelihood as a loss of Keras, for models of anybody's."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

import keras
from keras import ops
from keras.src.backend import get_keras_mask  # on JAX it is no attribute of the tensor

from rbm_tf.shared.types import Tensor
from vae_keras.parts.inputs import total, wide, widened
from vae_keras.parts.part import Part


class _Seen(NamedTuple):
    """Data, and the mask of the steps that count."""

    value: Tensor
    mask: Tensor


@keras.saving.register_keras_serializable(package="vae_keras")
class NegativeLogLikelihood(keras.losses.Loss):
    """-ln p(x | output) of a part, summed over an example, for a network that returns one tensor.

    A plain Keras model learns p(x|z) with it, as `model.compile("adam", NegativeLogLikelihood(
    Bernoulli()))`; `VAE` takes the part itself. As a Keras loss it averages over the batch, and
    `call(x, output)` gives the values per example.

    Steps that a Keras mask of the output leaves out, such as those after an
    `Embedding(mask_zero=True)`, add nothing to their example: the sum is that of the others, and
    the average that over all examples.

    Args:
        part: the part p(x | statistics), whose statistics are one tensor: `Bernoulli()`,
            `ContinuousBernoulli()`, `Gaussian(scale=1.0)`, `Poisson()`.
        name: what Keras calls the loss.

    Call arguments:
        y_true: data x, (batch, ..).
        y_pred: the statistics, what the network returns.
        sample_weight: one for each example, (batch,) or (batch, 1).

    Output: one value per example, (batch,), nats; called as a Keras loss, their mean.

    Raises:
        ValueError: at call time, if x and the output do not fit together, the part has no terms for
            the steps of a mask, or weights are not one for each example.

    Reference: B32.

    Example:
        >>> nll = NegativeLogLikelihood(Bernoulli())
        >>> float(nll(ops.ones((5, 2)), ops.zeros((5, 2))))  # 2 ln 2
        1.3862943649291992
    """

    def __init__(self, part: Part, *, name: str = "negative_log_likelihood", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.part = part

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Any:
        _check_weights(sample_weight)
        mask = get_keras_mask(y_pred)
        if mask is not None:  # Keras would multiply the examples' sums by that of their steps
            y_true, y_pred = _Seen(y_true, mask), y_pred + 0
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if not isinstance(y_true, _Seen):
            return -self.part.log_prob(wide(y_pred), y_true)
        terms = self.part.terms(wide(y_pred), y_true.value)
        mask = ops.cast(y_true.mask, "bool")
        self._check_steps(tuple(mask.shape), tuple(terms.shape))
        return -total(ops.where(widened(mask, terms), terms, 0.0))

    def _check_steps(self, mask, terms):
        pairs = zip(mask[1:], terms[1:], strict=False)
        if len(mask) > len(terms) or any(a != b for a, b in pairs if None not in (a, b)):
            raise ValueError(
                f"The output has a mask of steps, {mask}, but {type(self.part).__name__} has terms "
                f"{terms}: take a part with a term for each step, or a network without a mask."
            )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "part": keras.saving.serialize_keras_object(self.part)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "part": keras.saving.deserialize_keras_object(config["part"])})


def _check_weights(sample_weight):
    shape = tuple(getattr(sample_weight, "shape", ()))
    if math.prod(n or 1 for n in shape[1:]) != 1:
        raise ValueError(
            f"Weights are one for each example, (batch,); got shape {shape}. To leave steps out, "
            "take the part Masked(part), or a mask of Keras."
        )
