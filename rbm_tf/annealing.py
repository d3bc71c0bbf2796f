"""Annealed importance sampling of ln Z, from an independent base to the RBM and back.

A log-weight adds up F_{beta_{k-1}}(v_{k-1}) - F_{beta_k}(v_{k-1}) along the path of
`rbm_tf.tempered_path`, each term at the state that was drawn at the previous temperature. Memory
does not depend on the number of temperatures. In the scope of a `tf.distribute` strategy each
replica walks its share of the chains, with draws of its own.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import tensorflow as tf

from rbm_tf.estimates import LogZEstimate, Verdict, estimate_log_z
from rbm_tf.machine import machine_of
from rbm_tf.shared.betas import checked_betas
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.progress import in_parts
from rbm_tf.shared.replicas import of_all_shares, own_seed, own_share, shared_out
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.stability import largest_coupling
from rbm_tf.tempered_path import PairPath, TemperedPath, pair_path, tempered_path


def ais(
    rbm: RBMLike,
    *,
    num_chains: int = 100,
    betas: ArrayLike | None = None,
    base: str | ArrayLike = "data",
    progress: bool = True,
    seed: int | None = None,
) -> LogZEstimate:
    """Estimate ln Z by annealed importance sampling from the base to the RBM.

    Z is estimated without bias; log_z therefore lies below ln Z on average. Between two layers of
    unbounded units the weights may have an infinite variance: see `variance_verdict`, of which a
    warning reminds.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        num_chains: the number of independent chains.
        betas: the path, (num_betas,), increasing from 0 to 1; the default is 1,001 equal steps.
        base: where the path begins, as `tempered_path` takes it.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `LogZEstimate`: each log-weight is one chain's estimate of ln Z, and log_z their
        log-mean-exp.

    Raises:
        ValueError: if betas do not increase from 0 to 1, or the base does not fit.

    Reference: Neal (2001), Annealed importance sampling; Salakhutdinov and Murray (2008), On the
    quantitative analysis of deep belief networks.

    Example:
        >>> estimate = ais(BernoulliRBM(6, 4, seed=0), num_chains=50, seed=0)
    """
    check_counts(num_chains=num_chains)
    betas = checked_betas(betas, machine_of(rbm).dtype)
    path = tempered_path(rbm, base=base)  # which refuses an RBM without Z
    variance = variance_verdict(rbm, betas)
    if not variance.trusted:
        warnings.warn(variance.message, stacklevel=2)
    start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
    v = path.sample_base(num_chains, start_seed)
    return estimate_log_z(path.base_log_z + _walk(path, betas, v, chain_seed, progress))


def reverse_ais(
    rbm: RBMLike,
    samples: ArrayLike,
    *,
    betas: ArrayLike | None = None,
    base: str | ArrayLike = "data",
    progress: bool = True,
    seed: int | None = None,
) -> LogZEstimate:
    """Estimate ln Z by annealing samples of the RBM back to the base.

    1/Z is estimated without bias; log_z therefore lies above ln Z on average, if the samples really
    come from the model. Forward and reverse estimates that agree bracket ln Z.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        samples: visible states that were drawn from the model, one for each chain,
            (num_chains, num_visible).
        betas: the path, (num_betas,), increasing from 0 to 1, and walked backwards; the default is
            1,001 equal steps.
        base: where the path begins, as `tempered_path` takes it.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `LogZEstimate`: each log-weight is one chain's estimate of ln Z, and log_z is
        -log-mean-exp(-log_weights).

    Raises:
        ValueError: if betas do not increase from 0 to 1, or a shape does not fit.

    Reference: Burda, Grosse and Salakhutdinov (2015), Accurate and conservative estimates of MRF
    log-likelihood using reverse annealing.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = reverse_ais(rbm, rbm.sample(50, seed=0), seed=1)
    """
    betas = checked_betas(betas, machine_of(rbm).dtype)
    path = tempered_path(rbm, base=base)
    v = _checked_samples(rbm, samples)
    log_weights = path.base_log_z - _walk(path, betas[::-1], v, as_seed(seed), progress)
    return estimate_log_z(log_weights, reverse=True)


def log_z_ratio(
    rbm: RBMLike,
    samples: ArrayLike,
    other: RBMLike,
    *,
    betas: ArrayLike | None = None,
    progress: bool = True,
    seed: int | None = None,
) -> LogZEstimate:
    """Estimate ln Z of another RBM less that of this one, by annealing between the two.

    The difference of their mean log-likelihoods follows without either ln Z. For models that are
    alike it is far more accurate than two separate estimates.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        samples: visible states that were drawn from rbm, one for each chain,
            (num_chains, num_visible).
        other: another RBM with the same visible units, and hidden units of the same kind; their
            number may differ.
        betas: the path, (num_betas,), increasing from 0 to 1; the default is 1,001 equal steps.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `LogZEstimate` of the difference other - rbm: each log-weight is one chain's estimate.

    Raises:
        ValueError: if betas do not increase from 0 to 1, or a shape does not fit.

    Reference: Salakhutdinov and Murray (2008), section 4.1, with two RBMs as the ends.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> abs(log_z_ratio(rbm, rbm.sample(50, seed=0), rbm, seed=1).log_z) < 1e-5
        True
    """
    betas = checked_betas(betas, machine_of(rbm).dtype)
    v = _checked_samples(rbm, samples)
    path = pair_path(rbm, other)
    return estimate_log_z(path.constant + _walk(path, betas, v, as_seed(seed), progress))


def variance_verdict(rbm: RBMLike, betas: ArrayLike) -> Verdict:
    """Judge whether the weights of `ais` have a finite variance, before any of them is drawn.

    The square of the weight exp(F_old - F_new) of a step has a finite mean only if F_new grows fast
    enough beside F_old: between Gaussian layers if, and with rectified units at least if,
    (2 beta_new^2 - beta_old^2) lambda_max(K) < 1. Standard errors and effective sample sizes of
    finitely many chains do not show such a variance. Smaller steps near beta = 1 mend it.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        betas: the path, (num_betas,), increasing from 0 to 1.

    Returns:
        `Verdict` with the signs "largest_coupling", lambda_max(K), and "largest_step", the largest
        of the products above; both 0 if a layer is bounded, where every weight is.

    Reference: units with U = g t^2/2; Neal (2001) for the weights.

    Example:
        >>> layers = units.Gaussian(1), units.Gaussian(1)
        >>> rbm = RBM.from_parameters(*layers, [[0.8]], [0.0], [0.0])
        >>> variance_verdict(rbm, [0, 1]).trusted, variance_verdict(rbm, [0, 0.5, 0.9, 1]).trusted
        (False, True)
    """
    betas, coupling = np.asarray(betas, float), largest_coupling(rbm)
    step = float(np.max(2 * betas[1:] ** 2 - betas[:-1] ** 2) * coupling)
    signs = {"largest_coupling": coupling, "largest_step": step}
    if step < 1:
        return Verdict(True, "The weights have a finite variance.", signs)
    remedy = "take more betas near 1, or tempering with mbar"
    if coupling >= 1:
        remedy = (
            "Z is infinite between Gaussian layers, or without negative weights, and may be so "
            "otherwise: make the kernel smaller"
        )
    message = (
        "Do not trust the standard error of these weights: their variance may be infinite, since "
        f"(2 beta_new^2 - beta_old^2) lambda_max(K) reaches {step:.3f}, and lambda_max(K) is "
        f"{coupling:.3f}: {remedy}."
    )
    return Verdict(False, message, signs)


def choose_betas(
    rbm: RBMLike,
    *,
    num_betas: int = 1001,
    num_chains: int = 50,
    base: str | ArrayLike = "data",
    seed: int | None = None,
) -> np.ndarray:
    """Choose a path from a pilot run: steps of equal length in the model's own metric.

    A step costs variance in proportion to its squared length, dbeta times the standard deviation of
    dF_beta/dbeta. The pilot measures the deviation at 101 temperatures.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        num_betas: the number of inverse temperatures to choose, 2 or more.
        num_chains: the number of chains of the pilot run.
        base: where the path begins, as `tempered_path` takes it.
        seed: integer that fixes the draws; the same seed gives the same path.

    Returns:
        The betas, (num_betas,), float64, increasing from 0 to 1.

    Raises:
        ValueError: if num_betas is below 2 or num_chains below 1.

    Reference: Gelman and Meng (1998), Simulating normalizing constants, section 4.

    Example:
        >>> choose_betas(BernoulliRBM(6, 4, seed=0), num_betas=5, seed=0).shape
        (5,)
    """
    check_counts(2, num_betas=num_betas)
    check_counts(num_chains=num_chains)
    pilot = np.linspace(0, 1, 101)
    path = tempered_path(rbm, base=base)
    start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
    v = path.sample_base(num_chains, start_seed)
    deviation = _pilot(path, tf.constant(pilot, machine_of(rbm).dtype), v, chain_seed).numpy()
    speed = np.maximum(deviation, 0.01 * deviation.max() + 1e-12)  # every stretch gets some steps
    length = np.append(0, np.cumsum((speed[1:] + speed[:-1]) / 2))
    betas = np.interp(np.linspace(0, length[-1], num_betas), length, pilot)
    betas[0], betas[-1] = 0, 1
    return betas


@tf.function(reduce_retracing=True)
def _pilot(path, betas, v, seed):
    """The standard deviation of dF_beta/dbeta over the chains at each temperature of a sweep up."""

    def step(state, index):
        v, _ = state
        v = path.sweep(path.hidden_input(v), betas[index], tf.random.fold_in(seed, index))
        derivative = path.derivative(v, path.hidden_input(v), betas[index])
        return v, tf.math.reduce_std(derivative)

    start = (v, tf.constant(0.0, tf.float64))
    return tf.scan(step, tf.range(tf.shape(betas)[0]), start)[1]


def _checked_samples(rbm, samples):
    machine = machine_of(rbm)
    return tf.cast(machine.visible.check(samples, name="samples"), machine.dtype)


def anneal(
    path: TemperedPath | PairPath,
    betas: tf.Tensor,
    v: tf.Tensor,
    seed: tf.Tensor,
    progress: bool,
    *,
    shared: bool = False,
) -> tf.Tensor:
    """Walk chains along a path, and add up what their log-weights gain.

    Args:
        path: `TemperedPath` or `PairPath`.
        betas: the inverse temperatures in the order of the walk, (num_betas,).
        v: visible states at the first of them, (num_chains, num_visible).
        seed: (2,) int32 tensor that fixes the draws.
        progress: whether to show a progress bar, which appears after two seconds.
        shared: whether the replicas of a strategy share out the chains, in whose scope this is
            called; the path must be one for all chains.

    Returns:
        The sum of ln f_{beta_k} - ln f_{beta_{k-1}}, float64 (num_chains,).

    Raises:
        ValueError: if the replicas cannot share out the chains evenly.

    Example:
        >>> path, betas = tempered_path(BernoulliRBM(6, 4)), tf.constant([0.0, 0.5, 1.0])
        >>> anneal(path, betas, path.sample_base(3, seed=0), [1, 2], progress=False).shape
        TensorShape([3])
    """
    each, same_on_all = shared_out(v.shape[0] if shared else None)
    v, log_weight, seed = each(_own_start)(v, seed)
    moves = each(_moves)
    for part in in_parts(betas.shape[0] - 2, "annealing", progress):
        v, log_weight = moves(path, betas, v, log_weight, *map(tf.constant, part), seed)
    return same_on_all(each(_end_of_all)(path, betas, v, log_weight))


_walk = functools.partial(anneal, shared=True)


def _own_start(v, seed):
    v = own_share(v)
    return v, tf.zeros(tf.shape(v)[0], tf.float64), own_seed(seed)


def _end_of_all(path, betas, v, log_weight):
    log_weight += path.log_ratio(v, path.hidden_input(v), betas[-2], betas[-1])
    return of_all_shares(log_weight)


@tf.function(reduce_retracing=True)
def _moves(path, betas, v, log_weight, first, last, seed):
    """The steps of the walk from first on, without last; returns states and log-weights."""

    def step(index, v, log_weight):
        hidden_input = path.hidden_input(v)  # (num_chains, num_hidden)
        log_weight += path.log_ratio(v, hidden_input, betas[index], betas[index + 1])
        v = path.sweep(hidden_input, betas[index + 1], tf.random.fold_in(seed, index + 1))
        return index + 1, v, log_weight

    return tf.while_loop(lambda index, *_: index < last, step, (first, v, log_weight))[1:]
