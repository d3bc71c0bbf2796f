"""Points and weights for the integral over a small layer of continuous units.

A product of Gauss-Legendre rules in a box outside of which the integrand exp(-F_c) is negligible.
With the logarithms of its weights such a rule takes the place of a list of all states.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, clamped_free_energy

MAX_UNITS = 3
_DEPTH = 60.0  # nats below its maximum where the integrand is cut off
_WIDEST = 1e7  # a box that grows beyond has no end
_SCAN = {1: 2001, 2: 101, 3: 33}  # points of each axis that look for the box, by number of units
_PANELS, _NODES = {1: 32, 2: 8, 3: 5}, 12  # of each half axis, by number of units


class Rule(NamedTuple):
    """Points of a layer with the logarithms of their weights, float64."""

    points: tf.Tensor  # (num_points, size)
    log_weights: tf.Tensor  # (num_points,)


def visible_rule(machine: Machine) -> Rule:
    """A rule for the integral of exp(-F_c(v)) over up to three continuous visible units.

    Args:
        machine: the `Machine`, float64; `machine.transposed` for its hidden units.

    Returns:
        `Rule` of at most 768, 192^2 or 120^3 points; axes are cut at 0, where rectified units have
        a kink.

    Raises:
        ValueError: if the integrand does not fall off, as where Z is infinite.

    Reference: Davis and Rabinowitz (1984), Methods of numerical integration, chapter 5.

    Example:
        >>> machine = Machine(tf.zeros((1, 1), tf.float64), *np.zeros((2, 1)), units.Gaussian(1))
        >>> points, log_weights = visible_rule(machine)
        >>> total = tf.reduce_logsumexp(log_weights - clamped_free_energy(machine, points))
        >>> round(float(total), 9)  # ln 2 + ln(2 pi) / 2
        1.612085714
    """
    num_panels = _PANELS[machine.num_visible]
    axes = [_axis(low, high, num_panels) for low, high in zip(*_box(machine), strict=True)]
    points, weights = zip(*axes, strict=True)
    log_weights = sum(np.ix_(*map(np.log, weights)))
    return Rule(tf.constant(_grid(points)), tf.constant(np.ravel(log_weights)))


def _grid(axes):
    """All combinations of points on the axes, (num_points, num_axes)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def _axis(low, high, num_panels):
    """Gauss-Legendre points and weights on panels from low to high, cut at 0."""
    ends = [low, 0.0, high] if low < 0 < high else [low, high]
    pieces = [np.linspace(a, b, num_panels + 1)[:-1] for a, b in itertools.pairwise(ends)]
    edges = np.append(np.concatenate(pieces), high)
    x, w = np.polynomial.legendre.leggauss(_NODES)
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return np.ravel(middle[:, np.newaxis] + np.outer(half, x)), np.ravel(np.outer(half, w))


def _box(machine):
    """Where exp(-F_c(v)) is above exp(-60) of its maximum: lowest and highest v, (num,) each."""
    lowest, highest = (np.zeros(machine.num_visible) + end for end in machine.visible.bounds)
    low, high = np.maximum(lowest, -1.0), np.minimum(highest, 1.0)
    while True:
        width, axes = high - low, np.linspace(low, high, _SCAN[machine.num_visible]).T
        points = _grid(axes)
        depth = clamped_free_energy(machine, tf.constant(points)).numpy()
        inside = points[depth <= depth.min() + _DEPTH]
        step = axes[:, 1] - axes[:, 0]
        open_low = (inside.min(0) <= low) & (low > lowest)
        open_high = (inside.max(0) >= high) & (high < highest)
        low = np.maximum(np.where(open_low, low - 4 * width, inside.min(0) - step), lowest)
        high = np.minimum(np.where(open_high, high + 4 * width, inside.max(0) + step), highest)
        if not np.all(np.isfinite(depth)) or np.max(high - low) > _WIDEST:
            raise ValueError(
                "The integral over the units has no end that could be found: exp(-F_c) does not "
                "fall off, Z is infinite or its precisions are extreme. Make the kernel smaller."
            )
        if not (open_low | open_high).any() and np.all(high - low > 0.7 * width):
            return low, high
