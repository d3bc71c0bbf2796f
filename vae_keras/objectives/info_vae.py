"""The aggregate posterior held to the prior by a kernel: InfoVAE and Wasserstein autoencoders."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops, tree

from rbm_tf.shared.seeds import seed_of_keras
from rbm_tf.shared.types import Tensor
from vae_keras.objectives.bounds import Objective
from vae_keras.parts.draws import Draws
from vae_keras.shared.repeated import repeated

_KERNELS = {
    "rbf": lambda u: ops.exp(-u),
    "inverse_multiquadric": lambda u: 1 / (1 + u),
}


def mmd_terms(
    z: Tensor,
    other: Tensor,
    *,
    kernel: str = "inverse_multiquadric",
    scale: float = 1.0,
    shares: Tensor | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy of two sets of independent draws, as terms to average.

    MMD^2 = <k(z, z')> + <k(y, y')> - 2 <k(z, y)> is 0 where z and y have one distribution, and
    above 0 elsewhere, for the kernels exp(-u) ("rbf") and 1 / (1 + u) ("inverse_multiquadric") of
    u = |z - z'|^2 / (2 dim scale^2). The mean of the terms is the U-statistic over pairs n != m,

        term_n = 1/(num - 1) sum_(m != n) [k(z_n, z_m) + k(y_n, y_m) - k(z_n, y_m) - k(z_m, y_n)],

    which is unbiased, and so below 0 at times. A set of one has no pair; its term is 0.

    Args:
        z: draws of the one distribution, (.., num, dim).
        other: draws y of the other, the same shape.
        kernel: "rbf", or "inverse_multiquadric", whose tails reach draws far away.
        scale: the length of one dimension on which differences count, above 0; for N(0, I) at 1,
            u has the mean 1 whatever dim is.
        shares: (num, num), without a diagonal, in place of 1/(num - 1) for m != n: those of
            examples with weights, `Draws.shares_of_others`.

    Returns:
        (.., num), without unit.

    Raises:
        ValueError: if the kernel is unknown or the scale not above 0.

    Reference: Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), A kernel two-sample test,
    lemma 6.

    Example:
        >>> z, y = ops.array([[0.0], [1.0]]), ops.array([[0.0], [3.0]])
        >>> terms = mmd_terms(z, y)  # 1/(1 + 1/2) + 1/(1 + 9/2) - 1/(1 + 9/2) - 1/(1 + 1/2)
        >>> print(round(abs(float(terms[0])), 4))
        0.0
    """
    _check_kernel(kernel, scale)
    unit = 2 * z.shape[-1] * scale**2

    def between(a, b):  # (.., num, num)
        differences = ops.expand_dims(a, -2) - ops.expand_dims(b, -3)
        return _KERNELS[kernel](ops.sum(ops.square(differences), axis=-1) / unit)

    cross = between(z, other)
    pairs = between(z, z) + between(other, other) - cross - ops.swapaxes(cross, -1, -2)
    if shares is None:
        index = ops.arange(ops.shape(z)[-2])
        num_others = ops.maximum(ops.cast(ops.shape(z)[-2], pairs.dtype) - 1, 1)
        shares = ops.cast(index[:, None] != index, pairs.dtype) / num_others
    return ops.sum(ops.cast(shares, pairs.dtype) * pairs, axis=-1)


