"""The coordinates in which an RBM takes its gradient: plain, centred or standardised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from rbm_tf.machine import Machine

GRADIENTS = ("plain", "centered", "standardized")


class Gradients(NamedTuple):
    """One tensor for each parameter of a machine, in the order of `tf.nest.flatten`."""

    kernel: tf.Tensor
    visible_bias: tf.Tensor
    hidden_bias: tf.Tensor
    visible: dict[str, tf.Tensor]  # of the visible units' own parameters, such as ln precision
    hidden: dict[str, tf.Tensor]


class Coordinates(NamedTuple):
    """v' = (v - mu)/s and h' = (h - lambda)/t: the parameters of the same model in terms of them.

    With W' = s W t, the biases a' = s (a - U'(mu) + W lambda) and b' = t (b - U'(lambda) + W^T mu)
    are the slopes of -E at the offsets. A step along the plain gradient in these coordinates is,
    in the parameters themselves and for a learning rate of 1,

        dW = D<(v - mu)(h - lambda)^T> / (s^2 t^2)
        dtheta = -rate D<dU/dtheta - v dU'(mu)/dtheta>
        da = D<v>/s^2 - dW lambda + dtheta dU'(mu)/dtheta, and db alike

    where D<x> is <x> of the data less that of the model and theta a parameter of the units. For
    ln g of U = g t^2/2 it is dtheta = -rate g D<(v - mu)^2>/2, and the bias moves by mu dg: a step
    of the precision leaves the mean a/g where it is. It is alike for the parameters of all units.
    The map of the gradient is linear and loses nothing, so that fixed points stay.

    Args:
        offsets: mu (num_visible,) and lambda (num_hidden,), or None for the plain gradient.
        scales: s and t likewise, or None for 1.
        unit_rates: the steps of the units' own parameters relative to those of the others, for the
            visible and the hidden layer, by name: 0 for those that stay, 1 where there is none.

    Reference: Melchior, Fischer and Wiskott (2016), How to center deep Boltzmann machines; with
    scales, for some kinds of units, the package StandardizedRBMs.jl of Fernandez-de-Cossio-Diaz.

    Example:
        >>> Coordinates(offsets=(tf.zeros(3), tf.zeros(2))).scales is None
        True
    """

    offsets: tuple[tf.Tensor, tf.Tensor] | None = None
    scales: tuple[tf.Tensor, tf.Tensor] | None = None
    unit_rates: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {})

    def offsets_of(self, machine: Machine) -> tuple[tf.Tensor, tf.Tensor]:
        """mu and lambda, zeros for the plain gradient."""
        if self.offsets is None:
            return tf.zeros_like(machine.visible_bias), tf.zeros_like(machine.hidden_bias)
        return self.offsets

    def direction(self, machine: Machine, centered: Gradients) -> Gradients:
        """What an optimizer gets: from the centred W, a and b, and the plain units' parameters.

        Args:
            machine: the `Machine`.
            centered: `Gradients`, of which W, a and b are taken with the offsets, s = t = 1.
        """
        layers = centered.visible, centered.hidden
        if self.offsets is None:
            visible, hidden = map(_slowed, layers, self.unit_rates)
            return centered._replace(visible=visible, hidden=hidden)
        if self.scales is None and not any(layers):
            return centered
        (mu, lam), kernel = self.offsets, centered.kernel
        by_v = centered.visible_bias + tf.linalg.matvec(kernel, lam)  # the plain ones
        by_h = centered.hidden_bias + tf.linalg.matvec(kernel, mu, transpose_a=True)
        rates = self.unit_rates
        visible, moved_v = _of_units(machine.visible, mu, layers[0], by_v, rates[0])
        hidden, moved_h = _of_units(machine.hidden, lam, layers[1], by_h, rates[1])
        if self.scales is not None:
            s, t = (scale**2 for scale in self.scales)
            kernel, by_v, by_h = kernel / s[:, tf.newaxis] / t, by_v / s, by_h / t
        by_v, by_h = self._less_kernel(kernel, by_v + moved_v, by_h + moved_h)
        return Gradients(kernel, by_v, by_h, visible, hidden)

    def kernel_of(self, machine: Machine) -> tf.Tensor:
        """The kernel, by which the gradient of a penalty passes into the same coordinates.

        A penalty that moved the kernel alone would leave <v> and <h> off those of the data at the
        end of training.

        Args:
            machine: the `Machine`.
        """
        if self.offsets is None:
            return machine.kernel

        def gradient(upstream):
            if self.scales is not None:
                s, t = (scale**2 for scale in self.scales)
                upstream = upstream / s[:, tf.newaxis] / t
            nothing = (tf.zeros_like(bias) for bias in machine.parameters[1:])
            return upstream, *self._less_kernel(upstream, *nothing)

        identity = tf.custom_gradient(lambda kernel, *biases: (tf.identity(kernel), gradient))
        return identity(*machine.parameters)

    def _less_kernel(self, kernel, by_visible, by_hidden):
        mu, lam = self.offsets  # type: ignore[misc]  # there are some where this is called
        return (
            by_visible - tf.linalg.matvec(kernel, lam),
            by_hidden - tf.linalg.matvec(kernel, mu, transpose_a=True),
        )


def _of_units(unit, offset, gradients, by_bias, rates):
    """The gradients of a layer's own parameters, and what they move its bias by."""
    if not any(rates.get(name, 1) for name in gradients):
        return _slowed(gradients, rates), 0.0
    names, values = zip(*unit.parameters.items(), strict=True)
    slope = _slope_at(unit, names, offset)
    with tf.GradientTape() as tape:
        tape.watch(values)
        slopes = slope(values)
    back = tape.gradient(slopes, values, by_bias, unconnected_gradients="zero")
    both = {name: gradients[name] + x for name, x in zip(names, back, strict=True)}
    steps = _slowed(both, rates)
    with tf.autodiff.ForwardAccumulator(values, tuple(steps.values())) as ahead:
        slopes = slope(values)
    return steps, ahead.jvp(slopes, unconnected_gradients="zero")


def _slowed(gradients, rates):
    return {name: rates.get(name, 1) * x for name, x in gradients.items()}


def _slope_at(unit, names, offset):
    """U'(offset) of each column as a function of the units' parameters."""

    def slope(values):
        moved = unit.with_parameters(**dict(zip(names, values, strict=True)))
        with tf.GradientTape() as tape:
            tape.watch(offset)
            energy = tf.reduce_sum(moved.energy(offset))
        return tape.gradient(energy, offset, unconnected_gradients="zero")

    return slope
