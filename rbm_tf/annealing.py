"""Annealed importance sampling of ln Z, from an independent base to the RBM and back.

The path is F_beta(v) = -((1 - beta) a0 + beta a).v - sum_j softplus(beta (b + v W)_j): at beta = 0
independent visible units with biases a0, at beta = 1 the RBM, with the hidden units summed out
everywhere. A log-weight adds up F_{beta_{k-1}}(v_{k-1}) - F_{beta_k}(v_{k-1}), taken at the state
that was drawn at the previous temperature.
"""

import numpy as np
import tensorflow as tf

from rbm_tf.gibbs import as_seed, product, sample_bernoulli
from rbm_tf.reweighting import estimate_log_z

_SMALLEST_BASE_MEAN = 0.01  # a base must be able to draw every state


def ais(rbm, num_chains=100, betas=None, seed=None, base_mean=None):
    """Estimate ln Z by annealed importance sampling from the base to the RBM.

    Z is estimated without bias; log_z therefore lies below ln Z on average.

    Args:
        rbm: `BernoulliRBM`.
        num_chains: number of independent chains.
        betas: the path, increasing from 0 to 1; default: 1,001 equal steps.
        seed: integer; the same seed gives the same estimate.
        base_mean: means of the visible units under the base, (num_visible,), clipped to
            [0.01, 0.99]; default: the training data's, `rbm.visible_offset`.

    Returns:
        `LogZEstimate`: each log-weight is one chain's estimate of ln Z, and log_z their
        log-mean-exp.

    Raises:
        ValueError: if betas do not increase from 0 to 1, or base_mean has another shape.

    Reference: Neal (2001), Annealed importance sampling; Salakhutdinov and Murray (2008), On the
    quantitative analysis of deep belief networks.

    Example:
        >>> estimate = ais(BernoulliRBM(6, 4, seed=0), num_chains=50, seed=0)
    """
    if num_chains < 1:
        raise ValueError(f"num_chains must be 1 or more; got {num_chains}.")
    betas = _checked_betas(betas, rbm.variable_dtype)
    base_bias, base_log_z = _base(rbm, base_mean)
    start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
    logits = tf.broadcast_to(base_bias, (num_chains, rbm.num_visible))
    v = sample_bernoulli(logits, start_seed)
    return estimate_log_z(
        base_log_z + _anneal(rbm.parameters, base_bias, betas, v, chain_seed).numpy()
    )


def reverse_ais(rbm, samples, betas=None, seed=None, base_mean=None):
    """Estimate ln Z by annealing samples of the RBM back to the base.

    1/Z is estimated without bias; log_z therefore lies above ln Z on average, if the samples really
    come from the model. Forward and reverse estimates that agree bracket ln Z.

    Args:
        rbm: `BernoulliRBM`.
        samples: visible states drawn from the model, one per chain, (num_chains, num_visible).
        betas: the path, increasing from 0 to 1, walked backwards; default: 1,001 equal steps.
        seed: integer; the same seed gives the same estimate.
        base_mean: as in `ais`.

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
    betas = _checked_betas(betas, rbm.variable_dtype)
    base_bias, base_log_z = _base(rbm, base_mean)
    v = tf.cast(samples, rbm.variable_dtype)
    if v.shape.rank != 2 or v.shape[1] != rbm.num_visible:
        raise ValueError(
            f"samples must have shape (num_chains, {rbm.num_visible}); got {tuple(v.shape)}."
        )
    path = _anneal(rbm.parameters, base_bias, betas[::-1], v, as_seed(seed))
    return estimate_log_z(base_log_z - path.numpy(), reverse=True)


def _base(rbm, base_mean):
    """Biases of the base's visible units, and its ln Z = sum_i softplus(a0_i) + num_hidden ln 2."""
    mean = np.asarray(rbm.visible_offset if base_mean is None else base_mean, float)
    if mean.shape != (rbm.num_visible,):
        raise ValueError(f"base_mean must have shape ({rbm.num_visible},); got {mean.shape}.")
    mean = np.clip(mean, _SMALLEST_BASE_MEAN, 1 - _SMALLEST_BASE_MEAN)
    base_log_z = rbm.num_hidden * np.log(2) - np.log1p(-mean).sum()
    return tf.constant(np.log(mean) - np.log1p(-mean), rbm.variable_dtype), base_log_z


def _checked_betas(betas, dtype):
    betas = np.linspace(0, 1, 1001) if betas is None else np.asarray(betas, float)
    if betas.ndim != 1 or len(betas) < 2 or betas[0] != 0 or betas[-1] != 1:
        raise ValueError("betas must be a list that starts at 0 and ends at 1.")
    if not np.all(np.diff(betas) > 0):
        raise ValueError("betas must increase at every step, from 0 to 1.")
    return tf.constant(betas, dtype)


@tf.function(reduce_retracing=True)
def _anneal(parameters, base_bias, betas, v, seed):
    """Walk along betas; returns the sum of ln f_{beta_k} - ln f_{beta_{k-1}}, float64 (chains,)."""
    kernel, visible_bias, hidden_bias = parameters
    last = tf.shape(betas)[0] - 1

    def increment(index, v, hidden_input):
        old, new = betas[index - 1], betas[index]
        by_unit = tf.math.softplus(new * hidden_input) - tf.math.softplus(old * hidden_input)
        by_bias = (new - old) * tf.linalg.matvec(v, visible_bias - base_bias)
        return tf.cast(by_bias + tf.reduce_sum(by_unit, -1), tf.float64)

    def step(index, v, log_weight):
        beta = betas[index]
        seeds = tf.unstack(tf.random.split(tf.random.fold_in(seed, index)))
        hidden_input = hidden_bias + product(v, kernel)
        log_weight += increment(index, v, hidden_input)
        h = sample_bernoulli(beta * hidden_input, seeds[0])
        bias = (1 - beta) * base_bias + beta * visible_bias
        v = sample_bernoulli(bias + beta * product(h, kernel, transpose=True), seeds[1])
        return index + 1, v, log_weight

    start = (tf.constant(1), v, tf.zeros(tf.shape(v)[0], tf.float64))
    _, v, log_weight = tf.while_loop(lambda index, *_: index < last, step, start)
    return log_weight + increment(last, v, hidden_bias + product(v, kernel))
