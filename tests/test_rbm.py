import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from rbm_tf import enumeration, units
from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    MeanFieldPhase,
    ParallelTempering,
    PersistentContrastiveDivergence,
)


def energies(rbm, all_states):
    """E(v, h) of every pair of states, (num visible states, num hidden states)."""
    v, h = all_states(rbm.num_visible), all_states(rbm.num_hidden)
    pairs = [rbm.energy(v, np.broadcast_to(state, (len(v), len(state)))).numpy() for state in h]
    return np.stack(pairs, 1)


def test_energy_is_the_bilinear_form(random_rbm):  # B1
    rbm = random_rbm(5, 3)
    v, h = np.array([[1.0, 0, 1, 1, 0]]), np.array([[0.0, 1, 1]])
    a, b, w = rbm.visible_bias.numpy(), rbm.hidden_bias.numpy(), rbm.kernel.numpy()
    expected = -(v[0] @ a) - h[0] @ b - v[0] @ w @ h[0]
    assert rbm.energy(v, h).numpy()[0] == pytest.approx(expected, rel=1e-12)


def test_boltzmann_distribution_sums_to_one(random_rbm, all_states):  # B3
    rbm = random_rbm(5, 3)
    total = np.exp(-energies(rbm, all_states) - enumeration.log_z(rbm)).sum()
    assert total == pytest.approx(1, rel=1e-12)


def test_free_energy_equals_enumerated_marginal(random_rbm, all_states):  # B4, B5
    rbm = random_rbm(5, 3)
    marginal = np.exp(-energies(rbm, all_states)).sum(1)
    np.testing.assert_allclose(
        rbm.free_energy(all_states(5)), -np.log(marginal), rtol=1e-12, atol=1e-12
    )


def test_log_likelihood_is_equilibrium_minus_clamped_free_energy(random_rbm, all_states):  # B2, B5
    rbm = random_rbm(5, 3)
    weights = np.exp(-energies(rbm, all_states))
    p = weights.sum(1) / weights.sum()
    data = all_states(5)[[3, 17, 17, 30]]
    mean_log_p = np.log(p[[3, 17, 17, 30]]).mean()
    free_energies = -rbm.free_energy(data).numpy().mean() - enumeration.log_z(rbm)
    assert free_energies == pytest.approx(mean_log_p, rel=1e-12)


def test_conditional_means_equal_enumeration(random_rbm, all_states):
    rbm = random_rbm(4, 3)
    weights = np.exp(-energies(rbm, all_states))
    h_mean = (weights / weights.sum(1, keepdims=True)) @ all_states(3)
    v_mean = (weights / weights.sum(0)).T @ all_states(4)
    np.testing.assert_allclose(rbm.hidden_mean(all_states(4)), h_mean, rtol=1e-12)
    np.testing.assert_allclose(rbm.visible_mean(all_states(3)), v_mean, rtol=1e-12)


