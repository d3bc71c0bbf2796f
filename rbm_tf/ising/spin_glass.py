"""Planted spin glasses: Ising models with random couplings, and their exact quenched energy.

A hidden state s* is planted, and each bond is drawn with P(J) ~ exp(beta_p J s*_i s*_j), J = -1 or
+1. Flipping spins and bonds together (a gauge transformation) turns s* into all spins up, which is
how the couplings are drawn here. To infer s* from the bonds, temperature beta = beta_p is the right
one: the Nishimori line, on which the mean energy per bond is exactly -tanh(beta_p).
"""

import numpy as np

from rbm_tf.ising.lattice import Ising, all_spins, log_z_series


def planted_couplings(
    num_samples: int, shape: tuple[int, int], beta: float, *, seed: int | None = None
) -> Ising:
    """Draw the bonds of planted +-J glasses, P(J) = exp(beta J) / (2 cosh beta), no fields.

    Args:
        num_samples: the number of lattices to draw.
        shape: (rows, columns) of the periodic lattice, each 2 or more.
        beta: the inverse temperature beta_p of planting; 0 is the ordinary +-J glass.
        seed: integer that fixes the draw; the same seed gives the same couplings.

    Returns:
        `Ising` of shape (num_samples, rows, columns), couplings -1 or +1.

    Raises:
        ValueError: if the lattice has a side of 1.

    Reference: Zdeborova and Krzakala (2016), Statistical physics of inference; B28.

    Example:
        >>> glass = planted_couplings(1000, (4, 4), beta=1.0, seed=0)
        >>> glass.right.shape, round(float(glass.right.mean()), 2)  # the mean is tanh 1
        ((1000, 4, 4), 0.77)
    """
    if min(shape) < 2:
        raise ValueError(f"Both sides of the lattice must be 2 or more; got {tuple(shape)}.")
    uniform = np.random.default_rng(seed).random((2, num_samples, *shape))
    right, down = np.where(uniform < 1 / (1 + np.exp(-2 * beta)), 1.0, -1.0)
    return Ising(right, down, np.zeros_like(right))


def bond_energy(couplings: Ising, beta: float) -> np.ndarray:
    """The exact thermal mean of -J_ij s_i s_j per bond, for each sample of the disorder.

    Its mean over the disorder is the quenched internal energy: -tanh(beta) for +-J couplings
    planted at the same beta; -J0 for Gaussian couplings of mean J0 and variance D^2 at
    beta = J0 / D^2.

    Args:
        couplings: the J, without beta, as an `Ising` of shape (.., rows, columns), each side 2 or
            more.
        beta: the inverse temperature.

    Returns:
        (..), in the unit of J.

    Reference: Nishimori (1981), Internal energy, specific heat and correlation function of the
    bond-random Ising model; B28.

    Example:
        >>> energies = bond_energy(planted_couplings(1000, (4, 4), beta=0.7, seed=0), beta=0.7)
        >>> round(float(np.tanh(0.7)), 3), round(float(energies.mean()), 2)
        (0.604, -0.61)
    """
    num_bonds = 2 * np.prod(np.shape(couplings.right)[-2:])
    bonds = couplings._replace(field=np.zeros_like(couplings.field))
    slope = log_z_series(Ising(*(beta * x for x in couplings)), bonds, max_order=1)[1]
    return -slope / num_bonds


def pair_correlations(couplings: Ising, beta: float) -> np.ndarray:
    """The exact thermal means <s_i s_j> of all pairs of spins, by enumeration.

    With bonds planted at beta_p, all spins up, the averages over the disorder obey

        [<s_i s_j>_beta] = [<s_i s_j>_beta <s_i s_j>_beta_p],

    so that on the Nishimori line, beta = beta_p, magnetisation and overlap are the same.

    Args:
        couplings: the J and fields, without beta, as an `Ising` of shape (.., rows, columns).
        beta: the inverse temperature.

    Returns:
        (.., num_spins, num_spins), spins in the order of a flattened lattice.

    Raises:
        ValueError: if there are more than 20 spins.

    Reference: Nishimori (2001), Statistical Physics of Spin Glasses and Information Processing,
    chapter 4; B53.

    Example:
        >>> glass = planted_couplings(2000, (3, 2), beta=0.7, seed=0)
        >>> pairs = pair_correlations(glass, beta=0.7)
        >>> round(float(pairs.mean()), 2), round(float((pairs**2).mean()), 2)
        (0.57, 0.57)
    """
    shape = np.shape(couplings.right)
    spins = all_spins(*shape[-2:])
    flat = spins.reshape(len(spins), -1)  # (num_states, num_spins)
    models = zip(*(np.reshape(x, (-1, *shape[-2:])) for x in couplings), strict=True)
    pairs = []
    for model in models:
        energy = beta * Ising(*model).energy(spins)
        weight = np.exp(energy.min() - energy)
        pairs.append(flat.T * (weight / weight.sum()) @ flat)
    return np.reshape(pairs, (*shape[:-2], *2 * [flat.shape[1]]))
