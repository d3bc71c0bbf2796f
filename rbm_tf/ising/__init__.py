"""Small Ising lattices with exact answers: cumulants, trials, levels, windows, a planted glass."""

from rbm_tf.ising.density import DensityOfStates, level_counts, wang_landau
from rbm_tf.ising.lattice import (
    Ising,
    PerSpin,
    all_spins,
    chain,
    log_z_series,
    magnetisation,
    per_spin,
    square,
)
from rbm_tf.ising.spin_glass import bond_energy, pair_correlations, planted_couplings
from rbm_tf.ising.trials import block_trial, trial_free_energies
from rbm_tf.ising.windows import magnetisation_windows

__all__ = [
    "DensityOfStates",
    "Ising",
    "PerSpin",
    "all_spins",
    "block_trial",
    "bond_energy",
    "chain",
    "level_counts",
    "log_z_series",
    "magnetisation",
    "magnetisation_windows",
    "pair_correlations",
    "per_spin",
    "planted_couplings",
    "square",
    "trial_free_energies",
    "wang_landau",
]
