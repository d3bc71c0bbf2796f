"""Bernoulli factors: the relaxed sample (binary concrete) and the closed-form KL."""

from __future__ import annotations

import keras
from keras import ops

from rbm_tf.shared.types import Tensor
from vae_keras.layers.inputs import at_least_float32
from vae_keras.layers.kl_layer import KLLayer
from vae_keras.layers.relaxed_layer import RelaxedLayer
from vae_keras.parts.closed_forms import bernoulli_kl_terms
from vae_keras.parts.inputs import logistic


@keras.saving.register_keras_serializable(package="vae_keras")
class BernoulliSampling(RelaxedLayer):
    """Draws a relaxed Bernoulli variable, z = sigmoid((logits + ln u - ln(1 - u)) / temperature).

    u is uniform on (0, 1), so that z > 1/2 with probability sigmoid(logits) at every temperature;
    as the temperature falls, z tends to a Bernoulli variable in {0, 1}. Gradients flow through
    logits. `layer(logits, deterministic=True)` returns the mean sigmoid(logits) instead.

    Args:
        temperature: initial value, above 0, of the scalar weight `temperature`; anneal it with
            `WeightSchedule` or `layer.temperature.assign(0.1)`. Saved weights hold it.
        seed: integer that fixes the sequence of draws; None gives another one every time.

    Call arguments:
        logits: ln p / (1 - p) of every variable, (batch, ..).
        deterministic: whether to return the mean in place of a draw.

    Output: z in [0, 1], the same shape.

    Raises:
        ValueError: if temperature is not above 0.

    Reference: Maddison, Mnih and Teh (2017), The concrete distribution; Jang, Gu and Poole (2017),
    Categorical reparameterization with Gumbel-softmax; B29.

    Example:
        >>> z = BernoulliSampling(temperature=0.1, seed=0)(ops.zeros((2, 3)))
        >>> tuple(z.shape), bool(ops.all((z >= 0) & (z <= 1)))
        ((2, 3), True)
    """

    def call(self, logits: Tensor, deterministic: bool = False) -> Tensor:
        logits = at_least_float32(logits)
        if not deterministic:
            noise = logistic(ops.shape(logits), logits.dtype, self.seed_generator)
            logits = (logits + noise) / self.temperature
        return ops.cast(ops.sigmoid(logits), self.compute_dtype)


@keras.saving.register_keras_serializable(package="vae_keras")
class BernoulliKL(KLLayer):
    """KL between two products of Bernoulli variables given by logits; the prior is 1/2 by default.

    sum_j [p_j ln(p_j / r_j) + (1 - p_j) ln((1 - p_j) / (1 - r_j))] with p = sigmoid(logits) and
    r = sigmoid(prior_logits), summed over every axis but the first. It is the KL of the variables
    in {0, 1}: a loss that takes it with relaxed samples is not a strict bound.

    Call arguments:
        inputs: logits, or a pair (logits, prior_logits) of equal shapes, (batch, ..).
        mask: Keras mask of the inputs; what it hides adds nothing.

    Output: KL per example, (batch,), nats, float32 or wider.

    Raises:
        ValueError: if logits and prior_logits differ in shape.

    Reference: Maddison, Mnih and Teh (2017), appendix C; B29.

    Example:
        >>> float(BernoulliKL()(ops.full((1, 2), 100.0))[0])  # 2 ln 2
        1.3862943649291992
    """

    tensors, counts = "logits or (logits, prior_logits)", (1, 2)

    def terms(self, logits: Tensor, prior_logits: Tensor | None = None) -> Tensor:
        prior_logits = ops.zeros_like(logits) if prior_logits is None else prior_logits
        return bernoulli_kl_terms(logits, prior_logits)
