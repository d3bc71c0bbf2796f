"""Gaussian units."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.parameters import log_positive, log_sum
from rbm_tf.units.unit import Unit


@keras.saving.register_keras_serializable(package="rbm_tf")
class Gaussian(Unit):
    """Real units with U = g t^2/2: Gamma(x) = x^2/2g + ln(2 pi/g)/2, mean x/g, variance 1/g.

    p(v) is a density, whose logarithm may be positive. The parameter is ln g, `log_precision`.
    Z is finite whatever the weights only if the other layer is bounded.

    Args:
        num: the number of units.
        precision: g, a number or (num,), above 0; or a tensor, (.., num).

    Raises:
        ValueError: if num is not an integer of 1 or more, or a precision is not above 0.

    Example:
        >>> Gaussian(1, precision=4.0).cumulants([2.0], 4)[:, 0].numpy()
        array([0.5 , 0.25, 0.  , 0.  ], dtype=float32)
    """

    scale_parameters = ("log_precision",)

    def __init__(self, num: int, precision: ArrayLike = 1.0) -> None:
        super().__init__(num)
        self.parameters = {"log_precision": log_positive(precision, self.num, "precision")}

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        x = self.fields(x)
        log_g = self.parameter("log_precision", x)
        return x * x * tf.exp(-log_g) / 2 + (math.log(2 * math.pi) - log_g) / 2

    def cgf_gain(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        by_unit = (x - y) * (x + y) * tf.exp(-self.parameter("log_precision", x)) / 2
        return tf.reduce_sum(by_unit, -1)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        inverse = tf.exp(-self.parameter("log_precision", x))
        mean = x * inverse
        zero = tf.zeros_like(mean)
        yield mean
        yield inverse + zero
        while True:
            yield zero

    def energy(self, t: ArrayLike) -> tf.Tensor:
        t = self.fields(t)
        return tf.exp(self.parameter("log_precision", t)) * t * t / 2

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        mean = self.mean(x)
        noise = tf.random.stateless_normal(tf.shape(mean), as_seed(seed), dtype=mean.dtype)
        return mean + tf.exp(-self.parameter("log_precision", mean) / 2) * noise

    def conjugate_field(self, m: ArrayLike) -> tf.Tensor:
        m = self.fields(m)
        return tf.exp(self.parameter("log_precision", m)) * m

    def cgf_conjugate(self, m: ArrayLike) -> tf.Tensor:
        m = self.fields(m)
        return self.energy(m) - (math.log(2 * math.pi) - self.parameter("log_precision", m)) / 2

    def cgf_conjugate_at(self, x: ArrayLike) -> tf.Tensor:
        return self.cgf_conjugate(self.mean(x))

    def least_precision(self) -> tf.Tensor:
        return tf.exp(float_tensor(self.parameters["log_precision"]))

    def add_precision(self, added: ArrayLike) -> Gaussian:
        return self.with_parameters(
            log_precision=log_sum(self.parameters["log_precision"], float_tensor(added))
        )
