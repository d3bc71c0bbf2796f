"""Deterministic approximations to ln Z: naive mean field, TAP of orders 2 and 3, and cumulants.

All are functions of the magnetisations m = <v> and n = <h>. With c = m (1 - m), d = n (1 - n):

    Gamma = sum_i [m ln m + (1 - m) ln(1 - m)] + sum_j [n ln n + (1 - n) ln(1 - n)]
            - a.m - b.n - m^T W n                                  order 1, naive mean field
            - 1/2 sum_ij W_ij^2 c_i d_j                            order 2, Onsager
            - 2/3 sum_ij W_ij^3 c_i (1/2 - m_i) d_j (1/2 - n_j)    order 3

TAP solves dGamma/dm = dGamma/dn = 0 with these terms inside; the cumulant expansion adds the same
terms at the naive mean-field point (B26).
"""

import warnings
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.fourth_order import fourth_cumulant

_TOLERANCE = 1e-12  # largest change of a magnetisation in one undamped step


class MeanField(NamedTuple):
    """A stationary point of Gamma, float64."""

    free_energy: float  # Gamma, nats; -ln Z up to the error of the approximation
    visible: np.ndarray  # m, (num_visible,)
    hidden: np.ndarray  # n, (num_hidden,)
    converged: bool
    num_iterations: int


def tap(rbm, order=2, num_starts=10, max_iterations=10_000, damping=0.5, seed=0):
    """Solve the TAP equations by damped iteration from several starts.

    Only order 1 bounds: its free energy is never below -ln Z. Of the starts that converge, the one
    of lowest free energy is returned. At strong coupling none may converge, and order 3 need not
    be better than order 2.

    Args:
        rbm: `BernoulliRBM`, or anything with kernel, visible_bias and hidden_bias.
        order: 1 (naive mean field), 2 or 3.
        num_starts: number of starts; the first is m = 1/2, the others are uniform random.
        max_iterations: when to give up.
        damping: share of the old value in each update, 0 to below 1.
        seed: of the random starts.

    Returns:
        `MeanField`; its `converged` says whether the point is to be trusted as a fixed point.

    Raises:
        ValueError: if order is not 1, 2 or 3, or another argument is out of range.

    Reference: Thouless, Anderson and Palmer (1977); Plefka (1982); Gabrie, Tramel and Krzakala
    (2015), Training restricted Boltzmann machines via the Thouless-Anderson-Palmer free energy;
    B26.

    Example:
        >>> solution = tap(BernoulliRBM(6, 4, seed=0), order=2)
        >>> solution.converged
        True
    """
    return tap_of(float64_parameters(rbm), order, num_starts, max_iterations, damping, seed)


def tap_of(parameters, order, num_starts=10, max_iterations=10_000, damping=0.5, seed=0):
    """`tap` for parameters given as float64 tensors, such as those of a scaled model.

    Example:
        >>> parameters = tuple(2.0 * x for x in float64_parameters(BernoulliRBM(6, 4, seed=0)))
        >>> tap_of(parameters, order=2).converged
        True
    """
    check_order(order)
    if num_starts < 1 or max_iterations < 1 or not 0 <= damping < 1:
        raise ValueError(
            "tap needs num_starts and max_iterations of 1 or more and damping from 0 to below 1; "
            f"got {num_starts}, {max_iterations}, {damping}."
        )
    kernel, _, hidden_bias = parameters
    m = np.random.default_rng(seed).random((num_starts, kernel.shape[0]))
    m[0] = 0.5
    n = tf.sigmoid(hidden_bias + m @ kernel)
    m, n, change, iterations = _iterate(
        parameters, tf.constant(m), n, tf.constant(damping, tf.float64), max_iterations, order
    )
    free_energy = gamma(parameters, m, n, order).numpy()
    converged = change.numpy() <= _TOLERANCE
    best = np.argmin(np.where(converged | ~converged.any(), free_energy, np.inf))
    return MeanField(
        float(free_energy[best]),
        m[best].numpy(),
        n[best].numpy(),
        bool(converged[best]),
        int(iterations),
    )


