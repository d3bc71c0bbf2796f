"""Gauss-Legendre rules: over a small layer of continuous units, and in one variable.

A product of rules in a box outside of which the integrand exp(-F_c) is negligible. With the
logarithms of its weights such a rule takes the place of a list of all states.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, clamped_free_energy
from rbm_tf.shared.types import ArrayLike

MAX_UNITS = 3
_DEPTH = 60.0  # nats below its maximum where the integrand is cut off
_WIDEST = 1e7  # a box that grows beyond has no end
_SCAN = {1: 2001, 2: 101, 3: 33}  # points of each axis that look for the box, by number of units
_PANELS, _NODES = {1: 32, 2: 8, 3: 5}, 12  # of each half axis, by number of units

_CHECKING_NODES = 8  # of the rule in one variable that the one of _NODES is held against
_FEWEST_PANELS, _MOST_PANELS = 8, 2**13
_NUMBERS = 2**21  # in memory at a time


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


def log_integrals(
    log_density: Callable[[np.ndarray, np.ndarray], ArrayLike],
    low: np.ndarray,
    high: np.ndarray,
    *,
    num_numbers: int = 1,
    atol: float = 1e-8,
) -> np.ndarray:
    """ln int exp(f(t)) dt of many functions of one variable, each between its own ends.

    Each is cut into panels, and at 0, with 12 points in each panel. Where 8 points give another
    logarithm, by atol or more, there are twice as many panels; what 12 points leave is far less
    than that difference.

    Args:
        log_density: maps the numbers of functions (num,) and points (num, num_points), float64, to
            the values of f there.
        low: the lower ends, (num_functions,).
        high: the upper ends.
        num_numbers: how many numbers `log_density` has in memory for a point.
        atol: the largest difference of the two rules, nats.

    Returns:
        (num_functions,), float64, nats.

    Raises:
        ValueError: if a function needs more than 8,192 panels.

    Reference: Davis and Rabinowitz (1984), Methods of numerical integration, chapter 6.

    Example:
        >>> log_integrals(lambda _, t: -t * t / 2, np.array([-9.0]), np.array([9.0]))
        array([0.91893853])
    """
    result, num_panels = np.zeros(len(low)), _FEWEST_PANELS
    pending = np.arange(len(low))
    while len(pending):
        if num_panels > _MOST_PANELS:
            raise ValueError(
                f"{len(pending)} integrals over a unit do not settle with {_MOST_PANELS} panels: "
                "its density has parts of very different widths, or is not continuous."
            )
        numbers = len(pending) * (num_panels + 1) * (_NODES + _CHECKING_NODES) * num_numbers
        blocks = np.array_split(pending, min(len(pending), 1 + numbers // _NUMBERS))
        pairs = [_two_rules(log_density, i, low[i], high[i], num_panels) for i in blocks]
        coarse, fine = np.concatenate(pairs, -1)
        result[pending] = fine
        pending = pending[~(np.abs(fine - coarse) < atol)]
        num_panels *= 2
    return result


def _two_rules(log_density, rows, low, high, num_panels):
    """The integrals by 8 points a panel and by 12, (2, num)."""
    edges = np.linspace(low, high, num_panels + 1, axis=-1)
    edges = np.sort(np.column_stack([edges, np.clip(0, low, high)]), -1)  # perhaps of no width
    half, middle = np.diff(edges) / 2, (edges[:, 1:] + edges[:, :-1]) / 2
    rules = [np.polynomial.legendre.leggauss(n) for n in (_CHECKING_NODES, _NODES)]
    points = [middle[..., np.newaxis] + half[..., np.newaxis] * x for x, _ in rules]
    flat = np.concatenate(points, -1).reshape(len(rows), -1)
    values = np.asarray(log_density(rows, flat))
    top = values.max(-1)
    density = np.exp(values - top[:, np.newaxis]).reshape(*half.shape, -1)
    parts = np.split(density, [_CHECKING_NODES], -1)
    sums = [np.einsum("ij,ijk,k->i", half, f, w) for f, (_, w) in zip(parts, rules, strict=True)]
    return top + np.log(sums)


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
