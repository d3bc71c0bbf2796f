import numpy as np
import pytest
import tensorflow as tf

from rbm_tf import annealing, enumeration, mean_field, reweighting, tempering, thermodynamics
from rbm_tf.machine import (
    Machine,
    clamped_free_energy,
    energy,
    hidden_input,
    machine_of,
    visible_input,
)
from rbm_tf.pseudo_likelihood import pseudo_log_likelihood, stochastic_pseudo_log_likelihood
from rbm_tf.rbm import BernoulliRBM

V = np.array([[1.0, 0, 1, 1, 0], [0, 0, 1, 0, 1]])


def test_functions_of_the_value_are_the_formulas(random_rbm):  # B1, B5
    machine = machine_of(random_rbm(5, 3))
    w, a, b = (x.numpy() for x in machine.parameters)
    h = np.array([[0.0, 1, 1], [1, 0, 1]])
    np.testing.assert_allclose(hidden_input(machine, V), b + V @ w, rtol=1e-12)
    np.testing.assert_allclose(visible_input(machine, h), a + h @ w.T, rtol=1e-12)
    expected = -V @ a - h @ b - np.einsum("si,ij,sj->s", V, w, h)
    np.testing.assert_allclose(energy(machine, V, h), expected, rtol=1e-12)
    marginal = -V @ a - np.log1p(np.exp(b + V @ w)).sum(1)
    np.testing.assert_allclose(clamped_free_energy(machine, V), marginal, rtol=1e-12)


def test_model_and_value_have_the_same_value(random_rbm):
    rbm = random_rbm(5, 3)
    for value in (machine_of(rbm), machine_of(machine_of(rbm)), rbm.machine):
        for part, variable in zip(
            value.parameters, (rbm.kernel, rbm.visible_bias, rbm.hidden_bias), strict=True
        ):
            np.testing.assert_array_equal(part, variable.numpy())
    again = BernoulliRBM.from_parameters(*rbm.machine.parameters, dtype="float64")
    np.testing.assert_array_equal(again.free_energy(V), rbm.free_energy(V))
    assert machine_of(rbm, dtype="float32").dtype == tf.float32


FUNCTIONS = {
    "log_z": enumeration.log_z,
    "moments": lambda rbm: enumeration.moments(rbm).correlation,
    "thermodynamics": lambda rbm: enumeration.thermodynamics(rbm, [0.5, 1.0]).entropy,
    "ais": lambda rbm: (
        annealing.ais(rbm, num_chains=5, betas=[0, 0.5, 1], seed=0, base="uniform").log_weights
    ),
    "reverse_ais": lambda rbm: (
        annealing.reverse_ais(rbm, V, betas=[0, 1], seed=0, base="mean_field").log_weights
    ),
    "log_z_ratio": lambda rbm: annealing.log_z_ratio(rbm, V, rbm, betas=[0, 1], seed=0).log_weights,
    "choose_betas": lambda rbm: annealing.choose_betas(
        rbm, num_betas=4, num_chains=5, seed=0, base="uniform"
    ),
    "windows": lambda rbm: (
        tempering.tempered_windows(rbm, betas=[0, 1], base="uniform", seed=0).free_energies
    ),
    "importance": lambda rbm: (
        reweighting.importance_sampling(rbm, np.full(5, 0.5), num_samples=9, seed=0).log_z
    ),
    "monte_carlo": lambda rbm: reweighting.monte_carlo(rbm, num_samples=9, seed=0).log_z,
    "tap": lambda rbm: mean_field.tap(rbm).visible,
    "cumulants": lambda rbm: mean_field.cumulant_free_energy(rbm, 3),
    "path": lambda rbm: mean_field.all_log_weights(rbm, mean_field.tap(rbm, order=1))[0],
    "gibbs_path": lambda rbm: mean_field.gibbs_path(
        rbm, mean_field.tap(rbm, order=1), [0.5], num_chains=4, num_steps=2, seed=0
    )[0],
    "pseudo": lambda rbm: pseudo_log_likelihood(rbm, V),
    "stochastic": lambda rbm: stochastic_pseudo_log_likelihood(rbm, V, seed=0),
    "annealed": lambda rbm: (
        thermodynamics.annealed_thermodynamics(rbm, [0, 1], num_chains=5, seed=0).log_z
    ),
    "tap_thermodynamics": lambda rbm: thermodynamics.tap_thermodynamics(rbm, [0.5, 1, 2]).log_z,
    "temperature": thermodynamics.effective_temperature,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_whatever_takes_an_rbm_takes_its_value(name, random_rbm):
    rbm = random_rbm(5, 3, scale=0.5)
    np.testing.assert_array_equal(FUNCTIONS[name](rbm), FUNCTIONS[name](rbm.machine))


def test_exact_and_mean_field_answers_are_those_of_the_parameters_not_of_rounded_products(
    random_rbm,
):
    mixed = random_rbm(5, 3, dtype="mixed_bfloat16")
    variables = Machine(*(x.numpy() for x in (mixed.kernel, mixed.visible_bias, mixed.hidden_bias)))
    assert enumeration.log_z(mixed) == enumeration.log_z(variables)
    assert enumeration.log_z(mixed) != enumeration.log_z(mixed.machine)  # rounded to bfloat16
    assert mean_field.tap(mixed).free_energy == mean_field.tap(variables).free_energy
    temperature = thermodynamics.effective_temperature
    assert temperature(mixed) == temperature(variables)


def test_a_value_has_no_data_to_start_from(random_rbm):
    with pytest.raises(ValueError, match="give a Machine base='uniform'"):
        annealing.ais(random_rbm(5, 3).machine, seed=0)


def test_what_is_no_rbm_is_refused():
    with pytest.raises(ValueError, match="with kernel, visible_bias and hidden_bias; got a dict"):
        machine_of({})
    with pytest.raises(ValueError, match=r"got \(3, 2\), \(2,\), \(3,\)"):
        machine_of(Machine(tf.zeros((3, 2)), tf.zeros(2), tf.zeros(3)))
    with pytest.raises(ValueError, match=r"got \(3, 2\), \(2,\), \(3,\)"):
        BernoulliRBM.from_parameters(np.zeros((3, 2)), np.zeros(2), np.zeros(3))
