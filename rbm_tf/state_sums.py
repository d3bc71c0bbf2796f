"""Which layer of an RBM exact sums run over, and the loop over its states.

The layer with the fewer states is summed over, block by block; the other one, of whatever units, is
summed or integrated out in closed form. Where no layer has finitely many states, the points of a
quadrature over up to three units take their place. Those must be continuous: units with a list of
states that has no end, such as counts, are left to the other layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from rbm_tf.gaussian_pair import is_gaussian_pair
from rbm_tf.machine import Machine, machine_of
from rbm_tf.quadrature import MAX_UNITS, Rule, visible_rule
from rbm_tf.shared.types import RBMLike
from rbm_tf.unit_density import by_kind, is_continuous
from rbm_tf.units import Clamped, state_numbers

MAX_STATES = 2**25
_BLOCK = 4096  # states at a time


def num_terms(rbm: RBMLike) -> int | None:
    """The number of states of the layer that the exact sum runs over; None if both are infinite.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        Number, or None.

    Example:
        >>> num_terms(BernoulliRBM(64, 16))
        65536
    """
    machine = machine_of(rbm)
    numbers = machine.visible.num_layer_states, machine.hidden.num_layer_states
    return min((number for number in numbers if number is not None), default=None)


def is_quick(rbm: RBMLike, *, max_states: int = 2**20) -> bool:
    """Whether the exact answer takes seconds, so that it is worth giving without being asked for.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        max_states: how many states are quick; the default are those of 20 binary units.

    Returns:
        True for a layer of so many states; for two Gaussian layers; and for a layer of up to 3
        continuous units beside another one.

    Example:
        >>> is_quick(BernoulliRBM(64, 16)), is_quick(BernoulliRBM(64, 64))
        (True, False)
    """
    machine, terms = machine_of(rbm), num_terms(rbm)
    if terms is None:
        return is_gaussian_pair(machine) or _layer_of_rule(machine) is not None
    return terms <= max_states


def _layer_of_rule(machine):
    """Whether a rule goes over the visible units, the hidden ones (False), or none (None)."""
    both = (True, machine), (False, machine.transposed)
    for is_visible, layer in sorted(both, key=lambda pair: pair[1].visible.num):  # stable
        if _takes_rule(layer):
            return is_visible
    return None


def _takes_rule(machine):
    """Whether there are few visible units, and all continuous."""
    parts = by_kind(machine)
    if machine.visible.num > MAX_UNITS or any(
        part.visible.is_finite or isinstance(part.visible, Clamped) for part in parts
    ):
        return False
    if not tf.executing_eagerly():
        return True  # what else there is to check needs numbers
    try:
        return all(is_continuous(machine_of(part, dtype=tf.float64)) for part in parts)
    except ValueError:  # without an integral
        return False


def oriented(
    machine: Machine, *, beta: float | tf.Tensor = 1.0
) -> tuple[Machine, bool, Rule | None]:
    """The machine with the layer to sum over as its visible one.

    Args:
        machine: the `Machine`, float64.
        beta: the inverse temperature at which the points of a quadrature serve.

    Returns:
        The machine or its transposed, True if it is as it was, and the `Rule` whose points take the
        place of states, or None where there are finitely many.

    Raises:
        ValueError: if no layer has at most 2^25 states or 3 continuous units.

    Example:
        >>> oriented(machine_of(BernoulliRBM(6, 4), dtype="float64"))[1:]
        (False, None)
    """
    terms = num_terms(machine)
    if terms is not None and terms <= MAX_STATES:
        as_it_is = machine.visible.num_layer_states == terms
        as_it_is &= terms < (machine.hidden.num_layer_states or np.inf)
        return machine if as_it_is else machine.transposed, as_it_is, None
    if terms is None and (as_it_is := _layer_of_rule(machine)) is not None:
        if not tf.executing_eagerly():
            raise ValueError(
                "The points of a quadrature are chosen outside of graphs, and training runs inside "
                "one: take a negative phase that samples, such as PersistentContrastiveDivergence."
            )
        machine = machine if as_it_is else machine.transposed
        return machine, as_it_is, visible_rule(machine.scaled(beta))
    found = "both have infinitely many, or no integral"
    if terms is not None:
        found = f"the smaller one has about 2^{terms.bit_length() - 1}"
    raise ValueError(
        f"Exact enumeration takes a layer of up to 2^25 states, or of up to {MAX_UNITS} continuous "
        f"units, and of {machine.visible!r} and {machine.hidden!r} {found}. Estimate ln Z with "
        "rbm_tf.annealing.ais."
    )


def sum_over_blocks(
    machine: Machine,
    rule: Rule | None,
    add_block: Callable[..., Any],
    averages: tuple[Any, ...],
) -> tuple[tf.Tensor, tuple[Any, ...]]:
    """ln Z and running averages over all states of the visible layer, block by block.

    Args:
        machine: the `Machine`, as `oriented` gives it.
        rule: the points that take the place of states, or None.
        add_block: function that maps states, the logarithms of their measure and the total so far
            to the new total, by `merged`. The measure is 1 for states that there are, 0 for those
            that fill up the last block, and the weight of a point of a rule.
        averages: zeros of the shapes of the averages.

    Returns:
        ln Z, scalar, and the averages.

    Example:
        >>> machine = Machine(tf.zeros((2, 1), tf.float64), *np.zeros((2, 1)), units.Spin(2))
        >>> def add_block(states, log_measure, total):
        ...     return merged(total, log_measure, (mean_of(states),))
        >>> log_total, (mean,) = sum_over_blocks(machine, None, add_block, (np.zeros(2),))
        >>> round(float(log_total), 4), mean.numpy()  # four states
        (1.3863, array([0., 0.]))
    """
    if rule is None and machine.visible.num_layer_states is None:
        raise ValueError(f"{machine.visible!r} have no end of states; they need a rule of points.")
    # rules of other lengths share a graph, in which the length has no number
    num_states = tf.shape(rule.points)[0] if rule else machine.visible.num_layer_states
    num_states = tf.cast(num_states, tf.int64)
    size = tf.minimum(num_states, _BLOCK)
    start = (tf.constant(0, tf.int64), (tf.constant(-np.inf, tf.float64), averages))

    def step(first, total):
        numbers = state_numbers(first, size)
        if rule is None:
            states, log_measure = machine.visible.layer_states(first=first, num_states=size), 0.0
        else:
            row = tf.minimum(numbers, num_states - 1)
            states, log_measure = tf.gather(rule.points, row), tf.gather(rule.log_weights, row)
        log_measure = tf.where(numbers < num_states, tf.cast(log_measure, tf.float64), -np.inf)
        return first + size, add_block(states, log_measure, total)

    return tf.while_loop(lambda first, _: first < num_states, step, start)[1]


def mean_of(values: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """The average of values (block_size, ..), as `merged` takes it.

    Args:
        values: one row for each state of a block.

    Returns:
        Function of the weights.

    Example:
        >>> float(mean_of(tf.constant([1.0, 3.0]))(tf.constant([0.5, 0.5])))
        2.0
    """
    return lambda weight: tf.tensordot(weight, values, 1)


def merged(
    total: tuple[tf.Tensor, tuple[Any, ...]],
    log_weight: tf.Tensor,
    averages_of_block: tuple[Callable[[tf.Tensor], Any], ...],
) -> tuple[tf.Tensor, tuple[Any, ...]]:
    """Merge a block into running averages.

    Args:
        total: ln Z so far and the averages.
        log_weight: of the states of the block, (block_size,), nats.
        averages_of_block: for each average the function of the block's normalised weights that
            gives its share.

    Returns:
        The new total.

    Example:
        >>> empty = tf.constant(-np.inf, tf.float64), ()
        >>> round(float(merged(empty, tf.zeros(2, tf.float64), ())[0]), 4)  # ln 2
        0.6931
    """
    log_total, averages = total
    log_block = tf.reduce_logsumexp(log_weight)
    weight = tf.exp(log_weight - log_block)
    new_log_total = tf.reduce_logsumexp(tf.stack([log_total, log_block]))
    old_share, share = tf.exp(log_total - new_log_total), tf.exp(log_block - new_log_total)

    def joined(average, block_average):
        return tf.ensure_shape(old_share * average + share * block_average, average.shape)

    of_block = tuple(average(weight) for average in averages_of_block)
    return new_log_total, tf.nest.map_structure(joined, tuple(averages), of_block)
