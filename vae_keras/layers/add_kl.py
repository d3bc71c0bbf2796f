"""The KL as a part of the loss, with a weight that can be annealed."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import Shapes
from vae_keras.layers.gaussian import GaussianKL


@keras.saving.register_keras_serializable(package="vae_keras")
class AddKL(keras.layers.Layer):
    """Adds weight times the batch mean of a KL to the loss of its model; returns its input.

    It makes a variational autoencoder out of an ordinary `fit` with a reconstruction loss, and a
    beta-VAE with a weight other than 1. Sample weights of `fit` do not reach the KL.

    Args:
        kl: the layer that gives the KL per example, (batch,), from this layer's input; default
            `GaussianKL()`.
        weight: initial value, at least 0, of the scalar weight `weight`; warm it up with
            `WeightSchedule`. Saved weights hold it.

    Call arguments:
        inputs: what kl takes, such as a pair (mean, log_var), each (batch, ..).
        mask: Keras mask of the inputs; what it hides adds nothing to the KL.

    Output: the inputs, as they are.

    Raises:
        ValueError: if weight is negative, or kl refuses the input.

    Reference: B30 and B32; Higgins et al. (2017), beta-VAE (weight).

    Example:
        >>> layer = AddKL(weight=0.5)
        >>> mean, log_var = layer((ops.ones((1, 2)), ops.zeros((1, 2))))
        >>> float(layer.losses[0])
        0.5
    """

    def __init__(
        self, kl: keras.layers.Layer | None = None, *, weight: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight must be 0 or more and finite; got {weight}.")
        self.supports_masking = True
        self.kl = kl or GaussianKL(dtype=self.dtype_policy)
        self._initial_weight = weight
        self.weight = self.add_weight(
            name="weight",
            initializer=keras.initializers.Constant(weight),
            trainable=False,
            autocast=False,
        )

    def build(self, input_shape: Shapes) -> None:
        self.kl.build(input_shape)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        hides = any(part is not None for part in keras.tree.flatten(mask))
        kl = ops.mean(self.kl(inputs, mask=mask) if hides else self.kl(inputs))
        self.add_loss(ops.cast(self.weight, kl.dtype) * kl)
        return inputs

    def compute_output_shape(self, input_shape: Shapes) -> Any:
        self.kl.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        kl = keras.saving.serialize_keras_object(self.kl)
        return {**super().get_config(), "kl": kl, "weight": self._initial_weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AddKL:
        return cls(**{**config, "kl": keras.saving.deserialize_keras_object(config["kl"])})
