"""The lambda path of an RBM, from a product of Bernoullis q at magnetisations m, n to the model.

H = H_q + lambda (E - H_q) is itself the energy of an RBM, with the kernel lambda W and biases
between those of q and the model's: Gibbs sampling and exact enumeration work at every lambda.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from rbm_tf.gibbs import gibbs_chain
from rbm_tf.machine import Machine, machine_of
from rbm_tf.mean_field.stationary import MeanField
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import Binary

MAX_STATE_UNITS = 20


def interpolated_rbm(rbm: RBMLike, point: MeanField, lam: float) -> tuple[Machine, float]:
    """The RBM whose energy is H_q + lambda V up to a constant, V = E - H_q.

    F(lambda) = -ln Z(parameters) - log_scale, for instance with `enumeration.log_z(parameters)`.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        point: `MeanField`, or anything with visible (m) and hidden (n) between 0 and 1.
        lam: the place lambda on the path; 0 is q, 1 is the RBM.

    Returns:
        `Machine`, float64, and log_scale, float, nats.

    Raises:
        ValueError: if a magnetisation is 0 or 1.

    Reference: B18 and B19.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> parameters, log_scale = interpolated_rbm(rbm, tap(rbm, order=1), lam=0.0)
        >>> abs(log_z(parameters) + log_scale) < 1e-9  # Z_q = 1
        True
    """
    kernel, visible_bias, hidden_bias = machine_of(rbm, dtype=tf.float64).parameters
    means = np.concatenate([point.visible, point.hidden])
    if not np.all((means > 0) & (means < 1)):
        raise ValueError(
            "Magnetisations must lie strictly between 0 and 1, or q has no energy at some states; "
            "reduce the biases or the kernel, or clip the magnetisations."
        )
    fields = [np.log(p) - np.log1p(-p) for p in (point.visible, point.hidden)]
    parameters = Machine(
        lam * kernel,
        (1 - lam) * fields[0] + lam * visible_bias,
        (1 - lam) * fields[1] + lam * hidden_bias,
    )
    return parameters, float((1 - lam) * np.log1p(-means).sum())


def perturbation(rbm: RBMLike, point: MeanField, v: ArrayLike, h: ArrayLike) -> tf.Tensor:
    """V = E - H_q at given states, with H_q = -ln q, so that F_q = 0.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        point: `MeanField`, or anything with visible (m) and hidden (n) between 0 and 1.
        v: visible states, (num_states, num_visible).
        h: hidden states, (num_states, num_hidden).

    Returns:
        (num_states,), float64, nats; -V = ln w is the log importance weight.

    Raises:
        ValueError: if a magnetisation is 0 or 1.

    Reference: B18.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> perturbation(rbm, tap(rbm, order=1), tf.zeros((3, 6)), tf.zeros((3, 4))).shape
        TensorShape([3])
    """
    trial, log_scale = interpolated_rbm(rbm, point, 0.0)
    kernel, visible_bias, hidden_bias = machine_of(rbm, dtype=tf.float64).parameters
    v, h = tf.cast(v, tf.float64), tf.cast(h, tf.float64)
    linear = tf.linalg.matvec(v, visible_bias - trial.visible_bias)
    linear += tf.linalg.matvec(h, hidden_bias - trial.hidden_bias)
    return log_scale - linear - tf.reduce_sum(v @ kernel * h, -1)


def all_log_weights(rbm: RBMLike, point: MeanField) -> tuple[tf.Tensor, tf.Tensor]:
    """ln w = -V and ln q of every state of a small RBM: exact input for `lambda_path`.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        point: `MeanField`, or anything with visible (m) and hidden (n) between 0 and 1.

    Returns:
        log_weights and log_q, (2 ** num_units,), float64, nats.

    Raises:
        ValueError: if there are more than 20 units, or a magnetisation is 0 or 1.

    Reference: B18 to B20.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> log_weights, log_q = all_log_weights(rbm, tap(rbm, order=1))
        >>> abs(float(tf.reduce_logsumexp(log_q + log_weights)) - log_z(rbm)) < 1e-9
        True
    """
    machine = machine_of(rbm)
    num_visible = machine.num_visible
    num_units = num_visible + machine.num_hidden
    if num_units > MAX_STATE_UNITS:
        raise ValueError(
            f"All states of both layers are listed for up to {MAX_STATE_UNITS} units; this RBM has "
            f"{num_units}. Use interpolated_rbm with enumeration.log_z, or gibbs_path."
        )
    states = Binary(num_units).layer_states().numpy()
    means = np.concatenate([point.visible, point.hidden])
    log_weights = -perturbation(rbm, point, states[:, :num_visible], states[:, num_visible:])
    log_q = states @ np.log(means) + (1 - states) @ np.log1p(-means)
    return log_weights, tf.constant(log_q)


def gibbs_path(
    rbm: RBMLike,
    point: MeanField,
    lambdas: Sequence[float] | np.ndarray,
    *,
    num_chains: int = 1000,
    num_steps: int = 20,
    seed: int | None = None,
) -> tf.Tensor:
    """Samples of V along the path: their means are dF/dlambda, their variances -d^2F/dlambda^2.

    Chains start as exact draws of q, and move num_steps Gibbs sweeps at each lambda before they are
    read. Strong couplings need more sweeps.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        point: `MeanField`, or anything with visible (m) and hidden (n) between 0 and 1.
        lambdas: the places on the path, increasing from 0, (num_lambdas,).
        num_chains: the number of independent chains.
        num_steps: the number of sweeps at each lambda.
        seed: integer that fixes the chains; the same seed gives the same samples.

    Returns:
        V, (num_lambdas, num_chains), float64, nats; chains are independent, lambdas are not.

    Raises:
        ValueError: if a magnetisation is 0 or 1, or num_chains or num_steps is below 1.

    Reference: B18 to B20.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> gibbs_path(rbm, tap(rbm, order=1), [0.0, 0.5, 1.0], num_chains=10, seed=0).shape
        TensorShape([3, 10])
    """
    check_counts(num_chains=num_chains, num_steps=num_steps)
    trial, _ = interpolated_rbm(rbm, point, 0.0)
    seeds = tf.random.split(as_seed(seed), len(lambdas) + 1)
    logits = tf.broadcast_to(trial.hidden_bias, (num_chains, trial.num_hidden))
    hidden, rows = trial.hidden.sample(logits, seed=seeds[-1]), []
    for index, lam in enumerate(lambdas):
        parameters, _ = interpolated_rbm(rbm, point, lam)
        v, _, hidden = gibbs_chain(
            parameters, hidden, tf.constant(0), tf.constant(num_steps), seeds[index]
        )
        rows.append(perturbation(rbm, point, v, hidden))
    return tf.stack(rows)
