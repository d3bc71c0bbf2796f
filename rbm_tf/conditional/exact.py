"""ln p of some visible units, and of those given the others, exactly and in float64.

Both come from ln Z of the machine with the observed units o clamped,

    ln Z(o) = ln sum_{m,h} exp(-E(o, m, h)) = a_o.o - sum_o U + ln Z'(b + o W_o)

where Z' is that of the RBM over the missing units m. With nothing observed it is ln Z, with nothing
missing -F_c(v).
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from rbm_tf.conditional.clamping import observed_states, over_units
from rbm_tf.gaussian_pair import gaussian_log_z
from rbm_tf.machine import clamped_free_energy, hidden_input, machine_of, product, visible_input
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.state_sums import MAX_STATES
from rbm_tf.units import Gaussian, state_numbers

_NUMBERS = 2**22  # that a block of the sums holds at a time


def clamped_log_z(rbm: RBMLike, v: ArrayLike, *, mask: ArrayLike | None = None) -> tf.Tensor:
    """ln Z(o) = ln sum_{m,h} exp(-E(o, m, h)) for each example, with its observed units o clamped.

    The sum runs over the states of the hidden units, which all examples share, or of the missing
    ones, whichever are fewer; the other layer is summed or integrated out in closed form. Gaussian
    layers make a determinant. Gradients pass to the parameters of the machine.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible).
        mask: 1 or True where v is observed, (num_visible,) or (num, num_visible); None: where v is
            not NaN.

    Returns:
        (num,) float64, nats. Of continuous units it is relative to the Lebesgue measure.

    Raises:
        ValueError: as `observed_states`, or if neither layer can be summed over.

    Reference: B5 with more units summed out.

    Example:
        >>> clamped_log_z(BernoulliRBM(3, 2, seed=0), [[1, np.nan, np.nan]]).numpy().round(1)
        array([2.8])
    """
    machine = machine_of(rbm, dtype=tf.float64)
    values = observed_states(machine.visible, v, mask=mask)
    states = tf.constant(np.nan_to_num(values))
    first_column = np.unique(machine.visible.unit_of_column, return_index=True)[1]
    missing = np.isnan(values)[:, first_column]  # (num, num_units)
    energies = tf.where(missing, 0.0, machine.visible.energy(states))
    constant = tf.linalg.matvec(states, machine.visible_bias) - tf.reduce_sum(energies, -1)
    bias = hidden_input(machine, states)
    rows, parts = _by_road(machine, missing)
    log_z = [road(machine, tf.gather(bias, some), missing[some]) for some, road in parts]
    return constant + tf.dynamic_stitch(rows, log_z)


def log_marginal(
    rbm: RBMLike, v: ArrayLike, *, mask: ArrayLike | None = None, log_z: float | None = None
) -> tf.Tensor:
    """ln p(v_observed) = ln Z(o) - ln Z for each example.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible).
        mask: 1 or True where v is observed, (num_visible,) or (num, num_visible); None: where v is
            not NaN.
        log_z: ln Z, nats, such as an estimate by `ais`; None computes it, as `clamped_log_z` of
            nothing.

    Returns:
        (num,) float64, nats: 0 where nothing is observed, ln p(v) where everything is.

    Raises:
        ValueError: as `clamped_log_z`.

    Example:
        >>> rbm = BernoulliRBM(3, 2, seed=0)
        >>> log_marginal(rbm, [[np.nan, np.nan, np.nan], [1, np.nan, np.nan]]).numpy().round(1)
        array([ 0. , -0.7])
    """
    of_observed = clamped_log_z(rbm, v, mask=mask)
    if log_z is not None:
        return of_observed - log_z
    nothing = np.full((1, machine_of(rbm).num_visible), np.nan)
    return of_observed - clamped_log_z(rbm, nothing)


def log_conditional(rbm: RBMLike, v: ArrayLike, *, mask: ArrayLike) -> tf.Tensor:
    """ln p(v_missing | v_observed) = -F_c(v) - ln Z(o) for each example; ln Z drops out.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible), all of them.
        mask: 1 or True for the units that are given, 0 for those whose probability it is,
            (num_visible,) or (num, num_visible).

    Returns:
        (num,) float64, nats: ln p(v) where nothing is given, 0 where everything is.

    Raises:
        ValueError: as `clamped_log_z`, or if a state is missing.

    Example:
        >>> log_conditional(BernoulliRBM(2, 1, seed=0), [[1, 0]], mask=[1, 0]).numpy().round(1)
        array([-0.7])
    """
    machine = machine_of(rbm, dtype=tf.float64)
    states = tf.constant(machine.visible.check(v, name="v"), tf.float64)
    return -clamped_free_energy(machine, states) - clamped_log_z(machine, states, mask=mask)


def _by_road(machine, missing):
    """Which rows go which way to ln Z': lists of row numbers, and of pairs (rows, function)."""
    patterns, group_of = np.unique(missing, axis=0, return_inverse=True)
    by_hidden = machine.hidden.num_layer_states or math.inf
    roads = np.array([_road(machine, pattern, by_hidden) for pattern in patterns])
    shared = np.flatnonzero(roads[group_of.ravel()] == _sum_over_hidden)
    parts = [(shared, _sum_over_hidden)] if len(shared) else []
    for index in np.flatnonzero(roads != _sum_over_hidden):
        parts.append((np.flatnonzero(group_of.ravel() == index), roads[index]))
    return [some.astype("int32") for some, _ in parts], parts


