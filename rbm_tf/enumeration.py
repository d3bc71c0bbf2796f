"""Exact sums over all states of a small RBM: ln Z, moments and thermodynamics, in float64.

The sum runs over the smaller layer, block by block; the other layer is summed out in closed form,
exp(-F_c(h)) = exp(b.h) prod_i (1 + exp(a_i + (W h)_i)), and alike with the layers exchanged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import (
    Machine,
    binary_states,
    clamped_free_energy,
    hidden_input,
    machine_of,
)
from rbm_tf.shared.types import ArrayLike, RBMLike

MAX_UNITS = 25
QUICK_UNITS = 20  # up to here the exact answer is given without being asked for
_BLOCK_BITS = 12  # 4,096 states at a time


class Moments(NamedTuple):
    """Exact averages over p(v, h): <v>, <h> and <v h^T>, float64."""

    visible: np.ndarray  # (num_visible,)
    hidden: np.ndarray  # (num_hidden,)
    correlation: np.ndarray  # (num_visible, num_hidden)


class Thermodynamics(NamedTuple):
    """Exact thermodynamic functions at each inverse temperature, float64, (num_betas,)."""

    betas: np.ndarray
    log_z: np.ndarray  # ln Z(beta), nats
    energy: np.ndarray  # U = <E>, nats
    entropy: np.ndarray  # S = ln Z + beta U, nats
    heat_capacity: np.ndarray  # C = beta^2 <<E^2>>, nats


def log_z(rbm: RBMLike, *, beta: float = 1.0) -> float:
    """The exact ln Z = ln sum_{v,h} exp(-beta E(v, h)).

    Args:
        rbm: `BernoulliRBM`, `Machine`, or anything else with the parameters of an RBM.
        beta: the inverse temperature.

    Returns:
        Number, nats.

    Raises:
        ValueError: if both layers have more than 25 units.

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
        rbm: `BernoulliRBM`, `Machine`, or anything else with the parameters of an RBM.
        betas: the inverse temperatures, (num_betas,).

    Returns:
        `Thermodynamics`.

    Raises:
        ValueError: if both layers have more than 25 units.

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
        rbm: `BernoulliRBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        `Moments`.

    Raises:
        ValueError: if both layers have more than 25 units.

    Example:
        >>> moments(BernoulliRBM(4, 3, seed=0)).correlation.shape
        (4, 3)
    """
    return Moments(*(np.array(x) for x in moments_in_graph(rbm)[1]))


def moments_in_graph(rbm: RBMLike) -> tuple[tf.Tensor, Moments]:
    """ln Z and the exact averages as tensors, for use inside a `tf.function`.

    Args:
        rbm: `BernoulliRBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        ln Z, scalar float64, and `Moments` of float64 tensors.

    Raises:
        ValueError: if both layers have more than 25 units.

    Example:
        >>> machine = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2))
        >>> round(float(moments_in_graph(machine)[0]), 4)  # 5 fair coins: ln 32
        3.4657
    """
    oriented, swapped = _orient(rbm)
    ln_z, (small, large, correlation) = _sum_moments(oriented)
    if swapped:
        return ln_z, Moments(small, large, correlation)
    return ln_z, Moments(large, small, tf.transpose(correlation))


def _orient(rbm):
    """The machine in float64 with the smaller layer as its visible one; True if that is v."""
    machine = machine_of(rbm, dtype=tf.float64)
    kernel, visible_bias, hidden_bias = machine
    num_visible, num_hidden = kernel.shape
    if min(num_visible, num_hidden) > MAX_UNITS:
        raise ValueError(
            f"Exact enumeration takes up to {MAX_UNITS} units in the smaller layer; this RBM has "
            f"{num_visible} visible and {num_hidden} hidden. Estimate ln Z with "
            "rbm_tf.annealing.ais."
        )
    if num_visible < num_hidden:
        return machine, True
    return Machine(tf.transpose(kernel), hidden_bias, visible_bias), False


def _block(index, num_units):
    """Block number index of all states of num_units binary units, (block_size, num_units)."""
    size = tf.bitwise.left_shift(1, tf.minimum(num_units, _BLOCK_BITS))
    return binary_states(num_units, first=index * size, num_states=size)


def _sum_over_blocks(machine, add_block, averages):
    """Run add_block(index, (log_total, averages)) over all blocks of the small layer's states."""
    num_blocks = tf.bitwise.left_shift(1, tf.maximum(tf.shape(machine.kernel)[0] - _BLOCK_BITS, 0))
    start = (tf.constant(0), (tf.constant(-np.inf, tf.float64), averages))
    return tf.while_loop(
        lambda index, _: index < num_blocks,
        lambda index, total: (index + 1, add_block(index, total)),
        start,
    )[1]


@tf.function(reduce_retracing=True)
def _sum_states(machine, beta):
    """ln Z alone, in a third of the time of `_sum_energy`."""
    scaled = Machine(*(beta * x for x in machine))

    def add_block(index, total):
        states = _block(index, tf.shape(machine.kernel)[0])
        return _merge(total, -clamped_free_energy(scaled, states), ())

    return _sum_over_blocks(machine, add_block, ())[0]


@tf.function(reduce_retracing=True)
def _sum_energy(machine, beta):
    """ln Z, <E> and <<E^2>>; given a small-layer state, E is a sum of independent terms."""

    def add_block(index, total):
        states = _block(index, tf.shape(machine.kernel)[0])
        bias = tf.linalg.matvec(states, machine.visible_bias)
        inputs = hidden_input(machine, states)  # (block_size, num_large)
        mean = tf.sigmoid(beta * inputs)
        log_weight = beta * bias + tf.reduce_sum(tf.math.softplus(beta * inputs), -1)
        energy = -bias - tf.reduce_sum(inputs * mean, -1)  # <E | s>
        variance = tf.reduce_sum(inputs**2 * mean * (1 - mean), -1)  # <<E^2 | s>>
        return _merge(total, log_weight, (energy, variance + energy**2))

    zero = tf.constant(0.0, tf.float64)
    ln_z, (energy, square) = _sum_over_blocks(machine, add_block, (zero, zero))
    return tf.stack([ln_z, energy, square - energy**2])


@tf.function(reduce_retracing=True)
def _sum_moments(machine):
    kernel, small_bias, large_bias = machine

    def add_block(index, total):
        states = _block(index, tf.shape(kernel)[0])
        inputs = hidden_input(machine, states)
        mean = tf.sigmoid(inputs)
        log_weight = -clamped_free_energy(machine, states, inputs=inputs)
        return _merge(total, log_weight, (states, mean, (states, mean)))

    zeros = tf.zeros_like(small_bias), tf.zeros_like(large_bias), tf.zeros_like(kernel)
    return _sum_over_blocks(machine, add_block, zeros)


def _merge(total, log_weight, values):
    """Merge a block into running averages; a pair of values stands for its outer product."""
    log_total, averages = total
    log_block = tf.reduce_logsumexp(log_weight)
    weight = tf.exp(log_weight - log_block)
    new_log_total = tf.reduce_logsumexp(tf.stack([log_total, log_block]))
    old_share, share = tf.exp(log_total - new_log_total), tf.exp(log_block - new_log_total)

    def block_average(value):
        if isinstance(value, tuple):
            left, right = value
            return tf.matmul(left * weight[:, tf.newaxis], right, transpose_a=True)
        return tf.tensordot(weight, value, 1)

    averages = tuple(
        tf.ensure_shape(old_share * average + share * block_average(value), average.shape)
        for average, value in zip(averages, values, strict=True)
    )
    return new_log_total, averages
