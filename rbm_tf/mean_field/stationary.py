"""Naive mean field and TAP: where the free energy of given means, up to an order, is stationary.

Row B26 for binary units; `rbm_tf.mean_field.fields` has the formula for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from rbm_tf.estimates import LogZEstimate
from rbm_tf.machine import Machine, machine_of
from rbm_tf.mean_field.expansion import check_fourth_order, plefka_fourth_term_at
from rbm_tf.mean_field.fields import FieldTheory
from rbm_tf.mean_field.plefka import BinaryTheory, check_order
from rbm_tf.mean_field.two_moments import TwoMomentTheory, check_moments, check_precisions
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import RBMLike
from rbm_tf.stability import is_infinite

_TOLERANCE = 1e-12  # largest change, of a mean or relative of a field, in one undamped step


@dataclass(frozen=True, eq=False, kw_only=True)
class MeanField(LogZEstimate):
    """A stationary point of Gamma, float64, and the estimates of ln Z and averages it gives."""

    visible: np.ndarray  # m = <v>, (num_visible,)
    hidden: np.ndarray  # n = <h>, (num_hidden,)
    visible_field: np.ndarray  # x, at which kappa_1 is m; (num_visible,), nats
    hidden_field: np.ndarray  # y, at which kappa_1 is n; (num_hidden,)
    correlation: np.ndarray  # <v h^T>, (num_visible, num_hidden)
    visible_slopes: dict[str, np.ndarray]  # d ln Z / d parameter of the visible units
    hidden_slopes: dict[str, np.ndarray]  # and of the hidden units; both empty for binary ones
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
    moments: int = 1,
    num_starts: int = 10,
    max_iterations: int = 10_000,
    damping: float = 0.5,
    seed: int | None = 0,
) -> MeanField:
    """Solve the TAP equations by damped iteration from several starts.

    Only order 1 bounds: its free energy is never below -ln Z. Of the starts that converge, the one
    of lowest free energy is returned. At strong coupling none may converge, and order 3 need not
    be better than order 2. Where Z is infinite for certain log_z is NaN, and nothing converged.

    With moments=2 the theory fixes variances beside means. Large layers of continuous units need
    that: of dense Gaussian layers of 100 units each, at s = 0.4 and W ~ N(0, s^2/100), means alone
    are 1.8 nats off at order 2, and means with variances less than 0.1. Where the reaction takes
    the precision of a unit to 0 or below, there is no fixed point: NaN, and not converged.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        order: the last order that counts, 1 (naive mean field), 2, 3 or 4. Order 4 adds its term
            at the point of order 3, whose averages are returned.
        moments: 1 to fix means alone, or 2 with order=2, of all units but Potts,
            TruncatedExponential and those of your own that cannot add a precision.
        num_starts: the number of starts; the first has visible means of units without fields, the
            others are random.
        max_iterations: the number of iterations after which to give up.
        damping: the share of the old value in each update, from 0 to below 1.
        seed: integer that fixes the random starts.

    Returns:
        `MeanField`; its `converged` says whether the point is to be trusted as a fixed point.

    Raises:
        ValueError: if order is not 1, 2, 3 or 4, another argument is out of range, or the units
            have no order 4 or no second moment.

    Reference: Thouless, Anderson and Palmer (1977); Plefka (1982); Gabrie, Tramel and Krzakala
    (2015), Training restricted Boltzmann machines via the Thouless-Anderson-Palmer free energy;
    Tramel, Gabrie, Manoel, Caltagirone and Krzakala (2018); B26.

    Example:
        >>> solution = tap(BernoulliRBM(6, 4, seed=0), order=2)
        >>> solution.converged
        True
    """
    point = tap_of(
        machine_of(rbm, dtype=tf.float64),  # of the variables, not of rounded products
        order,
        moments=moments,
        num_starts=num_starts,
        max_iterations=max_iterations,
        damping=damping,
        seed=seed,
    )
    if is_infinite(rbm):  # Gamma may have a stationary point without it
        return replace(point, log_z=np.nan, converged=False)
    return point


def tap_of(
    parameters: tuple[tf.Tensor, ...] | Machine,
    order: int,
    *,
    moments: int = 1,
    num_starts: int = 10,
    max_iterations: int = 10_000,
    damping: float = 0.5,
    seed: int | None = 0,
) -> MeanField:
    """`tap` for parameters given as float64 tensors, such as those of a scaled model.

    Args:
        parameters: kernel, visible_bias and hidden_bias of binary units, float64 tensors, or a
            `Machine` of any units.
        order: the last order that counts, as `tap` takes it.
        moments: 1 or 2, as `tap` takes it.
        num_starts: the number of starts, as `tap` takes it.
        max_iterations: the number of iterations after which to give up.
        damping: the share of the old value in each update, from 0 to below 1.
        seed: integer that fixes the random starts.

    Returns:
        `MeanField`.

    Raises:
        ValueError: as `tap`.

    Example:
        >>> machine = machine_of(BernoulliRBM(6, 4, seed=0), dtype=tf.float64)
        >>> tap_of(machine.scaled(2.0), order=2).converged
        True
    """
    check_order(order, highest=4)
    check_counts(num_starts=num_starts, max_iterations=max_iterations)
    if not 0 <= damping < 1:
        raise ValueError(f"damping must lie between 0 and below 1; got {damping}.")
    machine = parameters if isinstance(parameters, Machine) else Machine(*parameters)
    machine = machine_of(machine, dtype=tf.float64)
    if order == 4:
        check_fourth_order(machine)
    theory = theory_of(machine, min(order, 3), moments=moments)
    state, change, iterations = _iterate(
        theory, theory.start(num_starts, seed), tf.constant(damping, tf.float64), max_iterations
    )
    free_energy, converged = theory.gamma(state).numpy(), change.numpy() <= _TOLERANCE
    best = np.argmin(np.where(converged | ~converged.any(), free_energy, np.inf))
    state = tuple(part[best : best + 1] for part in state)
    x, y = (fields[0] for fields in theory.fields(state))
    gamma = free_energy[best]
    if order == 4:
        gamma += plefka_fourth_term_at(machine, x, y).numpy()
    averages = tf.nest.map_structure(np.array, theory.averages(state))
    return MeanField(
        log_z=-float(gamma),
        bound="lower" if order == 1 else None,
        visible_field=x.numpy(),
        hidden_field=y.numpy(),
        converged=bool(converged[best]),
        num_iterations=int(iterations),
        **averages._asdict(),
    )


def theory_of(
    machine: Machine, order: int, *, moments: int = 1
) -> BinaryTheory | FieldTheory | TwoMomentTheory:
    """The theory of a machine: how its state starts and moves, and what it says.

    Args:
        machine: the `Machine`.
        order: the last order that counts, 1, 2 or 3.
        moments: 1 to fix means alone; 2 to fix variances too, with order 2.

    Returns:
        A theory with the methods start, step, gamma, fields and averages.

    Raises:
        ValueError: for other moments, or moments=2 with another order or units that cannot add a
            precision.

    Example:
        >>> theory = theory_of(machine_of(BernoulliRBM(6, 4), dtype="float64"), 2)
        >>> theory.gamma(theory.start(3, seed=0)).shape
        TensorShape([3])
    """
    check_moments(moments, order)
    if moments == 1 and machine.is_binary:
        return BinaryTheory(machine.parameters, order)
    if moments == 1:
        return FieldTheory(machine, order)
    check_precisions(machine.visible, machine.hidden)
    return TwoMomentTheory(machine)


@tf.function(reduce_retracing=True)
def _iterate(theory, state, damping, max_iterations):
    """Update both layers in turn until every start has settled or the patience is at its end."""

    def step(index, state, _):
        new = theory.step(state, damping)
        changes = [
            tf.reduce_max(tf.abs(after - before) / tf.maximum(tf.abs(before), 1.0), -1)
            for before, after in zip(state, new, strict=True)
        ]
        moved = tf.reduce_max(tf.stack(changes), 0)
        return index + 1, new, moved / (1 - damping)

    def unsettled(index, _, change):
        return (index < max_iterations) & tf.reduce_any(change > _TOLERANCE)

    change = tf.fill(tf.shape(state[0])[:1], tf.constant(np.inf, tf.float64))
    iterations, state, change = tf.while_loop(unsettled, step, (tf.constant(0), state, change))
    return state, change, iterations
