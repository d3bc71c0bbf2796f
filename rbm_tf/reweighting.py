"""ln Z from independent samples: plain Monte Carlo and importance sampling."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.estimates import LogZEstimate, estimate_log_z
from rbm_tf.machine import hidden_input, machine_of
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.stability import check_z

_BLOCK = 10_000  # samples in memory at once


def importance_sampling(
    rbm: RBMLike, visible_mean: ArrayLike, *, num_samples: int = 10_000, seed: int | None = None
) -> LogZEstimate:
    """Estimate ln Z by importance sampling from independent visible units.

    v ~ q(v) = prod_i exp(x_i v_i - U(v_i) - Gamma_i(x_i)), for binary units prod_i
    Bernoulli(visible_mean_i); w = exp(-F_c(v)) / q(v), <w>_q = Z; the hidden units are summed out.
    On average log_z is below ln Z.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        visible_mean: the means of the proposal, inside the support, for binary units strictly
            between 0 and 1, (num_visible,).
        num_samples: the number of samples to draw.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `LogZEstimate`.

    Raises:
        ValueError: if a mean is at an edge of the support, which leaves states that are never
            drawn, or the shape is not (num_visible,).

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = importance_sampling(rbm, tap(rbm, order=1).visible, seed=0)
    """
    machine, mean = machine_of(rbm), np.asarray(visible_mean, float)
    inputs = np.zeros(0)
    if mean.shape == (machine.num_visible,):
        inputs = machine.visible.conjugate_field(mean).numpy()
    if not (inputs.size and np.all(np.isfinite(inputs))):
        raise ValueError(
            f"visible_mean must hold {machine.num_visible} values strictly inside the support of "
            f"{machine.visible!r}; got shape {mean.shape}, from {mean.min(initial=1)} to "
            f"{mean.max(initial=0)}. Clip it."
        )
    return _weigh(machine, inputs, num_samples, seed)


def _weigh(machine, inputs, num_samples, seed):
    """ln w of draws from units in the fields `inputs`, (num_visible,), as an estimate of ln Z."""
    check_counts(num_samples=num_samples)
    check_z(machine)
    inputs = tf.constant(inputs, machine.dtype)
    log_normaliser = tf.reduce_sum(machine.visible.cgf(inputs))
    seeds = tf.random.split(as_seed(seed), -(-num_samples // _BLOCK))
    log_weights = []
    for index, block_seed in enumerate(tf.unstack(seeds)):
        size = min(_BLOCK, num_samples - index * _BLOCK)
        many = tf.broadcast_to(inputs, (size, machine.num_visible))
        v = machine.visible.sample(many, seed=block_seed)
        difference = tf.linalg.matvec(v, machine.visible_bias - inputs)  # in which U cancels
        hidden = tf.reduce_sum(machine.hidden.cgf(hidden_input(machine, v)), -1)
        log_weights.append(difference + hidden + log_normaliser)
    return estimate_log_z(tf.concat(log_weights, 0))


def monte_carlo(
    rbm: RBMLike, *, num_samples: int = 10_000, seed: int | None = None
) -> LogZEstimate:
    """Estimate ln Z by plain Monte Carlo over visible units without fields: ln of Z_0 <exp(..)>.

    For binary units, which are then fair coins, Z_0 = 2^num_visible and the average is that of
    exp(-F_c(v)).

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
    machine = machine_of(rbm)
    return _weigh(machine, np.zeros(machine.num_visible), num_samples, seed)
