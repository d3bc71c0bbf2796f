"""Annealed importance sampling of ln p(x), from the prior or q(z|x) to the posterior.

Along the path f_beta(z) = b(z)^(1 - beta) p(x, z)^beta from a normalised base b to the posterior,
whose normaliser at beta = 1 is p(x), chains move by Hamiltonian Monte Carlo, all images at once. A
log-weight adds up ln f_{beta_k}(z_{k-1}) - ln f_{beta_{k-1}}(z_{k-1}). Base, prior and likelihood
may be any parts with real values, chains of them too. It needs TensorFlow as the Keras backend, and
says so on others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from rbm_tf.cumulants.path import LambdaPath
from rbm_tf.estimates import LogZEstimate, Verdict, estimate_log_z
from rbm_tf.shared.betas import checked_betas
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from vae_keras.evidence.paths import Schedule, anneal, latent_path, raveled
from vae_keras.parts import data_of
from vae_keras.shared.nested_data import as_data, examples

_PILOT_CHAINS = 8
_GAIN = 0.1
_WARM_UP = 30  # moves near the base, before the pilot run
_BLOCK = 2**22  # pixels decoded at once


@dataclass(frozen=True, eq=False)
class AnnealedEstimate(LogZEstimate):
    """`LogZEstimate` of ln p(x) of each example, and how well its chains moved.

    The mean acceptance rate of every image should lie between 0.4 and 0.9.
    """

    acceptance: np.ndarray | None = None  # (num_betas - 2, batch), of each move


def ais(
    model: Any,
    x: Any,
    *,
    num_chains: int = 50,
    betas: ArrayLike | None = None,
    base: str = "prior",
    progress: bool = True,
    seed: int | None = None,
) -> AnnealedEstimate:
    """Estimate ln p(x) by annealed importance sampling from the base to the posterior: <w> = p(x).

    p(x) is estimated without bias; log_z = ln <w> therefore lies below ln p(x) on average. The step
    sizes come from a pilot run, separate for each image and temperature.

    Args:
        model: the `VAE`, or `Latents` of any parts with real values.
        x: data, nested (batch, ..).
        num_chains: the number of independent chains for each example.
        betas: the path, (num_betas,), increasing from 0 to 1; the default is 1,001 equal steps.
        base: where the path starts: "prior", or "posterior" for q(z|x), which is nearer but may
            miss what q misses.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `AnnealedEstimate`.

    Raises:
        ValueError: if betas do not increase from 0 to 1, num_chains is below 1, base is another, x
            is not what the model takes, or latents are discrete: `vae_keras.parts.enumerated` sums
            over those.
        NotImplementedError: on another backend than TensorFlow.

    Reference: Neal (2001), Annealed importance sampling; Wu, Burda, Salakhutdinov and Grosse
    (2017), On the quantitative analysis of decoder-based generative models.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> run = ais(vae, ops.zeros((3, 64)), num_chains=5, betas=[0, 0.5, 1], seed=0)
        >>> run.log_z.shape, run.log_weights.shape
        ((3,), (5, 3))
    """
    check_counts(num_chains=num_chains)
    betas = checked_betas(betas, "float32")
    log_weights, acceptance, _ = _in_blocks(
        model, x, num_chains, betas, (base, None), progress, seed
    )
    return AnnealedEstimate(**vars(estimate_log_z(log_weights)), acceptance=acceptance)


def ais_path(
    model: Any,
    x: Any,
    *,
    num_chains: int = 50,
    lambdas: ArrayLike | None = None,
    progress: bool = True,
    seed: int | None = None,
) -> LambdaPath:
    """The lambda path from q(z|x) to the posterior, its averages from annealed chains.

    F(lambda) = -ln <w^lambda>_q and the mean and variance of V = -ln w under the distribution
    tilted to lambda, q(z|x) w^lambda. Chains that follow it stay near it, whereas samples of q,
    in `rbm_tf.cumulants.path.lambda_path`, lose their weight as lambda grows.

    Args:
        model: the `VAE`, or `Latents` of any parts with real values.
        x: data, nested (batch, ..).
        num_chains: the number of independent chains for each example.
        lambdas: the path, (num_lambdas,), increasing from 0 to 1; the default is 1,001 equal steps.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same path.

    Returns:
        `LambdaPath` of arrays (num_lambdas, batch), float64; minus the last free energy is
        ln p(x).

    Raises:
        ValueError: if lambdas do not increase from 0 to 1, or num_chains is below 1.
        NotImplementedError: on another backend than TensorFlow.

    Reference: B19 and B20; Neal (2001).

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> path = ais_path(vae, ops.zeros((3, 64)), num_chains=5, lambdas=[0, 0.5, 1], seed=0)
        >>> path.mean.shape
        (3, 3)
    """
    check_counts(num_chains=num_chains)
    lambdas = checked_betas(lambdas, "float32")
    curve = _in_blocks(model, x, num_chains, lambdas, ("posterior", None), progress, seed)[2]
    return LambdaPath(lambdas.numpy(), -curve[:, 0], -curve[:, 1], curve[:, 2])


def reverse_ais(
    model: Any,
    x: Any,
    z: Any,
    *,
    betas: ArrayLike | None = None,
    base: str = "prior",
    progress: bool = True,
    seed: int | None = None,
) -> AnnealedEstimate:
    """Estimate ln p(x) by annealing exact posterior samples z back to the base: <1/w> = 1/p(x).

    log_z = -ln <1/w> is above ln p(x) on average, so that with `ais` it brackets ln p(x). Exact
    posterior samples come with simulated data, `x, z = vae.sample(num_samples)`.

    Args:
        model: the `VAE`, or `Latents` of any parts with real values.
        x: simulated data, nested (batch, ..).
        z: the latent variables that x came from, as their parts draw them: (batch, latent_dim), of
            a `Chain` a dict by name; or with several chains in front, (num_chains, batch, ..).
        betas: the path, (num_betas,), increasing from 0 to 1, and walked backwards; the default is
            1,001 equal steps.
        base: where the path ends: "prior" or "posterior".
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `AnnealedEstimate`.

    Raises:
        ValueError: if betas do not increase from 0 to 1, z does not fit, or base is another.
        NotImplementedError: on another backend than TensorFlow.

    Reference: Grosse, Ghahramani and Adams (2015), Sandwiching the marginal likelihood using
    bidirectional Monte Carlo; Wu et al. (2017).

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> x, z = vae.sample(3, seed=0)
        >>> reverse_ais(vae, x, z, betas=[0, 0.5, 1], seed=0).log_weights.shape
        (1, 3)
    """
    _check_backend()
    z = _chains(model, x, z)
    betas = checked_betas(betas, "float32")
    log_weights, acceptance, _ = _in_blocks(model, x, z.shape[0], betas, (base, z), progress, seed)
    estimate = estimate_log_z(log_weights, reverse=True)
    return AnnealedEstimate(**vars(estimate), acceptance=acceptance)


def bracket_verdict(forward: LogZEstimate, reverse: LogZEstimate) -> Verdict:
    """Judge forward and reverse estimates of the same simulated data by each other.

    They bracket ln p(x) on average, so their mean gap is at least as large as the mean error of
    either.

    Args:
        forward: the estimate by `ais`.
        reverse: the estimate by `reverse_ais` for the same data.

    Returns:
        `Verdict` with the sign "gap", reverse - forward in nats, mean over images: trusted if it is
        at most 1, and not below 0 by more than 3 standard errors.

    Raises:
        ValueError: if the two are not of as many images.

    Example:
        >>> forward, reverse = LogZEstimate(np.full(3, -7.1)), LogZEstimate(np.full(3, -7.0))
        >>> bracket_verdict(forward, reverse).message
        'Forward and reverse bracket ln p(x) to 0.100 nats on average over 3 images.'
    """
    lower, upper = np.atleast_1d(forward.log_z, reverse.log_z)
    if lower.shape != upper.shape:
        raise ValueError(f"Both must be of the same images; got {lower.shape} and {upper.shape}.")
    gaps = upper - lower
    gap, num = float(gaps.mean()), len(gaps)
    error = gaps.std(ddof=1) / np.sqrt(num) if num > 1 else 0.0
    trusted = bool(-3 * error - 1e-3 <= gap <= 1)  # false for NaN
    if trusted:
        message = (
            f"Forward and reverse bracket ln p(x) to {gap:.3f} nats on average over {num} images."
        )
    elif gap < 0:
        message = f"Do not trust this: upper minus lower is {gap:.3f} nats: is z that of x?"
    else:
        message = f"Do not trust this: {gap:.2f} nats between the bounds: use more temperatures."
    return Verdict(trusted, message, {"gap": gap})


def _check_backend():
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            "Annealing needs Keras on TensorFlow (KERAS_BACKEND=tensorflow); this is "
            f"{keras.backend.backend()}. log_weights with evidence.iwae works on every backend."
        )


def _chains(model, x, z):
    """Exact posterior samples as walks take them, (num_chains, batch, latent_dim)."""
    x, batch = as_data(data_of(model, x))
    like = latent_path(model, examples(x, 0, 1), "prior").like
    z = float_tensor(z) if tf.is_tensor(like) else tree.map_structure(float_tensor, z)
    shapes = [(batch, *a.shape[1:]) for a in tree.flatten(like)]
    given = [tuple(a.shape) for a in tree.flatten(z)]
    several = [
        shape if len(shape) > len(s) else (1, *shape)
        for shape, s in zip(given, shapes, strict=False)
    ]
    num_chains = several[0][0]
    if _names(z) != _names(like) or several != [(num_chains, *s) for s in shapes]:
        raise ValueError(
            f"z must have shape {', '.join(map(str, shapes))}, one for each x, or have chains in "
            f"front of it; got {', '.join(map(str, given))}."
        )
    rows = [tf.reshape(a, (-1, *s[1:])) for a, s in zip(tree.flatten(z), shapes, strict=True)]
    return raveled(rows, num_chains)


def _names(structure):
    return [path for path, _ in tree.flatten_with_path(structure)]


def _in_blocks(model, x, num_chains, betas, start, progress, seed):
    """Anneal a block of images after the other; start is a base, and the z of a reverse walk.

    Returns log-weights, acceptance rates, and the averages of `anneal` from beta 0 to 1.
    """
    _check_backend()
    base, z = start
    x, num = as_data(data_of(model, x))
    pixels = sum(math.prod(array.shape[1:]) for array in tree.flatten(x))
    block = max(1, _BLOCK // (num_chains * max(1, pixels)))
    runs = []
    for first in range(0, num, block):
        path = latent_path(model, examples(x, first, first + block), base)
        seeds = tf.unstack(tf.random.split(tf.random.fold_in(as_seed(seed), first), 4))
        chosen = _pilot(path, betas, progress, seeds[:2])
        if z is None:
            z_base = path.draw(num_chains, seeds[2])
            run = anneal(path, chosen, z_base, progress=progress, seed=seeds[3])
        else:
            back = chosen._replace(betas=betas[::-1], steps=chosen.steps[::-1])
            z_exact = z[:, first : first + block]
            log_weights, _, rates, curve = anneal(
                path, back, z_exact, progress=progress, seed=seeds[3]
            )
            run = -log_weights, None, rates[::-1], curve[::-1]
        runs.append([run[0].numpy(), run[2].numpy(), run[3].numpy()])
    return [np.concatenate(parts, -1) for parts in zip(*runs, strict=True)]


def _pilot(path, betas, progress, seeds):
    """The schedule with the step sizes that a run of a few chains ended up with.

    It begins with those that moves near the base settle at where they are below a width, which
    knows of no correlations.
    """
    z, num, batch = path.draw(_PILOT_CHAINS, seeds[0]), len(betas) - 2, len(path.variances[0])
    gain, ones = tf.constant(_GAIN), tf.ones((_WARM_UP, batch))
    near = Schedule(betas[1] * tf.linspace(0.0, 1.0, _WARM_UP + 2), ones, gain)
    warm_up_seed = tf.random.fold_in(seeds[1], _WARM_UP)
    settled = anneal(path, near, z, progress=False, seed=warm_up_seed)[1] if num else ones
    adaptive = Schedule(betas, tf.repeat(tf.minimum(settled[-1:], 1.0), num, 0), gain)
    steps = anneal(path, adaptive, z, progress=progress, seed=seeds[1])[1]
    return Schedule(betas, steps, tf.constant(0.0))
