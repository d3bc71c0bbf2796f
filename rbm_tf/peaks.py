"""Where exp(-F_c) of a few continuous units is not negligible: its peaks, and a box around them.

Peaks may lie far apart, as those of the two halves of a dReLU unit do, and one that is found by
going uphill says nothing of the others. So whole lines are looked at, along one axis after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, clamped_free_energy

_DEPTH = 60.0  # nats below its maximum where the integrand is cut off
_WIDEST = 1e7  # a box that grows beyond has no end
_SCAN = {1: 2001, 2: 101, 3: 33}  # points of each axis that look for the box, by number of units
_STEPS = np.geomspace(1e-4, _WIDEST, 300)  # of a line, on either side of 0 and of its ends
_STARTS = np.array([-100.0, -1.0, 0.0, 1.0, 100.0])  # of each axis, in all combinations
_ZOOMS, _ZOOM_POINTS = 4, 33  # of which each is 16 times as fine as the one before
_MOST = 64  # peaks
_NUMBERS = 2**21  # in memory at a time


def log_density(machine: Machine, points: np.ndarray) -> np.ndarray:
    """-F_c of many points, some at a time.

    Args:
        machine: the `Machine`, float64.
        points: visible states, (num_points, num_visible).

    Returns:
        (num_points,), nats.

    Example:
        >>> log_density(machine_of(BernoulliRBM(2, 1), dtype="float64"), np.zeros((1, 2))).round(4)
        array([0.6931])
    """
    num_blocks = 1 + len(points) * machine.num_hidden // _NUMBERS
    blocks = np.array_split(points, min(num_blocks, len(points)))
    return np.concatenate([-clamped_free_energy(machine, tf.constant(b)).numpy() for b in blocks])


def grid(axes: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """All combinations of points on axes.

    Args:
        axes: of each axis its points, (num,).

    Returns:
        (num_points, num_axes), the last axis changing fastest.

    Example:
        >>> grid([np.arange(2.0), np.arange(3.0)]).shape
        (6, 2)
    """
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def peaks(machine: Machine) -> np.ndarray:
    """Peaks of exp(-F_c(v)), by looking along one axis after another, from many starts.

    Args:
        machine: the `Machine`, float64, of continuous visible units.

    Returns:
        (num_peaks, num_visible), those of up to 60 nats below the highest; of a single unit none
        is missed.

    Raises:
        ValueError: if the density overflows, as where Z is infinite.

    Example:
        >>> unit = units.DReLU(1, threshold_plus=-14.0, threshold_minus=14.0)  # -14 |t| in U
        >>> machine = Machine(tf.zeros((1, 1), tf.float64), *np.zeros((2, 1)), unit)
        >>> peaks(machine_of(machine, dtype="float64")).round(2).tolist()
        [[-14.0], [14.0]]
    """
    lowest, highest = _ends(machine)
    ends = list(zip(lowest, highest, strict=True))
    found, lines = grid([np.unique(np.clip(_STARTS, *end)) for end in ends]), [*map(_line, ends)]
    if len(ends) == 1:
        return _highest(machine, _peaks_along(machine, found[:1], lines[0], 0))
    for axis in 2 * [*range(len(ends))]:
        found = _highest(machine, _peaks_along(machine, found, lines[axis], axis), np.inf)
    return _highest(machine, found)


def box(machine: Machine, tops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where exp(-F_c(v)) is above exp(-60) of its maximum.

    Args:
        machine: the `Machine`, float64, of continuous visible units.
        tops: its `peaks`.

    Returns:
        The lowest and the highest v, (num_visible,) each.

    Raises:
        ValueError: if the integrand does not fall off, as where Z is infinite.

    Example:
        >>> machine = machine_of(RBM(units.Gaussian(1), units.Binary(1)), dtype="float64")
        >>> low, high = box(machine, peaks(machine))
        >>> bool(low[0] < -10.9 and high[0] > 10.9)  # 10.95 standard deviations
        True
    """
    lowest, highest = _ends(machine)
    low, high = np.maximum(lowest, tops.min(0) - 1), np.minimum(highest, tops.max(0) + 1)
    while True:
        width, axes = high - low, np.linspace(low, high, _SCAN[machine.num_visible]).T
        points = np.concatenate([grid(axes), tops])
        density = log_density(machine, points)
        inside = points[density >= density.max() - _DEPTH]
        step = axes[:, 1] - axes[:, 0]
        open_low = (inside.min(0) <= low) & (low > lowest)
        open_high = (inside.max(0) >= high) & (high < highest)
        low = np.maximum(np.where(open_low, low - 4 * width, inside.min(0) - step), lowest)
        high = np.minimum(np.where(open_high, high + 4 * width, inside.max(0) + step), highest)
        if not np.all(np.isfinite(density)) or np.max(high - low) > _WIDEST:
            raise _without_end()
        if not (open_low | open_high).any() and np.all(high - low > 0.7 * width):
            return low, high


def _without_end():
    return ValueError(
        "The integral over the units has no end that could be found: exp(-F_c) does not fall off, "
        "Z is infinite or its precisions are extreme. Make the kernel smaller."
    )


def _ends(machine):
    return [np.zeros(machine.num_visible) + end for end in machine.visible.bounds]


def _line(ends):
    """Points from end to end, or to 1e7, the closer the nearer to 0 and to an end."""
    near = np.concatenate([-_STEPS, [0], _STEPS])
    finite = [end for end in ends if np.isfinite(end)]
    line = np.concatenate([near, *(end + near for end in finite)])
    if len(finite) == 2:
        line = np.append(line, np.linspace(ends[0], ends[1], len(_STEPS)))
    return np.unique(np.clip(line, *ends))


def _peaks_along(machine, points, line, axis):
    """The peaks on the lines through points along an axis, (num_peaks, num_visible)."""
    values = _along(machine, points, np.tile(line, (len(points), 1)), axis)
    padded = np.pad(values, [(0, 0), (1, 1)], constant_values=-np.inf)
    row, k = np.nonzero((values >= padded[:, :-2]) & (values > padded[:, 2:]))
    points, below, above = (
        points[row],
        line[np.maximum(k - 1, 0)],
        line[k + 1 - (k + 1 == len(line))],
    )
    for _ in range(_ZOOMS):
        t = np.linspace(below, above, _ZOOM_POINTS, axis=-1)
        best = _along(machine, points, t, axis).argmax(-1)[:, np.newaxis]
        below, top, above = (
            np.take_along_axis(t, np.clip(best + step, 0, _ZOOM_POINTS - 1), 1)[:, 0]
            for step in (-1, 0, 1)
        )
    found = points.copy()
    found[:, axis] = top
    return found


def _along(machine, points, t, axis):
    """The logarithm of the density where points have other values t on an axis, the shape of t."""
    moved = np.repeat(points[:, np.newaxis], t.shape[1], 1)
    moved[..., axis] = t
    values = log_density(machine, moved.reshape(-1, points.shape[1])).reshape(t.shape)
    return np.where(np.isnan(values), -np.inf, values)  # far out, where functions overflow


def _highest(machine, points, depth=_DEPTH):
    """Those points that differ and are the highest ones, up to a number and a depth."""
    values = log_density(machine, points)
    if not np.all(np.isfinite(values)):
        raise _without_end()
    points = points[np.argsort(-values, kind="stable")]
    values = np.sort(values)[::-1]
    _, first = np.unique(np.round(np.arcsinh(1e4 * points), 2), axis=0, return_index=True)
    first = np.sort(first)[:_MOST]
    return points[first[values[first] >= values[first[0]] - depth]]
