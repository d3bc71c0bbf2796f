"""Ising models under a bias on their magnetisation, sampled by single spins."""

import numpy as np
from scipy.special import expit

from rbm_tf.ising.lattice import Ising
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike


def magnetisation_windows(
    model: Ising,
    bias: ArrayLike,
    *,
    num_chains: int = 20,
    num_steps: int = 1000,
    num_burn_in: int = 100,
    seed: int | None = None,
) -> np.ndarray:
    """The number of spins that are up, sampled under each of several biases.

    Window k has the distribution exp(-H(s) - u_k(n(s))) with n the number of spins +1. A sweep
    draws every spin in turn given all others (heat bath). Chains start in random states where their
    bias is least: all spins down if it is flat.

    Args:
        model: the `Ising` model, (rows, columns).
        bias: u_k(n), (num_windows, num_spins + 1), nats.
        num_chains: the number of independent chains in each window.
        num_steps: the number of sweeps that are recorded.
        num_burn_in: the number of sweeps before.
        seed: integer that fixes the draws; the same seed gives the same samples.

    Returns:
        n after each sweep, (num_windows, num_chains, num_steps), integers; `rbm_tf.wham` makes the
        free energy of n from them.

    Raises:
        ValueError: if the bias does not fit, or a number is too small.

    Reference: Torrie and Valleau (1977); B50.

    Example:
        >>> flat = magnetisation_windows(chain(8, coupling=0.5), np.zeros((1, 9)), seed=0)
        >>> flat.shape
        (1, 20, 1000)
    """
    check_counts(num_chains=num_chains, num_steps=num_steps)
    check_counts(0, num_burn_in=num_burn_in)
    coupling, field = _dense(model)
    bias = np.asarray(bias, float)
    if bias.ndim != 2 or bias.shape[1] != len(field) + 1 or not np.all(np.isfinite(bias)):
        raise ValueError(
            f"bias must be finite, of shape (num_windows, {len(field) + 1}): one value for each "
            f"number of spins up; got {bias.shape}."
        )
    rng, steps = np.random.default_rng(seed), []
    bias = np.repeat(bias, num_chains, 0)  # one row for each chain of each window
    order = rng.random((len(bias), len(field))).argsort(1)
    spins = np.where(order < bias.argmin(1)[:, np.newaxis], 1.0, -1.0)
    for step in range(num_burn_in + num_steps):
        num_up = _sweep(spins, coupling, field, bias, rng.random(spins.shape))
        if step >= num_burn_in:
            steps.append(num_up)
    return np.stack(steps, -1).reshape(-1, num_chains, num_steps)


def _dense(model):
    """All couplings, (num_spins, num_spins), symmetric, and fields, (num_spins,)."""
    shape = np.shape(model.field)
    if len(shape) != 2:
        raise ValueError(f"One lattice at a time: (rows, columns); got a model of shape {shape}.")
    site = np.arange(np.prod(shape)).reshape(shape)
    coupling = np.zeros((site.size, site.size))
    for bond, axis in ((model.right, -1), (model.down, -2)):
        np.add.at(coupling, (site.ravel(), np.roll(site, -1, axis).ravel()), np.ravel(bond))
    coupling += coupling.T
    np.fill_diagonal(coupling, 0)  # a spin with itself, in a single row or column
    return coupling, np.ravel(model.field)


def _sweep(spins, coupling, field, bias, uniform):
    """Draw every spin anew, in place; returns the number of spins up, (num_rows,)."""
    rows, num_up = np.arange(len(spins)), (spins > 0).sum(1)
    for i in range(spins.shape[1]):
        others = num_up - (spins[:, i] > 0)
        log_odds = 2 * (spins @ coupling[i] + field[i])
        log_odds += bias[rows, others] - bias[rows, others + 1]
        up = uniform[:, i] < expit(log_odds)
        spins[:, i] = np.where(up, 1.0, -1.0)
        num_up = others + up
    return num_up
