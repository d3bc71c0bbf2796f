"""Gradients of E_q[f(x)] in the logits of independent Bernoulli variables (B17).

There is no path from the logits to a sample that is 0 or 1: the score function remains, or a
continuous relaxation of the sample, which has a bias. Small cases can be summed exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units import sample_bernoulli
from vae_keras.gradients.gaussian import value_and_slope, with_baseline

MAX_EXACT_DIM = 20


def exact_gradient(function: Callable[[tf.Tensor], tf.Tensor], logits: ArrayLike) -> tf.Tensor:
    """The gradient of E_q[f] in the logits by summing over all states.

    sum_x q(x) f(x) (x - sigmoid(logits)).

    Args:
        function: the function f, which maps states of 0 and 1, (num, dim), to values (num,).
        logits: the logits of q, (dim,) with dim of 20 or less, float32 or float64.

    Returns:
        (dim,), in the unit of f.

    Raises:
        ValueError: if there are more than 20 logits.

    Reference: B17.

    Example:
        >>> exact_gradient(lambda x: x[:, 0], tf.zeros(1)).numpy()  # p (1 - p)
        array([0.25], dtype=float32)
    """
    logits = _checked(logits)
    dim = logits.shape[0]
    if dim > MAX_EXACT_DIM:
        raise ValueError(
            f"{dim} logits have 2^{dim} states, too many to sum; use score_function_bernoulli."
        )
    digits = tf.bitwise.right_shift(tf.range(2**dim)[:, tf.newaxis], tf.range(dim))
    states = tf.cast(digits % 2, logits.dtype)  # (2^dim, dim)
    log_q = tf.linalg.matvec(states, logits) - tf.reduce_sum(tf.nn.softplus(logits))
    weights = tf.exp(log_q) * tf.cast(function(states), logits.dtype)
    return tf.linalg.matvec(states - tf.sigmoid(logits), weights, transpose_a=True)


def score_function_bernoulli(
    function: Callable[[tf.Tensor], tf.Tensor],
    logits: ArrayLike,
    num_samples: int,
    *,
    baseline: str = "none",
    seed: int | None = None,
) -> tf.Tensor:
    """The score-function gradient in the logits: (f(x) - b) (x - sigmoid(logits)), x ~ q.

    Args:
        function: the function f, which maps states of 0 and 1, (num_samples, dim), to values
            (num_samples,).
        logits: the logits of q, (dim,), float32 or float64.
        num_samples: the number of samples, 2 or more with a baseline.
        baseline: the name of a baseline b, as `vae_keras.gradients.score_function` takes it.
        seed: integer that fixes the draws; the same seed gives the same gradients.

    Returns:
        (num_samples, dim), in the unit of f; the mean over axis 0 is unbiased.

    Raises:
        ValueError: if logits are not (dim,), samples are too few, or the baseline has another name.

    Reference: Williams (1992); B17.

    Example:
        >>> rows = score_function_bernoulli(lambda x: x[:, 0], tf.zeros(1), 10_000, seed=0)
        >>> bool(abs(tf.reduce_mean(rows) - 0.25) < 0.02)
        True
    """
    logits = _checked(logits)
    x = sample_bernoulli(tf.broadcast_to(logits, (num_samples, *logits.shape)), as_seed(seed))
    p = tf.sigmoid(logits)
    values = tf.cast(function(x), logits.dtype)
    return with_baseline(values, x - p, p * (1 - p), baseline=baseline)


def relaxed_bernoulli(
    function: Callable[[tf.Tensor], tf.Tensor],
    logits: ArrayLike,
    temperature: float,
    num_samples: int,
    *,
    seed: int | None = None,
) -> tf.Tensor:
    """The pathwise gradient of the relaxed average, samples between 0 and 1 (binary concrete).

    x = sigmoid((logits + logistic noise) / T). Its limit T -> 0 is the Bernoulli sample, where the
    variance diverges; at T > 0 it is the gradient of another average, and biased for this one.

    Args:
        function: the function f, which maps x in [0, 1], (num_samples, dim), to values
            (num_samples,), differentiable.
        logits: the logits of q, (dim,), float32 or float64.
        temperature: the temperature T of the relaxation, above 0.
        num_samples: the number of samples.
        seed: integer that fixes the draws; the same seed gives the same gradients.

    Returns:
        (num_samples, dim), in the unit of f.

    Raises:
        ValueError: if the temperature is not above 0, or TensorFlow finds no path to f.

    Reference: Maddison, Mnih and Teh (2017), The concrete distribution; Jang, Gu and Poole (2017);
    B17.

    Example:
        >>> relaxed_bernoulli(lambda x: x[:, 0], tf.zeros(1), 0.5, num_samples=4, seed=0).shape
        TensorShape([4, 1])
    """
    logits = _checked(logits)
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"temperature must be above 0 and finite; got {temperature}. 0 has no slope."
        )
    shape = (num_samples, *logits.shape)
    uniform = tf.random.stateless_uniform(shape, as_seed(seed), dtype=logits.dtype)
    noise = tf.math.log(uniform) - tf.math.log1p(-uniform)
    x = tf.sigmoid((logits + noise) / temperature)
    return value_and_slope(function, x)[1] * x * (1 - x) / temperature


def _checked(logits):
    logits = tf.convert_to_tensor(logits)
    if logits.shape.rank != 1:
        raise ValueError(f"logits must have shape (dim,); got {tuple(logits.shape)}.")
    return logits
