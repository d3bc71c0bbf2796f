"""The cumulant expansion of F = -ln Z around a product of independent units (B23, B24, B26).

q is the product of units in the fields x and y, with means m and n, and V = E - E_q. With
dv = v - m, dh = h - n, e = x - a - W n and f = y - b - W^T m,

    V = <V> + e.dv + f.dh - dv^T W dh,
    <V> = F_1 = sum_i Gamma*(m_i) + sum_j Gamma*(n_j) - a.m - b.n - m^T W n    if F_q = 0,

F_2 = F_1 - <<V^2>>/2 and F_3 = F_2 + <<V^3>>/6. At the naive mean-field point e = f = 0.
"""

from __future__ import annotations

import warnings

import tensorflow as tf

from rbm_tf.machine import machine_of
from rbm_tf.mean_field.bonds import bond_moments, layer_parts
from rbm_tf.mean_field.expansion import check_fourth_order, fourth_cumulant_at
from rbm_tf.mean_field.fields import gamma_at
from rbm_tf.mean_field.plefka import check_order
from rbm_tf.mean_field.stationary import tap
from rbm_tf.shared.types import ArrayLike, RBMLike


def cumulant_free_energy(rbm: RBMLike, order: int) -> tf.Tensor:
    """The cumulant expansion of F = -ln Z around naive mean field, truncated at an order.

    F_1 is the naive mean-field free energy, an upper bound on F; the next orders add the cumulants
    -1/2 <<V^2>>, +1/6 <<V^3>> and -1/24 <<V^4>> of V = E - E_q under the mean-field distribution
    q, and bound nothing. Order 4 takes a product W^T W, the others are sums over bonds.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        order: the last order that counts, 1, 2, 3 or 4.

    Returns:
        F_order, scalar float64 tensor, nats.

    Raises:
        ValueError: if order is not 1, 2, 3 or 4, or is 4 for `Potts` units.

    Reference: B23, B24 and B26.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> bool(cumulant_free_energy(rbm, 2) <= cumulant_free_energy(rbm, 1))
        True
    """
    check_order(order, highest=4)
    machine = machine_of(rbm, dtype=tf.float64)
    if order == 4:
        check_fourth_order(machine)
    point = tap(rbm, order=1)
    if not point.converged:
        warnings.warn(
            f"Naive mean field did not converge in {point.num_iterations} iterations: the cumulants"
            " are taken at its last point. See tap(rbm, order=1).",
            stacklevel=2,
        )
    x, y = tf.constant(point.visible_field), tf.constant(point.hidden_field)
    free_energy = cumulant_free_energy_at(machine, x[tf.newaxis], y[tf.newaxis], min(order, 3))[0]
    if order == 4:
        free_energy -= fourth_cumulant_at(machine, x, y) / 24
    return free_energy


def cumulant_free_energy_at(rbm: RBMLike, x: ArrayLike, y: ArrayLike, order: int) -> tf.Tensor:
    """The cumulant expansion of F = -ln Z around the product of units in given fields.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        x: fields of the visible units, (num_products, num_visible), nats.
        y: fields of the hidden units, (num_products, num_hidden), nats.
        order: the last order that counts, 1, 2 or 3. F_1 bounds F from above, whatever the fields.

    Returns:
        F_order, (num_products,), float64, nats.

    Raises:
        ValueError: if order is not 1, 2 or 3.

    Reference: B23 and B24.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> coins = np.zeros((1, 6)), np.zeros((1, 4))  # E is almost 0: -10 ln 2
        >>> round(float(cumulant_free_energy_at(rbm, *coins, order=2)[0]), 1)
        -6.9
    """
    check_order(order)
    machine = machine_of(rbm, dtype=tf.float64)
    x, y = tf.cast(x, tf.float64), tf.cast(y, tf.float64)
    layers = (machine.visible, x), (machine.hidden, y)
    free_energy = gamma_at(machine, x, y, 1)
    if order == 1:
        return free_energy
    m, n = (unit.mean(fields) for unit, fields in layers)
    e = x - machine.visible_bias - tf.matmul(n, machine.kernel, transpose_b=True)
    f = y - machine.hidden_bias - tf.matmul(m, machine.kernel)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((x, y))
        linear = tf.reduce_sum(e * machine.visible.mean(x), -1)
        linear += tf.reduce_sum(f * machine.hidden.mean(y), -1)
        own, others = (layer_parts(unit, fields, order) for unit, fields in layers)
        bonds = bond_moments(machine.kernel, own, others, order)
    covariances = tape.gradient(linear, (x, y))  # of dv and e.dv, and of dh and f.dh
    second = bonds[0] + _dot((e, f), covariances)
    free_energy -= second / 2
    if order == 3:
        slopes = tape.gradient(bonds[0], (x, y), unconnected_gradients="zero")
        lines = zip(layers, (e, f), strict=True)
        own = [unit.cumulants_along(fields, along, 3)[2] for (unit, fields), along in lines]
        third = sum(tf.reduce_sum(cumulant, -1) for cumulant in own) - bonds[1]
        third += 3 * _dot(
            (e, f), slopes
        )  # <(e.dv) (dv^T W dh)^2>, the slope of the average along e
        moved = tf.matmul(covariances[0], machine.kernel)
        third -= 6 * tf.reduce_sum(moved * covariances[1], -1)
        free_energy += third / 6
    return free_energy


def _dot(left, right):
    """The sum over both layers of their products."""
    return sum(tf.reduce_sum(a * b, -1) for a, b in zip(left, right, strict=True))
