"""U, S, C and ln Z of an RBM against the inverse temperature, without summing over its states.

`rbm_tf.enumeration.thermodynamics` is the exact counterpart; all return the same record.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf import mean_field
from rbm_tf.enumeration import Thermodynamics
from rbm_tf.machine import machine_of
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.tempered_path import tempered_path


def annealed_thermodynamics(
    rbm: RBMLike, betas: ArrayLike, *, num_chains: int = 100, seed: int | None = None
) -> Thermodynamics:
    """ln Z, U, S and C along one annealing run from beta = 0, by its importance weights.

    All parameters are scaled by beta, so the base is uniform. ln Z(beta) and the averages at beta
    use the weights accumulated up to there: the closer the temperatures, the better.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        betas: the inverse temperatures, increasing from 0 to 1 or beyond, (num_betas,).
        num_chains: the number of independent chains.
        seed: integer that fixes the draws; the same seed gives the same curves.

    Returns:
        `Thermodynamics`.

    Raises:
        ValueError: if betas do not increase from 0.

    Reference: B6; Neal (2001).

    Example:
        >>> curves = annealed_thermodynamics(BernoulliRBM(6, 4, seed=0), np.linspace(0, 2, 50))
        >>> round(float(curves.entropy[0]), 4)  # 10 ln 2
        6.9315
    """
    betas = np.asarray(betas, float)
    if betas.ndim != 1 or len(betas) < 2 or betas[0] != 0 or not np.all(np.diff(betas) > 0):
        raise ValueError("betas must be a list that starts at 0 and increases.")
    path = tempered_path(rbm, base="uniform")
    start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
    v = path.sample_base(num_chains, start_seed)
    log_z, energy, variance = _walk(path, tf.constant(betas, v.dtype), v, chain_seed).numpy().T
    log_z += float(path.base_log_z)
    return Thermodynamics(betas, log_z, energy, log_z + betas * energy, betas**2 * variance)


@tf.function(reduce_retracing=True)
def _walk(path, betas, v, seed):
    """ln <w>, <E> and <<E^2>> at every temperature, float64, (num_betas, 3)."""

    def measure(v, hidden_input, beta, log_weight):
        share = tf.nn.softmax(log_weight)
        energy = path.derivative(v, hidden_input, beta)  # the average of E over h, given v
        along = path.machine.hidden.cumulants_along(beta * hidden_input, hidden_input, 2)
        spread = tf.reduce_sum(along[1], -1)  # the variance of E, given v
        mean = tf.reduce_sum(share * energy)
        variance = tf.reduce_sum(share * ((energy - mean) ** 2 + tf.cast(spread, tf.float64)))
        count = tf.cast(tf.shape(log_weight)[0], tf.float64)
        return tf.stack([tf.reduce_logsumexp(log_weight) - tf.math.log(count), mean, variance])

    def step(index, v, hidden_input, log_weight, rows):
        log_weight += path.log_ratio(v, hidden_input, betas[index - 1], betas[index])
        v = path.sweep(hidden_input, betas[index], tf.random.fold_in(seed, index))
        hidden_input = path.hidden_input(v)
        row = measure(v, hidden_input, betas[index], log_weight)
        return index + 1, v, hidden_input, log_weight, rows.write(index, row)

    num_betas = tf.shape(betas)[0]
    hidden_input, log_weight = path.hidden_input(v), tf.zeros(tf.shape(v)[0], tf.float64)
    first = measure(v, hidden_input, betas[0], log_weight)
    rows = tf.TensorArray(tf.float64, num_betas).write(0, first)
    start = (tf.constant(1), v, hidden_input, log_weight, rows)
    return tf.while_loop(lambda index, *_: index < num_betas, step, start)[-1].stack()


def tap_thermodynamics(rbm: RBMLike, betas: ArrayLike, *, order: int = 2) -> Thermodynamics:
    """ln Z, U, S and C by naive mean field (order 1) or TAP of order 2 or 3.

    beta multiplies W, a and b, and U is the average of what it multiplies, -a.m - b.n - sum_ij W_ij
    <v_i h_j>, at the solution for beta; S = ln Z + beta U. For binary units, with
    A2 = sum W^2 c d and A3 = sum W^3 c (1/2 - m) d (1/2 - n), these are
    U = -a.m - b.n - m W n - beta A2 - 2 beta^2 A3 and S = S_mf - beta^2 A2 / 2 - 4 beta^3 A3 / 3 up
    to the order; for continuous units S is a differential entropy less the average of the units'
    own energy. C = -beta^2 dU/dbeta by finite differences. Each temperature is solved from fresh
    starts; NaN stands where the iteration did not converge.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        betas: the inverse temperatures, 3 or more and increasing, (num_betas,).
        order: the last order that counts, 1, 2 or 3.

    Returns:
        `Thermodynamics`.

    Raises:
        ValueError: if order is not 1, 2 or 3, or there are fewer than 3 temperatures.

    Reference: Plefka (1982); Georges and Yedidia (1991); B6 and B26.

    Example:
        >>> curves = tap_thermodynamics(BernoulliRBM(6, 4, seed=0), [0.0, 0.5, 1.0])
        >>> round(float(curves.entropy[0]), 4)  # 10 ln 2
        6.9315
    """
    betas = np.asarray(betas, float)
    if betas.ndim != 1 or len(betas) < 3 or not np.all(np.diff(betas) > 0):
        raise ValueError("betas must be a list of at least 3 increasing values.")
    mean_field.check_order(order)
    machine = machine_of(rbm, dtype=tf.float64)
    rows = np.array([_tap_row(machine, beta, order) for beta in betas])
    log_z, energy, entropy = rows.T
    heat_capacity = -(betas**2) * np.gradient(energy, betas, edge_order=2)
    return Thermodynamics(betas, log_z, energy, entropy, heat_capacity)


def _tap_row(machine, beta, order):
    """ln Z, U and S at one temperature."""
    point = mean_field.tap_of(machine.scaled(beta), order)
    if not point.converged:
        return [np.nan] * 3
    kernel, visible_bias, hidden_bias = (x.numpy() for x in machine.parameters)
    energy = -(visible_bias @ point.visible) - hidden_bias @ point.hidden
    energy -= np.sum(kernel * point.correlation)
    return [point.log_z, energy, point.log_z + beta * energy]


def effective_temperature(rbm: RBMLike) -> float:
    """The inverse of the largest singular value of W: the temperature that training has set.

    Multiplying W, a and b by s divides it by s, just as beta = s does (B7). Without fields,
    E = -(v - <v>)^T W (h - <h>), naive mean field orders where it falls below the variance of the
    units: 1/4 if they are binary, 1 for spins. A number added to W for all states of a `Potts` unit
    changes it, and not the model.

    Args:
        rbm: `RBM`, `Machine`, or anything with a kernel.

    Returns:
        Number, in units of 1 / nats; infinite for a kernel of zeros.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> effective_temperature(rbm) > 0
        True
    """
    norm = float(tf.linalg.norm(tf.convert_to_tensor(rbm.kernel), 2, axis=(0, 1)))
    return 1 / norm if norm else float("inf")
