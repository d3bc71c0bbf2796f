"""Independent Gaussian variables, with a variance that is given, fixed, or shared by all."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.closed_forms import gaussian_kl_terms
from vae_keras.parts.inputs import change_of, check_event, float_dtype, total
from vae_keras.parts.log_normal import log_normal_mass
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_rule

_LOG_2_PI = math.log(2 * math.pi)
_STEEPEST = 35.0  # ln of the largest 1 / scale that is squared: no value of size 1 resolves it


@keras.saving.register_keras_serializable(package="vae_keras")
class Gaussian(Part):
    """N(mean, exp(log_var)) for each entry: latent variables, real data, or their prior.

    ln p = -1/2 sum [(value - mean)^2 exp(-log_var) + log_var + ln(2 pi)]. The statistics are the
    pair (mean, log_var); with a `scale` the mean alone.

    temperature: draws have the variance T exp(log_var), and ln p is their density. The rule of the
    KL against N(0, I) is 1/2 sum [mean^2 + T (exp(log_var) - 1 - log_var)], energy minus T times
    entropy up to a constant, which at T = 0 leaves a deterministic autoencoder; there is no density
    then.

    Args:
        scale: the standard deviation of every entry, above 0; None takes it from the statistics.
        shared: whether `scale` is where one trainable number begins, shared by all entries and
            rows, as in the sigma-VAE.
        temperature: the factor T of the variance, 0 or above.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Raises:
        ValueError: if an argument is out of range, shared is true without a scale, or at call time
            the statistics are not those above.

    Reference: Kingma and Welling (2014), appendices B and C; B30, B32. Rybkin, Daniilidis and
    Levine (2021), Simple and effective VAE training with calibrated decoders (shared).

    Example:
        >>> pair = ops.zeros((5, 2)), ops.zeros((5, 2))
        >>> float(Gaussian().log_prob(pair, ops.zeros((5, 2)))[0])  # -ln(2 pi)
        -1.8378770351409912
        >>> float(Gaussian(scale=2.0).log_prob(ops.zeros((5, 2)), ops.zeros((5, 2)))[0])
        -3.224171...
    """

    is_factorized = True

    def __init__(
        self,
        scale: float | None = None,
        *,
        shared: bool = False,
        temperature: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        if scale is not None and not 0 < scale < math.inf:
            raise ValueError(f"scale must be above 0 and finite, or None; got {scale}.")
        if shared and scale is None:
            raise ValueError("A shared scale needs a number to begin at: pass scale=1.0, say.")
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature must be 0 or more and finite; got {temperature}.")
        self.scale, self.shared, self.temperature = scale, shared, temperature
        self.has_density = temperature > 0
        if shared:
            begin = keras.initializers.Constant(2 * math.log(scale or 1.0))
            self.log_var = self.add_weight(name="log_var", shape=(), initializer=begin)

    def moments(self, statistics: Any) -> tuple[Tensor, Tensor]:
        """The mean and the log-variance of the Gaussian at temperature 1, each (rows, ..).

        Args:
            statistics: the pair (mean, log_var), or the mean alone where there is a scale.

        Example:
            >>> mean, log_var = Gaussian(scale=1.0).moments(ops.ones((1, 2)))
            >>> print(ops.convert_to_numpy(log_var))
            [[0. 0.]]
        """
        is_pair = isinstance(statistics, (tuple, list))
        if is_pair != (self.scale is None) or (is_pair and len(statistics) != 2):
            takes = "a pair (mean, log_var)" if self.scale is None else "the mean alone"
            got = f"{len(statistics)} tensors" if is_pair else f"shape {tuple(statistics.shape)}"
            raise ValueError(
                f"Gaussian with scale {self.scale} takes {takes} as statistics; got {got}. A fixed "
                "standard deviation is Gaussian(scale=..), a learned one Gaussian()."
            )
        if is_pair:
            check_event("Gaussian's mean", statistics[0], statistics[1].shape[1:])
            return statistics[0], statistics[1]
        zeros = ops.zeros_like(statistics)
        if self.shared:
            return statistics, zeros + ops.cast(self.log_var, statistics.dtype)
        return statistics, zeros + 2 * math.log(self.scale or 1.0)

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Tensor:
        mean = self.moments(statistics)[0]
        return keras.random.normal((rows, *mean.shape[1:]), dtype=float_dtype(mean), seed=seed)

    def draw(self, statistics: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.moments(statistics)
        if not self.has_density:
            return mean, ops.full_like(total(mean), math.inf)  # all of the mass at one point
        value = mean + ops.exp(0.5 * log_var) * (self.temperature**0.5 * noise)
        return value, total(-0.5 * (ops.square(noise) + self._at_temperature(log_var) + _LOG_2_PI))

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        self._check_density()
        mean, log_var = self.moments(statistics)
        check_event(self, value, mean.shape[1:])
        log_var = self._at_temperature(log_var)
        noise = (value - mean) * ops.exp(ops.minimum(-0.5 * log_var, _STEEPEST))
        return -0.5 * (ops.square(noise) + log_var + _LOG_2_PI)

    def log_mass(self, statistics: Any, low: Tensor, high: Tensor) -> Tensor:
        self._check_density()
        mean, log_var = self.moments(statistics)
        check_event(self, low, mean.shape[1:])
        steepness = ops.exp(ops.minimum(-0.5 * self._at_temperature(log_var), _STEEPEST))
        is_above = low + high > 2 * mean  # mirrored, lest Phi be 1 at both ends
        near = ops.where(is_above, mean - low, high - mean) * steepness
        is_open = ops.isinf(high - low)
        width = ops.where(is_open, 1.0, high - low) * steepness
        return log_normal_mass(near, ops.where(is_open, math.inf, width))

    def _check_density(self):
        if not self.has_density:
            raise ValueError(
                "A Gaussian of temperature 0 has no density: train it with a rule of the KL, and "
                "evaluate it at a temperature above 0."
            )

    def log_prob_of_draw(self, statistics: Any, value: Tensor, noise: Tensor) -> Tensor:
        """ln p, with the noise itself in place of (value - mean) / scale and its gradients."""
        mean, log_var = self.moments(statistics)
        steepness = ops.exp(ops.minimum(-0.5 * ops.stop_gradient(log_var), _STEEPEST))
        step = (change_of(value) - change_of(mean)) * (steepness / self.temperature**0.5)
        noise = (ops.stop_gradient(noise) + step) * ops.exp(-0.5 * change_of(log_var))
        return total(-0.5 * (ops.square(noise) + self._at_temperature(log_var) + _LOG_2_PI))

    def _at_temperature(self, log_var):
        return log_var if self.temperature == 1 else log_var + math.log(self.temperature)

    def mean(self, statistics: Any) -> Tensor:
        return self.moments(statistics)[0]

    def shapes(self, event: Shape) -> Shapes:
        return (event, event) if self.scale is None else event

    def standard(self) -> Part:
        return Gaussian()

    def standard_statistics(self, statistics: Any) -> Any:
        zeros = ops.zeros_like(self.moments(statistics)[0])
        return zeros, zeros

    def get_config(self) -> dict[str, Any]:
        own = {"scale": self.scale, "shared": self.shared, "temperature": self.temperature}
        return {**super().get_config(), **own}


@kl_rule(Gaussian, Gaussian)
def _gaussians(q, q_statistics, p, p_statistics, is_standard):
    if q.temperature != 1 and not is_standard:
        raise ValueError(
            f"A Gaussian of temperature {q.temperature} has its KL against N(0, I) alone: leave "
            "the prior out, or the temperature at 1."
        )
    if p.temperature != 1:
        return None
    moments = *q.moments(q_statistics), *p.moments(p_statistics)
    return gaussian_kl_terms(*moments, temperature=q.temperature)
