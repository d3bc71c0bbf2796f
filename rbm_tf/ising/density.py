"""The density of states of periodic Ising lattices with J = 1: counted, or by a random walk.

Level d holds the states with d unequal neighbours, E = 2 d - num_bonds. A single column of spins is
the chain. One list of counts gives the free energy at every temperature.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike

_MAX_COLUMNS = 10  # whose rows have 2 ** columns states


class DensityOfStates(NamedTuple):
    """The energies that occur and ln of the number of states at each.

    Example:
        >>> levels = level_counts(2, 1)  # two spins, joined by two bonds
        >>> levels.energy, np.exp(levels.log_count).round(6)
        (array([-2.,  2.]), array([2., 2.]))
        >>> round(float(levels.log_z(0.0)), 6)  # ln 4
        1.386294
    """

    energy: np.ndarray  # (num_levels,), increasing, in units of J
    log_count: np.ndarray  # (num_levels,), or (num_runs, num_levels)

    def log_z(self, beta: ArrayLike) -> np.ndarray:
        """ln Z = ln sum_E g(E) exp(-beta E).

        Args:
            beta: inverse temperatures, in units of 1 / J, a scalar or (num_betas,).

        Returns:
            The shape of beta, behind that of the runs, nats.
        """
        exponent = -np.multiply.outer(np.asarray(beta, float), self.energy)
        runs = np.expand_dims(self.log_count, tuple(range(-1 - np.ndim(beta), -1)))
        return logsumexp(runs + exponent, axis=-1)


def level_counts(rows: int, columns: int) -> DensityOfStates:
    """Count the states of a periodic lattice level by level, by transfer matrix.

    Z is a polynomial in exp(-2 beta) whose coefficients are the counts. Bonds are added one at a
    time to 2^columns polynomials; of the first rows that turns and flips make equal, one is enough.

    Args:
        rows: the number of rows, 2 or more.
        columns: the number of columns, from 1 (a chain) to 10. Eight take a second, ten a minute.

    Returns:
        `DensityOfStates` of the levels that occur; counts to 12 digits or more.

    Raises:
        ValueError: if the lattice is too small or too wide.

    Reference: Kramers and Wannier (1941); Beale (1996), Exact distribution of energies in the
    two-dimensional Ising model, for the square lattice without a limit; B33.

    Example:
        >>> levels = level_counts(4, 4)
        >>> levels.energy[:3], np.exp(levels.log_count[:3]).round(6)
        (array([-32., -24., -20.]), array([ 2., 32., 64.]))
    """
    check_counts(2, rows=rows)
    check_counts(columns=columns)
    if columns > _MAX_COLUMNS:
        raise ValueError(
            f"At most {_MAX_COLUMNS} columns are counted; got {columns}. Exchange rows and columns "
            "if there are fewer rows, or take wang_landau."
        )
    state = np.arange(2**columns)
    unequal = _bit_count(state ^ _turned(state, columns), columns)
    num_bonds = rows * columns * (2 if columns > 1 else 1)
    counts = np.zeros(num_bonds + 1)
    first, weight = np.unique(_canonical(state, columns), return_counts=True)
    for start, times in zip(first, weight, strict=True):
        counts += times * _walks_around(start, unequal, rows, columns, num_bonds)
    level = np.flatnonzero(counts)
    return DensityOfStates(2.0 * level - num_bonds, np.log(counts[level]))


def _turned(state, columns):
    """All rows turned by one column, as bits."""
    return (state >> 1) | ((state & 1) << (columns - 1))


def _bit_count(state, columns):
    return ((state[:, np.newaxis] >> np.arange(columns)) & 1).sum(1)


def _canonical(state, columns):
    """The least of the rows that turns and the flip of all spins make of each one."""
    least, row = state, state
    for _ in range(columns):
        row = _turned(row, columns)
        least = np.minimum(least, np.minimum(row, row ^ (2**columns - 1)))
    return least


def _walks_around(start, unequal, rows, columns, num_bonds):
    """The counts of states whose first row is start, by the number of unequal neighbours."""
    counts = np.zeros((num_bonds + 1, 2**columns))  # (level, current row)
    counts[0, start] = 1
    below = np.arange(num_bonds + 1)[:, np.newaxis] - unequal  # the level before the row's bonds
    for _ in range(rows):
        counts = np.where(below >= 0, np.take_along_axis(counts, np.maximum(below, 0), 0), 0)
        for j in range(columns):
            split = counts.reshape(num_bonds + 1, 2**j, 2, -1)  # the spin on an axis of its own
            added = split.copy()
            added[1:] += split[:-1, :, ::-1]
            counts = added.reshape(counts.shape)
    return counts[:, start]


def wang_landau(
    rows: int,
    columns: int,
    log_factors: ArrayLike,
    *,
    num_runs: int = 20,
    seed: int | None = None,
) -> DensityOfStates:
    """The density of states by random walks in energy that learn it, each on its own.

    A flip of a random spin is accepted with the probability min(1, g(E) / g(E')), and after every
    trial ln g of the level where the walk is grows by ln f. With the right g all levels are visited
    alike. Let ln f fall as 1 / t in the end, such as np.minimum(1, 100 / np.arange(1, 10_000)): if
    it falls faster, the error stays.

    Args:
        rows: the number of rows, 2 or more.
        columns: the number of columns; 1 is a chain.
        log_factors: ln f in each sweep of rows * columns trials, (num_sweeps,), nats.
        num_runs: the number of independent runs, whose spread tells the error.
        seed: integer that fixes the draws; the same seed gives the same counts.

    Returns:
        `DensityOfStates` of the levels that every run has met, log_count (num_runs, num_levels),
        each run normalised to the number of all states.

    Raises:
        ValueError: if a number is too small, or log_factors are not above 0.

    Reference: Wang and Landau (2001), Efficient, multiple-range random walk algorithm to calculate
    the density of states; Belardinelli and Pereyra (2007), Fast algorithm to calculate density of
    states, for 1 / t; B51.

    Example:
        >>> found = wang_landau(4, 1, np.minimum(1, 10 / np.arange(1, 1001)), seed=0)
        >>> np.exp(found.log_count.mean(0)).round()  # 2, 12 and 2 states
        array([ 2., 12.,  2.])
    """
    check_counts(2, rows=rows)
    check_counts(columns=columns, num_runs=num_runs)
    log_factors = np.asarray(log_factors, float)
    if log_factors.ndim != 1 or not len(log_factors) or not np.all(log_factors > 0):
        raise ValueError("log_factors must be a list of numbers above 0, one for each sweep.")
    walk = _Walk(rows, columns, num_runs, seed)
    for log_factor in log_factors:
        walk.sweep(log_factor)
    met = np.all(walk.met, 0)
    log_count = walk.log_count[:, met]
    log_count += rows * columns * np.log(2) - logsumexp(log_count, axis=1, keepdims=True)
    return DensityOfStates(2.0 * np.flatnonzero(met) - (walk.met.shape[1] - 1), log_count)


class _Walk:
    """Independent walks: spins, their level, and the ln g that each has learnt."""

    def __init__(self, rows: int, columns: int, num_runs: int, seed: int | None) -> None:
        site = np.arange(rows * columns).reshape(rows, columns)
        shifts = [(1, 0), (-1, 0), (1, 1), (-1, 1)][: 4 if columns > 1 else 2]
        self.neighbours = np.stack([np.roll(site, *shift).ravel() for shift in shifts], 1)
        self.rng, self.run = np.random.default_rng(seed), np.arange(num_runs)
        self.spins = self.rng.choice([-1, 1], (num_runs, site.size))
        num_bonds = self.neighbours.size // 2
        aligned = self.spins[:, :, np.newaxis] * self.spins[:, self.neighbours]
        self.level = (num_bonds - aligned.sum((1, 2)) // 2) // 2
        self.log_count = np.zeros((num_runs, num_bonds + 1))
        self.met = np.zeros((num_runs, num_bonds + 1), bool)

    def sweep(self, log_factor: float) -> None:
        """As many trials as there are spins, in every run."""
        num_runs, num_spins = self.spins.shape
        sites = self.rng.integers(num_spins, size=(num_spins, num_runs))
        log_uniform = np.log(self.rng.random((num_spins, num_runs)))
        for site, barrier in zip(sites, log_uniform, strict=True):
            spin = self.spins[self.run, site]
            around = self.spins[self.run[:, np.newaxis], self.neighbours[site]].sum(1)
            new = self.level + spin * around
            gain = self.log_count[self.run, self.level] - self.log_count[self.run, new]
            accept = barrier < gain
            self.level = np.where(accept, new, self.level)
            self.spins[self.run, site] = np.where(accept, -spin, spin)
            self.log_count[self.run, self.level] += log_factor
            self.met[self.run, self.level] = True
