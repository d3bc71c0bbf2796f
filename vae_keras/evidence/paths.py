"""The path of densities over z from a base to the posterior of a model, and a walk along it.

f_beta(z) = b(z)^(1 - beta) p(x, z)^beta, where the base b is the prior or q(z|x). However the
latents are nested, chains walk in one real vector.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import tree

from rbm_tf.cumulants import weighted_cumulants
from rbm_tf.shared.log_weights import log_mean_exp
from rbm_tf.shared.progress import in_parts
from vae_keras.parts import Latents, data_of, latents_of
from vae_keras.shared.repeated import repeated

BASES = ("prior", "posterior")
_DRAWS = 100  # of the base and of q, whose standard deviation is the width
_TARGET = 0.65  # acceptance rate that step sizes are steered to
_LEAPFROG_STEPS = 2


class LatentPath(NamedTuple):
    """The model, the data with their statistics, and how wide both ends are; see `latent_path`."""

    latents: Latents
    base: str
    x: Any  # nested, (batch, ..)
    statistics: Any  # of q(z|x), (batch, ..)
    prior_statistics: Any
    like: Any  # one z as the parts take it, (1, ..)
    variances: list[tf.Tensor]  # of the base's draws and of q's, (batch, latent_dim)

    def draw(self, num_chains: int, seed: tf.Tensor) -> tf.Tensor:
        """Samples of the base, (num_chains, batch, latent_dim)."""
        return raveled(self._drawn(self.base, num_chains, seed), num_chains)

    def _drawn(self, end, num_samples, seed):
        generator = keras.random.SeedGenerator(0)
        generator.state.assign(tf.cast(seed, generator.state.dtype))
        part, statistics = self._end(end)
        rows = num_samples * tree.flatten(self.x)[0].shape[0]
        noise = part.noise(statistics, rows, generator)
        return part.draw(repeated(statistics, num_samples), noise)[0]

    def _end(self, end):
        if end == "prior":
            return self.latents.prior_part, self.prior_statistics
        return self.latents.posterior, self.statistics

    def repeated(self, num_chains: int) -> LatentPath:
        """The path with as many rows as there are chains of examples."""
        rows = self.x, self.statistics, self.prior_statistics
        x, statistics, prior_statistics = repeated(rows, num_chains)
        return self._replace(x=x, statistics=statistics, prior_statistics=prior_statistics)

    def width(self, beta: float | tf.Tensor) -> tf.Tensor:
        """The expected standard deviation of z at beta, (batch, latent_dim)."""
        of_base, of_q = self.variances
        return tf.math.rsqrt((1 - beta) / of_base + beta / of_q)


def latent_path(model: Any, x: Any, base: str) -> LatentPath:
    """The path of each example of x.

    Args:
        model: the `VAE`, or its `Latents`.
        x: data, nested (batch, ..).
        base: where the path begins, "prior" or "posterior".

    Returns:
        `LatentPath`.

    Raises:
        ValueError: if base is another, x is not what the model takes, or a latent is discrete.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> latent_path(vae, np.zeros((3, 64)), base="prior").draw(5, seed=(0, 0)).shape
        TensorShape([5, 3, 2])
    """
    if base not in BASES:
        raise ValueError(f"base must be one of {', '.join(BASES)}; got {base!r}.")
    latents = latents_of(model)
    if "discrete" in (latents.posterior.space, latents.prior_part.space):
        raise ValueError(
            "Annealing moves real-valued latents, and these are discrete, or hold discrete ones: "
            "sum over their states by vae_keras.parts.enumerated(model, x), or average "
            "log-weights, as evidence.iwae does."
        )
    x = data_of(model, x)
    statistics = latents.encoded(x)
    given = x, statistics, latents.prior_statistics(x, statistics)
    path = LatentPath(latents, base, *given, None, [])
    of_q = path._drawn("posterior", _DRAWS, (0, 0))
    of_base = of_q if base == "posterior" else path._drawn("prior", _DRAWS, (0, 1))
    variances = [tf.math.reduce_variance(raveled(z, _DRAWS), 0) for z in (of_base, of_q)]
    is_wide = (variances[1] > 0) & tf.math.is_finite(variances[1])
    variances[1] = tf.where(is_wide, variances[1], variances[0])  # of temperature 0
    return path._replace(like=tree.map_structure(lambda a: a[:1], of_q), variances=variances)


def raveled(value: Any, num_chains: int) -> tf.Tensor:
    """Nested latents as one vector for each chain and example.

    Args:
        value: nested tensors, (num_chains * batch, ..).
        num_chains: the number of chains.

    Returns:
        (num_chains, batch, latent_dim), float32.

    Example:
        >>> raveled({"a": tf.zeros((6, 2)), "b": tf.zeros((6, 3, 4))}, num_chains=2).shape
        TensorShape([2, 3, 14])
    """
    flat = [tf.reshape(a, (num_chains, -1, math.prod(a.shape[1:]))) for a in tree.flatten(value)]
    return tf.concat([tf.cast(a, tf.float32) for a in flat], -1)


def _nested(z, like):
    """The value that `raveled` made z of, (num_chains * batch, ..)."""
    flat, leaves = tf.reshape(z, (-1, z.shape[-1])), tree.flatten(like)
    parts = tf.split(flat, [math.prod(a.shape[1:]) for a in leaves], -1)
    pairs = zip(parts, leaves, strict=True)
    each = [tf.reshape(tf.cast(part, a.dtype), (-1, *a.shape[1:])) for part, a in pairs]
    return tree.pack_sequence_as(like, each)


def log_density(path: LatentPath, z: tf.Tensor, beta: float | tf.Tensor) -> tf.Tensor:
    """ln f_beta(z) = (1 - beta) ln b(z) + beta ln p(x, z).

    Args:
        path: the `LatentPath`, with as many rows as z has, num_chains times the batch.
        z: latent variables, (num_chains, batch, latent_dim).
        beta: the place on the path, a scalar from 0 to 1.

    Returns:
        (num_chains, batch), float32, nats.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> path = latent_path(vae, np.zeros((3, 64)), base="prior")
        >>> log_density(path, tf.ones((1, 3, 2)), 0.0).numpy().round(4)  # -|z|^2 / 2 - ln(2 pi)
        array([[-2.8379, -2.8379, -2.8379]], dtype=float32)
    """
    latents, value = path.latents, _nested(z, path.like)
    likelihood = latents.decoded(latents.posterior.emit(value), path.x)
    ratio = tf.cast(latents.scored(likelihood, path.x), tf.float32)  # ln p(x, z) - ln b(z)
    log_prior = latents.prior_part.log_prob(path.prior_statistics, value)
    log_base = log_prior = tf.cast(log_prior, tf.float32)
    if path.base == "posterior":
        log_base = tf.cast(latents.posterior.log_prob(path.statistics, value), tf.float32)
        ratio += log_prior - log_base
    return tf.reshape(log_base + beta * ratio, tf.shape(z)[:2])


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
        >>> run = anneal(path, schedule, path.draw(5, (0, 0)), seed=(0, 1))
        >>> [tuple(array.shape) for array in run]
        [(5, 3), (7, 3), (7, 3), (9, 3, 3)]
    """
    betas = schedule.betas
    path = path.repeated(z.shape[0])
    log_f = log_density(path, z, betas[0])
    log_weight = tf.zeros_like(log_f, tf.float64)
    walk = Walk(z, log_weight, log_f, tf.ones_like(log_f[0]))
    _moves.get_concrete_function(*_of_any_length(path, schedule, walk), _INDEX, _INDEX, _SEED)
    sizes: list[tf.Tensor] = []
    rates: list[tf.Tensor] = []
    curves: list[tf.Tensor] = []
    for part in in_parts(len(betas) - 2, "annealing", progress):
        walk, rows = _moves(path, schedule, walk, *map(tf.constant, part), seed)
        for parts, row in zip((sizes, rates, curves), rows, strict=True):
            parts.append(row)
    increment = log_density(path, walk.z, betas[-1]) - walk.log_f
    total = walk.log_weight + tf.cast(increment, tf.float64)
    log_ratio = tf.cast(increment / (betas[-1] - betas[-2]), tf.float64)
    curves.append(tf.stack([_averages(w, log_ratio) for w in (walk.log_weight, total)]))
    nothing = [tf.zeros((0, *log_f.shape[1:]))]
    return total, tf.concat(nothing + sizes, 0), tf.concat(nothing + rates, 0), tf.concat(curves, 0)


