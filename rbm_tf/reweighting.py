"""ln Z from weighted samples: what every sampling method ends in, and its two simplest forms."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.gibbs import sample_bernoulli
from rbm_tf.machine import clamped_free_energy, machine_of
from rbm_tf.shared.log_weights import as_log_weights
from rbm_tf.shared.seeds import as_seed

_BLOCK = 10_000  # samples in memory at once


class LogZEstimate(NamedTuple):
    """An estimate of ln Z in nats.

    The standard error is that of log_z by the delta method, the relative standard error of the
    mean weight. It is too small when a few weights carry the sum, which effective_sample_size
    tells.
    """

    log_z: float
    standard_error: float
    log_weights: np.ndarray  # (num_samples,), float64; each an estimate of ln Z by itself

    @property
    def effective_sample_size(self):
        """(sum w)^2 / sum w^2 of the averaged weights, from 1 to num_samples."""
        num_samples = len(self.log_weights)
        if num_samples == 1:  # which has no standard error
            return 1.0
        # s.e.^2 = (num_samples / ESS - 1) / (num_samples - 1)
        return num_samples / (1 + (num_samples - 1) * self.standard_error**2)


def estimate_log_z(log_weights, *, reverse=False):
    """Average importance weights: forward ln <w>, reverse -ln <1/w>, in float64.

    Args:
        log_weights: (num_samples,), nats.
        reverse: False if the samples come from a proposal, so that <w> = Z; True if they come from
            the model itself, so that <1/w> = 1/Z.

    Returns:
        `LogZEstimate`. With one sample, or no weight above zero, the standard error is NaN.

    Raises:
        ValueError: if log_weights are not (num_samples,), with one sample or more.

    Example:
        >>> estimate_log_z(np.log([1.0, 3.0])).log_z  # ln 2
        0.6931471805599453
    """
    log_weights = as_log_weights(log_weights, dtype=np.float64).numpy()
    if log_weights.ndim != 1:
        raise ValueError(f"log_weights must have shape (num_samples,); got {log_weights.shape}.")
    sign = -1.0 if reverse else 1.0
    log_mean = tfp.math.reduce_logmeanexp(sign * log_weights).numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.exp(sign * log_weights - log_mean)  # w / <w>
        variance = np.sum((relative - 1) ** 2) / np.float64(len(relative) - 1)
    return LogZEstimate(
        float(sign * log_mean), float(np.sqrt(variance / len(relative))), log_weights
    )


def importance_sampling(rbm, visible_mean, *, num_samples=10_000, seed=None):
    """Estimate ln Z by importance sampling from independent visible units.

    v ~ q(v) = prod_i Bernoulli(visible_mean_i), w = exp(-F_c(v)) / q(v), <w>_q = Z; the hidden
    units are summed out. On average log_z is below ln Z.

    Args:
        rbm: `BernoulliRBM`.
        visible_mean: means of the proposal, strictly between 0 and 1, (num_visible,).
        num_samples: number of samples.
        seed: integer; the same seed gives the same estimate.

    Returns:
        `LogZEstimate`.

    Raises:
        ValueError: if a mean is 0 or 1, which leaves states that are never drawn, or the shape is
            not (num_visible,).

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = importance_sampling(rbm, tap(rbm, order=1).visible, seed=0)
    """
    machine, mean = machine_of(rbm), np.asarray(visible_mean, float)
    if mean.shape != (machine.num_visible,) or not np.all((mean > 0) & (mean < 1)):
        raise ValueError(
            f"visible_mean must hold {machine.num_visible} values strictly between 0 and 1; got "
            f"shape {mean.shape}, from {mean.min(initial=1)} to {mean.max(initial=0)}. Clip it."
        )
    if num_samples < 1:
        raise ValueError(f"num_samples must be 1 or more; got {num_samples}.")
    logits = tf.constant(np.log(mean) - np.log1p(-mean), machine.dtype)
    seeds = tf.random.split(as_seed(seed), -(-num_samples // _BLOCK))
    log_weights = []
    for index, block_seed in enumerate(tf.unstack(seeds)):
        size = min(_BLOCK, num_samples - index * _BLOCK)
        v = sample_bernoulli(tf.broadcast_to(logits, (size, machine.num_visible)), block_seed)
        log_proposal = -tf.nn.sigmoid_cross_entropy_with_logits(v, tf.broadcast_to(logits, v.shape))
        log_weights.append(-clamped_free_energy(machine, v) - tf.reduce_sum(log_proposal, -1))
    return estimate_log_z(tf.concat(log_weights, 0))


def monte_carlo(rbm, *, num_samples=10_000, seed=None):
    """Estimate ln Z by plain Monte Carlo: ln of 2^num_visible times <exp(-F_c(v))> over fair coins.

    Unbiased for Z and useless for ln Z once the model has structure: its relative variance grows
    exponentially with the number of units.

    Args:
        rbm: `BernoulliRBM`.
        num_samples: number of samples.
        seed: integer; the same seed gives the same estimate.

    Returns:
        `LogZEstimate`.

    Example:
        >>> estimate = monte_carlo(BernoulliRBM(6, 4, seed=0), num_samples=1000, seed=0)
    """
    return importance_sampling(
        rbm, np.full(machine_of(rbm).num_visible, 0.5), num_samples=num_samples, seed=seed
    )
