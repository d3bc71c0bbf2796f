"""Gaussian factors: the reparameterised sample and the closed-form KL."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.layers.inputs import at_least_float32, common_mask, common_shape
from vae_keras.layers.kl_layer import KLLayer
from vae_keras.parts.closed_forms import gaussian_kl_terms
from vae_keras.shared.random_layer import RandomLayer


@keras.saving.register_keras_serializable(package="vae_keras")
class GaussianSampling(RandomLayer):
    """Draws z = mean + sqrt(temperature) exp(0.5 log_var) eps with eps ~ N(0, I) (B31).

    Gradients flow through mean and log_var. The layer draws whenever it is called, in training and
    in inference; `layer(inputs, deterministic=True)` returns the mean instead, as all sampling
    layers do. Temperature 0 is that limit for good, without a draw: `GaussianKL(temperature=0)`
    beside it leaves a deterministic autoencoder (B32).

    Args:
        temperature: the variance of the noise, 0 or above.
        seed: integer that fixes the sequence of draws; None gives another one every time.

    Call arguments:
        inputs: pair (mean, log_var) of equal shapes, (batch, ..).
        deterministic: whether to return the mean in place of a draw.

    Output: z, the same shape.

    Raises:
        ValueError: if temperature is negative, or the input is not a pair of equal shapes.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes, section 2.4; B31.

    Example:
        >>> pair = ops.ones((1, 3)), ops.zeros((1, 3))
        >>> tuple(GaussianSampling(seed=0)(pair).shape)
        (1, 3)
        >>> print(ops.convert_to_numpy(GaussianSampling()(pair, deterministic=True)))
        [[1. 1. 1.]]
    """

    def __init__(self, *, temperature: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.supports_masking = True
        self.temperature = _checked_temperature(temperature)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Tensor | None:
        return common_mask(previous_mask)

    def build(self, input_shape: Shapes) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: tuple[Tensor, Tensor], deterministic: bool = False) -> Tensor:
        z, log_var = (at_least_float32(x) for x in inputs)
        if not deterministic and self.temperature > 0:
            eps = keras.random.normal(ops.shape(z), dtype=z.dtype, seed=self.seed_generator)
            z = z + ops.exp(0.5 * log_var) * (self.temperature**0.5 * eps)
        return ops.cast(z, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shapes) -> Shape:
        takes = f"{type(self).__name__} takes a pair (mean, log_var)"
        return common_shape(input_shape, counts=(2,), takes=takes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="vae_keras")
class GaussianKL(KLLayer):
    """KL(N(mean, diag(exp(log_var))) || N(0, I)) in closed form (B30), or against another Gaussian.

    -1/2 sum_j (1 + log_var_j - mean_j^2 - exp(log_var_j)), summed over every axis but the first.
    With a prior's mean and log_var: 1/2 sum_j [(mean_j - prior_mean_j)^2 / exp(prior_log_var_j)
    + r_j - 1 - ln r_j], r_j = exp(log_var_j - prior_log_var_j).

    free_bits: a latent variable whose batch mean of the KL is below free_bits counts as free_bits
    in every example, and has no gradient; the values' batch mean is sum_j max(free_bits, <KL_j>),
    the paper's objective. Each value then depends on its batch.

    temperature: with noise scaled by sqrt(T) as in `GaussianSampling`, energy minus T times entropy
    is, up to a constant, 1/2 sum_j [mean_j^2 + T (exp(log_var_j) - 1 - log_var_j)]: the KL at
    T = 1, the code penalty |mean|^2 / 2 of a deterministic autoencoder at T = 0 (B32). A prior with
    a variance of its own has no such limit: its normaliser may or may not be scaled by T.

    Args:
        free_bits: nats that every latent variable may cost for nothing, 0 or above.
        temperature: the factor T of the entropy, 0 or above.

    Call arguments:
        inputs: (mean, log_var) or (mean, log_var, prior_mean, prior_log_var), all of one shape
            (batch, ..).
        mask: Keras mask of the inputs; what it hides adds nothing.

    Output: KL per example, (batch,), nats, float32 or wider.

    Raises:
        ValueError: if an argument is negative, if the input is not such tensors of equal shape, or
            if a prior is given at another temperature than 1.

    Reference: Kingma and Welling (2014), appendix B; B30. Kingma et al. (2016), Improved
    variational inference with inverse autoregressive flow, appendix C.8 (free bits).

    Example:
        >>> float(GaussianKL()((ops.ones((1, 2)), ops.zeros((1, 2))))[0])
        1.0
        >>> float(GaussianKL(free_bits=2.0)((ops.ones((1, 2)), ops.zeros((1, 2))))[0])
        4.0
    """

    tensors = "a pair (mean, log_var) or (mean, log_var, prior_mean, prior_log_var)"
    counts = (2, 4)

    def __init__(self, free_bits: float = 0.0, *, temperature: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= free_bits < math.inf:
            raise ValueError(f"free_bits must be 0 nats or more and finite; got {free_bits}.")
        self.free_bits, self.temperature = free_bits, _checked_temperature(temperature)

    def compute_output_shape(self, input_shape: Shapes) -> Shape:
        if self.temperature != 1 and len(input_shape) == 4:
            raise ValueError(
                f"GaussianKL has temperature {self.temperature}, which is defined against N(0, I): "
                "give it (mean, log_var) alone, or leave the temperature at 1."
            )
        return super().compute_output_shape(input_shape)

    def terms(self, mean: Tensor, log_var: Tensor, *prior: Tensor) -> Tensor:
        return gaussian_kl_terms(mean, log_var, *prior, temperature=self.temperature)

    def adjusted(self, terms: Tensor, mask: Tensor | None) -> Tensor:
        if self.free_bits == 0:
            return terms
        counts = ops.ones_like(terms) if mask is None else ops.cast(mask, terms.dtype)
        num = ops.maximum(ops.sum(counts, axis=0, keepdims=True), 1.0)
        pays = ops.sum(terms, axis=0, keepdims=True) / num > self.free_bits
        return ops.where(pays, terms, self.free_bits * counts)

    def get_config(self) -> dict[str, Any]:
        own = {"free_bits": self.free_bits, "temperature": self.temperature}
        return {**super().get_config(), **own}


def _checked_temperature(temperature):
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be 0 or more and finite; got {temperature}.")
    return temperature
