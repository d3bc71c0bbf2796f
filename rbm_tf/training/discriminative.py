"""Learning to tell labels: -ln p(y | v) in the loss, in the coordinates of the gap's gradient."""

from __future__ import annotations

import tensorflow as tf

from rbm_tf.labels import log_softmax_of_labels, num_classes_of
from rbm_tf.machine import Machine
from rbm_tf.training.coordinates import Coordinates, Gradients


def label_loss(machine: Machine, v: tf.Tensor, coordinates: Coordinates) -> tf.Tensor:
    """-ln p(y | v) of the label of each example, the last visible unit.

    Its gradient needs no model states: for the kernel it is that of
    v (kappa_1(o_y) - sum_y' p(y' | v) kappa_1(o_y'))^T with o_y = b + v W + R_y, and it is taken in
    the coordinates of `free_energy_gap`, so that a sum of both is one objective.

    Args:
        machine: the `Machine` in the dtype of the variables.
        v: visible states with the label, (batch, num_visible).
        coordinates: those of the gradient, `Coordinates`.

    Returns:
        (batch,), nats.

    Reference: Larochelle and Bengio (2008), Classification using discriminative restricted
    Boltzmann machines.

    Example:
        >>> visible = Mixed([Binary(1), Potts(1, 2)])
        >>> machine = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2), visible)
        >>> v = tf.constant([[1.0, 0.0, 1.0]])
        >>> label_loss(machine, v, Coordinates()).numpy().round(2)  # ln 2
        array([0.69], dtype=float32)
    """
    num_classes = num_classes_of(machine.visible)
    log_p = log_softmax_of_labels(_passed(machine, coordinates), v[:, :-num_classes])
    return -tf.reduce_sum(v[:, -num_classes:] * log_p, -1)


def _passed(machine, coordinates):
    """The same machine, whose gradient is turned into that in the coordinates."""
    held = tf.nest.map_structure(tf.stop_gradient, machine)

    def gradient(*upstream):
        by = tf.nest.pack_sequence_as(machine, upstream)
        (by_kernel, by_visible, by_hidden), (mu, lam) = by.parameters, coordinates.offsets_of(held)
        by_kernel -= tf.tensordot(mu, by_hidden, 0) + tf.tensordot(by_visible, lam, 0)
        by_visible -= tf.linalg.matvec(by_kernel, lam)
        by_hidden -= tf.linalg.matvec(by_kernel, mu, transpose_a=True)
        of_units = by.visible.parameters, by.hidden.parameters
        centered = Gradients(by_kernel, by_visible, by_hidden, *of_units)
        *three, visible, hidden = coordinates.direction(held, centered)
        return *three, *visible.values(), *hidden.values()

    identity = tf.custom_gradient(lambda *parts: ([tf.identity(x) for x in parts], gradient))
    return tf.nest.pack_sequence_as(machine, identity(*tf.nest.flatten(machine)))
