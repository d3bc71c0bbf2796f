"""Annealed importance sampling with observed units clamped, of all examples at once.

The path is that of `rbm_tf.tempered_path` in any units: W, a and b are scaled by beta and U is not,

    F_beta(v) = sum_i U(v_i) - ((1 - beta) a0 + beta a).v - sum_j Gamma_j(beta (b_j + (v W)_j))

with v_o at its place all along, so that the hidden units feel beta (b + v_o W_o) from it.
"""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from rbm_tf import annealing
from rbm_tf.conditional.clamping import observed_states, with_means
from rbm_tf.estimates import LogZEstimate, estimate_log_z
from rbm_tf.machine import hidden_input, machine_of, visible_input
from rbm_tf.shared.betas import checked_betas
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.tempered_path import TemperedPath, log_z_of_free_units
from rbm_tf.units import Clamped

_NUMBERS = 2**25  # states of both layers that are in memory at a time
_COUNT = 98  # of data with the means of the base, beside one at each end: it draws every state


def clamped_ais(
    rbm: RBMLike,
    v: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    num_chains: int = 100,
    betas: ArrayLike | None = None,
    progress: bool = True,
    seed: int | None = None,
) -> LogZEstimate:
    """Estimate ln Z(o) = ln sum_{m,h} exp(-E(o, m, h)) for each example, its units o clamped.

    For machines that `clamped_log_z` cannot sum over: ln p(v_observed) = ln Z(o) - ln Z, and
    ln p(v_missing | v_observed) = -F_c(v) - ln Z(o). The base of each example are independent
    missing units, with the means that hidden units give them which see the observed ones.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible).
        mask: 1 or True where v is observed, (num_visible,) or (num, num_visible); None: where v is
            not NaN.
        num_chains: the number of independent chains of each example.
        betas: the path, (num_betas,), increasing from 0 to 1; the default is 1,001 equal steps.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `LogZEstimate` with log_z and standard_error (num,) and log_weights (num_chains, num).

    Raises:
        ValueError: as `observed_states`, or if betas do not increase from 0 to 1.

    Reference: Neal (2001), Annealed importance sampling.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> clamped_ais(rbm, np.eye(6), mask=[1, 1, 1, 0, 0, 0], seed=0).log_weights.shape
        (100, 6)
    """
    check_counts(num_chains=num_chains)
    machine = machine_of(rbm)
    betas = checked_betas(betas, machine.dtype)
    values = observed_states(machine.visible, v, mask=mask)
    at_a_time = max(1, _NUMBERS // (num_chains * (machine.num_visible + machine.num_hidden)))
    log_weights = []
    for first in range(0, len(values), at_a_time):
        block = tf.constant(values[first : first + at_a_time], machine.dtype)
        seeds = tf.unstack(tf.random.split(tf.random.fold_in(as_seed(seed), first)))
        path = _path(rbm, machine, block, num_chains)
        start = path.sample_base(len(path.base_bias), seeds[0])
        walk = path.base_log_z + annealing.anneal(path, betas, start, seeds[1], progress)
        log_weights.append(tf.reshape(walk, (num_chains, -1)))
    return estimate_log_z(tf.concat(log_weights, 1))


def _path(rbm, machine, values, num_chains):
    """The path of examples, each with num_chains rows."""
    hidden = machine.hidden.mean(hidden_input(machine, with_means(rbm, values)))
    mean = machine.visible.mean(visible_input(machine, hidden))
    base_bias = machine.visible.initial_bias(mean, count=_COUNT)
    base_bias = tf.where(tf.math.is_nan(values), base_bias, machine.visible_bias)
    values, base_bias = (tf.tile(x, (num_chains, 1)) for x in (values, base_bias))
    visible = Clamped(machine.visible, values)
    base_log_z = tf.cast(tf.reduce_sum(visible.cgf(base_bias), -1), tf.float64)
    base_log_z += log_z_of_free_units(machine.hidden)
    return TemperedPath(replace(machine, visible=visible), base_bias, base_log_z)
