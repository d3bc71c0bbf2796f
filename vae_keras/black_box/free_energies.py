"""Equilibrium free energies from draws of a trial system, in the words of physics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rbm_tf.cumulants import MAX_ORDER, log_expectation, sample_cumulants, series_standard_error
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.types import Tensor
from vae_keras.black_box.inputs import blocks_of_draws, call, finite_log_weights


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
        trial: a distribution of TensorFlow Probability.
        num_samples: the number of draws, more than the order.
        trial_energy: E_q of draws, with q = exp(-beta E_q) / Z_q, or None.
        beta: the inverse temperature.
        order: the last order of the series, 1 to 6.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `FreeEnergy`.

    Raises:
        ValueError: if the order is out of range, there are too few draws, beta is not positive,
            trial_energy is not that of the trial, an energy is not finite, or shapes do not fit.

    Reference: Feynman (1972), Statistical mechanics, section 2.11; B16, B20 and B23.

    Example:
        >>> trial = tfp.distributions.Normal(0.0, 1.0)  # exp(-z^2/2) / (2 pi)^0.5
        >>> found = free_energy(lambda z: z**2 / 2 - 0.1 * z, trial, 1000, seed=0)
        >>> exact = -0.5 * np.log(2 * np.pi) - 0.1**2 / 2
        >>> bool(abs(found.value - exact) < 5 * found.standard_error)
        True
    """
    if order not in range(1, MAX_ORDER + 1):
        raise ValueError(f"order must be an integer from 1 to {MAX_ORDER}; got {order!r}.")
    check_counts(order + 1, num_samples=num_samples)
    if not beta > 0:
        raise ValueError(f"beta must be positive; got {beta}.")

    def minus_beta_energy(*args, **kwargs):
        return -beta * float_tensor(energy(*args, **kwargs))

    blocks = blocks_of_draws(minus_beta_energy, trial, num_samples, seed, progress=progress)
    if trial_energy is None:
        log_w, free = np.concatenate([log_w for _, log_w in blocks]), 0.0
    else:
        log_w, free = _against_a_trial(blocks, trial, trial_energy, beta)
    log_w = finite_log_weights(log_w)
    kappa = np.asarray(sample_cumulants(log_w, int(order)))
    error = np.asarray(series_standard_error(log_w, int(order))) / beta
    signs = np.reshape([(-beta) ** n for n in range(1, order + 1)], [-1] + [1] * (log_w.ndim - 1))
    value = free - np.asarray(log_expectation(kappa)) / beta
    return FreeEnergy(value[()], error[()], free, kappa / signs)


def _against_a_trial(blocks, trial, trial_energy, beta):
    """-beta V of all draws, and F_q, from a trial energy that has to be that of the trial."""
    log_w, log_z, largest = [], [], 1.0
    for z, log_weight in blocks:  # -beta E - ln q
        log_q = np.asarray(trial.log_prob(z), np.float64)
        energy = np.asarray(call(trial_energy, z), np.float64)
        if energy.shape != log_q.shape:
            raise ValueError(
                f"trial_energy gave the shape {energy.shape}; the trial's densities have "
                f"{log_q.shape}. It has to keep the axis of the draws and to sum over the event."
            )
        log_z.append(-beta * energy - log_q)
        log_w.append(log_weight - log_z[-1])
        largest = max(largest, np.max(np.abs(log_q)))
    all_log_z = np.concatenate(log_z)
    range_ = np.max(np.ptp(all_log_z, 0))
    if not range_ <= 1e-3 * max(1, 1e-2 * largest):  # what float32 makes of densities so large
        raise ValueError(
            "trial_energy is not the energy of the trial at this beta: -beta trial_energy - ln q "
            f"should be the constant ln Z_q, and varies by {range_:.2g} nats over the draws."
        )
    return np.concatenate(log_w), (-all_log_z.mean(0) / beta)[()]
