"""ln Z from independent samples: plain Monte Carlo and importance sampling."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.estimates import LogZEstimate, estimate_log_z
from rbm_tf.machine import clamped_free_energy, machine_of
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import sample_bernoulli

_BLOCK = 10_000  # samples in memory at once


def importance_sampling(
    rbm: RBMLike, visible_mean: ArrayLike, *, num_samples: int = 10_000, seed: int | None = None
) -> LogZEstimate:
    """Estimate ln Z by importance sampling from independent visible units.

    v ~ q(v) = prod_i Bernoulli(visible_mean_i), w = exp(-F_c(v)) / q(v), <w>_q = Z; the hidden
    units are summed out. On average log_z is below ln Z.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        visible_mean: the means of the proposal, strictly between 0 and 1, (num_visible,).
        num_samples: the number of samples to draw.
        seed: integer that fixes the draws; the same seed gives the same estimate.

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
    check_counts(num_samples=num_samples)
    logits = tf.constant(np.log(mean) - np.log1p(-mean), machine.dtype)
    seeds = tf.random.split(as_seed(seed), -(-num_samples // _BLOCK))
    log_weights = []
    for index, block_seed in enumerate(tf.unstack(seeds)):
        size = min(_BLOCK, num_samples - index * _BLOCK)
        v = sample_bernoulli(tf.broadcast_to(logits, (size, machine.num_visible)), block_seed)
        log_proposal = -tf.nn.sigmoid_cross_entropy_with_logits(v, tf.broadcast_to(logits, v.shape))
        # log_proposal: (size, num_visible)
        log_weights.append(-clamped_free_energy(machine, v) - tf.reduce_sum(log_proposal, -1))
    return estimate_log_z(tf.concat(log_weights, 0))


def monte_carlo(
    rbm: RBMLike, *, num_samples: int = 10_000, seed: int | None = None
) -> LogZEstimate:
    """Estimate ln Z by plain Monte Carlo: ln of 2^num_visible times <exp(-F_c(v))> over fair coins.

    Unbiased for Z and useless for ln Z once the model has structure: its relative variance grows
    exponentially with the number of units.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        num_samples: the number of samples to draw.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `LogZEstimate`.

    Example:
        >>> estimate = monte_carlo(BernoulliRBM(6, 4, seed=0), num_samples=1000, seed=0)
    """
    return importance_sampling(
        rbm, np.full(machine_of(rbm).num_visible, 0.5), num_samples=num_samples, seed=seed
    )
