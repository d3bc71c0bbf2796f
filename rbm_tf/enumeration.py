"""Exact sums over all states of one layer: ln Z, moments and thermodynamics, in float64.

The sum runs over the layer with the fewer states, block by block. The other layer, of whatever
units, is summed or integrated out in closed form: exp(-F_c(h)) = exp(b.h - U(h)) prod_i exp
Gamma_i(a_i + (W h)_i), and alike with the layers exchanged. Where no layer has finitely many states
ln Z is a determinant, if both are Gaussian, or a quadrature over up to three units of one layer,
whose points take the place of states.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.gaussian_pair import gaussian_log_z, is_gaussian_pair
from rbm_tf.machine import clamped_free_energy, hidden_input, machine_of
from rbm_tf.shared.progress import Progress
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.stability import check_z
from rbm_tf.state_sums import mean_of, merged, oriented, sum_over_blocks


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
        ValueError: if no layer has at most 2^25 states or 3 continuous units, and not both are
            Gaussian; or if Z is infinite.

    Reference: B3 and B5.

    Example:
        >>> rbm = BernoulliRBM(3, 2)
        >>> round(log_z(rbm, beta=0.0), 4)  # 5 fair coins: ln 32
        3.4657
    """
    machine = machine_of(rbm, dtype=tf.float64).scaled(beta)
    check_z(machine)
    if is_gaussian_pair(machine):
        return float(_finite(gaussian_log_z(machine)))
    listed, _, rule = oriented(machine)
    return float(_sum_states(listed, rule))


def thermodynamics(rbm: RBMLike, betas: ArrayLike) -> Thermodynamics:
    """The exact ln Z, U, S and C at several inverse temperatures.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        betas: the inverse temperatures, (num_betas,).

    Returns:
        `Thermodynamics`.

    Raises:
        ValueError: if no layer has at most 2^25 states or 3 continuous units, and not both are
            Gaussian; or if Z is infinite.

    Reference: B6.

    Example:
        >>> rbm = BernoulliRBM(4, 3, seed=0)
        >>> exact = thermodynamics(rbm, [0.5, 1.0])
        >>> exact.entropy.shape
        (2,)
    """
    beta, rows = np.atleast_1d(np.asarray(betas, float)), []
    with Progress(len(beta), "temperatures", "temperature") as bar:
        for value in beta:
            rows.append(_log_z_and_energy(rbm, value))
            bar.update(1)
    ln_z, energy, variance = np.array(rows).T
    return Thermodynamics(beta, ln_z, energy, ln_z + beta * energy, beta**2 * variance)


def _log_z_and_energy(rbm, beta):
    """ln Z, <E> and <<E^2>> at one temperature."""
    machine = machine_of(rbm, dtype=tf.float64)
    check_z(machine.scaled(beta))
    beta = tf.constant(beta, tf.float64)
    if not is_gaussian_pair(machine):
        listed, _, rule = oriented(machine, beta=beta)
        return _sum_energy(listed, beta, rule).numpy()
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        for tape in (outer, inner):
            tape.watch(beta)
        ln_z = _finite(gaussian_log_z(machine.scaled(beta)))
        minus_energy = inner.gradient(ln_z, beta)
    return [float(ln_z), -float(minus_energy), float(outer.gradient(minus_energy, beta))]


def moments(rbm: RBMLike) -> Moments:
    """The exact averages <v>, <h> and <v h^T> over p(v, h), which the gradient of F_eq needs (B9).

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        `Moments`.

    Raises:
        ValueError: if no layer has at most 2^25 states or 3 continuous units, and not both are
            Gaussian; or if Z is infinite.

    Example:
        >>> moments(BernoulliRBM(4, 3, seed=0)).correlation.shape
        (4, 3)
    """
    check_z(rbm)
    return tf.nest.map_structure(np.array, moments_in_graph(rbm)[1])


