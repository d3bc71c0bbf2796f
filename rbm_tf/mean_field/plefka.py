"""Gamma(m, n), the free energy of a binary RBM as a function of its magnetisations, to order W^3.

With m = <v>, n = <h>, c = m (1 - m) and d = n (1 - n), Plefka's expansion is

    Gamma = sum_i [m ln m + (1 - m) ln(1 - m)] + sum_j [n ln n + (1 - n) ln(1 - n)]
            - a.m - b.n - m^T W n                                  order 1, naive mean field
            - 1/2 sum_ij W_ij^2 c_i d_j                            order 2, Onsager
            - 2/3 sum_ij W_ij^3 c_i (1/2 - m_i) d_j (1/2 - n_j)    order 3

and dGamma/dm = dGamma/dn = 0 are the TAP equations (B26). For units of other kinds see
`rbm_tf.mean_field.fields`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine
from rbm_tf.mean_field.fields import Averages, gamma_at


def check_order(order: int, *, highest: int = 3) -> None:
    """Refuse an order that is not 1, 2, .. highest.

    Args:
        order: what was given.
        highest: the highest order that there is.

    Raises:
        ValueError: for another order.

    Example:
        >>> check_order(2)
    """
    orders = range(1, highest + 1)
    if order not in orders:
        *others, last = orders
        raise ValueError(f"order must be {', '.join(map(str, others))} or {last}; got {order!r}.")


def gamma(
    parameters: tuple[tf.Tensor, ...] | Machine, m: tf.Tensor, n: tf.Tensor, order: int
) -> tf.Tensor:
    """The free energy Gamma(m, n) as a function of the magnetisations.

    Args:
        parameters: kernel, visible_bias and hidden_bias of binary units, or a `Machine` of any.
        m: means <v>, (num_starts, num_visible).
        n: means <h>, (num_starts, num_hidden).
        order: the last order that counts, 1, 2 or 3.

    Returns:
        (num_starts,), nats.

    Example:
        >>> parameters = tf.zeros((2, 1)), tf.zeros(2), tf.zeros(1)
        >>> gamma(parameters, tf.fill((1, 2), 0.5), tf.fill((1, 1), 0.5), 1).numpy()  # -3 ln 2
        array([-2.0794415], dtype=float32)
    """
    if isinstance(parameters, Machine):
        if not parameters.is_binary:
            layers = parameters.visible, parameters.hidden
            x, y = (unit.conjugate_field(t) for unit, t in zip(layers, (m, n), strict=True))
            return gamma_at(parameters, x, y, order)
        parameters = parameters.parameters
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


def correlation(kernel: tf.Tensor, m: tf.Tensor, n: tf.Tensor, order: int) -> tf.Tensor:
    """The average <v h^T> = -dGamma/dW of binary units, over the starts.

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        m: magnetisations <v>, (num_starts, num_visible).
        n: magnetisations <h>, (num_starts, num_hidden).
        order: the last order that counts, 1, 2 or 3.

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


def damped_step(
    parameters: tuple[tf.Tensor, ...],
    m: tf.Tensor,
    n: tf.Tensor,
    order: int,
    *,
    damping: float | tf.Tensor = 0.5,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Update m from n, then n from m, by the TAP equations of binary units.

    Args:
        parameters: kernel, visible_bias and hidden_bias.
        m: magnetisations <v>, (num_starts, num_visible).
        n: magnetisations <h>, (num_starts, num_hidden).
        order: the last order that counts, 1, 2 or 3.
        damping: the share of the old value that stays.

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
    return tf.sigmoid(_field(kernel, bias, m, n, order))


def _field(kernel, bias, m, n, order):
    field = bias + tf.matmul(n, kernel, transpose_b=True)
    return field + reaction_field(kernel, m, n, order)


def reaction_field(kernel: tf.Tensor, m: tf.Tensor, n: tf.Tensor, order: int) -> tf.Tensor:
    """Minus the derivative of Gamma's terms of orders 2 .. order in the means m of a binary layer.

    (1/2 - m_i) sum_j W_ij^2 d_j + (1/3 - 2 c_i) sum_j W_ij^3 d_j (1/2 - n_j): the field on a unit
    that comes back from its neighbours' response to it.

    Args:
        kernel: W, (num_units, num_neighbours).
        m: magnetisations of the layer, (num_starts, num_units).
        n: magnetisations of the other layer, (num_starts, num_neighbours).
        order: the last order that counts, 1 (no reaction), 2 or 3.

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


class BinaryTheory(NamedTuple):
    """Plefka's expansion for binary units; its state is the pair of magnetisations m, n."""

    parameters: tuple[tf.Tensor, ...]
    order: int

    def start(self, num_starts: int, seed: int | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Magnetisations to begin with: 1/2, then uniform random; those of h follow from them."""
        kernel, _, hidden_bias = self.parameters
        m = np.random.default_rng(seed).random((num_starts, kernel.shape[0]))
        m[0] = 0.5
        return tf.constant(m), tf.sigmoid(hidden_bias + m @ kernel)

    def step(
        self, state: tuple[tf.Tensor, tf.Tensor], damping: float | tf.Tensor = 0.5
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One step of the damped iteration."""
        return damped_step(self.parameters, *state, self.order, damping=damping)

    def gamma(self, state: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """The free energy, (num_starts,)."""
        return gamma(self.parameters, *state, self.order)

    def fields(self, state: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """The conjugate fields, which are finite where a magnetisation is 1 to rounding."""
        (kernel, a, b), (m, n) = self.parameters, state
        return (
            _field(kernel, a, m, n, self.order),
            _field(tf.transpose(kernel), b, n, m, self.order),
        )

    def averages(self, state: tuple[tf.Tensor, tf.Tensor]) -> Averages:
        """The averages over the starts."""
        m, n = state
        pair = correlation(self.parameters[0], m, n, self.order)
        return Averages(tf.reduce_mean(m, 0), tf.reduce_mean(n, 0), pair, {}, {})
