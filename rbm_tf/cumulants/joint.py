"""Joint cumulants <<f x^n>>, and the expectations that a truncated free energy generates.

ln <exp(x + t f)> generates both: its value at t = 0 is the free energy, its slope the mean of f
under the tilted distribution. Whatever truncates the one therefore truncates the other, and the
joint cumulants of its series are derivatives of the k-statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.cumulants.k_statistics import sample_cumulants
from rbm_tf.cumulants.streaming import StreamingCumulants
from rbm_tf.shared.log_weights import as_log_weights, float_tensor
from rbm_tf.shared.types import ArrayLike

_TINY = 1e-150  # its square is 0: complex numbers a + _TINY b i are dual numbers


def joint_cumulants(f: ArrayLike, x: ArrayLike, max_order: int) -> tf.Tensor:
    """Estimate <f>, <<f x>>, <<f x x>>, .. without bias, from samples.

    The k-statistic of x + t f is a polynomial in t whose slope at 0 is n + 1 times the joint
    cumulant of one f and n factors x. The slope of an unbiased estimate is unbiased.

    Args:
        f: values, (num_samples, *shape, ..); axes beyond those of x are further functions.
        x: values for the same samples, (num_samples, *shape).
        max_order: the highest order n + 1, 1 to 6.

    Returns:
        (max_order, *shape, ..): order n + 1 is <<f x^n>>.

    Raises:
        ValueError: if max_order is not 1 to 6, there are fewer samples than that, or the shapes do
            not fit.

    Reference: Kendall and Stuart, The Advanced Theory of Statistics 1, section 13; B34.

    Example:
        >>> joint_cumulants([1.0, 3.0], [0.0, 4.0], max_order=2).numpy()  # mean, covariance
        array([2., 4.], dtype=float32)
    """
    f, x = _aligned(f, x)
    with tf.autodiff.ForwardAccumulator(x, f) as along_f:
        kappa = sample_cumulants(x, max_order)
    slopes = along_f.jvp(kappa)
    orders = tf.range(1, max_order + 1, dtype=slopes.dtype)
    return slopes / tf.reshape(orders, [-1] + [1] * (slopes.shape.rank - 1))


def expectation_weights(
    log_weights: ArrayLike, estimate: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """The weights with which an estimate of ln <w> corrects expectations: its gradient in ln w.

    A source t f adds t f_i to each ln w_i, so d/dt is sum_i c_i f_i with c = d estimate / d ln w.
    For `iwae` these are the normalised importance weights, for the ELBO all are 1 / num_samples,
    and for the cumulant series they may be negative. They add up to 1 for each estimate that grows
    by a constant when all log-weights do.

    Args:
        log_weights: ln w, (num_samples, ..), nats.
        estimate: a function of log-weights to estimates of ln <w>, (..), made of TensorFlow, such
            as `vae_keras.evidence.iwae`.

    Returns:
        c, the shape of log_weights.

    Raises:
        ValueError: if there is no sample, or the estimate is not made of TensorFlow.

    Reference: B34.

    Example:
        >>> series = lambda x: log_expectation(sample_cumulants(x, 2))
        >>> expectation_weights([0.0, 1.0], series).numpy()
        array([0., 1.], dtype=float32)
    """
    log_weights = as_log_weights(log_weights)
    with tf.GradientTape() as tape:
        tape.watch(log_weights)
        value = estimate(log_weights)
    gradient = tape.gradient(value, log_weights)
    if gradient is None:
        raise ValueError(
            "The estimate has no gradient: make it of TensorFlow alone, as vae_keras.evidence does."
        )
    return gradient


class StreamingJointCumulants(NamedTuple):
    """<f>, <<f x>>, <<f x x>>, .. of all samples seen so far; memory is constant, parts merge.

    It is `StreamingCumulants` of x + t f with a t whose square is zero, kept as the imaginary part.

    Reference: Pebay (2008), as `StreamingCumulants`; B34.

    Example:
        >>> total = StreamingJointCumulants.empty(max_order=2).update([1.0, 3.0], [0.0, 4.0])
        >>> total.cumulants()
        array([2., 4.])
    """

    dual: StreamingCumulants  # of x + i _TINY f, complex

    @classmethod
    def empty(cls, max_order: int = 3, *, shape: tuple[int, ...] = ()) -> StreamingJointCumulants:
        """No samples yet.

        Args:
            max_order: the highest order of the joint cumulants to come, 1 to 6.
            shape: the shape of one sample of f.

        Raises:
            ValueError: if max_order is not 1 to 6.
        """
        return cls(StreamingCumulants.empty(max_order, shape=shape))

    def update(self, f: ArrayLike, x: ArrayLike) -> StreamingJointCumulants:
        """A new `StreamingJointCumulants` of these samples too.

        Args:
            f: further values, (num_samples, *shape).
            x: values for the same samples, (num_samples, ..); its axes are the first of f's.

        Raises:
            ValueError: if there are none, or the shapes do not fit.
        """
        f, x = _aligned(f, x, dtype=np.float64)
        return StreamingJointCumulants(self.dual.update(x.numpy() + 1j * _TINY * f.numpy()))

    def merge(self, other: StreamingJointCumulants) -> StreamingJointCumulants:
        """A new `StreamingJointCumulants` of the samples of both.

        Args:
            other: the other one, of the same max_order and shape.

        Raises:
            ValueError: if it has another max_order or shape.
        """
        return StreamingJointCumulants(self.dual.merge(other.dual))

    def cumulants(self) -> np.ndarray:
        """The joint cumulants without bias, as `joint_cumulants` has them.

        Returns:
            (max_order, *shape), float64.

        Raises:
            ValueError: if there are fewer than max_order samples.
        """
        slopes = self.dual.cumulants().imag / _TINY
        return slopes / np.reshape(np.arange(1, len(slopes) + 1), [-1] + [1] * (slopes.ndim - 1))


def expectation_series(joint: ArrayLike) -> tf.Tensor:
    """Sum <f> + <<f x>> + 1/2 <<f x x>> + .. to the order that is there: f under exp(x) times q.

    Args:
        joint: joint cumulants stacked on axis 0, (max_order, ..), as `joint_cumulants` has them.

    Returns:
        The sum over axis 0, in the unit of f.

    Reference: B34.

    Example:
        >>> float(expectation_series([2.0, 4.0]))
        6.0
    """
    joint = float_tensor(joint)
    factorials = [math.factorial(n) for n in range(joint.shape[0])]
    return tf.tensordot(1 / tf.constant(factorials, joint.dtype), joint, 1)


def _aligned(f, x, dtype=None):
    """f and x as tensors of one shape and dtype: x is repeated along the further axes of f."""
    x = float_tensor(x, dtype=dtype)
    f = float_tensor(f, dtype=dtype or (None if hasattr(f, "dtype") else x.dtype))
    if f.dtype != x.dtype:
        f, x = tf.cast(f, tf.float64), tf.cast(x, tf.float64)
    if f.shape[: x.shape.rank] != x.shape:
        raise ValueError(
            f"f must have the shape of x, {tuple(x.shape)}, or further axes behind it; got "
            f"{tuple(f.shape)}."
        )
    further = [tf.newaxis] * (f.shape.rank - x.shape.rank)
    return f, tf.zeros_like(f) + x[(..., *further)]
