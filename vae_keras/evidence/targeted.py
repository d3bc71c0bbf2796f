"""Targeted free-energy perturbation: ln Z_1 / Z_0 of two energies, by a map between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rbm_tf.estimates import LogZEstimate, bennett, estimate_log_z
from rbm_tf.shared.types import ArrayLike
from vae_keras.parts import FlowStep

Energy = Callable[[Any], Any]  # from points (num_samples, dim) to (num_samples,)


class TargetedRatio(NamedTuple):
    """Estimates of ln Z_1 / Z_0, nats; without samples of the second side only the first."""

    forward: LogZEstimate  # from samples of 0; on average a lower bound
    reverse: LogZEstimate | None  # from samples of 1; on average an upper bound
    bar: LogZEstimate | None  # from both


def targeted_log_z_ratio(
    energy_0: Energy,
    energy_1: Energy,
    steps: Sequence[FlowStep],
    samples_0: ArrayLike,
    samples_1: ArrayLike | None = None,
) -> TargetedRatio:
    """ln Z_1 / Z_0 from samples of both ends, by an invertible map M from the one to the other.

    With ln w = E_0(z) - E_1(M(z)) + ln |det dM/dz|, minus the work of Jarzynski,

        Z_1 / Z_0 = <w>_0 = 1 / <1/w>_1

    for every M, where z = M^-1(y) belongs to a draw y of p_1. The better M moves the one
    distribution to the other, the smaller the variance of ln w. Without steps it is Zwanzig's
    free-energy perturbation.

    Args:
        energy_0: E_0 of points (num_samples, dim) as tensors of Keras's backend, (num_samples,),
            with p_0 = exp(-E_0) / Z_0.
        energy_1: E_1, alike.
        steps: the map, one `FlowStep` after another, as `Flow` takes them; none is the identity.
        samples_0: independent draws of p_0, (n, dim).
        samples_1: independent draws of p_1, (m, dim), or None.

    Returns:
        `TargetedRatio`, whose standard errors take the draws for independent. No number in it sees
        a mode that neither side has drawn.

    Raises:
        ValueError: if samples are not (num_samples, dim), an energy has another shape, or a ln w
            is not finite.

    Reference: Jarzynski (2002), Targeted free energy perturbation; Zwanzig (1954); B48.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(1000, 2))
        >>> harmonic = lambda z: 0.5 * ops.sum(z**2, -1)
        >>> found = targeted_log_z_ratio(harmonic, lambda z: harmonic(z) + 3, [], z, z)
        >>> [round(one.log_z, 6) for one in found]  # exactly, as w is constant
        [-3.0, -3.0, -3.0]
    """
    energies = energy_0, energy_1
    start = _points(samples_0, "samples_0")
    end, log_det = _moved([step.__call__ for step in steps], start)
    forward = _log_weights(energies, start, end, log_det)
    if samples_1 is None:
        return TargetedRatio(estimate_log_z(forward), None, None)
    end = _points(samples_1, "samples_1")
    start, log_det = _moved([step.inverse for step in reversed(steps)], end)
    backward = _log_weights(energies, start, end, -log_det)
    sides = estimate_log_z(forward), estimate_log_z(backward, reverse=True)
    return TargetedRatio(*sides, bennett(*sides))


def _points(samples, name):
    points = ops.convert_to_tensor(samples, "float32")
    if len(points.shape) != 2:
        raise ValueError(f"{name} must be (num_samples, dim); got {tuple(points.shape)}.")
    return points


def _moved(maps, z):
    """Where maps take the points, one after another, and the sum of their ln |det|."""
    total = ops.zeros_like(z[:, 0])
    for one in maps:
        z, log_det = one(z)
        total = total + log_det
    return z, total


def _log_weights(energies, start, end, log_det):
    """ln w of points and where they go, float64."""
    values = [energy(z) for energy, z in zip(energies, (start, end), strict=True)]
    for name, value in zip(("energy_0", "energy_1"), values, strict=True):
        if tuple(value.shape) != tuple(log_det.shape):
            raise ValueError(
                f"{name} gave the shape {tuple(value.shape)} for {len(log_det)} points: sum over "
                "all axes but the first."
            )
    before, after, change = (
        np.asarray(ops.convert_to_numpy(x), np.float64) for x in (*values, log_det)
    )
    if not np.isfinite([before, after, change]).all():
        raise ValueError(
            "ln w of some points is not finite: the energies must be finite wherever the map takes "
            "samples of the other side."
        )
    return before - after + change
