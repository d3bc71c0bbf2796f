"""Two-level units: the exact ground state, and the best one with few excitations (B55).

A unit has two states, the Hamiltonian [[0, -g], [-g, gap]] and the ground-state energy
e = gap/2 - sqrt(gap^2/4 + g^2). N of them that do not interact have the energy N e. Trials that
hold at most K excitations ("truncated configuration interaction") bound it, and for fixed K they
grow like sqrt(N) only.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh_tridiagonal

from rbm_tf.shared.counts import check_counts


def symmetric_hamiltonian(
    num_units: int, gap: float, coupling: float, *, max_excitations: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """N independent two-level units in the symmetric states |k>, k excited units, 0 <= k <= K.

    <k|H|k> = k gap,  <k+1|H|k> = -coupling sqrt((k + 1) (N - k)).

    Args:
        num_units: N.
        gap: energy of the upper state of a unit, positive.
        coupling: g, minus the matrix element between the two states of a unit.
        max_excitations: K, at most N; None is N, the exact Hamiltonian.

    Returns:
        The diagonal, (K + 1,), and the one beside it, (K,).

    Raises:
        ValueError: if a count is below 1, K is above N, or the gap is not positive.

    Reference: B55.

    Example:
        >>> symmetric_hamiltonian(4, 1.0, 0.5, max_excitations=1)
        (array([0., 1.]), array([-1.]))
    """
    highest = num_units if max_excitations is None else max_excitations
    check_counts(num_units=num_units, max_excitations=highest)
    if highest > num_units:
        raise ValueError(
            f"max_excitations is at most num_units, {num_units}; got {highest}. None is all."
        )
    if not gap > 0:
        raise ValueError(f"gap must be positive; got {gap}. Exchange the names of the two states.")
    k = np.arange(highest + 1.0)
    return gap * k, -coupling * np.sqrt((k[:-1] + 1) * (num_units - k[:-1]))


def truncated_energy(
    num_units: int, gap: float, coupling: float, *, max_excitations: int | None = None
) -> float:
    """The least energy of N independent two-level units in states of at most K excitations.

    It is at or above the exact N [gap/2 - sqrt(gap^2/4 + g^2)]. K = 1 gives
    gap/2 - sqrt(gap^2/4 + N g^2); for fixed K and large N it is -|g| sqrt(N) times the largest zero
    of the Hermite polynomial He_(K+1).

    Args:
        num_units: N.
        gap: energy of the upper state of a unit, positive.
        coupling: g, minus the matrix element between the two states of a unit.
        max_excitations: K, at most N; None is N, which is exact.

    Returns:
        Energy, in the units of the gap; the reference state has 0.

    Raises:
        ValueError: as for `symmetric_hamiltonian`.

    Reference: Langhoff and Davidson (1974), Configuration interaction calculations on the nitrogen
    molecule; Szabo and Ostlund (1982), Modern quantum chemistry, chapter 4; B55.

    Example:
        >>> round(truncated_energy(6, 1.5, 1.0), 6)  # -0.5 for each unit
        -3.0
        >>> round(truncated_energy(6, 1.0, 1.0, max_excitations=1), 6)
        -2.0
    """
    diagonals = symmetric_hamiltonian(num_units, gap, coupling, max_excitations=max_excitations)
    lowest = eigh_tridiagonal(*diagonals, eigvals_only=True, select="i", select_range=(0, 0))
    return float(lowest[0])
