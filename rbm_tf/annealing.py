"""Annealed importance sampling of ln Z, from an independent base to the RBM and back.

A log-weight adds up F_{beta_{k-1}}(v_{k-1}) - F_{beta_k}(v_{k-1}) along the path of
`rbm_tf.tempered_path`, each term at the state that was drawn at the previous temperature. Memory
does not depend on the number of temperatures.
"""

import tensorflow as tf

from rbm_tf.gibbs import as_seed
from rbm_tf.reweighting import estimate_log_z
from rbm_tf.tempered_path import checked_betas, tempered_path


def ais(rbm, num_chains=100, betas=None, seed=None, base="data"):
    """Estimate ln Z by annealed importance sampling from the base to the RBM.

    Z is estimated without bias; log_z therefore lies below ln Z on average.

    Args:
        rbm: `BernoulliRBM`.
        num_chains: number of independent chains.
        betas: the path, increasing from 0 to 1; default: 1,001 equal steps.
        seed: integer; the same seed gives the same estimate.
        base: see `tempered_path`.

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
    if num_chains < 1:
        raise ValueError(f"num_chains must be 1 or more; got {num_chains}.")
    betas = checked_betas(betas, rbm.variable_dtype)
    path = tempered_path(rbm, base)
    start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
    v = path.sample_base(num_chains, start_seed)
    return estimate_log_z(path.base_log_z + _anneal(path, betas, v, chain_seed))


def reverse_ais(rbm, samples, betas=None, seed=None, base="data"):
    """Estimate ln Z by annealing samples of the RBM back to the base.

    1/Z is estimated without bias; log_z therefore lies above ln Z on average, if the samples really
    come from the model. Forward and reverse estimates that agree bracket ln Z.

    Args:
        rbm: `BernoulliRBM`.
        samples: visible states drawn from the model, one per chain, (num_chains, num_visible).
        betas: the path, increasing from 0 to 1, walked backwards; default: 1,001 equal steps.
        seed: integer; the same seed gives the same estimate.
        base: see `tempered_path`.

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
    betas = checked_betas(betas, rbm.variable_dtype)
    path = tempered_path(rbm, base)
    v = tf.cast(samples, rbm.variable_dtype)
    if v.shape.rank != 2 or v.shape[1] != rbm.num_visible:
        raise ValueError(
            f"samples must have shape (num_chains, {rbm.num_visible}); got {tuple(v.shape)}."
        )
    log_weights = path.base_log_z - _anneal(path, betas[::-1], v, as_seed(seed))
    return estimate_log_z(log_weights, reverse=True)


@tf.function(reduce_retracing=True)
def _anneal(path, betas, v, seed):
    """Walk along betas; returns the sum of ln f_{beta_k} - ln f_{beta_{k-1}}, float64 (chains,)."""
    last = tf.shape(betas)[0] - 1

    def step(index, v, log_weight):
        hidden_input = path.hidden_input(v)
        log_weight += path.log_ratio(v, hidden_input, betas[index - 1], betas[index])
        v = path.sweep(hidden_input, betas[index], tf.random.fold_in(seed, index))
        return index + 1, v, log_weight

    start = (tf.constant(1), v, tf.zeros(tf.shape(v)[0], tf.float64))
    _, v, log_weight = tf.while_loop(lambda index, *_: index < last, step, start)
    return log_weight + path.log_ratio(v, path.hidden_input(v), betas[last - 1], betas[last])
