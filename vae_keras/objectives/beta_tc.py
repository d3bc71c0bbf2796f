"""The KL of the ELBO taken apart, and the beta-TCVAE, which weighs the total correlation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops, tree

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.objectives.bounds import Objective
from vae_keras.objectives.requirements import check_factors
from vae_keras.parts.draws import Draws


class KLDecomposition(NamedTuple):
    """Estimates of three terms whose sum is ln q(z|x) - ln p(z), averaged over draws, in nats.

    Args:
        mutual_information: ln q(z|x) - ln q(z), (batch,): what z tells of the example.
        total_correlation: ln q(z) - sum_j ln q(z_j), (batch,): how the latents depend on one
            another.
        dimension_wise: sum_j ln q(z_j) - ln p(z), (batch,): how each latent differs from the prior,
            if the prior factorises.

    Example:
        >>> KLDecomposition(1.0, 0.25, 0.5).total_correlation
        0.25
    """

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor


def kl_decomposition(draws: Draws, num_data: int) -> KLDecomposition:
    """The KL by what it pays for: mutual information, total correlation, and each dimension.

    With q(z) = 1/N sum_n q(z|x_n) over the data, the mean over the data of KL(q(z|x) || p(z)) is

        KL(q(z, n) || q(z) p(n)) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j)).

    q(z), and likewise each q(z_j), is estimated for a z of example n from the batch of M, by

        1/N q(z|x_n) + (N - 1)/(N (M - 1)) sum_(m != n) q(z|x_m),

    the average of minibatch-stratified sampling over the example that stands for the rest. It is
    unbiased, and exact if the batch is all the data; its logarithm is biased down. Weights of
    examples, `draws.weights`, weigh the average over m; where no other example counts, as in a
    batch of one, q(z|x_n) stands for all.

    Args:
        draws: by a posterior with independent entries.
        num_data: the number N of examples in the data set.

    Returns:
        `KLDecomposition`; means over the batch estimate the three terms.

    Raises:
        ValueError: if the posterior's entries are not independent, or num_data is below 2.

    Reference: Chen, Li, Grosse and Duvenaud (2018), Isolating sources of disentanglement in VAEs,
    equation 2 and appendix C.

    Example:
        >>> latents = Latents(lambda x: (x, 0 * x), lambda z: z, likelihood=Gaussian(scale=1.0))
        >>> draws = latents.draws(ops.ones((4, 2)), 3, seed=0)  # four examples that are equal
        >>> terms = kl_decomposition(draws, num_data=4)
        >>> bool(ops.all(ops.abs(terms.mutual_information) < 1e-5))
        True
    """
    check_counts(2, num_data=num_data)
    terms = _terms_of_pairs(draws)  # (num_samples, batch of z, batch of x, num_terms)
    weights = _log_weights_of_pairs(draws.shares_of_others, num_data)
    log_q = ops.logsumexp(ops.sum(terms, axis=-1) + weights, axis=2)  # (num_samples, batch)
    log_factors = ops.logsumexp(terms + weights[..., None], axis=2)
    log_product = ops.sum(log_factors, axis=-1)  # (num_samples, batch)
    differences = (
        draws.log_posterior - log_q,
        log_q - log_product,
        log_product - draws.log_prior,
    )
    return KLDecomposition(*(ops.mean(each, axis=0) for each in differences))


@keras.saving.register_keras_serializable(package="vae_keras")
class BetaTC(Objective):
    """<-ln p(x|z)>_q + KL(q(z|x) || p(z)) + (beta - 1) KL(q(z) || prod_j q(z_j)).

    It is the ELBO with beta as the weight of the total correlation alone, which asks for latents
    that are independent over the data and leaves each of them what it tells of x; the beta-VAE
    makes it all dear. The KL is in closed form, where there is one, and the total correlation is
    that of `kl_decomposition`. With beta of 1 or more, and the total correlation exact, minus the
    loss is a bound of ln p(x) on average over the data.

    All pairs of examples in the batch are compared, (num_samples, batch, batch, latent_dim).

    Args:
        num_data: the number of examples in the data set, 2 or more.
        beta: the weight of the total correlation, 0 or above.
        num_samples: the number of draws of z for each example.

    Raises:
        ValueError: if num_data is below 2 or beta negative, or at call time if the posterior's
            entries are not independent.

    Reference: Chen, Li, Grosse and Duvenaud (2018), Isolating sources of disentanglement in VAEs,
    equation 4.

    Example:
        >>> latents = Latents(lambda x: (x, 0 * x), lambda z: z, likelihood=Gaussian(scale=1.0))
        >>> draws = latents.draws(ops.ones((4, 2)), 1, seed=0)
        >>> objective = BetaTC(num_data=60_000, beta=6.0)
        >>> tuple(objective.call(draws).shape)
        (4,)
    """

    needs_factors = True

    def __init__(
        self, num_data: int, *, beta: float = 6.0, num_samples: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(num_samples, **kwargs)
        check_counts(2, num_data=num_data)
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be 0 or above and finite; got {beta}.")
        self.num_data, self.beta = num_data, beta

    def call(self, draws: Draws) -> Tensor:
        total_correlation = kl_decomposition(draws, self.num_data).total_correlation
        return draws.reconstruction + draws.kl + (self.beta - 1) * total_correlation

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_data": self.num_data, "beta": self.beta}


def _terms_of_pairs(draws):
    """ln q(z_j | x_m) for each z and every example, (num_samples, batch, batch, num_terms)."""
    q, batch = draws.latents.posterior, ops.shape(draws.log_q)[0] // draws.num_samples
    check_factors(q)
    rows = draws.num_samples * batch

    def of_each_z(a):  # (rows, ..) -> (rows * batch, ..)
        spread = ops.broadcast_to(a[:, None], (rows, batch, *a.shape[1:]))
        return ops.reshape(spread, (-1, *a.shape[1:]))

    def of_every_x(a):  # (batch, ..) -> (rows * batch, ..)
        spread = ops.broadcast_to(a[None], (rows, batch, *a.shape[1:]))
        return ops.reshape(spread, (-1, *a.shape[1:]))

    value = tree.map_structure(of_each_z, draws.value)
    terms = q.terms(tree.map_structure(of_every_x, draws.statistics), value)
    return ops.reshape(terms, (draws.num_samples, batch, batch, -1))


def _log_weights_of_pairs(shares, num_data):
    """ln of the weight of q(.|x_m) in the estimate of q at a z of example n, (batch, batch)."""
    others = shares * (1 - 1 / num_data)
    own = ops.where(ops.sum(shares, axis=-1) > 0, 1 / num_data, 1.0)
    index = ops.arange(ops.shape(shares)[0])
    return ops.log(ops.where(index[:, None] == index, own[:, None], others))
