"""Parameters of Potts units that say the same thing twice, and the choice that is made of them."""

from __future__ import annotations

import tensorflow as tf

from rbm_tf.machine import Machine, machine_of
from rbm_tf.shared.types import RBMLike


def fix_gauge(rbm: RBMLike) -> Machine:
    """The same machine with sum_a W_iaj = 0 over the states a of every `Potts` unit i.

    As one state of the unit is on, W_iaj + K_ij and b_j - sum_i K_ij give the same energies for any
    K; so do the layers exchanged. K is minus the mean over the states here. Energies, ln Z and all
    averages stay as they are. (A number c_i added to all a_ia of a unit is another redundancy: p(v)
    stays, ln Z grows by c_i. It is left alone.) Kernels are comparable in this gauge only.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        `Machine`, in the dtypes of that of rbm.

    Reference: Tubiana, Cocco and Monasson (2019), Learning protein constitutive motifs from
    sequence data.

    Example:
        >>> layers = units.Potts(1, 2), units.Binary(1)
        >>> fixed = fix_gauge(RBM.from_parameters(*layers, [[3.0], [1.0]], [0.0, 0.0], [0.5]))
        >>> fixed.kernel.numpy().ravel(), fixed.hidden_bias.numpy()
        (array([ 1., -1.], dtype=float32), array([2.5], dtype=float32))
    """
    machine = _without_redundancy(machine_of(rbm).transposed)
    return _without_redundancy(machine.transposed)


def _without_redundancy(machine):
    """The visible layer's part, whose sum over i goes into the hidden bias."""
    part = machine.visible.redundant_part(tf.transpose(machine.kernel))  # (num_hidden, size)
    if part is None:
        return machine
    state = machine.visible.mean(tf.zeros_like(machine.visible_bias))  # each would do
    bias = tf.linalg.matvec(part, tf.cast(state, part.dtype))
    return Machine(
        machine.kernel - tf.transpose(part),
        machine.visible_bias,
        machine.hidden_bias + tf.cast(bias, machine.dtype),
        machine.visible,
        machine.hidden,
    )
