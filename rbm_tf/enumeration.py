"""Exact sums over all states of one layer: ln Z, moments and thermodynamics, in float64.

The sum runs over the layer with the fewer states, block by block. The other layer, of whatever
units, is summed or integrated out in closed form: exp(-F_c(h)) = exp(b.h - U(h)) prod_i exp
Gamma_i(a_i + (W h)_i), and alike with the layers exchanged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import clamped_free_energy, hidden_input, machine_of
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import state_numbers

MAX_STATES = 2**25
_QUICK_STATES = 2**20  # up to here the exact answer is given without being asked for
_BLOCK = 4096  # states at a time


class Moments(NamedTuple):
    """Exact averages over p(v, h): <v>, <h>, <v h^T> and the slopes of ln Z, float64."""

    visible: np.ndarray  # (num_visible,)
    hidden: np.ndarray  # (num_hidden,)
    correlation: np.ndarray  # (num_visible, num_hidden)
    visible_slopes: dict[str, np.ndarray]  # d ln Z / d parameter of the visible units = -<dU>
    hidden_slopes: dict[str, np.ndarray]  # and of the hidden units; both empty for binary ones


class Thermodynamics(NamedTuple):
    """Exact thermodynamic functions at each inverse temperature, float64, (num_betas,)."""

    betas: np.ndarray
    log_z: np.ndarray  # ln Z(beta), nats
    energy: np.ndarray  # U = <E>, nats
    entropy: np.ndarray  # S = ln Z + beta U, nats
    heat_capacity: np.ndarray  # C = beta^2 <<E^2>>, nats


def log_z(rbm: RBMLike, *, beta: float = 1.0) -> float:
    """The exact ln Z = ln sum_{v,h} exp(-beta E(v, h)), with an integral for continuous units.

    One layer is summed over; it must have finitely many states, the other may have any units. beta
    multiplies W, a and b. It leaves the U of continuous units as it is, which would have no Z at
    beta = 0.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        beta: the inverse temperature.

    Returns:
        Number, nats. Of continuous units it is relative to the Lebesgue measure.

    Raises:
        ValueError: if no layer has at most 2^25 states.

    Reference: B3 and B5.

    Example:
        >>> rbm = BernoulliRBM(3, 2)
        >>> round(log_z(rbm, beta=0.0), 4)  # 5 fair coins: ln 32
        3.4657
    """
    machine, _ = _orient(rbm)
    return float(_sum_states(machine, tf.constant(beta, tf.float64)))


def thermodynamics(rbm: RBMLike, betas: ArrayLike) -> Thermodynamics:
    """The exact ln Z, U, S and C at several inverse temperatures.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        betas: the inverse temperatures, (num_betas,).

    Returns:
        `Thermodynamics`.

    Raises:
        ValueError: if no layer has at most 2^25 states.

    Reference: B6.

    Example:
        >>> rbm = BernoulliRBM(4, 3, seed=0)
        >>> exact = thermodynamics(rbm, [0.5, 1.0])
        >>> exact.entropy.shape
        (2,)
    """
    machine, _ = _orient(rbm)
    beta = np.atleast_1d(np.asarray(betas, float))
    rows = np.array([_sum_energy(machine, tf.constant(value)).numpy() for value in beta])
    ln_z, energy, variance = rows.T
    return Thermodynamics(beta, ln_z, energy, ln_z + beta * energy, beta**2 * variance)


def moments(rbm: RBMLike) -> Moments:
    """The exact averages <v>, <h> and <v h^T> over p(v, h), which the gradient of F_eq needs (B9).

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        `Moments`.

    Raises:
        ValueError: if no layer has at most 2^25 states.

    Example:
        >>> moments(BernoulliRBM(4, 3, seed=0)).correlation.shape
        (4, 3)
    """
    return tf.nest.map_structure(np.array, moments_in_graph(rbm)[1])


def moments_in_graph(rbm: RBMLike) -> tuple[tf.Tensor, Moments]:
    """ln Z and the exact averages as tensors, for use inside a `tf.function`.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        ln Z, scalar float64, and `Moments` of float64 tensors.

    Raises:
        ValueError: if no layer has at most 2^25 states.

    Example:
        >>> machine = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2))
        >>> round(float(moments_in_graph(machine)[0]), 4)  # 5 fair coins: ln 32
        3.4657
    """
    oriented, as_it_is = _orient(rbm)
    ln_z, (listed, other, correlation, slopes, other_slopes) = _sum_moments(oriented)
    if as_it_is:
        return ln_z, Moments(listed, other, correlation, slopes, other_slopes)
    return ln_z, Moments(other, listed, tf.transpose(correlation), other_slopes, slopes)


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


def is_quick(rbm: RBMLike) -> bool:
    """Whether the exact sum takes seconds, so that it is worth giving without being asked for.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        True for a layer of up to 2^20 states, 20 binary units.

    Example:
        >>> is_quick(BernoulliRBM(64, 16)), is_quick(BernoulliRBM(64, 64))
        (True, False)
    """
    terms = num_terms(rbm)
    return terms is not None and terms <= _QUICK_STATES


def _orient(rbm):
    """The machine in float64 with the layer to sum over as its visible one; True if that is v."""
    machine = machine_of(rbm, dtype=tf.float64)
    terms = num_terms(machine)
    if terms is None or terms > MAX_STATES:
        found = "both have infinitely many" if terms is None else f"the smaller one has {terms:.1e}"
        raise ValueError(
            f"Exact enumeration takes a layer of up to 2^25 states, and of {machine.visible!r} and "
            f"{machine.hidden!r} {found}. Estimate ln Z with rbm_tf.annealing.ais."
        )
    if machine.visible.num_layer_states == terms < (machine.hidden.num_layer_states or np.inf):
        return machine, True
    return machine.transposed, False


def _sum_over_blocks(machine, add_block, averages):
    """Run add_block(states, outside, total) over all blocks of states of the visible layer.

    outside is 0 for states that there are, and -inf for those that fill up the last block.
    """
    num_states = machine.visible.num_layer_states
    size = min(num_states, _BLOCK)
    start = (tf.constant(0, tf.int64), (tf.constant(-np.inf, tf.float64), averages))

    def step(first, total):
        states = machine.visible.layer_states(first=first, num_states=size)
        outside = tf.where(state_numbers(first, size) < num_states, 0.0, -np.inf)
        return first + size, add_block(states, tf.cast(outside, tf.float64), total)

    return tf.while_loop(lambda first, _: first < num_states, step, start)[1]


@tf.function(reduce_retracing=True)
def _sum_states(machine, beta):
    """ln Z alone, in a third of the time of `_sum_energy`."""
    scaled = machine.scaled(beta)

    def add_block(states, outside, total):
        return _merge(total, outside - clamped_free_energy(scaled, states), ())

    return _sum_over_blocks(machine, add_block, ())[0]


@tf.function(reduce_retracing=True)
def _sum_energy(machine, beta):
    """ln Z, <E> and <<E^2>>, without U in E; given one layer, E is a sum of independent terms."""
    scaled = machine.scaled(beta)

    def add_block(states, outside, total):
        bias = tf.linalg.matvec(states, machine.visible_bias)
        inputs = hidden_input(machine, states)  # (block_size, num_other)
        mean, variance = tf.unstack(machine.hidden.cumulants_along(beta * inputs, inputs, 2))
        log_weight = outside - clamped_free_energy(scaled, states, inputs=beta * inputs)
        energy = -bias - tf.reduce_sum(mean, -1)  # <E | s>
        square = tf.reduce_sum(variance, -1) + energy**2  # with <<E^2 | s>>
        return _merge(total, log_weight, (_mean_of(energy), _mean_of(square)))

    zero = tf.constant(0.0, tf.float64)
    ln_z, (energy, square) = _sum_over_blocks(machine, add_block, (zero, zero))
    return tf.stack([ln_z, energy, square - energy**2])


@tf.function(reduce_retracing=True)
def _sum_moments(machine):
    parameters = machine.visible.parameters, machine.hidden.parameters

    def add_block(states, outside, total):
        inputs = hidden_input(machine, states)
        mean = machine.hidden.mean(inputs)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(parameters)
            log_weight = outside - clamped_free_energy(machine, states, inputs=inputs)

        def slopes(weight):
            return tape.gradient(log_weight, parameters, weight, unconnected_gradients="zero")

        def correlation(weight):
            return tf.matmul(states * weight[:, tf.newaxis], mean, transpose_a=True)

        averages = _mean_of(states), _mean_of(mean), correlation, slopes
        return _merge(total, log_weight, averages)

    zeros = tf.nest.map_structure(
        tf.zeros_like, (machine.visible_bias, machine.hidden_bias, machine.kernel, parameters)
    )
    ln_z, (*means, slopes) = _sum_over_blocks(machine, add_block, zeros)
    return ln_z, (*means, *slopes)


def _mean_of(values):
    return lambda weight: tf.tensordot(weight, values, 1)


def _merge(total, log_weight, averages_of_block):
    """Merge a block into running averages, each a function of the weights of the block's rows."""
    log_total, averages = total
    log_block = tf.reduce_logsumexp(log_weight)
    weight = tf.exp(log_weight - log_block)
    new_log_total = tf.reduce_logsumexp(tf.stack([log_total, log_block]))
    old_share, share = tf.exp(log_total - new_log_total), tf.exp(log_block - new_log_total)

    def merged(average, block_average):
        return tf.ensure_shape(old_share * average + share * block_average, average.shape)

    of_block = tuple(average(weight) for average in averages_of_block)
    return new_log_total, tf.nest.map_structure(merged, tuple(averages), of_block)
