"""Counts: Poisson and negative binomial variables, and what has more zeros than they."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import ArrayLike, Shape, Shapes, Tensor
from vae_keras.parts.count_quantile import count_quantile, in_blocks
from vae_keras.parts.inputs import as_generator, check_event, check_range, float_dtype, open_uniform
from vae_keras.parts.log_gamma import log_negative_binomial, log_poisson
from vae_keras.parts.of_part import OfPart
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_rule


class Counts(Part):
    """A part of counts 0, 1, 2, .., whose draws are quantiles of uniform noise.

    A quantile is found by summing probabilities up to it, over panels of counts that are 8 long, or
    up to `width`. A subclass writes `terms`, `mean` and `shapes`, and `lowest` and `width` for the
    sake of speed.

    Example:
        >>> Counts().space
        'discrete'
    """

    space = "discrete"
    has_path = False
    is_factorized = True

    def lowest(self, statistics: Any) -> Tensor:
        """Where the sum begins: the probability below is nothing in float32."""
        return ops.zeros_like(self.mean(statistics))

    def width(self, statistics: Any) -> Tensor:
        """Over how many counts, 1 or more, p changes by a factor of a few at most."""
        return ops.ones_like(self.mean(statistics))

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Tensor:
        event = self.mean(statistics).shape[1:]
        return open_uniform((rows, *event), float_dtype(statistics), seed)

    def draw(self, statistics: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
        still = keras.tree.map_structure(ops.stop_gradient, statistics)
        value = in_blocks(functools.partial(count_quantile, self), still, noise)
        return value, self.log_prob(statistics, value)

    def check_value(self, value: ArrayLike) -> None:
        remedy = "give counts as they are, without a logarithm or a scale"
        check_range(self, value, 0, is_whole=True, remedy=remedy)


@keras.saving.register_keras_serializable(package="vae_keras")
class Poisson(Counts):
    """Counts with ln p = sum [value log_rate - e^log_rate - ln value!]; at zero the rate is 1.

    Args:
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: the logarithm of the rate, (rows, ..).

    Output: counts as float32, (rows, ..), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if value and statistics differ in shape.

    Example:
        >>> float(Poisson().log_prob(ops.zeros((1, 1)), ops.ones((1, 1)))[0])
        -1.0
    """

    def terms(self, statistics: Tensor, value: Tensor) -> Tensor:
        check_event(self, value, statistics.shape[1:])
        return log_poisson(statistics, ops.cast(value, statistics.dtype))

    def mean(self, statistics: Tensor) -> Tensor:
        return ops.exp(statistics)

    def lowest(self, statistics: Tensor) -> Tensor:
        return ops.maximum(ops.floor(ops.exp(statistics) - 8 * self.width(statistics)), 0.0)

    def width(self, statistics: Tensor) -> Tensor:
        return ops.sqrt(ops.exp(statistics))

    def shapes(self, event: Shape) -> Shapes:
        return event


@keras.saving.register_keras_serializable(package="vae_keras")
class NegativeBinomial(Counts):
    """Overdispersed counts: Poisson ones whose rate is Gamma-distributed, of variance m + m^2 / r.

    ln p = sum [ln Gamma(value + r) - ln Gamma(r) - ln value! + r ln(r / (r + m)) + value
    ln(m / (r + m))] with mean m and concentration r; at statistics zero m = r = 1, a geometric one.

    Args:
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: ln m and ln r, each (rows, ..).

    Output: counts as float32, (rows, ..), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if value and statistics differ in shape.

    Reference: Lopez, Regier, Cole, Jordan and Yosef (2018), Deep generative modeling for
    single-cell transcriptomics.

    Example:
        >>> pair = ops.zeros((1, 1)), ops.zeros((1, 1))
        >>> round(float(NegativeBinomial().log_prob(pair, ops.ones((1, 1)))[0]), 5)  # -ln 4
        -1.38629
    """

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        log_mean, log_r = statistics
        check_event(self, value, log_mean.shape[1:])
        return log_negative_binomial(log_mean, log_r, ops.cast(value, log_mean.dtype))

    def mean(self, statistics: Any) -> Tensor:
        return ops.exp(statistics[0])

    def lowest(self, statistics: Any) -> Tensor:
        return ops.maximum(ops.floor(self.mean(statistics) - 8 * self.width(statistics)), 0.0)

    def width(self, statistics: Any) -> Tensor:
        """The standard deviation, sqrt(m + m^2 / r)."""
        mean = self.mean(statistics)
        return ops.sqrt(mean) * ops.sqrt(1 + mean * ops.exp(-statistics[1]))

    def shapes(self, event: Shape) -> Shapes:
        return event, event


@keras.saving.register_keras_serializable(package="vae_keras")
class ZeroInflated(OfPart):
    """A part of counts whose entries are 0 for another reason with probability sigmoid(gate).

    p(0) = sigmoid(gate) + sigmoid(-gate) p_part(0), and p(k) = sigmoid(-gate) p_part(k) elsewhere.

    Args:
        part: the part of counts, with one term for each entry.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: the gate's logits, (rows, ..), and the statistics of the part.

    Output: counts, (rows, ..), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if the part is not discrete.

    Reference: Lambert (1992), Zero-inflated Poisson regression.

    Example:
        >>> statistics = ops.zeros((1, 1)), ops.zeros((1, 1))
        >>> p = ops.exp(ZeroInflated(Poisson()).log_prob(statistics, ops.zeros((1, 1))))
        >>> round(float(p[0]), 5)  # 1/2 + 1/(2 e)
        0.68394
    """

    space = "discrete"
    has_path = False
    is_factorized = True

    def __init__(self, part: Part, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(part, seed=seed, **kwargs)
        if part.space != "discrete":
            raise ValueError(
                f"ZeroInflated takes a part of counts, such as Poisson(); got "
                f"{type(part).__name__}, which has a density: the probability of its 0 is 0."
            )
        self.has_mean = part.has_mean

    def noise(self, statistics: Any, rows: Any, seed: Any) -> tuple[Tensor, Any]:
        gate, inner = statistics
        seed, shape = as_generator(seed), (rows, *gate.shape[1:])
        return open_uniform(shape, float_dtype(gate), seed), self.part.noise(inner, rows, seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Tensor, Tensor]:
        gate, inner = statistics
        value = self.part.draw(inner, noise[1])[0]
        value = ops.where(noise[0] < ops.sigmoid(gate), ops.zeros_like(value), value)
        return value, self.log_prob(statistics, value)

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        gate, inner = statistics
        check_event(self, value, gate.shape[1:])
        counted = ops.log_sigmoid(-gate) + self.part.terms(inner, value)
        return ops.where(value == 0, ops.logaddexp(ops.log_sigmoid(gate), counted), counted)

    def check_value(self, value: ArrayLike) -> None:
        self.part.check_value(value)

    def mean(self, statistics: Any) -> Tensor:
        gate, inner = statistics
        return ops.sigmoid(-gate) * self.part.mean(inner)

    def shapes(self, event: Shape) -> Shapes:
        return event, self.part.shapes(event)


@kl_rule(Poisson, Poisson)
def _poissons(q, log_rate, p, prior_log_rate, is_standard):
    rate = ops.exp(log_rate)
    return rate * (log_rate - prior_log_rate) - rate + ops.exp(prior_log_rate)
