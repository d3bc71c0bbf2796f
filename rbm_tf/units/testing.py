"""A test for units: of the kinds here, and of your own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.unit import MAX_ORDER, Unit

_STEP = 1e-3  # of differences in float64, whose error is of fourth order
_SIGMAS = 5.0


def check_unit(
    unit: Unit,
    *,
    fields: ArrayLike = (-3.0, -0.7, 0.0, 0.4, 2.0),
    num_draws: int = 20_000,
    rtol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Hold the parts of a unit against each other; silent if they agree.

    Derivatives: each cumulant is the slope of the one before, by differences in float64, and the
    gradient of Gamma is the mean. States, if there are finitely many: Gamma is the logarithm of
    their sum. Draws: mean and variance within five standard errors of the cumulants, inside the
    support, and the same for the same seed.

    Args:
        unit: the units.
        fields: where to test, (num_fields,); each is taken by every entry, a little apart.
        num_draws: how many draws for each field.
        rtol: the largest difference from differences, relative to 1 or the value.
        seed: integer that fixes the draws.

    Raises:
        AssertionError: with what does not agree.

    Example:
        >>> check_unit(Binary(2))
    """
    fields = np.asarray(fields, "float64")[:, np.newaxis]
    x = tf.constant(fields + np.linspace(-0.1, 0.1, unit.size))
    cgf, kappa = unit.cgf(x), unit.cumulants(x, MAX_ORDER)
    shapes = [tuple(a.shape) for a in (cgf, kappa, unit.mean(x), unit.energy(unit.mean(x)))]
    one, all_of_them = (len(fields), unit.num), (len(fields), unit.size)
    _demand(
        shapes == [one, (MAX_ORDER, *all_of_them), all_of_them, one],
        f"cgf, cumulants, mean and energy have shapes {shapes} for fields {all_of_them}",
    )
    _agree(unit.mean(x), kappa[0], 1e-12, "mean and the first cumulant")
    _agree(unit.variance(x), kappa[1], 1e-12, "variance and the second cumulant")
    _check_derivatives(unit, x, kappa, rtol)
    if unit.states() is not None:
        _check_states(unit, x, cgf)
    _check_draws(unit, x, kappa.numpy(), num_draws, seed)


def _check_derivatives(unit, x, kappa, rtol):
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(unit.cgf(x))
    _agree(tape.gradient(total, x), kappa[0], 1e-10, "the gradient of cgf and the mean")
    for column in range(unit.size):
        step = _STEP * tf.one_hot(column, unit.size, dtype=x.dtype)

        def slope(function, step=step):
            near, far = (function(x + k * step) - function(x - k * step) for k in (1, 2))
            return (8 * near - far) / (12 * _STEP)

        first = slope(lambda x: tf.reduce_sum(unit.cgf(x), -1))
        _agree(first, kappa[0, :, column], rtol, "the slope of cgf and the mean")
        later = slope(lambda x, column=column: unit.cumulants(x, MAX_ORDER - 1)[..., column])
        _agree(later, kappa[1:, :, column], rtol, "the slopes of cumulants and the next ones")


def _check_states(unit, x, cgf):
    width = unit.size // unit.num
    states = np.tile(unit.states(), (1, unit.num))  # all in the first state, in the second, ..
    energy = tf.cast(unit.energy(states), x.dtype)
    fields = tf.reshape(x[:, tf.newaxis] * states, [len(x), len(states), unit.num, width])
    summed = tf.reduce_logsumexp(tf.reduce_sum(fields, -1) - energy, 1)
    _agree(cgf, summed, 1e-12, "cgf and the sum over states")


def _check_draws(unit, x, kappa, num_draws, seed):
    many = tf.repeat(x[tf.newaxis], num_draws, 0)
    draws = unit.sample(many, seed=seed)
    again = unit.sample(many, seed=seed)
    _demand(bool(tf.reduce_all(draws == again)), "the same seed gives other draws")
    unit.check(tf.reshape(draws, [-1, unit.size]), name="draws")
    draws, (mean, variance, _, fourth) = draws.numpy(), kappa
    error = np.sqrt(variance / num_draws)
    _within(draws.mean(0) - mean, error, "mean of the draws")
    error = np.sqrt((fourth + 2 * variance**2) / num_draws)
    _within(np.mean((draws - mean) ** 2, 0) - variance, error, "variance of the draws")


def _agree(a, b, tolerance, what):
    a, b = np.asarray(a), np.asarray(b)
    error = np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))
    _demand(error <= tolerance, f"{what} differ by {error:.1e}")


def _within(difference, error, what):
    sigmas = np.max(np.abs(difference) / (error + 1e-12))
    _demand(sigmas <= _SIGMAS, f"{what} is off by {sigmas:.1f} standard errors")


def _demand(holds, what):
    if not holds:
        raise AssertionError(f"{what}.")
