"""The Ising model on small periodic lattices: exact free energies by transfer matrix.

Spins are -1 or +1. Couplings and fields contain beta (B7), so that energies are in nats:

    H(s) = - sum_ij (right_ij s_ij s_i,j+1 + down_ij s_ij s_i+1,j + field_ij s_ij)

with indices that wrap around; a single column of spins is the one-dimensional chain. All is NumPy
in float64. Arrays end in (rows, columns) and may have axes in front, one model for each entry.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from rbm_tf.shared.power_series import log_series
from rbm_tf.shared.types import ArrayLike

_MAX_COLUMNS = 11  # a transfer matrix has 4 ** columns entries
_MAX_SPINS = 20  # that are enumerated


class Ising(NamedTuple):
    """Couplings to the right and downwards and fields, each (.., rows, columns), nats.

    Example:
        >>> model = Ising(right=np.zeros((4, 1)), down=np.ones((4, 1)), field=np.zeros((4, 1)))
        >>> float(model.energy(np.ones((4, 1))))
        -4.0
        >>> round(float(model.log_z()), 6)  # ln((2 cosh 1)^4 + (2 sinh 1)^4)
        4.797714
    """

    right: np.ndarray
    down: np.ndarray
    field: np.ndarray

    def energy(self, spins: np.ndarray) -> np.ndarray:
        """The energy H(s).

        Args:
            spins: states -1 or +1, (.., rows, columns).

        Returns:
            (..), nats.
        """
        right, down = (spins * np.roll(spins, -1, axis) for axis in (-1, -2))
        total = self.right * right + self.down * down + self.field * spins
        return -np.sum(total, axis=(-2, -1))

    def log_z(self) -> np.ndarray:
        """Exact ln Z by transfer matrix (Kramers and Wannier 1941), (..), nats."""
        return log_z_series(self, self, max_order=0)[0]


def chain(num_spins: int, coupling: ArrayLike, *, field: ArrayLike = 0.0) -> Ising:
    """A periodic chain with the same coupling and field everywhere.

    Args:
        num_spins: the number of spins, 2 or more.
        coupling: the coupling of every bond, a scalar or (..) for one chain each, nats.
        field: the field on every spin, a scalar or (..), nats.

    Returns:
        `Ising` of shape (.., num_spins, 1).

    Example:
        >>> chain(3, coupling=0.5).down.ravel()
        array([0.5, 0.5, 0.5])
    """
    return _homogeneous((num_spins, 1), 0.0, coupling, field)


def square(size: int, coupling: ArrayLike, *, field: ArrayLike = 0.0) -> Ising:
    """A periodic square lattice with the same coupling and field everywhere.

    Args:
        size: the number of rows and of columns, 2 or more; with 2, two bonds join each pair of
            neighbours.
        coupling: the coupling of every bond, a scalar or (..) for one lattice each, nats.
        field: the field on every spin, a scalar or (..), nats.

    Returns:
        `Ising` of shape (.., size, size).

    Example:
        >>> square(4, coupling=np.array([0.2, 0.4])).right.shape
        (2, 4, 4)
    """
    return _homogeneous((size, size), coupling, coupling, field)


def _homogeneous(shape, *values):
    if shape[0] < 2:
        raise ValueError(f"A periodic lattice needs 2 spins or more in a row; got {shape[0]}.")
    values = np.broadcast_arrays(*(np.asarray(x, float) for x in values))
    return Ising(*(x[..., np.newaxis, np.newaxis] * np.ones(shape) for x in values))


def all_spins(rows: int, columns: int) -> np.ndarray:
    """All states of a small lattice.

    Args:
        rows: the number of rows.
        columns: the number of columns.

    Returns:
        (2 ** (rows * columns), rows, columns), -1.0 and 1.0, float64.

    Raises:
        ValueError: if there are more than 20 spins.

    Example:
        >>> all_spins(2, 1)[:, :, 0]
        array([[-1., -1.], [-1.,  1.], [ 1., -1.], [ 1.,  1.]])
    """
    if rows * columns > _MAX_SPINS:
        raise ValueError(
            f"At most {_MAX_SPINS} spins are enumerated; got {rows} x {columns}. Ising.log_z and "
            "log_z_series, by transfer matrix, need few columns only."
        )
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=rows * columns)))
    return states.reshape(-1, rows, columns)


def log_z_series(model: Ising, direction: Ising, max_order: int) -> np.ndarray:
    """Taylor coefficients of ln Z when the parameters move in a direction.

    ln Z(model + t direction) = sum_n c_n t^n, and c_n = kappa_n / n! with the cumulants of
    -direction.energy(s) under the model (B21). The transfer matrix from row to row is kept as a
    power series in t, and bonds are added one at a time: 2^columns x 2^columns numbers an order.

    Args:
        model: the `Ising` model; its leading axes broadcast against those of direction.
        direction: the changes of its parameters, as an `Ising`.
        max_order: the highest power of t, 0 or above.

    Returns:
        c_0 = ln Z, c_1, .. c_max_order, (max_order + 1, ..), nats.

    Raises:
        ValueError: if there are more than 11 columns.

    Reference: Kramers and Wannier (1941); Onsager (1944); B21 and B23.

    Example:
        >>> ring = chain(4, coupling=1.0)
        >>> log_z_series(ring, ring, max_order=1).round(4)  # ln Z and minus the mean energy
        array([4.7977, 3.6017])
    """
    rows, columns = np.shape(model.field)[-2:]
    if columns > _MAX_COLUMNS:
        raise ValueError(
            f"A transfer matrix for {columns} columns is too large; at most {_MAX_COLUMNS} fit. "
            "Exchange rows and columns if there are fewer rows."
        )
    spins = all_spins(1, columns)[:, 0].T  # (columns, 2^columns), column 0 the leading bit
    bonds = spins * np.roll(spins, -1, axis=0)
    batch = np.broadcast_shapes(*(np.shape(x)[:-2] for x in (*model, *direction)))
    mean = np.zeros(())  # powers about it cancel less than powers about 0
    if max_order > 1:
        mean = log_z_series(model, direction, max_order=1)[1]
    series = np.zeros((max_order + 1, *batch, 2**columns, 2**columns))
    series[0] = np.eye(2**columns)
    log_scale = np.zeros(batch)
    for i in range(rows):
        value, slope = (
            (x.right[..., i, :] @ bonds + x.field[..., i, :] @ spins)[..., np.newaxis, :]
            for x in (model, direction)
        )
        slope = slope - mean[..., np.newaxis, np.newaxis] / rows
        top = value.max(axis=-1, keepdims=True)
        series = _times_exp(series, value - top, slope)  # (.., 2^columns, 2^columns) an order
        for j in range(columns):
            series = _next_row(series, model.down[..., i, j], direction.down[..., i, j], j)
        scale = series[0].max(axis=(-2, -1), keepdims=True)
        series = series / scale
        log_scale = log_scale + (top + np.log(scale))[..., 0, 0]
    coefficients = log_series(np.trace(series, axis1=-2, axis2=-1))
    coefficients[0] += log_scale
    coefficients[1:2] += mean
    return coefficients


def _next_row(series, coupling, slope, column):
    """Sum over the spin of a column, with the weight exp((coupling + t slope) s s')."""
    split = series.reshape(*series.shape[:-1], 2**column, 2, -1)  # the spin on an axis of its own
    coupling, slope = (np.asarray(x)[(..., *4 * [np.newaxis])] for x in (coupling, slope))
    equal = _times_exp(split, coupling, slope)
    opposite = _times_exp(split[..., ::-1, :], -coupling, -slope)
    return (equal + opposite).reshape(series.shape)


def _times_exp(series, value, slope):
    """A power series in t, its orders on axis 0, times exp(value + t slope)."""
    factors = [np.exp(value)]
    for n in range(1, len(series)):
        factors.append(factors[-1] * slope / n)
    orders = range(len(series))
    return np.stack([sum(factors[k] * series[n - k] for k in range(n + 1)) for n in orders])


def magnetisation(model: Ising) -> np.ndarray:
    """The exact mean of every spin, <s_ij> = d ln Z / d field_ij.

    Args:
        model: the `Ising` model.

    Returns:
        (.., rows, columns), float64.

    Example:
        >>> magnetisation(chain(3, coupling=0.0, field=1.0)).ravel().round(4)  # tanh 1
        array([0.7616, 0.7616, 0.7616])
    """
    *batch, rows, columns = np.shape(model.field)
    units = np.eye(rows * columns).reshape(-1, *len(batch) * [1], rows, columns)
    zero = np.zeros((rows, columns))
    means = log_z_series(model, Ising(zero, zero, units), max_order=1)[1]  # (num_spins, ..)
    return np.moveaxis(means, 0, -1).reshape(*batch, rows, columns)


class PerSpin(NamedTuple):
    """Exact averages divided by the number of spins; F, U and S in nats, F = U - S."""

    free_energy: np.ndarray
    energy: np.ndarray
    entropy: np.ndarray
    magnetisation: np.ndarray


def per_spin(model: Ising) -> PerSpin:
    """Exact free energy -ln Z, mean energy, entropy and magnetisation, per spin.

    Args:
        model: the `Ising` model.

    Returns:
        `PerSpin`, arrays of the leading shape of the model.

    Reference: Ising (1925) for the chain, Onsager (1944) and Kaufman (1949) for the lattice; B6.

    Example:
        >>> values = per_spin(chain(50, coupling=1.0))
        >>> round(float(values.free_energy), 6), round(float(values.energy), 6)
        (-1.126928, -0.761595)
    """
    num_spins = np.prod(np.shape(model.field)[-2:])
    zero = np.zeros_like(model.field)
    uniform = Ising(zero, zero, zero + 1.0)
    log_z, slope = log_z_series(model, model, max_order=1) / num_spins
    mean = log_z_series(model, uniform, max_order=1)[1] / num_spins
    return PerSpin(-log_z, -slope, log_z - slope, mean)