@keras.saving.register_keras_serializable(package="vae_keras")
class InfoVAE(Objective):
    """<-ln p(x|z)>_q + (1 - alpha) KL(q(z|x) || p(z)) + (alpha + lambda - 1) MMD^2(q(z), p(z)).

    The mean KL of the ELBO is the mutual information of x and z plus KL(q(z) || p(z)), where q(z)
    is the average of q(z|x) over the data. Whoever generates from the prior needs q(z) = p(z)
    alone; alpha leaves the information out of the price, and at alpha = 1 no single q(z|x) is drawn
    to the prior, only all together. That is the Wasserstein autoencoder, whose encoder may be
    deterministic: `Gaussian(temperature=0.0)`. At alpha = 0 and lambda = 1 it is the ELBO.

    MMD^2 is estimated by `mmd_terms` from pairs of different examples in the batch and as many
    draws of the prior, weighed as the examples are; batches of a hundred tell more than small ones.
    It compares values as networks see them. In training the draws of the prior are new ones at each
    step; where `draws.training` is False, as in evaluation, they are the same for every batch.

    This is no bound of ln p(x): MMD^2 is no quantity in nats, and the ELBO may fall as it improves.

    Args:
        alpha: how much of the KL is left out, at most 1.
        lambda_: the weight lambda; 1 - alpha or above.
        num_samples: the number of draws of z for each example.
        kernel: "inverse_multiquadric" or "rbf", as for `mmd_terms`.
        scale: the kernel's length for one latent dimension, as for `mmd_terms`: the standard
            deviation of the prior is a good one.
        seed: integer that fixes the draws of the prior; None gives others every time.

    Raises:
        ValueError: if a weight is negative, the kernel unknown, or the scale not above 0.

    Reference: Zhao, Song and Ermon (2019), InfoVAE: balancing learning and inference in variational
    autoencoders, equation 6; Tolstikhin, Bousquet, Gelly and Schoelkopf (2018), Wasserstein
    auto-encoders, algorithm 2.

    Example:
        >>> latents = Latents(lambda x: (x, 0 * x), lambda z: z, likelihood=Gaussian(scale=1.0))
        >>> draws = latents.draws(ops.ones((4, 2)), 1, seed=0)
        >>> elbo = InfoVAE(alpha=0.0, lambda_=1.0).call(draws)
        >>> bool(ops.all(elbo == ELBO().call(draws)))
        True
    """

    needs_density = False
    draws_prior = True

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        lambda_: float = 1000.0,
        num_samples: int = 1,
        kernel: str = "inverse_multiquadric",
        scale: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_samples, **kwargs)
        _check_kernel(kernel, scale)
        if not (alpha <= 1 and 0 <= alpha + lambda_ - 1 < math.inf):
            raise ValueError(
                "The KL's weight 1 - alpha and MMD's weight alpha + lambda_ - 1 must be 0 or above "
                f"and finite; got alpha {alpha} and lambda_ {lambda_}."
            )
        self.alpha, self.lambda_, self.kernel, self.scale = alpha, lambda_, kernel, scale
        self.seed = seed_of_keras(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, draws: Draws) -> Tensor:
        loss, weight = draws.reconstruction, self.alpha + self.lambda_ - 1
        if self.alpha != 1:  # at 1 there need be no density
            loss = loss + (1 - self.alpha) * draws.kl
        return loss + weight * self._mmd(draws) if weight else loss

    def _mmd(self, draws):
        """The terms of MMD^2, (batch,), averaged over the draws of each example."""
        prior, rows = draws.latents.prior_part, ops.shape(draws.log_q)[0]
        statistics = repeated(draws.prior_statistics, self.num_samples)
        seed = self.seed or 0 if draws.training is False else self.seed_generator
        value, _ = prior.draw(statistics, prior.noise(statistics, rows, seed))
        pair = (self._vectors(draws, each) for each in (draws.value, value))
        options = {"kernel": self.kernel, "scale": self.scale, "shares": draws.shares_of_others}
        return ops.mean(mmd_terms(*pair, **options), axis=0)

    def _vectors(self, draws, value):
        """What networks see of all latents, (num_samples, batch, dim)."""
        emitted = tree.flatten(draws.latents.posterior.emit(value))
        flat = [ops.reshape(a, (-1, math.prod(a.shape[1:]))) for a in emitted]
        joined = ops.concatenate(flat, axis=1) if len(flat) > 1 else flat[0]
        batch = ops.shape(joined)[0] // self.num_samples
        return ops.reshape(joined, (self.num_samples, batch, joined.shape[1]))

    def get_config(self) -> dict[str, Any]:
        own = {"alpha": self.alpha, "lambda_": self.lambda_, "kernel": self.kernel}
        return {**super().get_config(), **own, "scale": self.scale, "seed": self.seed}


def _check_kernel(kernel, scale):
    if kernel not in _KERNELS or not 0 < scale < math.inf:
        raise ValueError(
            f"Choose the kernel {' or '.join(map(repr, _KERNELS))} and a scale above 0; got "
            f"{kernel!r} and {scale}."
        )
