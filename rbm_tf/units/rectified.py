"""Rectified units: ReLU, half a Gaussian, and dReLU, two halves that are glued at 0."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.half_gaussian import (
    half_gaussian_cgf,
    half_gaussian_cumulants,
    sample_half_gaussian,
)
from rbm_tf.units.parameters import log_positive, log_sum, per_unit
from rbm_tf.units.unit import Unit


@keras.saving.register_keras_serializable(package="rbm_tf")
class ReLU(Unit):
    """Units t >= 0 with U = g t^2/2: Gamma(x) = x^2/2g + ln(2 pi/g)/2 + ln Phi(x/sqrt g).

    The mean is about x/g far above 0 and about 1/|x| far below, where the unit is small and not
    dead. These are not the units max(0, N(x, sigmoid(x))) of Nair and Hinton (2010), which no U
    gives. The parameter is ln g, `log_precision`; t -> c t with g/c^2 and W/c is the same model.

    Args:
        num: the number of units.
        precision: g, a number or (num,), above 0; or a tensor, (.., num).

    Raises:
        ValueError: if num is not an integer of 1 or more, or a precision is not above 0.

    Example:
        >>> unit = ReLU(1, precision=1.5)
        >>> round(float(unit.cgf([-2.0])[0]), 4), round(float(unit.mean([-2.0])[0]), 4)
        (-0.9218, 0.3425)
    """

    bounds = (0.0, math.inf)

    scale_parameters = ("log_precision",)

    def __init__(self, num: int, precision: ArrayLike = 1.0) -> None:
        super().__init__(num)
        self.parameters = {"log_precision": log_positive(precision, self.num, "precision")}

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        x = self.fields(x)
        return _cgf(x, self.parameter("log_precision", x))

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        yield from _cumulants(x, self.parameter("log_precision", x))

    def energy(self, t: ArrayLike) -> tf.Tensor:
        t = self.fields(t)
        return tf.exp(self.parameter("log_precision", t)) * t * t / 2

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        x = self.fields(x)
        return _sample(x, self.parameter("log_precision", x), as_seed(seed))

    def least_precision(self) -> tf.Tensor:
        return tf.exp(float_tensor(self.parameters["log_precision"]))

    def add_precision(self, added: ArrayLike) -> ReLU:
        return self.with_parameters(
            log_precision=log_sum(self.parameters["log_precision"], float_tensor(added))
        )


@keras.saving.register_keras_serializable(package="rbm_tf")
class DReLU(Unit):
    """Real units with a Gaussian half on either side of 0, each with its own precision and slope.

    With t+ = max(t, 0) and t- = min(t, 0)

        U = g+ t+^2/2 + g- t-^2/2 + c+ t+ + c- t-

    so that p(t) is a mixture of a `ReLU` in the field x - c+ and of the mirror image of one in the
    field c- - x. Equal precisions without thresholds make a `Gaussian`. The bias is redundant: it
    is the same as -b in both thresholds. The parameters are `log_precision_plus`,
    `log_precision_minus`, `threshold_plus` and `threshold_minus`.

    Args:
        num: the number of units.
        precision_plus: g+, a number or (num,), above 0; or a tensor, (.., num).
        precision_minus: g-, likewise.
        threshold_plus: c+, a number or (num,); or a tensor, (.., num).
        threshold_minus: c-, likewise.

    Raises:
        ValueError: if num is not an integer of 1 or more, or a precision is not above 0.

    Reference: Tubiana and Monasson (2017).

    Example:
        >>> unit = DReLU(1, 1.5, 3.0, threshold_plus=0.3, threshold_minus=-0.2)
        >>> round(float(unit.cgf([-2.0])[0]), 4), round(float(unit.mean([-2.0])[0]), 4)
        (0.9054, -0.6012)
    """

    def __init__(
        self,
        num: int,
        precision_plus: ArrayLike = 1.0,
        precision_minus: ArrayLike = 1.0,
        *,
        threshold_plus: ArrayLike = 0.0,
        threshold_minus: ArrayLike = 0.0,
    ) -> None:
        super().__init__(num)
        self.parameters = {
            "log_precision_plus": log_positive(precision_plus, self.num, "precision_plus"),
            "log_precision_minus": log_positive(precision_minus, self.num, "precision_minus"),
            "threshold_plus": per_unit(threshold_plus, self.num, "threshold_plus"),
            "threshold_minus": per_unit(threshold_minus, self.num, "threshold_minus"),
        }

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        plus, minus = (_cgf(*side) for side in self._sides(self.fields(x)))
        return minus + tf.math.softplus(plus - minus)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        sides = self._sides(x)
        logit = _cgf(*sides[0]) - _cgf(*sides[1])
        p, q = tf.sigmoid(logit), tf.sigmoid(-logit)
        plus, minus = (_cumulants(*side) for side in sides)
        up, down = next(plus), next(minus)
        yield p * up - q * down
        gap, pq = up + down, p * q  # between the means of the sides
        up, down = next(plus), next(minus)
        yield p * up + q * down + pq * gap**2
        wider = up - down
        up, down = next(plus), next(minus)
        yield p * up - q * down + pq * gap * (3 * wider + (q - p) * gap**2)
        skewer = up + down
        up, down = next(plus), next(minus)
        between = 4 * gap * skewer + 3 * wider**2 + 6 * (q - p) * gap**2 * wider
        yield p * up + q * down + pq * (between + (1 - 6 * pq) * gap**4)

    def energy(self, t: ArrayLike) -> tf.Tensor:
        t = self.fields(t)
        sides = ("plus", tf.maximum(t, 0)), ("minus", tf.minimum(t, 0))
        precisions = [tf.exp(self.parameter(f"log_precision_{name}", t)) for name, _ in sides]
        thresholds = [self.parameter(f"threshold_{name}", t) for name, _ in sides]
        terms = zip(sides, precisions, thresholds, strict=True)
        return tf.add_n([g * part * part / 2 + c * part for (_, part), g, c in terms])

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        plus, minus = self._sides(self.fields(x))
        seeds = tf.unstack(tf.random.split(as_seed(seed)))
        p = tf.sigmoid(_cgf(*plus) - _cgf(*minus))
        above = tf.random.stateless_uniform(tf.shape(p), seeds[0], dtype=p.dtype) < p
        x, log_g = (tf.where(above, up, down) for up, down in zip(plus, minus, strict=True))
        size = _sample(x, log_g, seeds[1])
        return tf.where(above, size, -size)

    def least_precision(self) -> tf.Tensor:
        names = "log_precision_plus", "log_precision_minus"
        return tf.exp(tf.minimum(*(float_tensor(self.parameters[name]) for name in names)))

    def add_precision(self, added: ArrayLike) -> DReLU:
        names = "log_precision_plus", "log_precision_minus"
        sums = {name: log_sum(self.parameters[name], float_tensor(added)) for name in names}
        return self.with_parameters(**sums)

    def _sides(self, x):
        """The field and ln g of the half above 0 and of the half below, mirrored."""
        plus = x - self.parameter("threshold_plus", x)
        minus = self.parameter("threshold_minus", x) - x
        return (
            (plus, self.parameter("log_precision_plus", x)),
            (minus, self.parameter("log_precision_minus", x)),
        )


def _cgf(x, log_g):
    return half_gaussian_cgf(x * tf.exp(-log_g / 2)) - log_g / 2


def _cumulants(x, log_g):
    width = tf.exp(-log_g / 2)
    for order, kappa in enumerate(half_gaussian_cumulants(x * width), 1):
        yield kappa * width**order


def _sample(x, log_g, seed):
    width = tf.exp(-log_g / 2)
    return width * sample_half_gaussian(x * width, seed)
