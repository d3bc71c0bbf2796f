"""Latent variables drawn from q(z|x) and the densities there: all that an objective is made of."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

from keras import ops

from rbm_tf.shared.types import Tensor

LOG_2_PI = math.log(2 * math.pi)
_STEEPEST = 35.0  # ln of the largest d eps / dz that gradients follow: no z of size 1 resolves it


@dataclasses.dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """A batch's draws z ~ q(z|x) = N(mean, diag(exp(log_var))), with prior N(0, I).

    The densities are computed when they are first asked for. They are pathwise: eps, the noise that
    was drawn, is a constant to gradients, and z moves with mean and log_var. `fixed` and
    `along_path` are the same draws with other gradients, which is all that an objective changes.

    ln q(z|x) is computed from eps. Recovering it as (z - mean) exp(-log_var / 2) loses its digits
    where q is narrower than z is rounded to.

    Args:
        mean: the mean of q(z|x), (batch, latent_dim), float32 or wider.
        log_var: the logarithm of its variance, the same shape.
        z: the draws, (num_samples, batch, latent_dim).
        eps: the noise (z - mean) exp(-log_var / 2) as it was drawn, the shape of z.
        log_likelihood_at: function that maps z to ln p(x|z), (num_samples, batch), nats.
        kl_layer: function that maps (mean, log_var) to the KL from the prior, (batch,), nats.

    Reference: B14 and B18.

    Example:
        >>> zeros, ones = ops.zeros((1, 2)), ops.ones((3, 1, 2))
        >>> draws = PosteriorDraws(
        ...     zeros, zeros, ones, ones, lambda z: -ops.sum(z, axis=-1), GaussianKL()
        ... )
        >>> [round(float(w), 4) for w in draws.log_weights[:, 0]]
        [-2.0, -2.0, -2.0]
    """

    mean: Tensor
    log_var: Tensor
    z: Tensor
    eps: Tensor
    log_likelihood_at: Callable[[Tensor], Tensor]
    kl_layer: Callable[[tuple[Tensor, Tensor]], Tensor]

    def fixed(self) -> PosteriorDraws:
        """The same draws for gradients at fixed z: ln q moves with mean and log_var, z does not."""
        narrowing = ops.exp(-0.5 * _change(self.log_var))  # 1
        eps = ops.stop_gradient(self.eps) * narrowing - _change(self.mean) * self._precision_root
        return dataclasses.replace(self, z=ops.stop_gradient(self.z), eps=eps)

    def along_path(self, scale: Tensor) -> PosteriorDraws:
        """The same draws for gradients through z alone, times a scale; q's parameters are fixed.

        Args:
            scale: the factor of each draw's gradient, (num_samples, batch).

        Returns:
            `PosteriorDraws` of the same values.
        """
        stop, step = ops.stop_gradient, scale[..., None] * _change(self.z)  # 0
        return dataclasses.replace(
            self,
            mean=stop(self.mean),
            log_var=stop(self.log_var),
            z=stop(self.z) + step,
            eps=stop(self.eps) + step * self._precision_root,
        )

    @property
    def _precision_root(self):
        """d eps / dz = exp(-log_var / 2), held at what float32 can square."""
        return ops.exp(ops.minimum(-0.5 * ops.stop_gradient(self.log_var), _STEEPEST))

    @functools.cached_property
    def log_likelihood(self) -> Tensor:
        """ln p(x|z), (num_samples, batch), nats."""
        return self.log_likelihood_at(self.z)

    @functools.cached_property
    def reconstruction(self) -> Tensor:
        """-ln p(x|z) averaged over the draws, (batch,), nats."""
        return -ops.mean(self.log_likelihood, axis=0)

    @functools.cached_property
    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)) in closed form, (batch,), nats."""
        return self.kl_layer((self.mean, self.log_var))

    @functools.cached_property
    def log_joint(self) -> Tensor:
        """ln p(x, z) = ln p(x|z) + ln p(z), (num_samples, batch), nats."""
        return self.log_likelihood - 0.5 * ops.sum(ops.square(self.z) + LOG_2_PI, axis=-1)

    @functools.cached_property
    def log_posterior(self) -> Tensor:
        """ln q(z|x), (num_samples, batch), nats."""
        return -0.5 * ops.sum(ops.square(self.eps) + self.log_var + LOG_2_PI, axis=-1)

    @functools.cached_property
    def log_weights(self) -> Tensor:
        """ln w = ln p(x, z) - ln q(z|x), (num_samples, batch), nats."""
        return self.log_joint - self.log_posterior


def _change(x):
    """Zero, with the gradient of x."""
    return x - ops.stop_gradient(x)
