import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.cumulants import derivatives, weighted_cumulants
from rbm_tf.enumeration import log_z, moments, thermodynamics
from rbm_tf.rbm import BernoulliRBM


def all_energies(rbm, all_states):
    v, h = all_states(rbm.num_visible), all_states(rbm.num_hidden)
    a, b, w = (x.numpy() for x in (rbm.visible_bias, rbm.hidden_bias, rbm.kernel))
    return (-(v @ a)[:, None] - h @ b - v @ w @ h.T).ravel()


def test_log_z_by_summing_over_v_over_h_and_over_both_agree(random_rbm, all_states):  # B3
    rbm = random_rbm(7, 5)
    kernel, *biases = (x.numpy() for x in rbm.machine.parameters)  # exchanged: sums over v
    mirrored = BernoulliRBM.from_parameters(kernel.T, *biases[::-1], dtype="float64")
    over_both = np.logaddexp.reduce(-all_energies(rbm, all_states))
    over_v = np.logaddexp.reduce(-rbm.free_energy(all_states(7)).numpy())
    assert log_z(rbm) == pytest.approx(over_both, abs=1e-10)
    assert log_z(mirrored) == pytest.approx(over_both, abs=1e-10)
    assert over_v == pytest.approx(over_both, abs=1e-10)


def test_more_than_one_block_gives_the_same_sum(random_rbm, all_states):
    rbm = random_rbm(14, 13)
    over_v = np.logaddexp.reduce(-rbm.free_energy(all_states(14)).numpy())
    assert log_z(rbm) == pytest.approx(over_v, abs=1e-10)
    p = np.exp(-rbm.free_energy(all_states(14)).numpy() - over_v)
    np.testing.assert_allclose(moments(rbm).visible, p @ all_states(14), atol=1e-12)


def test_energy_is_minus_the_derivative_of_log_z(random_rbm, all_states):  # B6
    rbm = random_rbm(5, 4)
    energy = tf.constant(all_energies(rbm, all_states))
    beta = tf.constant(0.7, tf.float64)
    first, second = derivatives(lambda t: tf.reduce_logsumexp(-t * energy), 2, at=beta).numpy()
    exact = thermodynamics(rbm, [0.7])
    assert exact.energy[0] == pytest.approx(-first, rel=1e-10)
    assert exact.heat_capacity[0] == pytest.approx(0.7**2 * second, rel=1e-10)


def test_thermodynamics_equal_sums_over_all_states(random_rbm, all_states):  # B6
    rbm = random_rbm(5, 4)
    energy = all_energies(rbm, all_states)
    exact = thermodynamics(rbm, [0.5, 2.0])
    for index, beta in enumerate(exact.betas):
        mean, variance = weighted_cumulants(energy, -beta * energy, 2).numpy()
        p = np.exp(-beta * energy - exact.log_z[index])
        assert exact.energy[index] == pytest.approx(mean, rel=1e-10)
        assert exact.heat_capacity[index] == pytest.approx(beta**2 * variance, rel=1e-10)
        assert exact.entropy[index] == pytest.approx(-np.sum(p * np.log(p)), rel=1e-10)


def test_scaling_all_parameters_is_an_inverse_temperature(random_rbm):  # B7
    rbm = random_rbm(5, 4)
    scaled = random_rbm(5, 4, scale=2.5)
    assert log_z(scaled) == pytest.approx(log_z(rbm, beta=2.5), rel=1e-12)


def test_adding_800_to_log_z_does_not_overflow(random_rbm):
    rbm = random_rbm(6, 4)
    before = log_z(rbm)
    rbm.visible_bias.assign_add(np.full(6, 800.0))
    assert np.isfinite(log_z(rbm))
    assert log_z(rbm) > before + 800


def test_many_units_in_both_layers_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"rbm_tf\.annealing\.ais"):
        log_z(BernoulliRBM(26, 26))
