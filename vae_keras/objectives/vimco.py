"""The importance-weighted bound trained by scores, for latents whose draws have no gradient."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.objectives.bounds import Objective
from vae_keras.parts.draws import Draws


@keras.saving.register_keras_serializable(package="vae_keras")
class VIMCO(Objective):
    """Minus the importance-weighted bound L = ln (1/K) sum_k w_k, with a score-function gradient.

    It needs no path through the draws, so that it trains exact bits and classes. Its value is that
    of `IWAE`; its gradient, at fixed z, is unbiased as well:

        grad <L> = < sum_k wtilde_k grad ln w_k + sum_k (L - L_k) grad ln q(z_k|x) >,
        L_k = ln (1/K) [sum_(j != k) w_j + exp(mean_(j != k) ln w_j)],   wtilde_k = w_k / sum_j w_j.

    The baseline L_k knows of all draws but z_k, in whose place the geometric mean of the others
    stands; hence it takes nothing from the mean, and most of the noise. The (K, K, batch) numbers
    of all L_k are computed at once.

    Args:
        num_samples: the number K of draws of z for each example, 2 or more.

    Raises:
        ValueError: if num_samples is below 2.

    Reference: Mnih and Rezende (2016), Variational inference for Monte Carlo objectives, equations
    8 to 10; B25.

    Example:
        >>> logits = ops.zeros((3, 4))
        >>> bits = Latents(lambda x: logits, lambda z: z, posterior=Bernoulli())
        >>> objective = VIMCO(num_samples=5)
        >>> tuple(objective.call(bits.draws(ops.ones((3, 4)), 5, seed=0)).shape)
        (3,)
    """

    needs_path = False

    def __init__(self, num_samples: int = 5, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)
        check_counts(2, num_samples=num_samples)  # of which one leaves others

    def call(self, draws: Draws) -> Tensor:
        stop, draws = ops.stop_gradient, draws.fixed()
        log_weights = draws.log_weights  # (num_samples, batch)
        loss = math.log(self.num_samples) - ops.logsumexp(log_weights, axis=0)  # (batch,)
        learning_signal = stop(self._without_each(log_weights) - loss)  # (num_samples, batch)
        score = draws.log_posterior - stop(draws.log_posterior)  # 0, (num_samples, batch)
        return loss - ops.sum(learning_signal * score, axis=0)

    def _without_each(self, log_weights):
        """-L_k, (num_samples, batch)."""
        num = self.num_samples
        others = (ops.sum(log_weights, axis=0) - log_weights) / (num - 1)  # (num_samples, batch)
        is_left_out = ops.eye(num, dtype="bool")[..., None]
        replaced = ops.where(is_left_out, others[:, None], log_weights[None])
        return math.log(num) - ops.logsumexp(replaced, axis=1)
