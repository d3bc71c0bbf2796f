"""The pseudo-likelihood of an RBM: how well each unit follows from all others, without ln Z.

It sums over the states of one unit at a time, so the visible units need finitely many.
"""

from __future__ import annotations

import tensorflow as tf

from rbm_tf.machine import hidden_input, machine_of
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike


def pseudo_log_likelihood(rbm: RBMLike, v: ArrayLike) -> tf.Tensor:
    """The exact ln p(v_i | all other units) of every visible unit, -F_c(v) - ln sum_s e^-F_c(v^s).

    v^s is v with unit i in state s, which moves the hidden inputs b + v W by (s - v_i) W_i; one
    matrix product serves all units. Of binary units it is ln sigmoid(F_c(v^i) - F_c(v)) with unit i
    flipped. The sum over units, averaged over examples, is the pseudo-log-likelihood; the mean over
    axis 0 tells which units the model predicts badly. It needs no ln Z, and says little about modes
    that are far apart.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (batch, num_visible). A few arrays of (batch, num_hidden), times the
            number of states of a unit, are in memory at a time.

    Returns:
        (batch, num_units), nats.

    Raises:
        ValueError: if v has another width or holds no states, or a unit has no end of them.

    Reference: Besag (1975), Statistical analysis of non-lattice data; F_c is that of B5.

    Example:
        >>> pseudo_log_likelihood(BernoulliRBM(2, 1), [[0, 1]]).numpy().round(1)  # nearly -ln 2
        array([[-0.7, -0.7]], dtype=float32)
    """
    v = _states(rbm, v)
    machine = machine_of(rbm)
    inputs = hidden_input(machine, v)
    if machine.is_binary:
        kernel = tf.cast(machine.kernel, v.dtype)
        return _all_pixels(kernel, machine.visible_bias, v, inputs)
    return tf.concat([_all_units(machine.hidden, *part, inputs) for part in _parts(machine, v)], -1)


def stochastic_pseudo_log_likelihood(
    rbm: RBMLike, v: ArrayLike, *, seed: int | tf.Tensor | None = None
) -> tf.Tensor:
    """num_units * ln p(v_i | all other units) for one random visible unit i of each example.

    Over i its mean is the sum over the units of `pseudo_log_likelihood`, at 1 / num_units of the
    work if they are binary.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (batch, num_visible).
        seed: integer or (2,) int32 tensor that fixes the units; the same seed chooses the same.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if v has another width or holds no states, or a unit has no end of them.

    Example:
        >>> v = np.eye(64)
        >>> stochastic_pseudo_log_likelihood(BernoulliRBM(64, 16), v, seed=0).shape
        TensorShape([64])
    """
    v = _states(rbm, v)
    machine = machine_of(rbm)
    num_units = machine.visible.num
    pixel = tf.random.stateless_uniform((len(v),), as_seed(seed), maxval=num_units, dtype=tf.int32)
    if not machine.is_binary:
        return num_units * tf.gather(pseudo_log_likelihood(machine, v), pixel, batch_dims=1)
    inputs = hidden_input(machine, v)  # (batch, num_hidden)
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


def _parts(machine, v):
    """For each kind in the visible layer its unit and the parts of v, a and W that are its own."""
    units = getattr(machine.visible, "units", [machine.visible])
    sizes = [unit.size for unit in units]
    kernel = tf.split(tf.cast(machine.kernel, v.dtype), sizes)
    return zip(
        units, tf.split(v, sizes, -1), tf.split(machine.visible_bias, sizes), kernel, strict=True
    )


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


def _states(rbm, v):
    """The checked visible states as a tensor in the dtype of the variables."""
    machine = machine_of(rbm)
    if not machine.visible.is_finite:
        raise ValueError(
            "The pseudo-likelihood sums over the states of each visible unit, and "
            f"{machine.visible!r} have no end of them. Compare free energies, or estimate ln Z "
            "with rbm_tf.annealing.ais."
        )
    return tf.cast(machine.visible.check(v, name="v"), machine.dtype)
