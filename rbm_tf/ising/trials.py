"""Trial Hamiltonians for the Ising model: the Gibbs-Bogoliubov-Feynman bound, and beyond it."""

import warnings

import numpy as np

from rbm_tf.ising.lattice import Ising, log_z_series, magnetisation

_TOLERANCE = 1e-12  # largest change of a magnetisation in one iteration


def trial_free_energies(model: Ising, trial: Ising, *, max_order: int = 3) -> np.ndarray:
    """The cumulant expansion of F = -ln Z about a trial Hamiltonian on the same lattice.

    F_1 = F_t + <H - H_t>_t is the bound of Gibbs, Bogoliubov and Feynman, F_1 >= F; F_2 adds
    -1/2 <<(H - H_t)^2>>_t, F_3 adds +1/6 <<(H - H_t)^3>>_t, and these bound nothing.

    Args:
        model: the `Ising` model, H.
        trial: the trial model, H_t; bonds that it lacks are couplings of 0.
        max_order: the highest order, 1 or above.

    Returns:
        F_1 .. F_max_order, (max_order, ..), nats.

    Raises:
        ValueError: if max_order is below 1.

    Reference: Feynman (1955, 1972); B16, B23 and B24.

    Example:
        >>> model = chain(12, coupling=0.4)
        >>> trial_free_energies(model, chain(12, coupling=0.0)).round(4)
        array([-8.3178, -9.2778, -9.2778])
        >>> round(float(-model.log_z()), 4)
        -9.2532
    """
    if max_order < 1:
        raise ValueError(f"max_order must be 1 or higher; got {max_order}.")
    direction = Ising(*(new - old for new, old in zip(model, trial, strict=True)))
    return -np.cumsum(log_z_series(trial, direction, max_order), axis=0)[1:]


def block_trial(model: Ising, block: tuple[int, int], *, max_iterations: int = 2000) -> Ising:
    """The best trial made of independent blocks, each exact inside and in effective fields.

    The bonds between blocks are cut. The bound F_1 is then stationary where those inside keep their
    coupling and field_t_i = field_i + sum_cut J_ij <s_j>_t; blocks of one spin are naive mean
    field. The equations are iterated from all spins up.

    Args:
        model: the `Ising` model.
        block: (rows, columns) of a block; a block as long as the lattice keeps its ring closed.
        max_iterations: the number of iterations after which it stops with a warning.

    Returns:
        The trial model, an `Ising` of the shape of model.

    Raises:
        ValueError: if the blocks do not tile the lattice.

    Reference: Bethe (1935), Oguchi (1955) for clusters; B16.

    Example:
        >>> model = square(4, coupling=0.3)
        >>> for block in ((1, 1), (4, 1), (4, 4)):  # mean field, columns, everything
        ...     print(trial_free_energies(model, block_trial(model, block), max_order=1).round(4))
        [-11.4759]
        [-11.8573]
        [-12.7855]
    """
    shape = np.shape(model.field)[-2:]
    if len(block) != 2 or any(b < 1 or size % b for b, size in zip(block, shape, strict=False)):
        raise ValueError(f"Blocks of shape {block} do not tile a lattice of shape {tuple(shape)}.")
    ends = [np.arange(1, size + 1) % b == 0 for b, size in zip(block, shape, strict=True)]
    cut_down, cut_right = (end & (b < n) for end, b, n in zip(ends, block, shape, strict=True))
    right, down = model.right * cut_right, model.down * cut_down[:, np.newaxis]  # between blocks
    inside = model.right - right, model.down - down
    whole = np.broadcast_shapes(*(np.shape(x) for x in model))
    across, along = (_in_blocks(np.broadcast_to(x, whole), block) for x in inside)
    mean, change = np.ones(whole), np.inf
    for _ in range(max_iterations):
        trial = Ising(*inside, model.field + _neighbour_field(right, down, mean))
        blocks = Ising(across, along, _in_blocks(trial.field, block))
        new_mean = np.swapaxes(magnetisation(blocks), -3, -2).reshape(whole)
        change, mean = np.max(np.abs(new_mean - mean)), new_mean
        if change < _TOLERANCE:
            return trial
    warnings.warn(
        f"The effective fields still move by {change:.1e} after {max_iterations} iterations. Raise "
        "max_iterations; near a critical point thousands are needed.",
        stacklevel=2,
    )
    return trial


def _in_blocks(x, block):
    """(.., rows, columns) as (.., rows of blocks, columns of blocks, rows, columns) of one."""
    (*batch, rows, columns), (height, width) = x.shape, block
    parts = x.reshape(*batch, rows // height, height, columns // width, width)
    return np.swapaxes(parts, -3, -2)


def _neighbour_field(right, down, mean):
    """sum_j J_ij <s_j> over the neighbours on all four sides."""
    left, up = np.roll(right * mean, 1, -1), np.roll(down * mean, 1, -2)
    return right * np.roll(mean, -1, -1) + down * np.roll(mean, -1, -2) + left + up
