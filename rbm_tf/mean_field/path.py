"""The lambda path of an RBM, from a product q of independent units with means m, n to the model.

H = H_q + lambda (E - H_q) is itself the energy of an RBM, with the kernel lambda W and biases
between the conjugate fields of m and n, those of q, and the model's: Gibbs sampling and exact
enumeration work at every lambda.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from rbm_tf.gibbs import gibbs_chain
from rbm_tf.machine import Machine, energy, machine_of
from rbm_tf.mean_field.stationary import MeanField
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import Mixed

MAX_STATE_UNITS = 20


def interpolated_rbm(rbm: RBMLike, point: MeanField, lam: float) -> tuple[Machine, float]:
    """The RBM whose energy is H_q + lambda V up to a constant, V = E - H_q.

    F(lambda) = -ln Z(parameters) - log_scale, for instance with `enumeration.log_z(parameters)`.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        point: `MeanField`, or anything with the means visible (m) and hidden (n).
        lam: the place lambda on the path; 0 is q, 1 is the RBM.

    Returns:
        `Machine`, float64, and log_scale, float, nats.

    Raises:
        ValueError: if a mean is not inside the support: 0 or 1, if binary.

    Reference: B18 and B19.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> parameters, log_scale = interpolated_rbm(rbm, tap(rbm, order=1), lam=0.0)
        >>> abs(log_z(parameters) + log_scale) < 1e-9  # Z_q = 1
        True
    """
    machine = machine_of(rbm, dtype=tf.float64)
    trial = _trial(machine, point)
    between = _between(machine, trial, lam)
    return between, float(-(1 - lam) * _cgf(trial))


def perturbation(rbm: RBMLike, point: MeanField, v: ArrayLike, h: ArrayLike) -> tf.Tensor:
    """V = E - H_q at given states, with H_q = -ln q, so that F_q = 0.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        point: `MeanField`, or anything with the means visible (m) and hidden (n).
        v: visible states, (num_states, num_visible).
        h: hidden states, (num_states, num_hidden).

    Returns:
        (num_states,), float64, nats; -V = ln w is the log importance weight.

    Raises:
        ValueError: if a mean is not inside the support: 0 or 1, if binary.

    Reference: B18.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> perturbation(rbm, tap(rbm, order=1), tf.zeros((3, 6)), tf.zeros((3, 4))).shape
        TensorShape([3])
    """
    machine = machine_of(rbm, dtype=tf.float64)
    return _perturbation(machine, _trial(machine, point), v, h)


def all_log_weights(rbm: RBMLike, point: MeanField) -> tuple[tf.Tensor, tf.Tensor]:
    """ln w = -V and ln q of every state of a small RBM: exact input for `lambda_path`.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        point: `MeanField`, or anything with the means visible (m) and hidden (n).

    Returns:
        log_weights and log_q, (num_states,), float64, nats: 2 ** num_units states if binary.

    Raises:
        ValueError: if there are more than 2^20 states, as 20 binary units have, or infinitely
            many, or a mean is not inside the support.

    Reference: B18 to B20.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> log_weights, log_q = all_log_weights(rbm, tap(rbm, order=1))
        >>> abs(float(tf.reduce_logsumexp(log_q + log_weights)) - log_z(rbm)) < 1e-9
        True
    """
    machine = machine_of(rbm, dtype=tf.float64)
    both = Mixed([machine.visible, machine.hidden])
    if both.num_layer_states is None or both.num_layer_states > 2**MAX_STATE_UNITS:
        raise ValueError(
            f"All states of both layers are listed for up to {MAX_STATE_UNITS} units, 2^"
            f"{MAX_STATE_UNITS} states; got {machine.visible!r} and {machine.hidden!r}. Use "
            "interpolated_rbm with enumeration.log_z, or gibbs_path."
        )
    trial, states = _trial(machine, point), both.layer_states()
    v, h = tf.split(states, [machine.num_visible, machine.num_hidden], -1)
    return -_perturbation(machine, trial, v, h), -energy(trial, v, h) - _cgf(trial)


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
        point: `MeanField`, or anything with the means visible (m) and hidden (n).
        lambdas: the places on the path, increasing from 0, (num_lambdas,).
        num_chains: the number of independent chains.
        num_steps: the number of sweeps at each lambda.
        seed: integer that fixes the chains; the same seed gives the same samples.

    Returns:
        V, (num_lambdas, num_chains), float64, nats; chains are independent, lambdas are not.

    Raises:
        ValueError: if a mean is not inside the support, or num_chains or num_steps is below 1.

    Reference: B18 to B20.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> gibbs_path(rbm, tap(rbm, order=1), [0.0, 0.5, 1.0], num_chains=10, seed=0).shape
        TensorShape([3, 10])
    """
    check_counts(num_chains=num_chains, num_steps=num_steps)
    machine = machine_of(rbm, dtype=tf.float64)
    trial = _trial(machine, point)
    seeds = tf.random.split(as_seed(seed), len(lambdas) + 1)
    fields = tf.broadcast_to(trial.hidden_bias, (num_chains, trial.num_hidden))
    hidden, rows = trial.hidden.sample(fields, seed=seeds[-1]), []
    for index, lam in enumerate(lambdas):
        v, _, hidden = gibbs_chain(
            _between(machine, trial, lam),
            hidden,
            tf.constant(0),
            tf.constant(num_steps),
            seeds[index],
        )
        rows.append(_perturbation(machine, trial, v, hidden))
    return tf.stack(rows)


def _trial(machine, point):
    """q as a machine without weights."""
    layers = (machine.visible, point.visible), (machine.hidden, point.hidden)
    x, y = (unit.conjugate_field(tf.cast(mean, tf.float64)) for unit, mean in layers)
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise ValueError(
            "Means must lie inside the support of the units, strictly between 0 and 1 if they are "
            "binary, or q has no energy at some states; reduce the biases or the kernel, or clip "
            "the means."
        )
    return Machine(tf.zeros_like(machine.kernel), x, y, machine.visible, machine.hidden)


def _between(machine, trial, lam):
    """The machine at lambda: its parameters lie on straight lines."""
    pairs = zip(trial.parameters, machine.parameters, strict=True)
    kernel, *biases = ((1 - lam) * start + lam * end for start, end in pairs)
    return Machine(kernel, biases[0], biases[1], machine.visible, machine.hidden)


def _cgf(trial):
    """ln Z of a machine without weights, scalar, nats."""
    visible, hidden = trial.visible.cgf(trial.visible_bias), trial.hidden.cgf(trial.hidden_bias)
    return tf.reduce_sum(visible) + tf.reduce_sum(hidden)


def _perturbation(machine, trial, v, h):
    """E - H_q, in which U drops out."""
    v, h = tf.cast(v, tf.float64), tf.cast(h, tf.float64)
    linear = tf.linalg.matvec(v, machine.visible_bias - trial.visible_bias)
    linear += tf.linalg.matvec(h, machine.hidden_bias - trial.hidden_bias)
    return -_cgf(trial) - linear - tf.reduce_sum(v @ machine.kernel * h, -1)
