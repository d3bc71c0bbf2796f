"""The pseudo-likelihood of an RBM: how well each unit follows from all others, without ln Z.

It sums over the states of one unit at a time, or integrates over them where it is continuous. Given
all others the unit i has

    ln p(t) = a_i t - U(t) + sum_j Gamma_j(b_j + (v W)_j + (t - v_i) W_ij) + constant
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.machine import hidden_input, machine_of
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.unit_density import (
    NUM_POINTS,
    by_kind,
    density_given_others,
    is_continuous,
    log_integral,
)
from rbm_tf.units import Clamped

_NUMBERS = 2**21  # in memory at a time


def pseudo_log_likelihood(rbm: RBMLike, v: ArrayLike) -> tf.Tensor:
    """The exact ln p(v_i | all other units) of every visible unit, -F_c(v) - ln sum_s e^-F_c(v^s).

    v^s is v with unit i in state s, which moves the hidden inputs b + v W by (s - v_i) W_i; one
    matrix product serves all units. Of binary units it is ln sigmoid(F_c(v^i) - F_c(v)) with unit i
    flipped. Of continuous units p is a density and the sum an integral, over a range that is found
    for each unit of each example: the Gauss-Legendre rule of 12 points in each of 8 panels or more
    in float64, which agrees with that of 8 points to 1e-8 nats. Such densities may exist where Z is
    infinite: ask `rbm_tf.stability.largest_coupling`.

    The sum over units, averaged over examples, is the pseudo-log-likelihood; the mean over axis 0
    tells which units the model predicts badly. It needs no ln Z, and says little about modes that
    are far apart.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (batch, num_visible). A few arrays of (batch, num_hidden), times the
            number of states of a unit, are in memory at a time.

    Returns:
        (batch, num_units), nats.

    Raises:
        ValueError: if v has another width or holds no states, or a continuous unit has no density
            given the others: with Gaussian units in both layers, of precisions g_i and g_j, where
            sum_j W_ij^2/(g_i g_j) is 1 or more.

    Reference: Besag (1975), Statistical analysis of non-lattice data; F_c is that of B5 and B36.

    Example:
        >>> pseudo_log_likelihood(BernoulliRBM(2, 1), [[0, 1]]).numpy().round(1)  # nearly -ln 2
        array([[-0.7, -0.7]], dtype=float32)
        >>> layers = units.Gaussian(1), units.Gaussian(1)
        >>> rbm = RBM.from_parameters(*layers, [[0.6]], [0.0], [0.0])  # v has the precision 0.64
        >>> pseudo_log_likelihood(rbm, [[0.0]]).numpy().round(4)  # ln(0.64 / (2 pi)) / 2
        array([[-1.1421]], dtype=float32)
    """
    v = _states(rbm, v)
    machine = machine_of(rbm)
    inputs = hidden_input(machine, v)
    if machine.is_binary:
        kernel = tf.cast(machine.kernel, v.dtype)
        return _all_pixels(kernel, machine.visible_bias, v, inputs)
    num_units = machine.visible.num
    example, unit = np.indices((len(v), num_units)).reshape(2, -1)
    return tf.reshape(_of_pairs(machine, v, inputs, example, unit), (len(v), num_units))


def stochastic_pseudo_log_likelihood(
    rbm: RBMLike, v: ArrayLike, *, seed: int | tf.Tensor | None = None
) -> tf.Tensor:
    """num_units * ln p(v_i | all other units) for one random visible unit i of each example.

    Over i its mean is the sum over the units of `pseudo_log_likelihood`, at 1 / num_units of the
    work if they are binary or continuous.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (batch, num_visible).
        seed: integer or (2,) int32 tensor that fixes the units; the same seed chooses the same.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: as `pseudo_log_likelihood`.

    Example:
        >>> v = np.eye(64)
        >>> stochastic_pseudo_log_likelihood(BernoulliRBM(64, 16), v, seed=0).shape
        TensorShape([64])
    """
    v = _states(rbm, v)
    machine = machine_of(rbm)
    num_units = machine.visible.num
    pixel = tf.random.stateless_uniform((len(v),), as_seed(seed), maxval=num_units, dtype=tf.int32)
    inputs = hidden_input(machine, v)  # (batch, num_hidden)
    if not machine.is_binary:
        return num_units * _of_pairs(machine, v, inputs, np.arange(len(v)), pixel.numpy())
    log_p = _log_conditional(
        inputs,
        tf.math.softplus(inputs),
        tf.gather(v, pixel, batch_dims=1),
        tf.gather(machine.visible_bias, pixel),
        tf.cast(tf.gather(machine.kernel, pixel), v.dtype),
    )
    return num_units * log_p


@tf.function(reduce_retracing=True)
def _all_pixels(kernel, visible_bias, v, hidden_input):
    softplus = tf.math.softplus(hidden_input)  # (batch, num_hidden)

    def one_pixel(pixel):
        return _log_conditional(hidden_input, softplus, *pixel)

    pixels = tf.transpose(v), visible_bias, kernel  # the first axis of each: num_visible
    # (num_visible, batch)
    by_pixel = tf.map_fn(one_pixel, pixels, fn_output_signature=v.dtype, parallel_iterations=1)
    return tf.ensure_shape(tf.transpose(by_pixel), v.shape)


def _log_conditional(hidden_input, softplus, pixel, bias, row):
    """ln p(v_i | others) from the hidden inputs with their softplus, v_i (batch,), a_i and W_i."""
    sign = 1 - 2 * pixel
    by_unit = tf.math.softplus(hidden_input + sign[:, tf.newaxis] * row) - softplus
    return -tf.math.softplus(sign * bias + tf.reduce_sum(by_unit, -1))  # F_c(v) - F_c(v^i)


def _of_pairs(machine, v, inputs, example, unit):
    """ln p(v_i | others) of units i of examples, both (num_pairs,), one kind after the other."""
    parts = by_kind(machine)
    columns = tf.split(v, [part.num_visible for part in parts], -1)
    places, values, first = [], [], 0
    for part, own in zip(parts, columns, strict=True):
        kind = part.visible
        place = np.flatnonzero((unit >= first) & (unit < first + kind.num))
        if len(place):
            function = _probabilities if kind.is_finite else _densities
            values.append(function(part, own, inputs, example[place], unit[place] - first))
            places.append(place.astype("int32"))
        first += kind.num
    return tf.dynamic_stitch(places, values)


def _probabilities(part, v, inputs, example, unit):
    """ln p(v_i | others) of units of one kind that have finitely many states, (num_pairs,)."""
    rows, row = np.unique(example, return_inverse=True)
    v, inputs = tf.gather(v, rows), tf.gather(inputs, rows)
    kernel = tf.cast(part.kernel, v.dtype)
    by_unit = _all_units(part.hidden, part.visible, v, part.visible_bias, kernel, inputs)
    return tf.gather_nd(by_unit, np.column_stack([row, unit]))


@tf.function(reduce_retracing=True)
def _all_units(hidden, unit, v, bias, kernel, hidden_input):
    """ln p(v_i | others) of all units of one kind, (batch, num)."""
    states = tf.constant(unit.states(), v.dtype)  # (num_states, width)
    energy = tf.transpose(unit.energy(tf.tile(states, [1, unit.num])))  # (num, num_states)

    def one_unit(values):
        own, bias, kernel, energy = values  # (batch, width), (width,), (width, num_hidden)
        moved = tf.matmul(states - own[:, tf.newaxis], kernel)  # (batch, num_states, num_hidden)
        gamma = tf.reduce_sum(hidden.cgf(hidden_input[:, tf.newaxis] + moved), -1)
        logits = gamma + tf.linalg.matvec(states, bias) - energy  # (batch, num_states)
        here = tf.reduce_all(states == own[:, tf.newaxis], -1)
        return tf.reduce_sum(tf.where(here, tf.nn.log_softmax(logits), 0.0), -1)

    width = states.shape[1]
    by_unit = (
        tf.transpose(tf.reshape(v, (-1, unit.num, width)), [1, 0, 2]),
        tf.reshape(bias, (unit.num, width)),
        tf.reshape(kernel, (unit.num, width, -1)),
        energy,
    )
    result = tf.map_fn(one_unit, by_unit, fn_output_signature=v.dtype, parallel_iterations=1)
    return tf.transpose(result)


def _densities(part, v, inputs, example, unit):
    """ln p(v_i | others) of continuous units of one kind, (num_pairs,)."""
    wide = machine_of(part, dtype=tf.float64)
    v, inputs = tf.cast(v, tf.float64), tf.cast(inputs, tf.float64)
    if not is_continuous(wide):
        raise ValueError(
            f"{part.visible!r} are neither continuous nor of finitely many states: the integral of "
            "exp(x t - U(t)) is not exp(Gamma(x)), and p(v_i | others) no density. Compare free "
            "energies, or estimate ln Z with rbm_tf.annealing.ais."
        )
    numbers = len(example) * NUM_POINTS * wide.num_hidden
    num_blocks = min(len(example), 1 + numbers // _NUMBERS)
    log_p = []
    for pairs in np.array_split(np.column_stack([example, unit]), num_blocks):
        own, fields = tf.gather_nd(v, pairs), tf.gather(inputs, pairs[:, 0])
        density = density_given_others(wide, own, fields, pairs[:, 1])
        here = density.log_density(density.own)[:, 0]
        log_p.append(here - log_integral(density, wide.visible.bounds))
    return tf.cast(tf.concat(log_p, 0), part.dtype)


def _states(rbm, v):
    """The checked visible states as a tensor in the dtype of the variables."""
    machine = machine_of(rbm)
    if isinstance(machine.visible, Clamped):
        raise ValueError(
            f"The pseudo-likelihood is of units that are free; got {machine.visible!r}: give "
            "the RBM itself."
        )
    return tf.cast(machine.visible.check(v, name="v"), machine.dtype)