def cumulant_free_energy(rbm, order):
    """The cumulant expansion of F = -ln Z around naive mean field, truncated at an order.

    F_1 is the naive mean-field free energy, an upper bound on F; the next orders add the cumulants
    -1/2 <<V^2>>, +1/6 <<V^3>> and -1/24 <<V^4>> of V = E - E_q under the mean-field distribution
    q, and bound nothing. Order 4 takes a product W^T W, the others are sums over bonds.

    Args:
        rbm: `BernoulliRBM`, or anything with kernel, visible_bias and hidden_bias.
        order: 1, 2, 3 or 4.

    Returns:
        F_order, scalar float64 tensor, nats.

    Raises:
        ValueError: if order is not 1, 2, 3 or 4.

    Reference: B23, B24 and B26.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> bool(cumulant_free_energy(rbm, 2) <= cumulant_free_energy(rbm, 1))
        True
    """
    check_order(order, highest=4)
    point = tap(rbm, order=1)
    if not point.converged:
        warnings.warn(
            f"Naive mean field did not converge in {point.num_iterations} iterations: the cumulants"
            " are taken at its last point. See tap(rbm, order=1).",
            stacklevel=2,
        )
    parameters = float64_parameters(rbm)
    free_energy = gamma(parameters, point.visible[None], point.hidden[None], order)[0]
    if order == 4:
        free_energy -= fourth_cumulant(parameters[0], point.visible, point.hidden) / 24
    return free_energy


def check_order(order, highest=3):
    """Refuse an order that is not 1, 2, .. highest.

    Example:
        >>> check_order(2)
    """
    orders = range(1, highest + 1)
    if order not in orders:
        *others, last = orders
        raise ValueError(f"order must be {', '.join(map(str, others))} or {last}; got {order!r}.")


def float64_parameters(rbm):
    """kernel, visible_bias and hidden_bias as float64 tensors.

    Example:
        >>> [x.dtype.name for x in float64_parameters(BernoulliRBM(6, 4))]
        ['float64', 'float64', 'float64']
    """
    return tuple(
        tf.cast(tf.convert_to_tensor(x), tf.float64)
        for x in (rbm.kernel, rbm.visible_bias, rbm.hidden_bias)
    )


def gamma(parameters, m, n, order):
    """The free energy Gamma(m, n) as a function of the magnetisations.

    Args:
        parameters: kernel, visible_bias and hidden_bias.
        m: (num_starts, num_visible).
        n: (num_starts, num_hidden).
        order: 1, 2 or 3.

    Returns:
        (num_starts,), nats.

    Example:
        >>> parameters = tf.zeros((2, 1)), tf.zeros(2), tf.zeros(1)
        >>> gamma(parameters, tf.fill((1, 2), 0.5), tf.fill((1, 1), 0.5), 1).numpy()  # -3 ln 2
        array([-2.0794415], dtype=float32)
    """
    kernel, visible_bias, hidden_bias = parameters

    def coupling(left, power, right):  # sum_ij left_i W_ij^power right_j
        return tf.reduce_sum(left @ kernel**power * right, -1)

    def negative_entropy(p):
        return tf.reduce_sum(tf.math.xlogy(p, p) + tf.math.xlog1py(1 - p, -p), -1)

    c, d = m * (1 - m), n * (1 - n)
    total = negative_entropy(m) + negative_entropy(n) - coupling(m, 1, n)
    total -= tf.linalg.matvec(m, visible_bias) + tf.linalg.matvec(n, hidden_bias)
    if order >= 2:
        total -= coupling(c, 2, d) / 2
    if order >= 3:
        total -= coupling(c * (0.5 - m), 3, d * (0.5 - n)) * 2 / 3
    return total


