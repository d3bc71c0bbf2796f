"""Naive mean field and TAP: where Plefka's Gamma(m, n), up to an order, is stationary (B26).

m = <v> and n = <h> are the magnetisations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from rbm_tf.estimates import LogZEstimate
from rbm_tf.machine import machine_of
from rbm_tf.mean_field.plefka import check_order, damped_step, gamma
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import RBMLike

_TOLERANCE = 1e-12  # largest change of a magnetisation in one undamped step


@dataclass(frozen=True, eq=False, kw_only=True)
class MeanField(LogZEstimate):
    """A stationary point of Gamma, float64, and the estimate of ln Z that it gives."""

    visible: np.ndarray  # m, (num_visible,)
    hidden: np.ndarray  # n, (num_hidden,)
    converged: bool
    num_iterations: int

    @property
    def free_energy(self) -> float:
        """Gamma, nats; -ln Z up to the error of the approximation."""
        return -self.log_z


def tap(
    rbm: RBMLike,
    *,
    order: int = 2,
    num_starts: int = 10,
    max_iterations: int = 10_000,
    damping: float = 0.5,
    seed: int | None = 0,
) -> MeanField:
    """Solve the TAP equations by damped iteration from several starts.

    Only order 1 bounds: its free energy is never below -ln Z. Of the starts that converge, the one
    of lowest free energy is returned. At strong coupling none may converge, and order 3 need not
    be better than order 2.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        order: the last order that counts, 1 (naive mean field), 2 or 3.
        num_starts: the number of starts; the first is m = 1/2, the others are uniform random.
        max_iterations: the number of iterations after which to give up.
        damping: the share of the old value in each update, from 0 to below 1.
        seed: integer that fixes the random starts.

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
    return tap_of(
        machine_of(rbm, dtype=tf.float64).parameters,
        order,
        num_starts=num_starts,
        max_iterations=max_iterations,
        damping=damping,
        seed=seed,
    )


def tap_of(
    parameters: tuple[tf.Tensor, ...],
    order: int,
    *,
    num_starts: int = 10,
    max_iterations: int = 10_000,
    damping: float = 0.5,
    seed: int | None = 0,
) -> MeanField:
    """`tap` for parameters given as float64 tensors, such as those of a scaled model.

    Args:
        parameters: kernel, visible_bias and hidden_bias, float64 tensors, such as a `Machine`.
        order: the last order that counts, 1, 2 or 3.
        num_starts: the number of starts, as `tap` takes it.
        max_iterations: the number of iterations after which to give up.
        damping: the share of the old value in each update, from 0 to below 1.
        seed: integer that fixes the random starts.

    Returns:
        `MeanField`.

    Raises:
        ValueError: if order is not 1, 2 or 3, or another argument is out of range.

    Example:
        >>> machine = machine_of(BernoulliRBM(6, 4, seed=0), dtype=tf.float64)
        >>> parameters = tuple(2.0 * x for x in machine.parameters)
        >>> tap_of(parameters, order=2).converged
        True
    """
    check_order(order)
    check_counts(num_starts=num_starts, max_iterations=max_iterations)
    if not 0 <= damping < 1:
        raise ValueError(f"damping must lie between 0 and below 1; got {damping}.")
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
        log_z=-float(free_energy[best]),
        bound="lower" if order == 1 else None,
        visible=m[best].numpy(),
        hidden=n[best].numpy(),
        converged=bool(converged[best]),
        num_iterations=int(iterations),
    )


@tf.function(reduce_retracing=True)
def _iterate(parameters, m, n, damping, max_iterations, order):
    """Update both layers in turn until every start has settled or the patience is at its end."""

    def step(index, m, n, _):
        new_m, new_n = damped_step(parameters, m, n, order, damping=damping)
        moved = tf.maximum(
            tf.reduce_max(tf.abs(new_m - m), -1), tf.reduce_max(tf.abs(new_n - n), -1)
        )
        return index + 1, new_m, new_n, moved / (1 - damping)

    def unsettled(index, _m, _n, change):
        return (index < max_iterations) & tf.reduce_any(change > _TOLERANCE)

    change = tf.fill(tf.shape(m)[:1], tf.constant(np.inf, tf.float64))
    iterations, m, n, change = tf.while_loop(unsettled, step, (tf.constant(0), m, n, change))
    return m, n, change, iterations