def test_gradient_of_the_clamped_free_energy(random_rbm):  # B8
    rbm = random_rbm(5, 3)
    v = np.array([[1.0, 0, 1, 1, 0]])
    with tf.GradientTape() as tape:
        free_energy = rbm.free_energy(v)
    by_kernel, by_visible, by_hidden = tape.gradient(
        free_energy, [rbm.kernel.value, rbm.visible_bias.value, rbm.hidden_bias.value]
    )
    h = rbm.hidden_mean(v).numpy()
    np.testing.assert_allclose(by_kernel, -v.T @ h, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(by_visible, -v[0])
    np.testing.assert_allclose(by_hidden, -h[0], rtol=1e-12)


def test_gradient_of_the_equilibrium_free_energy_is_a_model_average(random_rbm):  # B9
    rbm = random_rbm(4, 3)
    exact = enumeration.moments(rbm)
    step = 1e-5
    for variable, average in zip(
        (rbm.kernel, rbm.visible_bias, rbm.hidden_bias),
        (exact.correlation, exact.visible, exact.hidden),
        strict=True,
    ):
        value = variable.numpy()
        for index in np.ndindex(value.shape):
            log_z = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                variable.assign(moved)
                log_z.append(enumeration.log_z(rbm))
            variable.assign(value)
            slope = (log_z[0] - log_z[1]) / (2 * step)
            assert slope == pytest.approx(average[index], abs=1e-8)


def test_gradient_with_exact_samples_of_the_model_vanishes_at_the_model(random_rbm, all_states):
    # Data and model states both weighted by p(v): moment matching, B9.
    rbm = random_rbm(4, 2)
    states = all_states(4)
    p = np.exp(-rbm.free_energy(states).numpy() - enumeration.log_z(rbm))
    exact = enumeration.moments(rbm)
    np.testing.assert_allclose(p @ states, exact.visible, rtol=1e-10)
    h = rbm.hidden_mean(states).numpy()
    np.testing.assert_allclose((states * p[:, None]).T @ h, exact.correlation, rtol=1e-10)


def transition_matrix(rbm, states):
    """Exact p(v' | v) of one Gibbs sweep, by summing over hidden states."""
    h = ((np.arange(2**rbm.num_hidden)[:, None] >> np.arange(rbm.num_hidden)) & 1) * 1.0

    def probabilities(mean, x):  # prod of Bernoulli, (len(mean), len(x))
        return np.exp(np.log(mean) @ x.T + np.log(1 - mean) @ (1 - x).T)

    up = probabilities(rbm.hidden_mean(states).numpy(), h)
    return up @ probabilities(rbm.visible_mean(h).numpy(), states)


def test_gibbs_step_leaves_the_model_unchanged_and_is_reversible(random_rbm, all_states):
    rbm = random_rbm(4, 3)
    states = all_states(4)
    p = np.exp(-rbm.free_energy(states).numpy() - enumeration.log_z(rbm))
    flow = p[:, None] * transition_matrix(rbm, states)
    np.testing.assert_allclose(flow, flow.T, atol=1e-14)
    np.testing.assert_allclose(flow.sum(0), p, atol=1e-14)


def test_gibbs_step_draws_from_its_transition_matrix(random_rbm, all_states):
    rbm = random_rbm(3, 2)
    states, num = all_states(3), 20_000
    row = transition_matrix(rbm, states)[5]
    v = rbm.gibbs_step(np.repeat(states[5:6], num, 0), seed=0).numpy()
    counts = np.bincount((v @ [1, 2, 4]).astype(int), minlength=8)
    assert np.all(np.abs(counts / num - row) < 5 * np.sqrt(row * (1 - row) / num))


def test_same_seed_gives_the_same_numbers(random_rbm):
    rbm = random_rbm(6, 4)
    np.testing.assert_array_equal(rbm.sample(5, 20, seed=1), rbm.sample(5, 20, seed=1))
    assert np.any(rbm.sample(5, 20, seed=1) != rbm.sample(5, 20, seed=2))
    v = np.ones((50, 6))
    np.testing.assert_array_equal(rbm.gibbs_step(v, seed=1), rbm.gibbs_step(v, seed=1))


def test_wrong_sizes_are_refused():
    for sizes in ((0, 4), (4, 0)):
        with pytest.raises(ValueError, match="at least one visible and one hidden"):
            BernoulliRBM(*sizes)
    for array in (np.zeros((2, 5)), tf.zeros((2, 5))):
        with pytest.raises(ValueError, match=r"shape \((num|batch), 6\)"):
            BernoulliRBM(6, 4).free_energy(array)
    with pytest.raises(ValueError, match="num_steps"):
        ContrastiveDivergence(num_steps=0)
    with pytest.raises(ValueError, match="num_chains"):
        PersistentContrastiveDivergence(num_chains=0)
    with pytest.raises(ValueError, match="num_betas"):
        ParallelTempering(num_betas=1)
    with pytest.raises(ValueError, match="order must be 1, 2 or 3"):
        MeanFieldPhase(order=4)
    with pytest.raises(ValueError, match="num_samples must be an integer of 1 or more"):
        BernoulliRBM(6, 4).sample(0)


NO_STATES = {
    "grey levels of 8 bits": (
        "Binary",
        np.full((1, 4), 255, "uint8"),
        "divide 8-bit images by 255",
    ),
    "NaN": ("Binary", np.full((1, 4), np.nan), "without NaN"),
    "text": ("Binary", [["a", "b", "c", "d"]], "must hold numbers"),
    "two of one-hot": ("Potts", [[2.0, 0, 0, 1]], "one-hot blocks"),
    "below the support": ("ReLU", [[-5.0, 1, 1, 1]], r"lie in \[0, inf\]"),
}


@pytest.mark.parametrize("kind", NO_STATES)
def test_what_is_no_state_has_no_energy(kind):
    unit, values, message = NO_STATES[kind]
    visible = units.Potts(2, 2) if unit == "Potts" else getattr(units, unit)(4)
    rbm = RBM(visible, units.Binary(3), seed=0)
    for ask in (
        rbm.free_energy,
        rbm.hidden_mean,
        rbm.gibbs_step,
        lambda v: rbm.energy(v, [[0] * 3]),
    ):
        with pytest.raises(ValueError, match=message):
            ask(values)
    with pytest.raises(ValueError, match="h must lie in"):
        rbm.visible_mean([[2.0, 0.0, 0.0]])


def test_states_come_in_whatever_holds_them():
    rbm, bits = BernoulliRBM(4, 3, seed=0), (np.arange(16)[:, None] >> np.arange(4) & 1) > 0
    exact = rbm.free_energy(tf.constant(bits, tf.float32)).numpy()
    for data in (bits, bits.tolist(), bits.astype("uint8"), scipy.sparse.csr_matrix(bits)):
        np.testing.assert_array_equal(rbm.free_energy(data), exact)


def test_a_negative_phase_belongs_to_one_model():
    phase = PersistentContrastiveDivergence(5, seed=1)
    BernoulliRBM(4, 3, negative_phase=phase)
    with pytest.raises(ValueError, match="make a negative phase for each model"):
        BernoulliRBM(4, 3, negative_phase=phase)