def moments_in_graph(rbm: RBMLike) -> tuple[tf.Tensor, Moments]:
    """ln Z and the exact averages as tensors, for use inside a `tf.function`.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        ln Z, scalar float64, and `Moments` of float64 tensors.

    Raises:
        ValueError: if no layer has at most 2^25 states or 3 continuous units, and not both are
            Gaussian; or if Z is infinite.

    Example:
        >>> machine = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2))
        >>> round(float(moments_in_graph(machine)[0]), 4)  # 5 fair coins: ln 32
        3.4657
    """
    machine = machine_of(rbm, dtype=tf.float64)
    if is_gaussian_pair(machine):
        return _gaussian_moments(machine)
    listed, as_it_is, rule = oriented(machine)
    ln_z, (first, second, correlation, *slopes) = _sum_moments(listed, rule)
    if as_it_is:
        return ln_z, Moments(first, second, correlation, *slopes)
    return ln_z, Moments(second, first, tf.transpose(correlation), *slopes[::-1])


def _gaussian_moments(machine):
    with tf.GradientTape() as tape:
        tape.watch(machine)
        ln_z = gaussian_log_z(machine)
    slopes = tape.gradient(ln_z, machine)
    slopes = tf.nest.map_structure(lambda x: x + 0 * ln_z, slopes)  # NaN where Z is infinite
    by_kernel, by_visible, by_hidden = slopes.parameters
    parameters = slopes.visible.parameters, slopes.hidden.parameters
    return ln_z, Moments(by_visible, by_hidden, by_kernel, *parameters)


def _finite(ln_z):
    """ln Z of two Gaussian layers, refused where it is infinite."""
    if not np.isfinite(ln_z):
        raise ValueError(
            "Z is infinite: two Gaussian layers need the largest eigenvalue of "
            "K = g_v^-1/2 W g_h^-1 W^T g_v^-1/2 below 1. Make the kernel smaller."
        )
    return ln_z


@tf.function(reduce_retracing=True)
def _sum_states(machine, rule):
    """ln Z alone, in a third of the time of `_sum_energy`."""

    def add_block(states, log_measure, total):
        return merged(total, log_measure - clamped_free_energy(machine, states), ())

    return sum_over_blocks(machine, rule, add_block, ())[0]


@tf.function(reduce_retracing=True)
def _sum_energy(machine, beta, rule):
    """ln Z, <E> and <<E^2>>, without U in E; given one layer, E is a sum of independent terms."""
    scaled = machine.scaled(beta)

    def add_block(states, log_measure, total):
        bias = tf.linalg.matvec(states, machine.visible_bias)
        inputs = hidden_input(machine, states)  # (block_size, num_other)
        mean, variance = tf.unstack(machine.hidden.cumulants_along(beta * inputs, inputs, 2))
        log_weight = log_measure - clamped_free_energy(scaled, states, inputs=beta * inputs)
        energy = -bias - tf.reduce_sum(mean, -1)  # <E | s>
        square = tf.reduce_sum(variance, -1) + energy**2  # with <<E^2 | s>>
        return merged(total, log_weight, (mean_of(energy), mean_of(square)))

    zero = tf.constant(0.0, tf.float64)
    ln_z, (energy, square) = sum_over_blocks(machine, rule, add_block, (zero, zero))
    return tf.stack([ln_z, energy, square - energy**2])


@tf.function(reduce_retracing=True)
def _sum_moments(machine, rule):
    parameters = machine.visible.parameters, machine.hidden.parameters

    def add_block(states, log_measure, total):
        inputs = hidden_input(machine, states)
        mean = machine.hidden.mean(inputs)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(parameters)
            log_weight = log_measure - clamped_free_energy(machine, states, inputs=inputs)

        def slopes(weight):
            return tape.gradient(log_weight, parameters, weight, unconnected_gradients="zero")

        def correlation(weight):
            return tf.matmul(states * weight[:, tf.newaxis], mean, transpose_a=True)

        averages = mean_of(states), mean_of(mean), correlation, slopes
        return merged(total, log_weight, averages)

    zeros = tf.nest.map_structure(
        tf.zeros_like, (machine.visible_bias, machine.hidden_bias, machine.kernel, parameters)
    )
    ln_z, (*means, slopes) = sum_over_blocks(machine, rule, add_block, zeros)
    return ln_z, (*means, *slopes)
