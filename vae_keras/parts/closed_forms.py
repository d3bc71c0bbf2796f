"""The KL between two members of a family in closed form, entry by entry."""

from __future__ import annotations

from keras import ops

from rbm_tf.shared.types import Tensor


def gaussian_kl_terms(
    mean: Tensor, log_var: Tensor, *prior: Tensor, temperature: float = 1.0
) -> Tensor:
    """1/2 [(mean - prior_mean)^2 / prior variance + T (r - 1 - ln r)], r the ratio of variances.

    At T = 1 it is the KL (B30); another temperature weighs the entropy of the first (B32).

    Args:
        mean: tensor, (rows, ..).
        log_var: the logarithm of the variance, the same shape.
        *prior: prior_mean and prior_log_var of the second Gaussian; N(0, I) without them.
        temperature: the factor T.

    Returns:
        (rows, ..), nats.

    Example:
        >>> print(ops.convert_to_numpy(gaussian_kl_terms(ops.ones((1, 2)), ops.zeros((1, 2)))))
        [[0.5 0.5]]
    """
    if prior:
        prior_mean, prior_log_var = prior
        mean = (mean - prior_mean) * ops.exp(-0.5 * prior_log_var)
        log_var = log_var - prior_log_var
    return 0.5 * (ops.square(mean) + temperature * (ops.exp(log_var) - 1 - log_var))


def bernoulli_kl_terms(logits: Tensor, prior_logits: Tensor) -> Tensor:
    """p ln(p / r) + (1 - p) ln((1 - p) / (1 - r)) with p and r the sigmoids of the logits.

    Args:
        logits: ln p / (1 - p), (rows, ..).
        prior_logits: ln r / (1 - r), the same shape.

    Returns:
        (rows, ..), nats.

    Example:
        >>> float(bernoulli_kl_terms(ops.full((1,), 100.0), ops.zeros((1,)))[0])  # ln 2
        0.6931471824645996
    """
    log_ratio_of_ones = ops.log_sigmoid(logits) - ops.log_sigmoid(prior_logits)
    log_ratio_of_zeros = ops.log_sigmoid(-logits) - ops.log_sigmoid(-prior_logits)
    return ops.sigmoid(logits) * log_ratio_of_ones + ops.sigmoid(-logits) * log_ratio_of_zeros


def categorical_kl_terms(logits: Tensor, prior_logits: Tensor) -> Tensor:
    """sum_k p_k ln(p_k / r_k) with p and r the softmax of the logits over the last axis.

    Args:
        logits: ln p up to a constant, (rows, .., classes).
        prior_logits: ln r up to a constant, the same shape.

    Returns:
        (rows, ..), nats.

    Example:
        >>> logits = ops.convert_to_tensor([[100.0, 0.0, 0.0, 0.0]])
        >>> float(categorical_kl_terms(logits, ops.zeros((1, 4)))[0])  # ln 4
        1.3862943649291992
    """
    log_ratio = ops.log_softmax(logits, axis=-1) - ops.log_softmax(prior_logits, axis=-1)
    return ops.sum(ops.softmax(logits, axis=-1) * log_ratio, axis=-1)
