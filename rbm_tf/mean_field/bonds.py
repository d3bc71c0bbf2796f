"""Averages over the bonds of an RBM: sum_ij <(dv_i W_ij dh_j)^k> in given fields, and slopes.

With dv = v - m and dh = h - n these are w^T W^k w', where w and w' are the k-th cumulants of the
units, if their states are numbers. The states of a `Potts` unit are vectors: its entries have their
probabilities as weights, for every k, and W is replaced by what dv^T W dh is at their states: an
array (num_starts, rows, columns) where other units need no more than W itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from rbm_tf.units import Mixed, Unit


class Part(NamedTuple):
    """The part of a layer that is of one kind, in its fields."""

    unit: Unit
    columns: slice  # of the layer
    weights: list[tf.Tensor]  # kappa_1, kappa_2, ..; of the entries of vectors p, again and again


def parts_of(unit: Unit, first: int = 0) -> Iterator[tuple[Unit, slice]]:
    """Yield the layers of one kind that a layer consists of, each with its columns.

    Args:
        unit: the units.
        first: the number of their first column.

    Example:
        >>> list(parts_of(units.Mixed([units.Binary(2), units.Spin(3)])))
        [(Binary(2), slice(0, 2, None)), (Spin(3), slice(2, 5, None))]
    """
    if not isinstance(unit, Mixed):
        yield unit, slice(first, first + unit.size)
        return
    for part in unit.units:
        yield from parts_of(part, first)
        first += part.size


def has_vectors(unit: Unit) -> bool:
    """Whether the states of a unit are vectors, as those of `Potts`.

    Args:
        unit: units of one kind.

    Example:
        >>> has_vectors(units.Potts(2, 3)), has_vectors(units.Binary(2))
        (True, False)
    """
    return unit.size != unit.num


def layer_parts(layer: Unit, x: tf.Tensor, max_order: int) -> list[Part]:
    """The parts of a layer with their cumulants in the fields x.

    Args:
        layer: the units.
        x: fields, (num_starts, size).
        max_order: of the cumulants, 1 to 4.

    Example:
        >>> (part,) = layer_parts(units.Binary(1), tf.zeros((1, 1)), 2)
        >>> [float(weight[0, 0]) for weight in part.weights]
        [0.5, 0.25]
    """
    parts = []
    for unit, columns in parts_of(layer):
        fields = x[..., columns]
        if has_vectors(unit):
            weights = [unit.mean(fields)] * max_order
        else:
            weights = tf.unstack(unit.cumulants(fields, max_order))
        parts.append(Part(unit, columns, weights))
    return parts


def layer_means(layer: list[Part]) -> tf.Tensor:
    """The means of a layer, (num_starts, size).

    Args:
        layer: its parts, as `layer_parts` gives them.

    Example:
        >>> layer_means(layer_parts(units.Binary(2), tf.zeros((1, 2)), 1)).numpy()
        array([[0.5, 0.5]], dtype=float32)
    """
    return tf.concat([part.weights[0] for part in layer], -1)


def bond_moments(
    kernel: tf.Tensor, own: list[Part], others: list[Part], order: int
) -> list[tf.Tensor]:
    """sum_ij <(dv_i W_ij dh_j)^k> for k from 2 to an order.

    Args:
        kernel: W, (size of one layer, size of the other).
        own: the parts of the one layer, with cumulants up to the order.
        others: those of the other layer.
        order: the highest k, 1 (for none), 2 or 3.

    Returns:
        order - 1 tensors (num_starts,), nats^k.

    Example:
        >>> v, h = (layer_parts(units.Binary(k), tf.zeros((1, k)), 2) for k in (2, 1))
        >>> bond_moments(tf.fill((2, 1), 3.0), v, h, 2)[0].numpy()  # 2 * 9 / 16
        array([1.125], dtype=float32)
    """
    moments = [tf.zeros_like(own[0].weights[0][..., 0]) for _ in range(2, order + 1)]
    for left, right in itertools.product(own, others):
        bonds = _centred(kernel, left, right)
        for k in range(2, order + 1):
            pulled = _product(bonds**k, right.weights[k - 1])
            moments[k - 2] += tf.reduce_sum(left.weights[k - 1] * pulled, -1)
    return moments


def bond_reaction(kernel: tf.Tensor, own: list[Part], others: list[Part], order: int) -> tf.Tensor:
    """The derivatives of sum_k `bond_moments` / k! in the means m of one layer, others held fixed.

    sum_k (kappa_k+1 / kappa_2)_i sum_j W_ij^k kappa_kj / k!, as d kappa_k/dm = kappa_k+1/kappa_2,
    for units whose states are numbers. For an entry a of a vector, of weights w_j,
    sum_j [D^2/2 + (D^3 - 3 V D)/6]_iaj w_j with the centred D and its variance V_ij over a, up to a
    number for each unit that has no effect.

    Args:
        kernel: W, (size of the layer, size of the other).
        own: the parts of the layer, with cumulants up to order + 1.
        others: the parts of the other layer, with cumulants up to the order.
        order: the last order that counts, 1 (no reaction), 2 or 3.

    Returns:
        (num_starts, size of the layer), nats.

    Reference: B26.

    Example:
        >>> v, h = (layer_parts(units.Binary(1), tf.fill((1, 1), x), 3) for x in (-20.0, 0.0))
        >>> bond_reaction(tf.ones((1, 1)), v, h, 2).numpy()  # (1/2 - m) d
        array([[0.125]], dtype=float32)
    """
    parts = [sum(_back(kernel, left, right, order) for right in others) for left in own]
    return tf.concat(parts, -1)


def _centred(kernel, left, right):
    """W, from which vectors take their averages: dv^T W dh at the states v_i = a and h_j = c.

    (rows, columns), with a leading axis num_starts where there are vectors.
    """
    bonds = kernel[left.columns, right.columns]
    if has_vectors(right.unit):
        bonds -= _average(right, bonds)
    if has_vectors(left.unit):
        bonds -= tf.linalg.matrix_transpose(_average(left, tf.linalg.matrix_transpose(bonds)))
    return bonds


def _average(part, values):
    """The average over the states of each vector, along the last axis, at all of its entries."""
    p, num_states = part.weights[0], part.unit.size // part.unit.num
    weighted = p[..., tf.newaxis, :] * values
    split = tf.reshape(weighted, (-1, values.shape[-2], part.unit.num, num_states))
    return tf.repeat(tf.reduce_sum(split, -1), num_states, -1)


def _product(bonds, weights):
    if bonds.shape.rank == 2:
        return tf.matmul(weights, bonds, transpose_b=True)
    return tf.linalg.matvec(bonds, weights)


def _back(kernel, left, right, order):
    """What comes back to one part of a layer from one part of the other."""
    bonds, total = _centred(kernel, left, right), tf.zeros_like(left.weights[0])
    for k in range(2, order + 1):
        pulled = _product(bonds**k, right.weights[k - 1])
        if not has_vectors(left.unit):  # d kappa_k / dm = kappa_k+1 / kappa_2
            pulled *= tf.math.divide_no_nan(left.weights[k], left.weights[1])
        elif k == 3:  # the average moves too; what does not depend on the state has no effect
            rows = tf.linalg.matrix_transpose(bonds**2)
            variance = tf.linalg.matrix_transpose(_average(left, rows))
            pulled -= 3 * _product(variance * bonds, right.weights[2])
        total += pulled / math.factorial(k)
    return total
