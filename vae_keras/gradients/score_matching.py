"""Score matching: fitting an unnormalised density without its Z (B11).

The score s(x) = grad_x ln q(x) does not contain Z, which is constant in x. Every function takes
log_density, TensorFlow code for ln q(x) up to a constant.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from vae_keras.gradients.gaussian import value_and_slope


def score(log_density: Callable[[tf.Tensor], tf.Tensor], x: ArrayLike) -> tf.Tensor:
    """s(x) = grad_x ln q(x), from which Z has gone.

    Args:
        log_density: function that maps x (batch, dim) to ln q(x) up to a constant, (batch,), nats.
        x: where to take the score, (batch, dim), float32 or float64.

    Returns:
        (batch, dim), nats per unit of x.

    Raises:
        ValueError: if x is not (batch, dim), or TensorFlow finds no path from x to log_density.

    Reference: B11.

    Example:
        >>> score(lambda x: -tf.reduce_sum(x**2, -1) / 2 + 7, tf.constant([[3.0]])).numpy()
        array([[-3.]], dtype=float32)
    """
    return value_and_slope(log_density, _checked(x))[1]


def explicit_score_matching(
    log_density: Callable[[tf.Tensor], tf.Tensor], x: ArrayLike
) -> tf.Tensor:
    """The trace form of the loss: |s(x)|^2 / 2 + tr ds/dx.

    Averaged over the data it is half the mean squared distance of q's score from the data's, up to
    a constant of the data alone.

    Args:
        log_density: function that maps x (batch, dim) to ln q(x) up to a constant, (batch,), nats;
            it must be differentiable twice.
        x: data, (batch, dim), float32 or float64.

    Returns:
        Loss of each example, (batch,); it can be negative.

    Raises:
        ValueError: if x is not (batch, dim).

    Reference: Hyvarinen (2005), Estimation of non-normalized statistical models by score matching,
    theorem 1; B11.

    Example:
        >>> explicit_score_matching(lambda x: -x[:, 0] ** 2 / 2, tf.constant([[3.0]])).numpy()
        array([3.5], dtype=float32)
    """
    x = _checked(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        slope = score(log_density, x)
    trace = tf.linalg.trace(tape.batch_jacobian(slope, x, "zero"))  # of (batch, dim, dim)
    return tf.reduce_sum(slope**2, -1) / 2 + trace


def denoising_score_matching(
    log_density: Callable[[tf.Tensor], tf.Tensor],
    x: ArrayLike,
    noise_scale: float,
    *,
    seed: int | None = None,
) -> tf.Tensor:
    """The denoising form of the loss: |s(y) + (y - x) / noise_scale^2|^2 / 2, y = x + noise.

    It fits q to the data blurred by the noise, with first derivatives alone. With the denoiser
    r(y) = y + noise_scale^2 s(y) it is |r(y) - x|^2 / (2 noise_scale^4): a denoising autoencoder.

    Args:
        log_density: function that maps x (batch, dim) to ln q(x) up to a constant, (batch,), nats.
        x: data, (batch, dim), float32 or float64.
        noise_scale: the standard deviation of the Gaussian noise, above 0.
        seed: integer that fixes the noise; the same seed gives the same loss.

    Returns:
        Loss of each example, (batch,).

    Raises:
        ValueError: if x is not (batch, dim), or noise_scale is not above 0.

    Reference: Vincent (2011), A connection between score matching and denoising autoencoders; B11.

    Example:
        >>> data = tf.zeros((1, 2))
        >>> loss = denoising_score_matching(lambda y: 0 * y[:, 0], data, 0.5, seed=0)
        >>> tuple(loss.shape)
        (1,)
    """
    x = _checked(x)
    if not 0 < noise_scale < float("inf"):
        raise ValueError(f"noise_scale must be above 0 and finite; got {noise_scale}.")
    noisy = x + noise_scale * tf.random.stateless_normal(x.shape, as_seed(seed), dtype=x.dtype)
    residual = denoise(log_density, noisy, noise_scale) - x
    return tf.reduce_sum(residual**2, -1) / (2 * noise_scale**4)


def denoise(
    log_density: Callable[[tf.Tensor], tf.Tensor], x: ArrayLike, noise_scale: float
) -> tf.Tensor:
    """The best guess of the clean data, r(x) = x + noise_scale^2 s(x) (Tweedie's formula).

    It is the exact mean of the clean data if q is the density of the noisy ones.

    Args:
        log_density: function that maps x (batch, dim) to ln q(x) up to a constant, (batch,), nats.
        x: noisy data, (batch, dim), float32 or float64.
        noise_scale: the standard deviation of the noise.

    Returns:
        (batch, dim), in the unit of x.

    Reference: Robbins (1956); Efron (2011), Tweedie's formula and selection bias; B11.

    Example:
        >>> blurred = lambda y: -y[:, 0] ** 2 / 4  # N(0, 1) with noise of variance 1
        >>> denoise(blurred, tf.constant([[3.0]]), noise_scale=1.0).numpy()
        array([[1.5]], dtype=float32)
    """
    return x + noise_scale**2 * score(log_density, x)


def _checked(x):
    x = tf.convert_to_tensor(x)
    if x.shape.rank != 2:
        raise ValueError(f"x must have shape (batch, dim); got {tuple(x.shape)}. Reshape it.")
    return x
