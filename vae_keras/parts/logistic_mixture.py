"""Pixels of 256 levels: a mixture of logistic distributions, integrated over each level's width."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, Shape, Shapes, Tensor
from vae_keras.parts.inputs import (
    as_generator,
    check_event,
    float_dtype,
    gumbel,
    logistic,
)
from vae_keras.parts.part import Part
from vae_keras.parts.values import check_levels


@keras.saving.register_keras_serializable(package="vae_keras")
class LogisticMixture(Part):
    """P(level) of a pixel x = level / (num_levels - 1), under a mixture of logistic densities.

    On the axis 2 x - 1 from -1 to 1 a level is a bin of half-width h = 1 / (num_levels - 1), and
    P(x) = sum_m softmax(logits)_m [sigmoid(a_m) - sigmoid(b_m)], a, b = (2 x - 1 +- h - mean_m) /
    scale_m; the first and the last bin reach to infinity. The difference is computed as
    ln sigmoid(a) + ln sigmoid(-b) + ln(1 - e^(b - a)), which is finite however far away x is. It is
    a probability: log-likelihoods compare with those of any other model of the levels.

    Args:
        num_components: the number of logistic densities, 1 or more.
        num_levels: the number of levels, 2 or more.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: logits, means and log-scales, each (rows, .., num_components).

    Output: levels in [0, 1], (rows, ..), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if an argument is out of range, or value and statistics differ in shape.

    Reference: Salimans, Karpathy, Chen and Kingma (2017), PixelCNN++, equation 2.

    Example:
        >>> zeros, part = ops.zeros((1, 1, 5)), LogisticMixture()
        >>> levels = ops.arange(256, dtype="float32")[:, None] / 255
        >>> log_p = part.log_prob([ops.repeat(zeros, 256, 0)] * 3, levels)
        >>> round(float(ops.sum(ops.exp(log_p))), 5)
        1.0
    """

    space = "discrete"
    has_path = False
    is_factorized = True
    has_mean = False  # `mean` is that of the densities, before levels are cut off

    def __init__(
        self,
        num_components: int = 5,
        *,
        num_levels: int = 256,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        check_counts(num_components=num_components)
        check_counts(2, num_levels=num_levels)
        self.num_components, self.num_levels = num_components, num_levels

    def noise(self, statistics: Any, rows: Any, seed: Any) -> tuple[Tensor, Tensor]:
        shape, seed = (rows, *statistics[0].shape[1:]), as_generator(seed)
        dtype = float_dtype(statistics)
        heights = logistic(shape, dtype, seed)  # drawn first
        return gumbel(shape, dtype, seed), heights

    def draw(self, statistics: Any, noise: Any) -> tuple[Tensor, Tensor]:
        logits, means, log_scales = statistics
        index = ops.argmax(logits + noise[0], axis=-1)
        chosen = ops.one_hot(index, self.num_components, dtype=logits.dtype)
        place = ops.sum(chosen * (means + ops.exp(log_scales) * noise[1]), axis=-1)
        top = self.num_levels - 1
        value = ops.clip(ops.round((place + 1) / 2 * top), 0, top) / top
        return value, self.log_prob(statistics, value)

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        logits, means, log_scales = statistics
        check_event(self, value, logits.shape[1:-1])
        half = 1 / (self.num_levels - 1)
        value = ops.cast(value, logits.dtype)[..., None]
        distance, narrow = 2 * value - 1 - means, ops.exp(-log_scales)
        above, below = (distance + half) * narrow, (distance - half) * narrow
        log_width = ops.log(-ops.expm1(-2 * half * narrow))
        inside = ops.log_sigmoid(above) + ops.log_sigmoid(-below) + log_width
        first, last = ops.log_sigmoid(above), ops.log_sigmoid(-below)
        log_p = ops.where(value < half / 4, first, ops.where(value > 1 - half / 4, last, inside))
        return ops.logsumexp(ops.log_softmax(logits, axis=-1) + log_p, axis=-1)

    def check_value(self, value: ArrayLike) -> None:
        """Refuse values that are no levels k / (num_levels - 1), and NaN."""
        check_levels(self, value, self.num_levels)

    def mean(self, statistics: Any) -> Tensor:
        logits, means, _ = statistics
        mean = ops.sum(ops.softmax(logits, axis=-1) * means, axis=-1)
        return ops.clip((mean + 1) / 2, 0.0, 1.0)

    def shapes(self, event: Shape) -> Shapes:
        return ((*event, self.num_components),) * 3

    def get_config(self) -> dict[str, Any]:
        own = {"num_components": self.num_components, "num_levels": self.num_levels}
        return {**super().get_config(), **own}