def _road(machine, pattern, by_hidden):
    if not pattern.any():
        return _sum_of_nothing
    visible = machine.visible.take(np.flatnonzero(pattern))
    by_missing = visible.num_layer_states or math.inf
    if min(by_hidden, by_missing) <= MAX_STATES:
        return _sum_over_missing if by_missing < by_hidden else _sum_over_hidden
    if isinstance(visible, Gaussian) and isinstance(machine.hidden, Gaussian):
        return _gaussian_integral
    found = "infinitely many" if by_missing == by_hidden == math.inf else "more"
    raise ValueError(
        f"Exact sums take up to 2^25 states of the missing or of the hidden units, and {visible!r} "
        f"and {machine.hidden!r} have {found}. Estimate ln Z(o) with rbm_tf.conditional."
        "clamped_ais, and ln Z with rbm_tf.annealing.ais."
    )


def _sum_of_nothing(machine, bias, _):
    return tf.reduce_sum(machine.hidden.cgf(bias), -1)


def _sum_over_missing(machine, bias, missing):
    """Of examples that miss the same units."""
    units = np.flatnonzero(missing[0])
    num_rows = max(1, _NUMBERS // (4 * machine.num_hidden))
    blocks = [bias[first : first + num_rows] for first in range(0, len(bias), num_rows)]
    return tf.concat([_sum_visible(over_units(machine, block, units)) for block in blocks], 0)


@tf.function(reduce_retracing=True)
def _sum_visible(machine):
    """ln Z' of each row of hidden biases, by the states of the visible units."""
    bias = machine.hidden_bias  # (num_rows, num_hidden)

    def terms(v):
        inputs = bias + product(v, machine.kernel)[:, tf.newaxis]
        return -clamped_free_energy(machine, v[:, tf.newaxis], inputs=inputs)

    return _log_sum(machine.visible, terms, bias, tf.size(bias))


def _sum_over_hidden(machine, bias, missing):
    units = np.flatnonzero(missing.any(0))
    return _sum_hidden(over_units(machine, bias, units), tf.constant(missing[:, units], bias.dtype))


@tf.function(reduce_retracing=True)
def _sum_hidden(machine, missing):
    """The same by the states of the hidden units, of the visible ones that each row misses."""
    bias = machine.hidden_bias

    def terms(h):
        by_unit = machine.visible.cgf(visible_input(machine, h))  # (num_states, num_units)
        log_weight = tf.matmul(h, bias, transpose_b=True)
        log_weight += tf.matmul(by_unit, missing, transpose_b=True)
        return log_weight - tf.reduce_sum(machine.hidden.energy(h), -1)[:, tf.newaxis]

    return _log_sum(
        machine.hidden, terms, bias, tf.maximum(tf.size(bias[:, 0]), tf.size(missing[0]))
    )


def _log_sum(unit, terms, bias, numbers):
    """ln sum exp of terms(states), (num_states, num_rows), over the states of a layer in blocks."""
    num_states = unit.num_layer_states
    size = tf.cast(tf.clip_by_value(_NUMBERS // numbers, 1, min(num_states, 4096)), tf.int64)

    def step(first, total):
        log_weight = terms(unit.layer_states(first=first, num_states=size))
        inside = state_numbers(first, size)[:, tf.newaxis] < num_states  # not beyond the last one
        log_weight = tf.where(inside, log_weight, -np.inf)
        both = tf.concat([total[tf.newaxis], log_weight], 0)
        return first + size, tf.ensure_shape(tf.reduce_logsumexp(both, 0), total.shape)

    start = tf.constant(0, tf.int64), tf.fill(tf.shape(bias)[:1], tf.constant(-np.inf, bias.dtype))
    return tf.while_loop(lambda first, _: first < num_states, step, start)[1]


def _gaussian_integral(machine, bias, missing):
    """The determinant of examples that miss the same units."""
    log_z = gaussian_log_z(over_units(machine, bias, np.flatnonzero(missing[0])))
    if np.isnan(log_z).any():
        raise ValueError(
            "Gaussian layers have no finite Z where the largest singular value of W, in units of "
            "the roots of both precisions, is 1 or more: make the weights smaller."
        )
    return log_z
