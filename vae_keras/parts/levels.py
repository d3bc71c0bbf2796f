"""Grey levels as intervals of a density: P(level) instead of p(x)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, Shape, Shapes, Tensor
from vae_keras.parts.inputs import float_dtype
from vae_keras.parts.of_part import OfPart
from vae_keras.parts.part import Part
from vae_keras.parts.values import check_levels


@keras.saving.register_keras_serializable(package="vae_keras")
class Levels(OfPart):
    """P(level) of a pixel x = level / (num_levels - 1): a density on [0, 1], integrated over bins.

    Level k is the interval from k / num_levels to (k + 1) / num_levels; the first and the last one
    reach to the ends of the density's support. The integral is exact, by the distribution function
    (`log_mass` of the part). As a probability it is at most 1 and compares with that of any other
    model of the levels, whereas a density at undequantised levels is unbounded: it grows without
    limit where it narrows down on one of them, such as the black of a background.

    Args:
        part: a real part with `log_mass`: `Gaussian`, `ContinuousBernoulli`, or one of your own.
        num_levels: the number of levels, 2 or more.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: those of the part, on the axis from 0 to 1.

    Output: levels in [0, 1], (rows, ..), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if num_levels is below 2, or the part has no `log_mass`.

    Reference: Theis, van den Oord and Bethge (2016), A note on the evaluation of generative models,
    section 3.1.

    Example:
        >>> part, levels = Levels(Gaussian()), ops.arange(256, dtype="float32")[:, None] / 255
        >>> pair = ops.zeros((256, 1)), ops.zeros((256, 1))
        >>> p = ops.exp(part.log_prob(pair, levels))
        >>> round(float(ops.sum(p)), 5), round(float(p[0]), 5)  # the first: Phi(1 / 256)
        (1.0, 0.50156)
    """

    space = "discrete"
    has_path = False
    is_factorized = True
    has_mean = False  # `mean` is that of the density, before levels are cut off

    def __init__(
        self, part: Part, num_levels: int = 256, *, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(part, seed=seed, **kwargs)
        check_counts(2, num_levels=num_levels)
        if type(part).log_mass is Part.log_mass:
            raise ValueError(
                "Levels integrates a part that has a log_mass, such as Gaussian() or "
                f"ContinuousBernoulli(); got {type(part).__name__}."
            )
        self.num_levels = num_levels
        self.own_activation = part.own_activation

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Any:
        return self.part.noise(statistics, rows, seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Tensor, Tensor]:
        top = self.num_levels - 1
        place = ops.stop_gradient(self.part.draw(statistics, noise)[0])
        value = ops.clip(ops.floor(place * self.num_levels), 0, top) / top
        return value, self.log_prob(statistics, value)

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        value = ops.cast(value, float_dtype(statistics))
        level = ops.round(value * (self.num_levels - 1))
        low, high = level / self.num_levels, (level + 1) / self.num_levels
        low = ops.where(level == 0, -math.inf, low)
        high = ops.where(level == self.num_levels - 1, math.inf, high)
        return self.part.log_mass(statistics, low, high)

    def check_value(self, value: ArrayLike) -> None:
        """Refuse values that are no levels k / (num_levels - 1), and NaN."""
        check_levels(self, value, self.num_levels)

    def mean(self, statistics: Any) -> Tensor:
        level = self.part.mean(statistics) * self.num_levels - 0.5
        return ops.clip(level / (self.num_levels - 1), 0.0, 1.0)

    def shapes(self, event: Shape) -> Shapes:
        return self.part.shapes(event)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_levels": self.num_levels}
