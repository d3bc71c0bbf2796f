"""A Gaussian-binary machine beside that of learnergy, which counts from other parameters.

There a and W are in units of the pixels, E = sum (v - a)^2 / 2 sigma^2 - b h - (v / sigma^2) W h.
"""

import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.machine import Machine, clamped_free_energy, hidden_input, visible_input
from rbm_tf.units import Binary, Gaussian

RNG = np.random.default_rng(0)
W, A, B = RNG.normal(size=(3, 2)), RNG.normal(size=3), RNG.normal(size=2)
SIGMA, V, H = np.exp(RNG.normal(size=3) / 2), RNG.normal(size=(2, 3)), np.array([[1, 0], [1, 1.0]])
# What learnergy 2.0.2 on PyTorch 2.13 says of these in float64: energy(V), which is a free energy,
# the probabilities of hidden_sampling(V), and the means of visible_sampling(H).
THEIRS = {
    "GaussianRBM": (
        [4.097274175272173, 2.181107205848795],
        [[0.1680532054069016, 0.32469024304918404], [0.16797952909028085, 0.4597517954989249]],
    ),
    "VarianceGaussianRBM": (
        [17.35132897531829, 2.651457072253996],
        [[0.0028746660616612353, 0.18304287938615543], [0.6676139872499772, 0.5811715809736601]],
    ),
}
MEANS = [
    [1.4297302662235305, 1.5875036135725242, -1.2394046089681034],
    [1.2976254029322287, 1.692403730725564, -0.8778095540586188],
]


@pytest.mark.parametrize(("kind", "scale"), [("GaussianRBM", 1), ("VarianceGaussianRBM", SIGMA)])
def test_free_energies_and_conditional_means_are_those_of_learnergy(kind, scale):
    precision = np.broadcast_to(1 / np.square(scale), 3)
    kernel = W * precision[:, np.newaxis]
    machine = Machine(kernel, A * precision, B, Gaussian(3, precision), Binary(2))
    free_energies, probabilities = THEIRS[kind]
    found = clamped_free_energy(machine, V).numpy() + np.sum(A**2 * precision) / 2
    np.testing.assert_allclose(found, free_energies, rtol=1e-12)
    hidden = machine.hidden.mean(hidden_input(machine, tf.constant(V)))
    np.testing.assert_allclose(hidden, probabilities, rtol=1e-11)
    visible = machine.visible.mean(visible_input(machine, tf.constant(H)))
    np.testing.assert_allclose(visible, MEANS, rtol=1e-12)