def correlation(kernel, m, n, order):
    """The average <v h^T> = -dGamma/dW, over the starts.

    Args:
        kernel: (num_visible, num_hidden).
        m: (num_starts, num_visible).
        n: (num_starts, num_hidden).
        order: 1, 2 or 3.

    Returns:
        (num_visible, num_hidden).

    Example:
        >>> correlation(tf.zeros((2, 1)), tf.fill((1, 2), 0.5), tf.fill((1, 1), 0.5), 2).numpy()
        array([[0.25],
               [0.25]], dtype=float32)
    """

    def average(left, right):
        return tf.matmul(left, right, transpose_a=True) / tf.cast(tf.shape(m)[0], m.dtype)

    c, d = m * (1 - m), n * (1 - n)
    total = average(m, n)
    if order >= 2:
        total += kernel * average(c, d)
    if order >= 3:
        total += 2 * kernel**2 * average(c * (0.5 - m), d * (0.5 - n))
    return total


def damped_step(parameters, m, n, order, damping=0.5):
    """Update m from n, then n from m, by the TAP equations.

    Args:
        parameters: kernel, visible_bias and hidden_bias.
        m: (num_starts, num_visible).
        n: (num_starts, num_hidden).
        order: 1, 2 or 3.
        damping: share of the old value that stays.

    Returns:
        The new m and n.

    Example:
        >>> parameters = tf.zeros((2, 1)), tf.zeros(2), tf.zeros(1)
        >>> m, n = damped_step(parameters, tf.ones((1, 2)), tf.ones((1, 1)), order=2)
        >>> m.numpy()
        array([[0.75, 0.75]], dtype=float32)
    """
    kernel, visible_bias, hidden_bias = parameters
    m = damping * m + (1 - damping) * _update(kernel, visible_bias, m, n, order)
    n = damping * n + (1 - damping) * _update(tf.transpose(kernel), hidden_bias, n, m, order)
    return m, n


def _update(kernel, bias, m, n, order):
    """sigmoid(-d(Gamma - entropy)/dm): the TAP equation for one layer given the other."""
    field = bias + tf.matmul(n, kernel, transpose_b=True)
    return tf.sigmoid(field + reaction_field(kernel, m, n, order))


def reaction_field(kernel, m, n, order):
    """Minus the derivative of Gamma's terms of orders 2 .. order in the means m of one layer.

    (1/2 - m_i) sum_j W_ij^2 d_j + (1/3 - 2 c_i) sum_j W_ij^3 d_j (1/2 - n_j): the field on a unit
    that comes back from its neighbours' response to it.

    Args:
        kernel: W, (num_units, num_neighbours).
        m: (num_starts, num_units).
        n: (num_starts, num_neighbours).
        order: 1 (no reaction), 2 or 3.

    Returns:
        (num_starts, num_units), nats.

    Reference: B26.

    Example:
        >>> reaction_field(tf.ones((2, 1)), tf.zeros((1, 2)), tf.fill((1, 1), 0.5), 2).numpy()
        array([[0.125, 0.125]], dtype=float32)
    """
    c, d = m * (1 - m), n * (1 - n)
    field = tf.zeros_like(m)
    if order >= 2:
        field += (0.5 - m) * tf.matmul(d, kernel**2, transpose_b=True)
    if order >= 3:
        field += (1 / 3 - 2 * c) * tf.matmul(d * (0.5 - n), kernel**3, transpose_b=True)
    return field


@tf.function(reduce_retracing=True)
def _iterate(parameters, m, n, damping, max_iterations, order):
    """Update both layers in turn until every start has settled or the patience is at its end."""

    def step(index, m, n, _):
        new_m, new_n = damped_step(parameters, m, n, order, damping)
        moved = tf.maximum(
            tf.reduce_max(tf.abs(new_m - m), -1), tf.reduce_max(tf.abs(new_n - n), -1)
        )
        return index + 1, new_m, new_n, moved / (1 - damping)

    def unsettled(index, _m, _n, change):
        return (index < max_iterations) & tf.reduce_any(change > _TOLERANCE)

    change = tf.fill(tf.shape(m)[:1], tf.constant(np.inf, tf.float64))
    iterations, m, n, change = tf.while_loop(unsettled, step, (tf.constant(0), m, n, change))
    return m, n, change, iterations
