"""Free energies of a surrogate posterior, to train it with, and in the words of physics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.cumulants import log_expectation, sample_cumulants, series_standard_error
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import Tensor
from vae_keras.black_box.draws import Target, blocks_of_draws, call, draw

_FLOOR = 0.1  # of the bound's bracket, below which its logarithm goes on as the tangent


def monte_carlo_cumulant_loss(
    target_log_prob_fn: Target,
    surrogate_posterior: Any,
    sample_size: int = 1,
    order: int = 1,
    *,
    seed: int | Tensor | None = None,
    name: str | None = None,
) -> Tensor:
    """Minus an estimate of ln p(x) to minimise over q, in place of TFP's monte_carlo_variational_loss.

    Order 1 is minus the ELBO. Odd orders from 3 on are minus the logarithm of the perturbative bound
    of Bamler et al.: with V = -ln w and V_0 its mean over the draws, held fixed in the gradient, p(x) >=
    e^-V_0 <sum_k (V_0 - V)^k / k!>. Order 2 is the plain series of cumulants. It is no bound, and
    falls without limit as q makes ln w vary more: watch the ELBO meanwhile.

    Args:
        target_log_prob_fn: ln p(x, z), nats, as `log_weights` takes it.
        surrogate_posterior: q; it has to be reparameterised.
        sample_size: the number of draws, at least 2 from order 2 on.
        order: 1, 2, or an odd number.
        seed: integer, (2,) int32 tensor or None.
        name: of the operations, as TFP has it.

    Returns:
        (*batch,), nats.

    Raises:
        ValueError: if the order is another, there are too few draws, or q is not reparameterised.

    Reference: Bamler, Zhang, Opper and Mandt (2017), Perturbative black box variational inference;
    B25.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> loss = monte_carlo_cumulant_loss(lambda z: q.log_prob(z) + 1.0, q, 10, order=3, seed=0)
        >>> float(loss)
        -1.0
    """
    if order != 2 and (order not in range(1, 30) or order % 2 == 0):
        raise ValueError(
            f"order must be 1, 2 or an odd number, which gives a bound; got {order!r}."
        )
    check_counts(min(order, 2), sample_size=sample_size)
    kinds = tf.nest.flatten(surrogate_posterior.reparameterization_type)
    if any(kind != tfp.distributions.FULLY_REPARAMETERIZED for kind in kinds):
        raise ValueError(
            "The surrogate is not reparameterised, so that no gradient passes through its draws: take "
            "a continuous one, or `tfp.vi.monte_carlo_variational_loss` with its score function."
        )
    with tf.name_scope(name or "monte_carlo_cumulant_loss"):
        log_w = draw(target_log_prob_fn, surrogate_posterior, sample_size, as_seed(seed))[1]
        if order <= 2:
            return -log_expectation(sample_cumulants(log_w, order))
        reference = tf.stop_gradient(tf.reduce_mean(log_w, 0))  # -V_0
        y = log_w - reference
        bracket = tf.reduce_mean(sum(y**k / math.factorial(k) for k in range(order + 1)), 0)
        tangent = math.log(_FLOOR) + (bracket - _FLOOR) / _FLOOR
        logarithm = tf.math.log(tf.maximum(bracket, tf.constant(_FLOOR, bracket.dtype)))
        return -reference - tf.where(bracket > _FLOOR, logarithm, tangent)


class FreeEnergy(NamedTuple):
    """An equilibrium free energy from a trial system, by perturbation theory."""

    value: Any  # F_q + <V> - beta/2 <<V^2>> + .., (*batch,), in the unit of the energy
    standard_error: Any
    trial: Any  # F_q; 0 where the trial has no energy of its own
    cumulants: np.ndarray  # of V under the trial, (order, *batch)


def free_energy(
    energy: Callable[..., Any],
    trial: Any,
    num_samples: int,
    *,
    trial_energy: Callable[..., Any] | None = None,
    beta: float = 1.0,
    order: int = 2,
    progress: bool = True,
    seed: int | Tensor | None = None,
) -> FreeEnergy:
    """F = -ln Z / beta from draws of a trial system: F_q + <V>_q - beta/2 <<V^2>>_q + ..

    V is the energy less that of the trial. Without trial_energy the trial's is -ln q / beta, whose
    free energy is 0. Order 1 is the variational free energy of Gibbs, Bogoliubov and Feynman.

    Args:
        energy: E of draws, called as a `target_log_prob_fn` is, (num_samples, *batch).
        trial: a distribution of TensorFlow Probability that can be drawn from.
        num_samples: the number of draws, more than the order.
        trial_energy: E_q of draws, with q = exp(-beta E_q) / Z_q, or None.
        beta: the inverse temperature.
        order: the last order of the series, 1 to 6.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `FreeEnergy`.

    Raises:
        ValueError: if there are too few draws, beta is not positive, trial_energy is not that of
            the trial, or shapes do not fit.

    Reference: B20, B23.

    Example:
        >>> trial = tfp.distributions.Normal(0.0, 1.0)  # exp(-z^2/2) / (2 pi)^0.5
        >>> found = free_energy(lambda z: z**2 / 2 - 0.1 * z, trial, 1000, seed=0)
        >>> bool(abs(found.value + 0.919 + 0.005) < 5 * found.standard_error + 1e-3)
        True
    """
    check_counts(order + 1, num_samples=num_samples)
    if not beta > 0:
        raise ValueError(f"beta must be positive; got {beta}.")

    def minus_beta_energy(*args, **kwargs):
        return -beta * tf.convert_to_tensor(energy(*args, **kwargs))

    blocks = blocks_of_draws(minus_beta_energy, trial, num_samples, seed, progress)
    if trial_energy is None:
        log_w, free = np.concatenate([w for _, w in blocks]), 0.0
    else:
        log_w, free = _against_a_trial(blocks, trial, trial_energy, beta)
    kappa = sample_cumulants(log_w, order)
    error = np.asarray(series_standard_error(log_w, order)) / beta
    signs = np.reshape([(-beta) ** n for n in range(1, order + 1)], [-1] + [1] * (log_w.ndim - 1))
    value = free - np.asarray(log_expectation(kappa)) / beta
    return FreeEnergy(value[()], error[()], free, np.asarray(kappa) / signs)


def _against_a_trial(blocks, trial, trial_energy, beta):
    """-beta V of all draws, and F_q, from a trial energy that has to be that of the trial."""
    log_w, offsets = [], []
    for z, log_weight in blocks:  # -beta E - ln q
        log_q = np.asarray(trial.log_prob(z), np.float64)
        energy = np.asarray(call(trial_energy, z), np.float64)
        offsets.append(-beta * energy - log_q)  # ln Z_q
        log_w.append(log_weight - offsets[-1])
    offset = np.concatenate(offsets)
    log_z = offset.mean(0)
    if not np.allclose(offset, log_z, rtol=1e-4, atol=1e-3):
        raise ValueError(
            "trial_energy is not the energy of the trial at this beta: -beta trial_energy - ln q should be "
            f"the constant ln Z_q, and varies by {np.max(np.ptp(offset, 0)):.2g} nats over the draws."
        )
    return np.concatenate(log_w), (-log_z / beta)[()]
