"""The path of densities over z from a base to the posterior of a VAE, and a walk along it.

f_beta(z) = b(z)^(1 - beta) p(x, z)^beta, where the base b is the prior or q(z|x). Densities leave
out the factor (2 pi)^(-latent_dim / 2), which all of them share.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.cumulants import weighted_cumulants
from rbm_tf.shared.progress import in_parts
from rbm_tf.shared.types import ArrayLike

BASES = ("prior", "posterior")
_TARGET = 0.65  # acceptance rate that step sizes are steered to
_LEAPFROG_STEPS = 2


class LatentPath(NamedTuple):
    """The data, the base b(z), a Gaussian, and the width of q(z|x); see `latent_path`."""

    x: tf.Tensor  # (batch, ..)
    mean: tf.Tensor  # of b, (batch, latent_dim)
    log_var: tf.Tensor
    posterior_log_var: tf.Tensor

    def draw(self, num_chains: int, seed: tf.Tensor) -> tf.Tensor:
        """Samples of the base, (num_chains, batch, latent_dim)."""
        eps = tf.random.stateless_normal((num_chains, *self.mean.shape), seed)
        return self.mean + tf.exp(0.5 * self.log_var) * eps

    def width(self, beta: float | tf.Tensor) -> tf.Tensor:
        """The expected standard deviation of z at beta, (batch, latent_dim)."""
        precisions = tf.exp(-self.log_var), tf.exp(-self.posterior_log_var)
        return tf.math.rsqrt((1 - beta) * precisions[0] + beta * precisions[1])


def latent_path(vae: keras.Model, x: ArrayLike, base: str) -> LatentPath:
    """The path of each example of x.

    Args:
        vae: the `VAE`.
        x: data, (batch, ..).
        base: where the path begins, "prior" or "posterior".

    Returns:
        `LatentPath`.

    Raises:
        ValueError: if base is another.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> latent_path(vae, np.zeros((3, 64)), base="prior").draw(5, seed=(0, 0)).shape
        TensorShape([5, 3, 2])
    """
    if base not in BASES:
        raise ValueError(f"base must be one of {', '.join(BASES)}; got {base!r}.")
    mean, log_var = (tf.cast(a, tf.float32) for a in vae.encode(x))
    zeros = tf.zeros_like(mean)
    ends = (zeros, zeros) if base == "prior" else (mean, log_var)
    return LatentPath(tf.cast(x, tf.float32), *ends, log_var)


def log_density(
    vae: keras.Model, path: LatentPath, z: tf.Tensor, beta: float | tf.Tensor
) -> tf.Tensor:
    """ln f_beta(z) = (1 - beta) ln b(z) + beta ln p(x, z).

    Args:
        vae: the `VAE`.
        path: the `LatentPath`.
        z: latent variables, (num_chains, batch, latent_dim); path.x has as many rows, num_chains
            times the batch.
        beta: the place on the path, a scalar from 0 to 1.

    Returns:
        (num_chains, batch), float32, nats.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> path = latent_path(vae, np.zeros((3, 64)), base="prior")
        >>> log_density(vae, path, tf.ones((1, 3, 2)), 0.0).numpy()  # -|z|^2 / 2
        array([[-1., -1., -1.]], dtype=float32)
    """
    distance = tf.square(z - path.mean) * tf.exp(-path.log_var)
    log_base = -0.5 * tf.reduce_sum(distance + path.log_var, -1)
    log_prior = -0.5 * tf.reduce_sum(tf.square(z), -1)
    loss = vae.likelihood.call(path.x, vae.decoder(tf.reshape(z, (-1, vae.latent_dim))))
    # loss: (num_chains * batch,); log_joint: (num_chains, batch)
    log_joint = log_prior - tf.reshape(tf.cast(loss, tf.float32), tf.shape(z)[:2])
    return log_base + beta * (log_joint - log_base)


class Schedule(NamedTuple):
    """What the chains do at each temperature; see `anneal`."""

    betas: tf.Tensor  # from 0 to 1 or back, (num_betas,)
    steps: tf.Tensor  # step sizes in widths of the path, (num_betas - 2, batch)
    gain: tf.Tensor  # change of ln step size for an acceptance rate that is wrong by 1


class Walk(NamedTuple):
    """Where the chains of `anneal` are, between two moves."""

    z: tf.Tensor  # (num_chains, batch, latent_dim)
    log_weight: tf.Tensor  # the sum of ln f_{beta_k} - ln f_{beta_{k-1}}, float64, as log_f
    log_f: tf.Tensor  # ln f_{beta_k}(z), (num_chains, batch)
    factor: tf.Tensor  # of the step sizes, (batch,)


def anneal(
    vae: keras.Model,
    path: LatentPath,
    schedule: Schedule,
    z: tf.Tensor,
    *,
    progress: bool = True,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Walk along betas by Hamiltonian Monte Carlo, one move at each but the first and the last.

    Step sizes that adapt, gain above 0, bias the weights a little: use those of a pilot walk in a
    second one with gain 0.

    Args:
        vae: the `VAE`.
        path: the `LatentPath`.
        schedule: what the chains do at each temperature, a `Schedule`.
        z: where the chains start, (num_chains, batch, latent_dim).
        progress: whether to show a progress bar, which appears after two seconds.
        seed: (2,) int32 tensor that fixes the draws.

    Returns:
        The sum of ln f_{beta_k} - ln f_{beta_{k-1}}, float64 (num_chains, batch); step sizes and
        acceptance rates of every move, both (num_betas - 2, batch); and at every temperature the
        logarithm of the mean weight, and mean and variance of ln p(x, z) - ln b(z) with the
        weights, float64 (num_betas, 3, batch).

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> path = latent_path(vae, np.zeros((3, 64)), base="prior")
        >>> schedule = Schedule(tf.linspace(0.0, 1.0, 9), tf.ones((7, 3)), tf.constant(0.1))
        >>> run = anneal(vae, path, schedule, path.draw(5, (0, 0)), seed=(0, 1))
        >>> [tuple(array.shape) for array in run]
        [(5, 3), (7, 3), (7, 3), (9, 3, 3)]
    """
    betas = schedule.betas
    copies = (z.shape[0],) + (1,) * (path.x.shape.rank - 1)
    path = path._replace(x=tf.tile(path.x, copies))  # as many rows as z has chains of examples
    log_f = log_density(vae, path, z, betas[0])
    log_weight = tf.zeros_like(log_f, tf.float64)
    walk = Walk(z, log_weight, log_f, tf.ones_like(log_f[0]))
    sizes: list[tf.Tensor] = []
    rates: list[tf.Tensor] = []
    curves: list[tf.Tensor] = []
    for part in in_parts(len(betas) - 2, "annealing", progress):
        walk, rows = _moves(vae, path, schedule, walk, *map(tf.constant, part), seed)
        for parts, row in zip((sizes, rates, curves), rows, strict=True):
            parts.append(row)
    increment = log_density(vae, path, walk.z, betas[-1]) - walk.log_f
    total = walk.log_weight + tf.cast(increment, tf.float64)
    log_ratio = tf.cast(increment / (betas[-1] - betas[-2]), tf.float64)
    curves.append(tf.stack([_averages(w, log_ratio) for w in (walk.log_weight, total)]))
    nothing = [tf.zeros((0, *log_f.shape[1:]))]
    return total, tf.concat(nothing + sizes, 0), tf.concat(nothing + rates, 0), tf.concat(curves, 0)


