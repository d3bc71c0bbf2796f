"""The cross-entropy of Bernoulli variables and its gradient, at the price of few logarithms."""

from __future__ import annotations

import keras
from keras import ops

from rbm_tf.shared.divisors import largest_divisor
from rbm_tf.shared.types import Tensor
from vae_keras.shared.compiled import fused

_FACTORS = 16  # of a product; float32 holds up to 127


def bernoulli_cross_entropy(x: Tensor, logits: Tensor) -> Tensor:
    """sum_i [ln(1 + e^l_i) - x_i l_i], the negative log-likelihood of x in nats (B32).

    ln(1 + e^l) = max(l, 0) + ln(1 + e^-|l|), where the logarithm is most of the cost. Its arguments
    lie between 1 and 2, so that a product of them takes one logarithm. The gradient is
    sigmoid(l) - x.

    Args:
        x: data in [0, 1], (batch, num), float32 or wider.
        logits: the logits l, (batch, num), of the same type.

    Returns:
        (batch,), nats.

    Example:
        >>> float(bernoulli_cross_entropy(ops.ones((1, 2)), ops.zeros((1, 2)))[0])  # 2 ln 2
        1.3862943649291992
    """
    if any(isinstance(a, keras.KerasTensor) for a in (x, logits)):  # no custom gradient takes one
        return ops.sum(ops.softplus(logits) - x * logits, axis=-1)
    return _cross_entropy(x, logits)


@ops.custom_gradient
def _cross_entropy(x, logits):
    num = logits.shape[-1]
    together = largest_divisor(num, at_most=_FACTORS)

    def gradient(*args, upstream=None):
        upstream = (args[0] if upstream is None else upstream)[:, None]  # PyTorch names it
        return -upstream * logits, upstream * (ops.sigmoid(logits) - x)

    return _sum(x, logits, (together, num // together)), gradient


@fused
def _sum(x, logits, shape):
    """The sum over num = shape[0] shape[1] variables; processors add along the first by vectors."""
    x, logits = (ops.reshape(a, (-1, *shape)) for a in (x, logits))  # (batch, *shape)
    logs = ops.log(ops.prod(1 + ops.exp(-ops.abs(logits)), axis=1))  # (batch, shape[1])
    return ops.sum(logs + ops.sum(ops.relu(logits) - x * logits, axis=1), axis=-1)
