"""The pseudo-likelihood of an RBM: how well each unit follows from all others, without ln Z.

It sums over the states of one unit at a time, or integrates over them where it is continuous. Given
all others the unit i has

    ln p(t) = a_i t - U(t) + sum_j Gamma_j(b_j + (v W)_j + (t - v_i) W_ij) + constant

whose slope is a_i + sum_j W_ij <h_j> - U'(t), where the means <h_j> are those at v_i = t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, hidden_input, machine_of
from rbm_tf.quadrature import log_integrals
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import Binary, Clamped, Unit

_SWEEPS = 10  # towards the two fixed points that all peaks of a density lie between
_DEPTH = 40.0  # nats below the peaks where a tail is cut off
_REACH = 2.0 ** np.arange(-2, 21, 0.5)  # of a tail, in widths of the free unit
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
    kinds = getattr(machine.visible, "units", [machine.visible])
    sizes = [kind.size for kind in kinds]
    columns = tf.split(v, sizes, -1), tf.split(machine.visible_bias, sizes)
    layer = zip(kinds, *columns, tf.split(machine.kernel, sizes), strict=True)
    places, values, first = [], [], 0
    for kind, own, bias, kernel in layer:
        part = Machine(kernel, bias, machine.hidden_bias, kind, machine.hidden)
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


class _Density(NamedTuple):
    """The density of one continuous unit given all others, another one for each row; float64."""

    unit: Unit  # one unit, its parameters (num_rows, 1, 1)
    hidden: Unit
    own: tf.Tensor  # v_i, (num_rows, 1)
    bias: tf.Tensor  # a_i, (num_rows, 1)
    kernel: tf.Tensor  # W_i, (num_rows, 1, num_hidden)
    inputs: tf.Tensor  # b + v W, (num_rows, 1, num_hidden)

    def rows(self, chosen: tf.Tensor) -> _Density:
        own = self.unit, self.own, self.bias, self.kernel, self.inputs
        unit, *tensors = tf.nest.map_structure(lambda x: tf.gather(x, chosen), own)
        return _Density(unit, self.hidden, *tensors)

    def log_density(self, t: tf.Tensor) -> tf.Tensor:
        """ln p(t) without its constant, for points t (num_rows, num_points)."""
        linear = self.bias * t - self.unit.energy(t[..., tf.newaxis])[..., 0]
        return linear + tf.reduce_sum(self.hidden.cgf(self._hidden_input(t)), -1)

    def field(self, t: tf.Tensor) -> tf.Tensor:
        """a_i + sum_j W_ij <h_j> at v_i = t, which grows with t whatever the units."""
        mean = self.hidden.mean(self._hidden_input(t))
        return self.bias + tf.reduce_sum(self.kernel * mean, -1)

    def farthest_fields(self) -> list[tf.Tensor]:
        """What `field` can be: where hidden units have no bound, with their mean as it is."""
        mean = self.hidden.mean(self.inputs)
        bounds = [tf.where(np.isfinite(end), end + 0 * mean, mean) for end in self.hidden.bounds]
        low, high = (self.kernel * bound for bound in bounds)
        fields = tf.minimum(low, high), tf.maximum(low, high)
        return [self.bias + tf.reduce_sum(field, -1) for field in fields]

    def _hidden_input(self, t):
        return self.inputs + (t - self.own)[..., tf.newaxis] * self.kernel


def _densities(part, v, inputs, example, unit):
    """ln p(v_i | others) of continuous units of one kind, (num_pairs,)."""
    wide = machine_of(part, dtype=tf.float64)
    v, inputs = tf.cast(v, tf.float64), tf.cast(inputs, tf.float64)
    _check_measure(wide)
    numbers = len(example) * len(_REACH) * wide.num_hidden
    num_blocks = min(len(example), 1 + numbers // _NUMBERS)
    log_p = []
    for pairs in np.array_split(np.column_stack([example, unit]), num_blocks):
        own, fields = tf.gather_nd(v, pairs), tf.gather(inputs, pairs[:, 0])
        density = _density(wide, own, fields, pairs[:, 1])
        here = density.log_density(density.own)[:, 0]
        log_p.append(here - _log_integral(density, wide.visible.bounds))
    return tf.cast(tf.concat(log_p, 0), part.dtype)


def _density(part, own, inputs, unit):
    parameters = {
        name: tf.gather(value, unit, axis=-1)[:, tf.newaxis, tf.newaxis]
        for name, value in part.visible.parameters.items()
    }
    return _Density(
        part.visible.take([0]).with_parameters(**parameters),
        part.hidden,
        own[:, tf.newaxis],
        tf.gather(part.visible_bias, unit)[:, tf.newaxis],
        tf.gather(part.kernel, unit)[:, tf.newaxis],
        inputs[:, tf.newaxis],
    )


def _log_integral(density, bounds):
    fields = density.farthest_fields()
    for _ in range(_SWEEPS):
        ends = [density.unit.mean(field[..., tf.newaxis])[..., 0] for field in fields]
        fields = [density.field(end) for end in ends]
    level = tf.maximum(*(density.log_density(end) for end in ends)) - _DEPTH
    widths = [tf.sqrt(density.unit.variance(field[..., tf.newaxis]))[..., 0] for field in fields]
    low, high = (
        _tail(density, (end + sign * width * _REACH).numpy(), level, bounds)
        for end, width, sign in zip(ends, widths, (-1, 1), strict=True)
    )
    return log_integrals(
        lambda rows, t: density.rows(rows).log_density(t),
        low,
        high,
        num_numbers=density.hidden.size,
    )


def _tail(density, t, level, bounds):
    """The first of the points t, on the way out, from which on the density is below a level."""
    inside = np.clip(t, *bounds)
    outside = (t < bounds[0]) | (t > bounds[1])
    above = ~(outside | (density.log_density(inside) < level).numpy())
    if above[:, -1].any():
        raise ValueError(
            "A unit has no density given all others, since exp(-F_c) does not fall off: its "
            "precision is too small for its weights, or one of these is not finite. Make the "
            "kernel smaller."
        )
    last = above.shape[1] - 1 - np.argmax(above[:, ::-1], 1)
    first = np.where(above.any(1), last + 1, 0)
    return np.take_along_axis(inside, first[:, np.newaxis], 1)[:, 0]


def _check_measure(part):
    """Refuse units that are not continuous, such as counts: their sums are no integrals."""
    visible, zeros = part.visible, tf.zeros((part.visible.num, 1), tf.float64)
    free = Machine(zeros, part.visible_bias, zeros[0], visible, Binary(1))
    density = _density(free, zeros[:, 0], zeros, np.arange(visible.num))
    found = _log_integral(density, visible.bounds) - np.log(2)
    if not np.allclose(found, visible.cgf(part.visible_bias), rtol=0, atol=1e-6):
        raise ValueError(
            f"{visible!r} are neither continuous nor of finitely many states: the integral of "
            "exp(x t - U(t)) is not exp(Gamma(x)), and p(v_i | others) no density. Compare free "
            "energies, or estimate ln Z with rbm_tf.annealing.ais."
        )


def _states(rbm, v):
    """The checked visible states as a tensor in the dtype of the variables."""
    machine = machine_of(rbm)
    if isinstance(machine.visible, Clamped):
        raise ValueError(
            f"The pseudo-likelihood is of units that are free; got {machine.visible!r}: give "
            "the RBM itself."
        )
    return tf.cast(machine.visible.check(v, name="v"), machine.dtype)
