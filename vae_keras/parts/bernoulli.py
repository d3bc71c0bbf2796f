"""Binary variables, and grey levels with the density of the continuous Bernoulli."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import ArrayLike, Shape, Shapes, Tensor
from vae_keras.parts.closed_forms import bernoulli_kl_terms
from vae_keras.parts.cross_entropy import bernoulli_cross_entropy
from vae_keras.parts.inputs import check_event, check_range, float_dtype, open_uniform, total
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_rule

_SMALL = 0.5  # below this logit the continuous Bernoulli's normaliser is summed as a power series
_FLAT = 0.03  # below this one its quantile is
_REMEDY = "divide 8-bit images by 255, or take Gaussian for real data"


@keras.saving.register_keras_serializable(package="vae_keras")
class Bernoulli(Part):
    """Bits that are 1 with probability sigmoid(logit): binary pixels, or discrete latents.

    ln p = sum [value logit - softplus(logit)], which is linear in the value: a grey level in
    [0, 1] counts as the mean of bits. A draw has no gradient; a score-function objective trains it
    (`Draws.fixed`), or `RelaxedBernoulli` in its place.

    Args:
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: the logits, (rows, ..).

    Output: the bits as float32, (rows, ..), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if value and logits differ in shape.

    Reference: B32.

    Example:
        >>> float(Bernoulli().log_prob(ops.zeros((1, 2)), ops.ones((1, 2)))[0])  # -2 ln 2
        -1.3862943649291992
    """

    own_activation = "sigmoid"
    space = "discrete"
    has_path = False
    is_factorized = True

    @property
    def num_values(self) -> int:
        return 2

    def noise(self, statistics: Tensor, rows: Any, seed: Any) -> Tensor:
        return open_uniform((rows, *statistics.shape[1:]), float_dtype(statistics), seed)

    def draw(self, statistics: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        value = ops.cast(noise < ops.sigmoid(statistics), noise.dtype)
        return value, self.log_prob(statistics, value)

    def log_prob(self, statistics: Tensor, value: Tensor) -> Tensor:
        check_event(self, value, statistics.shape[1:])
        shape = -1, math.prod(statistics.shape[1:])
        value = ops.cast(value, statistics.dtype)
        return -bernoulli_cross_entropy(ops.reshape(value, shape), ops.reshape(statistics, shape))

    def terms(self, statistics: Tensor, value: Tensor) -> Tensor:
        check_event(self, value, statistics.shape[1:])
        return ops.cast(value, statistics.dtype) * statistics - ops.softplus(statistics)

    def check_value(self, value: ArrayLike) -> None:
        """Refuse values outside [0, 1], and NaN; grey levels stand for probabilities."""
        check_range(self, value, 0, 1, remedy=_REMEDY)

    def mean(self, statistics: Tensor) -> Tensor:
        return ops.sigmoid(statistics)

    def shapes(self, event: Shape) -> Shapes:
        return event


@keras.saving.register_keras_serializable(package="vae_keras")
class ContinuousBernoulli(Part):
    """Grey levels in [0, 1] with density exp(x logit - A(logit)), uniform at logit 0.

    A(l) = ln INT_0^1 exp(l x) dx = ln((e^l - 1) / l). Unlike the Bernoulli's, this is a density of
    grey levels: it may be above 1, and does not compare with a Bernoulli's. Draws are quantiles,
    x = ln(1 + u (e^l - 1)) / l, and have a gradient.

    Args:
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: the logits, (rows, ..).

    Output: grey levels, (rows, ..), and their log-density, (rows,), nats.

    Raises:
        ValueError: if value and logits differ in shape.

    Reference: Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli: fixing a pervasive
    error in variational autoencoders.

    Example:
        >>> float(ContinuousBernoulli().log_prob(ops.zeros((1, 2)), ops.ones((1, 2)))[0])
        0.0
    """

    own_activation = "sigmoid"
    is_factorized = True

    def noise(self, statistics: Tensor, rows: Any, seed: Any) -> Tensor:
        return open_uniform((rows, *statistics.shape[1:]), float_dtype(statistics), seed)

    def draw(self, statistics: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        value = _quantile(statistics, noise)
        return value, total(value * statistics - _log_normalizer(statistics))

    def terms(self, statistics: Tensor, value: Tensor) -> Tensor:
        check_event(self, value, statistics.shape[1:])
        return ops.cast(value, statistics.dtype) * statistics - _log_normalizer(statistics)

    def log_mass(self, statistics: Tensor, low: Tensor, high: Tensor) -> Tensor:
        check_event(self, low, statistics.shape[1:])
        low, high = ops.clip(low, 0.0, 1.0), ops.clip(high, 0.0, 1.0)
        rises, width = statistics > 0, high - low
        fall = ops.where(rises, -statistics, statistics)  # mirrored, so that no digits cancel
        change = _log_normalizer(fall * width) - _log_normalizer(fall)
        return fall * ops.where(rises, 1 - high, low) + ops.log(width) + change

    def check_value(self, value: ArrayLike) -> None:
        """Refuse values outside [0, 1], and NaN."""
        check_range(self, value, 0, 1, remedy=_REMEDY)

    def mean(self, statistics: Tensor) -> Tensor:
        """The expected grey level, dA / dlogit = 1 / (1 - exp(-logit)) - 1 / logit."""
        size, is_small = _absolute(statistics, _SMALL)
        above_half = -1 / ops.expm1(-size) - 1 / size - 0.5
        square = ops.square(ops.where(is_small, statistics, 0.0))
        small = statistics / 12 * (1 - square / 60 * (1 - square / 42))
        return 0.5 + ops.where(is_small, small, ops.sign(statistics) * above_half)

    def shapes(self, event: Shape) -> Shapes:
        return event


def _absolute(logits, limit):
    """|logit| where the closed form is precise, 1 elsewhere, and whether it is elsewhere."""
    is_small = ops.abs(logits) < limit
    return ops.abs(ops.where(is_small, 1.0, logits)), is_small


def _log_normalizer(logits):
    size, is_small = _absolute(logits, _SMALL)
    large = ops.log(-ops.expm1(-size) / size) + ops.relu(logits)
    square = ops.square(ops.where(is_small, logits, 0.0))
    small = logits / 2 + square / 24 * (1 - square / 120 * (1 - square / 63))
    return ops.where(is_small, small, large)


def _quantile(logits, u):
    """ln(1 + u (e^l - 1)) / l, continuous in l; near 0 the cumulants of a Bernoulli of mean u."""
    size, is_small = _absolute(logits, _FLAT)
    is_positive = logits > 0
    from_end = -ops.log1p(ops.where(is_positive, 1 - u, u) * ops.expm1(-size)) / size
    small, var = ops.where(is_small, logits, 0.0), u * (1 - u)
    fourth = var * (1 - 6 * var) * small / 24
    series = u + small * (var / 2 + small * (var * (1 - 2 * u) / 6 + fourth))
    value = ops.where(is_small, series, ops.where(is_positive, 1 - from_end, from_end))
    return ops.clip(value, 0.0, 1.0)


@kl_rule(Bernoulli, Bernoulli)
def _bernoullis(q, logits, p, prior_logits, is_standard):
    return bernoulli_kl_terms(logits, prior_logits)


@kl_rule(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoullis(q, logits, p, prior_logits, is_standard):
    log_ratio = _log_normalizer(prior_logits) - _log_normalizer(logits)
    return (logits - prior_logits) * q.mean(logits) + log_ratio