@tf.function(reduce_retracing=True)
def _moves(vae, path, schedule, walk, first, last, seed):
    """The moves from first on, without last: the walk, and step sizes, rates, averages of each."""
    betas = schedule.betas

    def step(index, walk, rows):
        size, beta = walk.factor * schedule.steps[index], betas[index + 1]
        step_seed = tf.random.fold_in(seed, index + 1)
        z, before, after, rate = _move(vae, path, beta, walk.z, size, step_seed)
        increment = before - walk.log_f
        log_ratio = tf.cast(increment / (beta - betas[index]), tf.float64)
        row = size, rate, _averages(walk.log_weight, log_ratio)
        rows = tuple(r.write(index - first, a) for r, a in zip(rows, row, strict=True))
        log_weight = walk.log_weight + tf.cast(increment, tf.float64)
        factor = walk.factor * tf.exp(schedule.gain * (rate - _TARGET))
        return index + 1, Walk(z, log_weight, after, factor), rows

    dtypes = walk.factor.dtype, walk.factor.dtype, tf.float64
    rows = tuple(tf.TensorArray(dtype, last - first) for dtype in dtypes)
    loop = tf.while_loop(lambda index, *_: index < last, step, (first, walk, rows))
    return loop[1], tuple(r.stack() for r in loop[2])


def _averages(log_weight, log_ratio):
    """The logarithm of the mean weight, and the weighted mean and variance of a log-ratio."""
    log_mean = tfp.math.reduce_logmeanexp(log_weight, 0)
    return tf.concat([[log_mean], weighted_cumulants(log_ratio, log_weight, 2)], 0)


def _move(vae, path, beta, z, size, seed):
    """Return z after one transition, ln f_beta before and after it, and the acceptance rate."""
    seeds = tf.unstack(tf.random.split(seed))
    jitter = tf.random.stateless_uniform((), seeds[0], 0.7, 1.3)  # lest an orbit closes
    kernel = tfp.mcmc.HamiltonianMonteCarlo(
        lambda z: log_density(vae, path, z, beta),
        jitter * size[:, tf.newaxis] * path.width(beta),
        _LEAPFROG_STEPS,
    )
    results = kernel.bootstrap_results(z)  # at this temperature, not the one before
    before = results.accepted_results.target_log_prob
    z, results = kernel.one_step(z, results, seed=seeds[1])
    rate = tf.exp(tf.minimum(results.log_accept_ratio, 0.0))
    rate = tf.reduce_mean(tf.where(tf.math.is_nan(rate), 0.0, rate), 0)
    return z, before, results.accepted_results.target_log_prob, rate
