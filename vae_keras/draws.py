"""Latent variables drawn from q(z|x) and the densities there: all that an objective is made of."""

import dataclasses
import functools
import math

from keras import ops, tree

LOG_2_PI = math.log(2 * math.pi)


def repeated(x, num_samples):
    """All examples num_samples times, one set after another.

    Args:
        x: tensor (batch, ..), or a nested structure of such tensors.
        num_samples: integer.

    Returns:
        (num_samples * batch, ..), in the structure of x.

    Example:
        >>> print(ops.convert_to_numpy(repeated(ops.arange(2), 3)))
        [0 1 0 1 0 1]
    """

    def copies(a):
        shape = ops.shape(a)
        return ops.reshape(ops.broadcast_to(a[None], (num_samples, *shape)), (-1, *shape[1:]))

    return x if num_samples == 1 else tree.map_structure(copies, x)


@dataclasses.dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """A batch's draws z ~ q(z|x) = N(mean, diag(exp(log_var))), with prior N(0, I).

    The densities are computed when they are first asked for. `dataclasses.replace` moves the draws
    or the posterior, which is how an objective stops gradients.

    Args:
        mean: of q(z|x), (batch, latent_dim), float32.
        log_var: of q(z|x), the same shape.
        z: the draws, (num_samples, batch, latent_dim).
        log_likelihood_at: function from z to ln p(x|z), (num_samples, batch), nats.
        kl_layer: function from (mean, log_var) to the KL from the prior, (batch,), nats.

    Reference: B14 and B18.

    Example:
        >>> zeros = ops.zeros((1, 2))
        >>> draws = PosteriorDraws(
        ...     zeros, zeros, ops.ones((3, 1, 2)), lambda z: -ops.sum(z, axis=-1), GaussianKL()
        ... )
        >>> [round(float(w), 4) for w in draws.log_weights[:, 0]]
        [-2.0, -2.0, -2.0]
    """

    mean: object
    log_var: object
    z: object
    log_likelihood_at: object
    kl_layer: object

    @functools.cached_property
    def log_likelihood(self):
        """ln p(x|z), (num_samples, batch)."""
        return self.log_likelihood_at(self.z)

    @functools.cached_property
    def reconstruction(self):
        """-ln p(x|z) averaged over the draws, (batch,)."""
        return -ops.mean(self.log_likelihood, axis=0)

    @functools.cached_property
    def kl(self):
        """KL(q(z|x) || p(z)) in closed form, (batch,)."""
        return self.kl_layer((self.mean, self.log_var))

    @functools.cached_property
    def log_joint(self):
        """ln p(x, z) = ln p(x|z) + ln p(z), (num_samples, batch)."""
        return self.log_likelihood - 0.5 * ops.sum(ops.square(self.z) + LOG_2_PI, axis=-1)

    @functools.cached_property
    def log_posterior(self):
        """ln q(z|x), (num_samples, batch)."""
        eps = (self.z - self.mean) * ops.exp(-0.5 * self.log_var)
        return -0.5 * ops.sum(ops.square(eps) + self.log_var + LOG_2_PI, axis=-1)

    @functools.cached_property
    def log_weights(self):
        """ln w = ln p(x, z) - ln q(z|x), (num_samples, batch)."""
        return self.log_joint - self.log_posterior
