"""Mean field of second order that fixes the variances of the units beside their means.

The reaction of a unit's neighbours acts on it as a field and as a precision A that is added to its
own: with Gamma(x, A) = ln int exp(x t - A t^2/2 - U(t)) dt, and c and d the variances,

    A_i = -sum_j W_ij^2 d_j,    x_i = a_i + sum_j W_ij n_j + A_i m_i,
    m_i, c_i = kappa_1, kappa_2 of Gamma(x_i, A_i),    and alike B_j, y_j, n_j, d_j

are where

    G = sum_i [x_i m_i - A_i (c_i + m_i^2)/2 - Gamma(x_i, A_i)] + sum_j [..]
        - a.m - b.n - m^T W n - 1/2 sum_ij W_ij^2 c_i d_j

is stationary. For binary units, whose variance is a function of the mean, it is TAP of order 2. In
large dense machines with continuous units it stays right where means alone do not suffice.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import tensorflow as tf

from rbm_tf.machine import Machine
from rbm_tf.mean_field.fields import Averages, FieldTheory, gamma_at
from rbm_tf.units import Unit

State: TypeAlias = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def check_moments(moments: int, order: int) -> None:
    """Refuse a number of moments other than 1, or 2 with order 2.

    Args:
        moments: what was given.
        order: the order that goes with it.

    Raises:
        ValueError: for others.

    Example:
        >>> check_moments(2, order=2)
    """
    if moments != 1 and (moments, order) != (2, 2):
        raise ValueError(
            f"moments must be 1, or 2 with order=2; got moments={moments!r}, order={order!r}."
        )


def check_precisions(*layers: Unit) -> None:
    """Refuse units to which no precision can be added.

    Args:
        *layers: the units.

    Raises:
        ValueError: for `Potts`, `TruncatedExponential`, and others that do not say how.

    Example:
        >>> check_precisions(units.Gaussian(3), units.Spin(2))
    """
    for unit in layers:
        unit.add_precision(tf.zeros(unit.num))


class TwoMomentTheory(NamedTuple):
    """The theory of means and variances; its state is x, y and the added precisions A, B.

    Reference: Tramel, Gabrie, Manoel, Caltagirone and Krzakala (2018), Deterministic and
    generalized framework for unsupervised learning with restricted Boltzmann machines.
    """

    machine: Machine

    def start(self, num_starts: int, seed: int | None) -> State:
        """Fields to begin with, and no added precision."""
        x, y = FieldTheory(self.machine, 1).start(num_starts, seed)
        return x, y, tf.zeros_like(x), tf.zeros_like(y)

    def step(self, state: State, damping: float | tf.Tensor = 0.5) -> State:
        """One step of the damped iteration: x and A, then y and B."""

        def mix(old, new):
            return damping * old + (1 - damping) * new

        x, y, added, other = state
        new = _update(self.machine, x, y, added, other)
        x, added = mix(x, new[0]), mix(added, new[1])
        new = _update(self.machine.transposed, y, x, other, added)
        return x, mix(y, new[0]), added, mix(other, new[1])

    def gamma(self, state: State) -> tf.Tensor:
        """The free energy, (num_starts,)."""
        return _gamma(self.machine, state)

    def fields(self, state: State) -> tuple[tf.Tensor, tf.Tensor]:
        """The conjugate fields of the means, without the added precisions."""
        enlarged = _enlarged(self.machine, state)
        m, n = enlarged.visible.mean(state[0]), enlarged.hidden.mean(state[1])
        return self.machine.visible.conjugate_field(m), self.machine.hidden.conjugate_field(n)

    def averages(self, state: State) -> Averages:
        """The averages over the starts, which have settled: <v h^T> = m n^T + W c d^T."""
        parameters = self.machine.visible.parameters, self.machine.hidden.parameters
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            enlarged = _enlarged(self.machine, state)
            total = tf.reduce_sum(enlarged.visible.cgf(state[0]), -1)
            total = tf.reduce_mean(total + tf.reduce_sum(enlarged.hidden.cgf(state[1]), -1))
        slopes = tape.gradient(total, parameters, unconnected_gradients="zero")
        m, c = tf.unstack(enlarged.visible.cumulants(state[0], 2))
        n, d = tf.unstack(enlarged.hidden.cumulants(state[1], 2))
        pair = tf.matmul(m, n, transpose_a=True)
        pair += self.machine.kernel * tf.matmul(c, d, transpose_a=True)
        pair /= tf.cast(tf.shape(m)[0], m.dtype)
        return Averages(tf.reduce_mean(m, 0), tf.reduce_mean(n, 0), pair, *slopes)


def _enlarged(machine, state):
    """The machine with the precisions A and B added to its units."""
    *_, added, other = state
    visible, hidden = machine.visible.add_precision(added), machine.hidden.add_precision(other)
    return Machine(machine.kernel, machine.visible_bias, machine.hidden_bias, visible, hidden)


def _gamma(machine, state):
    enlarged, total = _enlarged(machine, state), 0.0
    x, y, added, other = state
    for unit, field, precision in ((enlarged.visible, x, added), (enlarged.hidden, y, other)):
        mean, variance = tf.unstack(unit.cumulants(field, 2))
        total -= tf.reduce_sum(precision * (variance + mean**2), -1) / 2
    return total + gamma_at(enlarged, x, y, 2)


def _update(machine, x, y, added, other):
    """The fields and added precisions of the visible units, from those of the hidden ones."""
    n, d = tf.unstack(machine.hidden.add_precision(other).cumulants(y, 2))
    m = machine.visible.add_precision(added).mean(x)
    added = -tf.matmul(d, machine.kernel**2, transpose_b=True)
    return machine.visible_bias + tf.matmul(n, machine.kernel, transpose_b=True) + added * m, added
