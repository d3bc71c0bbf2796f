"""The loss of an RBM, F_c(data) - F_eq, with the gradient in coordinates of choice."""

from __future__ import annotations

import tensorflow as tf

from rbm_tf.machine import Machine, clamped_free_energy
from rbm_tf.shared.replicas import mean_over_all, over_all
from rbm_tf.shared.types import DType
from rbm_tf.training.coordinates import Coordinates, Gradients
from rbm_tf.training.negative_phase import ModelMoments, ModelStates


def free_energy_gap(
    machine: Machine,
    data: ModelStates,
    model: ModelStates | ModelMoments,
    coordinates: Coordinates,
    product_dtype: DType,
) -> tuple[tf.Tensor, tf.Tensor]:
    """F_c(v) - F_eq for each example, differentiable in the parameters alone.

    With `ModelStates` F_eq is replaced by <F_c> over the states, which has the same gradient but
    not the same value (B9); with `ModelMoments` the result is -ln p(v).

    With offsets mu and lambda the gradient for W is that of (v - mu)(h - lambda)^T averaged over
    model and data, and each bias follows its mean less what the step of W already moves: the plain
    gradient (B8, B9) of a model whose units are measured from the offsets, in its own coordinates.
    `Coordinates` has scales as well, and tells what the units' own parameters do.

    Args:
        machine: the `Machine` in the dtype of the variables.
        data: the states of the batch, `ModelStates`.
        model: the model's side, `ModelStates` or `ModelMoments`.
        coordinates: those of the gradient, `Coordinates`.
        product_dtype: the dtype in which the product of the gradient is made.

    Returns:
        The gap and F_c(v), both (batch,), nats; the latter without a gradient.

    Reference: Melchior, Fischer and Wiskott (2016), How to center deep Boltzmann machines.

    Example:
        >>> rbm = BernoulliRBM(2, 1)
        >>> states = ModelStates.of(rbm.machine, tf.ones((3, 2)), tf.zeros((3, 1)))
        >>> free_energy_gap(rbm.machine, states, states, Coordinates(), "float32")[0].numpy()
        array([0., 0., 0.], dtype=float32)
    """
    held = tf.nest.map_structure(tf.stop_gradient, machine)
    offsets = coordinates.offsets_of(held)
    if isinstance(model, ModelStates):
        free_energy = mean_over_all(
            clamped_free_energy(held, model.visible, inputs=model.hidden_input)
        )
        descent = _against_states
    else:
        free_energy, descent = model.free_energy, _against_moments
    clamped = clamped_free_energy(held, data.visible, inputs=data.hidden_input)

    def gradient(*upstream):
        of_three = descent(upstream[0], data, model, offsets, product_dtype)
        of_units = _of_units(upstream[0], held, data, model)
        direction = coordinates.direction(held, Gradients(*of_three, *of_units))
        of_units = direction.visible.values(), direction.hidden.values()
        return (*direction[:3], *(value for layer in of_units for value in layer))

    gap = tf.custom_gradient(lambda *_: (clamped - free_energy, gradient))
    return gap(*tf.nest.flatten(machine)), clamped


def _of_units(upstream, held, data, model):
    """The gradient in the units' own parameters, for the visible and for the hidden layer.

    d F_c / d theta at fixed states and inputs, less its average over the model.
    """
    parameters = held.visible.parameters, held.hidden.parameters
    if not tf.nest.flatten(parameters):
        return parameters

    def slopes(states, weights):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            f_c = clamped_free_energy(held, states.visible, inputs=states.hidden_input)
        return tape.gradient(f_c, parameters, weights, unconnected_gradients="zero")

    if isinstance(model, ModelStates):
        of_model = slopes(model, _weights_of_states(upstream, model))
    else:
        of_log_z = model.visible_slopes, model.hidden_slopes
        total = over_all("MEAN", tf.reduce_sum(upstream))
        of_model = tf.nest.map_structure(lambda slope: total * slope, of_log_z)
    return tf.nest.map_structure(tf.add, slopes(data, upstream), of_model)


def _against_states(upstream, data, model, offsets, product_dtype):
    """The centred gradient from one product of all data and model states.

    The weights w of the rows add up to zero, over all replicas if there are several, so that
    sum w (v - mu)(h - lambda)^T is sum w v (h - lambda)^T - mu (sum w h)^T: mu makes one more row.
    """
    mu, lam = offsets
    weights = -tf.concat([upstream, _weights_of_states(upstream, model)], 0)
    hidden = (tf.concat([data.hidden, model.hidden], 0) - lam) * weights[:, tf.newaxis]
    by_hidden = tf.reduce_sum(hidden, 0)
    left = tf.concat([data.visible, model.visible, mu[tf.newaxis]], 0)
    right = tf.concat([hidden, -by_hidden[tf.newaxis]], 0)
    by_row = tf.pad(weights, [[0, 1]]) - tf.linalg.matvec(right, lam)
    return (
        _product(left, right, product_dtype),
        tf.linalg.matvec(left, by_row, transpose_a=True),  # sum w v - (dW) lambda
        by_hidden - tf.linalg.matvec(right, tf.linalg.matvec(left, mu), transpose_a=True),
    )


def _against_moments(upstream, data, model, offsets, product_dtype):
    """The same with averages <v>, <h>, <v h^T> in place of the model states."""
    (mu, lam), total = offsets, over_all("MEAN", tf.reduce_sum(upstream))
    visible, hidden = data.visible - mu, data.hidden - lam
    m, n = model.visible - mu, model.hidden - lam
    covariance = model.correlation - tf.tensordot(model.visible, model.hidden, 0)
    in_data = _product(visible * upstream[:, tf.newaxis], hidden, product_dtype)
    by_kernel = total * (covariance + tf.tensordot(m, n, 0)) - in_data
    by_visible = total * m - tf.linalg.matvec(visible, upstream, transpose_a=True)
    by_hidden = total * n - tf.linalg.matvec(hidden, upstream, transpose_a=True)
    return (
        by_kernel,
        by_visible - tf.linalg.matvec(by_kernel, lam),
        by_hidden - tf.linalg.matvec(by_kernel, mu, transpose_a=True),
    )


def _weights_of_states(upstream, model):
    """Minus the sum of what the examples get, in equal parts for the states of all replicas."""
    num_chains = tf.shape(model.visible)[:1]
    total, num = over_all("SUM", (tf.reduce_sum(upstream), tf.cast(num_chains[0], upstream.dtype)))
    return tf.fill(num_chains, -total / num)


def _product(left, right, dtype):
    product = tf.matmul(tf.cast(left, dtype), tf.cast(right, dtype), transpose_a=True)
    return tf.cast(product, left.dtype)