def _of_any_length(path, schedule, walk):
    """The arguments' types, so that one graph serves all numbers of chains, examples and steps."""

    def free(structure, num_axes=1):
        def spec(a):
            if not tf.is_tensor(a):
                return a
            num = min(num_axes, a.shape.rank)
            return tf.TensorSpec([None] * num + a.shape[num:], a.dtype)

        return tf.nest.map_structure(spec, structure)

    return free(path), free(schedule, 2), free(walk, 2)


_INDEX, _SEED = tf.TensorSpec((), tf.int32), tf.TensorSpec((2,), tf.int32)


@tf.function(autograph=False)
def _moves(path, schedule, walk, first, last, seed):
    """The moves from first on, without last: the walk, and step sizes, rates, averages of each."""
    betas = schedule.betas

    def step(index, walk, rows):
        size, beta = walk.factor * schedule.steps[index], betas[index + 1]
        step_seed = tf.random.fold_in(seed, index + 1)
        z, before, after, rate = _move(path, beta, walk.z, size, step_seed)
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
    log_mean = log_mean_exp(log_weight)
    return tf.concat([[log_mean], weighted_cumulants(log_ratio, log_weight, 2)], 0)


def _move(path, beta, z, size, seed):
    """Return z after one transition, ln f_beta before and after it, and the acceptance rate."""
    import tensorflow_probability as tfp  # not at once: it takes seconds

    seeds = tf.unstack(tf.random.split(seed))
    jitter = tf.random.stateless_uniform((), seeds[0], 0.7, 1.3)  # lest an orbit closes
    kernel = tfp.mcmc.HamiltonianMonteCarlo(
        lambda z: log_density(path, z, beta),
        jitter * size[:, tf.newaxis] * path.width(beta),
        _LEAPFROG_STEPS,
    )
    results = kernel.bootstrap_results(z)  # at this temperature, not the one before
    before = results.accepted_results.target_log_prob
    z, results = kernel.one_step(z, results, seed=seeds[1])
    rate = tf.exp(tf.minimum(results.log_accept_ratio, 0.0))
    rate = tf.reduce_mean(tf.where(tf.math.is_nan(rate), 0.0, rate), 0)
    return z, before, results.accepted_results.target_log_prob, rate
