"""Categorical factors: the relaxed sample (Gumbel-softmax) and the closed-form KL."""

from __future__ import annotations

import keras
from keras import ops

from rbm_tf.shared.types import Tensor
from vae_keras.layers.inputs import at_least_float32
from vae_keras.layers.kl_layer import KLLayer
from vae_keras.layers.relaxed_layer import RelaxedLayer
from vae_keras.parts.closed_forms import categorical_kl_terms
from vae_keras.parts.inputs import gumbel


@keras.saving.register_keras_serializable(package="vae_keras")
class CategoricalSampling(RelaxedLayer):
    """Draws a relaxed one-hot vector, z = softmax((logits - ln(-ln u)) / temperature).

    u is uniform on (0, 1); the largest entry is that of class k with probability
    softmax(logits)_k at every temperature, and as the temperature falls z tends to a one-hot
    vector. Gradients flow through logits. `layer(logits, deterministic=True)` returns the mean
    softmax(logits) instead.

    Args:
        temperature: initial value, above 0, of the scalar weight `temperature`; anneal it with
            `WeightSchedule` or `layer.temperature.assign(0.1)`. Saved weights hold it.
        seed: integer that fixes the sequence of draws; None gives another one every time.

    Call arguments:
        logits: ln p of every class up to a constant, (batch, .., classes).
        deterministic: whether to return the mean in place of a draw.

    Output: z, the same shape; it sums to 1 over the last axis.

    Raises:
        ValueError: if temperature is not above 0.

    Reference: Jang, Gu and Poole (2017), Categorical reparameterization with Gumbel-softmax;
    Maddison, Mnih and Teh (2017), The concrete distribution; B29.

    Example:
        >>> z = CategoricalSampling(temperature=0.1, seed=0)(ops.zeros((2, 5, 3)))
        >>> tuple(z.shape), round(float(ops.sum(z)), 4)
        ((2, 5, 3), 10.0)
    """

    def call(self, logits: Tensor, deterministic: bool = False) -> Tensor:
        logits = at_least_float32(logits)
        if not deterministic:
            noise = gumbel(ops.shape(logits), logits.dtype, self.seed_generator)
            logits = (logits + noise) / self.temperature
        return ops.cast(ops.softmax(logits, axis=-1), self.compute_dtype)


@keras.saving.register_keras_serializable(package="vae_keras")
class CategoricalKL(KLLayer):
    """KL between two products of categorical variables given by logits; default prior: uniform.

    sum_j sum_k p_jk ln(p_jk / r_jk) with p = softmax(logits) and r = softmax(prior_logits) over
    the last axis, summed over every axis but the first. It is the KL of the one-hot variables: a
    loss that takes it with relaxed samples is not a strict bound.

    Call arguments:
        inputs: logits, or a pair (logits, prior_logits) of equal shapes, (batch, .., classes).
        mask: Keras mask of the inputs; what it hides adds nothing.

    Output: KL per example, (batch,), nats, float32 or wider.

    Raises:
        ValueError: if logits and prior_logits differ in shape.

    Reference: Jang, Gu and Poole (2017); Maddison, Mnih and Teh (2017), appendix C; B29.

    Example:
        >>> logits = ops.convert_to_tensor([[[100.0, 0.0, 0.0, 0.0]]])
        >>> float(CategoricalKL()(logits)[0])  # ln 4
        1.3862943649291992
    """

    tensors, counts = "logits or (logits, prior_logits)", (1, 2)

    def terms(self, logits: Tensor, prior_logits: Tensor | None = None) -> Tensor:
        prior_logits = ops.zeros_like(logits) if prior_logits is None else prior_logits
        return categorical_kl_terms(logits, prior_logits)
