"""Student's t: real values with heavy tails, for data with outliers."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.inputs import as_generator, check_event, float_dtype, total
from vae_keras.parts.part import Part


@keras.saving.register_keras_serializable(package="vae_keras")
class StudentT(Part):
    """Student's t with `df` degrees of freedom, moved by a location and widened by exp(log_scale).

    ln p = sum [c - log_scale - (df + 1)/2 ln(1 + t^2 / df)], t = (value - location) / scale, with
    c = ln Gamma((df + 1)/2) - ln Gamma(df/2) - 1/2 ln(df pi). A draw is a normal number divided by
    the root of a chi-squared one over df, so that gradients pass to location and scale.

    Args:
        df: degrees of freedom, above 0; above 1 for a mean, above 2 for a variance.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: location and log_scale, each (rows, ..).

    Output: a draw, (rows, ..), and its log-density, (rows,), nats.

    Raises:
        ValueError: if df is not above 0, or value and statistics differ in shape.

    Reference: Lange, Little and Taylor (1989), Robust statistical modeling using the t
    distribution.

    Example:
        >>> pair = ops.zeros((1, 1)), ops.zeros((1, 1))
        >>> round(float(StudentT(1.0).log_prob(pair, ops.zeros((1, 1)))[0]), 5)  # -ln(pi)
        -1.14473
    """

    is_factorized = True

    def __init__(self, df: float = 4.0, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        if not 0 < df < math.inf:
            raise ValueError(f"df must be above 0 and finite; got {df}. Its limit is Gaussian().")
        self.df = df
        self.has_mean = df > 1

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Tensor:
        shape, seed = (rows, *statistics[0].shape[1:]), as_generator(seed)
        dtype = float_dtype(statistics)
        normal = keras.random.normal(shape, dtype=dtype, seed=seed)
        half_square = keras.random.gamma(shape, self.df / 2, dtype=dtype, seed=seed)
        return normal * ops.sqrt(0.5 * self.df / half_square)

    def draw(self, statistics: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = statistics
        value = location + ops.exp(log_scale) * noise
        return value, total(self._terms(noise, log_scale))

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        location, log_scale = statistics
        check_event(self, value, location.shape[1:])
        return self._terms((value - location) * ops.exp(-log_scale), log_scale)

    def _terms(self, t, log_scale):
        half = (self.df + 1) / 2
        constant = math.lgamma(half) - math.lgamma(self.df / 2) - math.log(self.df * math.pi) / 2
        return constant - log_scale - half * ops.log1p(ops.square(t) / self.df)

    def mean(self, statistics: Any) -> Tensor:
        return statistics[0]

    def shapes(self, event: Shape) -> Shapes:
        return event, event

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "df": self.df}
