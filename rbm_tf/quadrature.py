"""Gauss-Legendre rules: over a small layer of continuous units, and in one variable.

A product of rules in a box outside of which the integrand exp(-F_c) is negligible. With the
logarithms of its weights such a rule takes the place of a list of all states. Panels are halved
where rules of 8 and of 12 points in each differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from rbm_tf.machine import Machine
from rbm_tf.peaks import box, grid, log_density, peaks
from rbm_tf.shared.types import ArrayLike

MAX_UNITS = 3
_PANELS, _NODES = {1: 32, 2: 8, 3: 5}, 12  # of each half axis at first, by number of units
_CHECKING_NODES = 8  # of the rule that the one of _NODES is held against
_ATOL, _RTOL = 1e-8, 1e-14  # of the two, nats: absolute, and relative to the largest density
_MISSED = 1.0  # nats above all points of its cell: a peak that the cell does not resolve
_MOST_POINTS, _MOST_ROUNDS = 2**23, 60

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
        `Rule` of 12 points in each panel of each axis, whose total agrees with that of 8 points to
        1e-8 nats; what 12 points leave is far less. Axes are cut at 0, where rectified units have a
        kink.

    Raises:
        ValueError: if the integrand does not fall off, as where Z is infinite, or needs more than
            2^23 points.

    Reference: Davis and Rabinowitz (1984), Methods of numerical integration, chapter 5.

    Example:
        >>> machine = Machine(tf.zeros((1, 1), tf.float64), *np.zeros((2, 1)), units.Gaussian(1))
        >>> points, log_weights = visible_rule(machine)
        >>> total = tf.reduce_logsumexp(log_weights - clamped_free_energy(machine, points))
        >>> round(float(total), 9)  # ln 2 + ln(2 pi) / 2
        1.612085714
    """
    tops = peaks(machine)
    ends_of = list(zip(*box(machine, tops), strict=True))
    values = log_density(machine, tops)
    tolerance = _ATOL + _RTOL * np.abs(values).max()  # rounding takes the rest
    edges = [_edges(*ends, _PANELS[len(ends_of)]) for ends in ends_of]
    for _ in range(_MOST_ROUNDS):
        if np.prod([_NODES * (len(axis) - 1.0) for axis in edges]) > _MOST_POINTS:
            break
        rule, fine, highest = _cells(machine, edges, _NODES)
        coarse = _cells(machine, edges, _CHECKING_NODES)[1]
        with np.errstate(over="ignore"):
            gap = np.abs(np.exp(fine - logsumexp(fine)) - np.exp(coarse - logsumexp(fine)))
        cell = tuple(
            np.clip(np.searchsorted(axis, top, "right") - 1, 0, len(axis) - 2)
            for axis, top in zip(edges, tops.T, strict=True)
        )
        missed = values > highest[cell] + _MISSED
        gap[tuple(place[missed] for place in cell)] += 1
        if gap.sum() < tolerance:
            return rule
        edges = [_halved(axis, gap, place) for place, axis in enumerate(edges)]
    raise ValueError(
        f"The integral over {machine.visible!r} does not settle with {_MOST_POINTS:,} points: the "
        "density has parts of very different widths. Make the kernel smaller, or estimate ln Z "
        "with rbm_tf.annealing.ais."
    )


def _edges(low, high, num_panels):
    """The ends of panels from low to high, cut at 0."""
    ends = [low, 0.0, high] if low < 0 < high else [low, high]
    pieces = [np.linspace(a, b, num_panels + 1)[:-1] for a, b in itertools.pairwise(ends)]
    return np.append(np.concatenate(pieces), high)


def _halved(edges, gap, axis):
    """The ends of panels, with those halved that have a share in a gap of cells."""
    others = tuple(place for place in range(gap.ndim) if place != axis)
    by_panel = gap.sum(others)
    large = by_panel >= by_panel.sum() / len(by_panel) / 10
    return np.sort(np.append(edges, (edges[1:] + edges[:-1])[large] / 2))


def _cells(machine, edges, num_nodes):
    """A product rule, and of each cell the logarithms of its integral and its highest density."""
    x, w = np.polynomial.legendre.leggauss(num_nodes)
    halves = [np.diff(axis) / 2 for axis in edges]
    middles = [(axis[1:] + axis[:-1]) / 2 for axis in edges]
    pairs = zip(middles, halves, strict=True)
    points = grid([np.ravel(middle[:, np.newaxis] + np.outer(half, x)) for middle, half in pairs])
    weights = np.ix_(*(np.log(np.ravel(np.outer(half, w))) for half in halves))
    log_weights = np.ravel(sum(weights))
    shape = [number for half in halves for number in (len(half), num_nodes)]
    nodes = tuple(range(1, len(shape), 2))
    density = log_density(machine, points)
    integrals = logsumexp((density + log_weights).reshape(shape), nodes)
    rule = Rule(tf.constant(points), tf.constant(log_weights))
    return rule, integrals, density.reshape(shape).max(nodes)


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
