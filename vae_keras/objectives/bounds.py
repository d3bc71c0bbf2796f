"""Training objectives of a VAE: bounds and estimates of ln p(x), as losses per example.

Each is a small Keras layer that turns `Draws` into a loss (batch,) in nats; give it to
`VAE(..., objective=...)`. A further one subclasses `Objective` and writes `call`. The bounds have
the values that `vae_keras.evidence` gives for the same log-weights; here they run on every Keras
backend, and their gradients are part of their definition.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.parts import Draws


class Objective(keras.layers.Layer):
    """What a VAE minimises: `call(draws)` returns the loss of each example.

    A class says what its value and its gradient ask of the model, and `check_objective` refuses
    parts that do not give it:

        needs_path: the gradient passes through draws of the posterior.
        needs_density: ln q(z|x) enters, by itself or in the log-weights.
        needs_factors: the posterior's entries must be independent.
        draws_prior: the gradient passes through draws of the prior.

    Args:
        num_samples: the number of draws of z for each example.

    Call arguments:
        draws: the batch's `Draws`.

    Output: loss of each example, (batch,), nats.

    Raises:
        ValueError: if num_samples is below 1.

    Example:
        >>> @keras.saving.register_keras_serializable(package="example")
        ... class SecondOrder(Objective):  # minus the cumulant expansion to order 2 (B25)
        ...     def call(self, draws):
        ...         log_weights = draws.log_weights
        ...         return -ops.mean(log_weights, axis=0) - ops.var(log_weights, axis=0) / 2
    """

    needs_path = True
    needs_density = True
    needs_factors = False
    draws_prior = False

    def __init__(self, num_samples: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_counts(num_samples=num_samples)
        self.num_samples = num_samples

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_samples": self.num_samples}


@keras.saving.register_keras_serializable(package="vae_keras")
class ELBO(Objective):
    """-ELBO = <-ln p(x|z)>_q + beta KL(q(z|x) || p(z)), with the KL in closed form (B14, B32).

    With beta other than 1 it is the loss of the beta-VAE. `beta` is a non-trainable scalar weight:
    assign to it, or let a callback anneal it.

    Args:
        beta: initial value, 0 or above, of the scalar weight `beta` of the KL.
        num_samples: the number of draws of z for each example.

    Raises:
        ValueError: if beta is negative or num_samples is below 1.

    Reference: Kingma and Welling (2014); Higgins et al. (2017), beta-VAE; B14, B15, B32.

    Example:
        >>> objective = ELBO(beta=0.5)
        >>> _ = objective.beta.assign(1.0)
        >>> float(objective.beta)
        1.0
    """

    needs_density = False  # at temperature 0 the KL has its closed form

    def __init__(self, beta: float = 1.0, *, num_samples: int = 1, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be 0 or above and finite; got {beta}.")
        self.initial_beta = beta
        self.beta = self.add_weight(
            name="beta",
            shape=(),
            initializer=keras.initializers.Constant(beta),
            trainable=False,
            autocast=False,
        )

    def call(self, draws: Draws) -> Tensor:
        return draws.reconstruction + self.beta * draws.kl

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.initial_beta}


@keras.saving.register_keras_serializable(package="vae_keras")
class IWAE(Objective):
    """Minus the importance-weighted bound ln (1/K) sum_k w_k, with its pathwise gradient.

    Args:
        num_samples: the number K of draws of z for each example.

    Reference: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.

    Example:
        >>> networks = dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2)
        >>> vae = VAE(*networks, objective=IWAE(num_samples=5))
    """

    def __init__(self, num_samples: int = 5, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)

    def call(self, draws: Draws) -> Tensor:
        return math.log(self.num_samples) - ops.logsumexp(draws.log_weights, axis=0)


@keras.saving.register_keras_serializable(package="vae_keras")
class DoublyReparameterizedIWAE(IWAE):
    """Minus the importance-weighted bound, with the encoder's gradient reparameterised twice.

    The encoder's gradient is sum_k wtilde_k^2 (d ln w_k / dz_k) (dz_k / dphi), wtilde_k = w_k /
    sum_j w_j: the same mean as that of `IWAE`, but its signal does not drown in noise as K grows,
    and it vanishes where q is the posterior. The decoder's gradient is that of `IWAE`.

    A first pass gives wtilde. In the second z is replaced by
    stop(z) + wtilde (z - stop(z)), which is z and passes wtilde times its gradient on, and q's own
    parameters are held fixed: the gradient of ln sum_k w_k brings the other factor wtilde.

    Args:
        num_samples: the number K of draws of z for each example.

    Reference: Tucker, Lawson, Gu and Maddison (2019), Doubly reparameterized gradient estimators
    for Monte Carlo objectives, equation 8.

    Example:
        >>> objective = DoublyReparameterizedIWAE(num_samples=50)
    """

    def call(self, draws: Draws) -> Tensor:
        normalized = ops.softmax(draws.log_weights, axis=0)
        return super().call(draws.along_path(ops.stop_gradient(normalized)))


@keras.saving.register_keras_serializable(package="vae_keras")
class ThermodynamicObjective(Objective):
    """Minus a Riemann sum of ln p(x) = INT_0^1 <ln w>_beta dbeta, with the covariance gradient.

    <.>_beta averages over pi_beta ~ q(z|x) w^beta, estimated with self-normalised weights. <ln w>
    increases with beta, so that left sums are below and right sums above ln p(x) when the averages
    are exact; the left sum of one partition is the ELBO. Its gradient needs no reparameterisation:

        grad <ln w>_beta = <grad ln w>_beta + Cov_beta[grad ln pi_beta, ln w],
        ln pi_beta = beta ln p(x, z) + (1 - beta) ln q(z|x), at fixed z.

    Args:
        num_samples: the number of draws of z for each example.
        num_partitions: the number of parts of the unit interval; the first begins at 0, and the
            ends of the others have equal ratios from first_beta to 1.
        first_beta: where the first of several partitions ends.
        rule: "left" or "right", the end of each part where the integrand is taken.

    Raises:
        ValueError: if num_samples is below 2, num_partitions below 1, first_beta not between 0 and
            1, or the rule unknown.

    Reference: Masrani, Le and Wood (2019), The thermodynamic variational objective, equations 7 to
    11; B20.

    Example:
        >>> [round(beta, 2) for beta in ThermodynamicObjective(num_partitions=3).betas]
        [0.0, 0.03, 0.16, 1.0]
    """

    needs_path = False

    def __init__(
        self,
        num_samples: int = 10,
        *,
        num_partitions: int = 2,
        first_beta: float = 0.025,
        rule: str = "left",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_samples, **kwargs)
        check_counts(2, num_samples=num_samples)  # whose covariance is the gradient
        if num_partitions < 1 or not 0 < first_beta < 1 or rule not in ("left", "right"):
            raise ValueError(
                "Choose num_partitions of 1 or more, first_beta between 0 and 1, and the rule "
                f"'left' or 'right'; got {num_partitions}, {first_beta} and {rule!r}."
            )
        self.num_partitions, self.first_beta, self.rule = num_partitions, first_beta, rule

    @property
    def betas(self) -> list[float]:
        """The ends of the partitions, num_partitions + 1 floats from 0 to 1."""
        last = self.num_partitions - 1
        return [0.0, *(self.first_beta ** (1 - k / last) for k in range(last)), 1.0]

    def call(self, draws: Draws) -> Tensor:
        stop, betas = ops.stop_gradient, self.betas
        draws = draws.fixed()
        log_weights = stop(draws.log_weights)  # (num_samples, batch)
        loss = 0.0
        for left, right in itertools.pairwise(betas):
            beta = left if self.rule == "left" else right
            normalized = ops.softmax(beta * log_weights, axis=0)  # (num_samples, batch)
            mean = ops.sum(normalized * log_weights, axis=0)  # (batch,)
            log_pi = beta * draws.log_joint + (1 - beta) * draws.log_posterior
            terms = draws.log_weights + (log_weights - mean) * (log_pi - stop(log_pi))
            loss = loss - (right - left) * ops.sum(normalized * terms, axis=0)
        return loss

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_partitions": self.num_partitions,
            "first_beta": self.first_beta,
            "rule": self.rule,
        }
