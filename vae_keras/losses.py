"""A part's negative log-likelihood as a loss of Keras, for models of anybody's."""

from __future__ import annotations

from typing import Any, Self

import keras

from rbm_tf.shared.types import Tensor
from vae_keras.parts.inputs import wide
from vae_keras.parts.part import Part


@keras.saving.register_keras_serializable(package="vae_keras")
class NegativeLogLikelihood(keras.losses.Loss):
    """-ln p(x | output) of a part, summed over an example, for a network that returns one tensor.

    A plain Keras model learns p(x|z) with it, as `model.compile("adam", NegativeLogLikelihood(
    Bernoulli()))`; `VAE` takes the part itself. As a Keras loss it averages over the batch, and
    `call(x, output)` gives the values per example.

    Args:
        part: the part p(x | statistics), whose statistics are one tensor: `Bernoulli()`,
            `ContinuousBernoulli()`, `Gaussian(scale=1.0)`, `Poisson()`.
        name: what Keras calls the loss.

    Call arguments:
        y_true: data x, (batch, ..).
        y_pred: the statistics, what the network returns.

    Output: one value per example, (batch,), nats; called as a Keras loss, their mean.

    Raises:
        ValueError: at call time, if x and the output do not fit together.

    Reference: B32.

    Example:
        >>> nll = NegativeLogLikelihood(Bernoulli())
        >>> float(nll(ops.ones((5, 2)), ops.zeros((5, 2))))  # 2 ln 2
        1.3862943649291992
    """

    def __init__(self, part: Part, *, name: str = "negative_log_likelihood", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.part = part

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return -self.part.log_prob(wide(y_pred), y_true)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "part": keras.saving.serialize_keras_object(self.part)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "part": keras.saving.deserialize_keras_object(config["part"])})
