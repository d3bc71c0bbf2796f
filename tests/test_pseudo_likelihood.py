import numpy as np
import pytest

from rbm_tf.enumeration import log_z
from rbm_tf.pseudo_likelihood import pseudo_log_likelihood, stochastic_pseudo_log_likelihood
from rbm_tf.rbm import BernoulliRBM


def binary_data(num, num_visible=6, seed=0):
    return (np.random.default_rng(seed).random((num, num_visible)) < 0.3).astype("float32")


def test_pseudo_log_likelihood_equals_enumerated_conditionals(random_rbm, all_states):
    rbm, states = random_rbm(5, 3), all_states(5)
    p = np.exp(-rbm.free_energy(states).numpy() - log_z(rbm))
    flipped = np.arange(32)[:, None] ^ (1 << np.arange(5))  # (state, pixel)
    expected = np.log(p[:, None] / (p[:, None] + p[flipped]))
    np.testing.assert_allclose(pseudo_log_likelihood(rbm, states), expected, rtol=1e-10)


def test_pseudo_log_likelihood_is_the_log_likelihood_without_coupling(random_rbm, all_states):
    _, *biases = random_rbm(5, 3).machine.parameters
    rbm = BernoulliRBM.from_parameters(np.zeros((5, 3)), *biases, dtype="float64")
    states = all_states(5)
    log_p = -rbm.free_energy(states).numpy() - log_z(rbm)
    np.testing.assert_allclose(pseudo_log_likelihood(rbm, states).numpy().sum(1), log_p, rtol=1e-10)


def test_mixed_precision_makes_the_product_alone_in_bfloat16(random_rbm, all_states):
    mixed, wide = random_rbm(5, 3, dtype="mixed_bfloat16"), random_rbm(5, 3)
    wide.kernel.assign(mixed.machine.kernel)  # rounded to bfloat16
    for function in (pseudo_log_likelihood, stochastic_pseudo_log_likelihood):
        arguments = {} if function is pseudo_log_likelihood else {"seed": 0}
        value = function(mixed, all_states(5), **arguments)
        assert value.dtype == "float32"
        np.testing.assert_allclose(
            value, function(wide, all_states(5), **arguments), rtol=3e-2, atol=1e-2
        )


def test_stochastic_value_is_that_of_one_pixel_and_unbiased_for_the_sum(random_rbm):
    rbm, v = random_rbm(5, 3), binary_data(4, 5)
    exact = pseudo_log_likelihood(rbm, v).numpy()
    many = stochastic_pseudo_log_likelihood(rbm, np.tile(v, (500, 1)), seed=0)
    draws = many.numpy().reshape(500, 4)
    distance = np.abs(draws[:, :, None] - 5 * exact)  # (draw, example, pixel)
    assert distance.min(-1).max() < 1e-10
    assert set(distance.argmin(-1).ravel()) == set(range(5))
    standard_error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - exact.sum(1)) < 5 * standard_error)


def test_same_seed_chooses_the_same_pixels(random_rbm):
    rbm, v = random_rbm(5, 3), binary_data(20, 5)
    first, again, other = (
        stochastic_pseudo_log_likelihood(rbm, v, seed=seed).numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("function", [pseudo_log_likelihood, stochastic_pseudo_log_likelihood])
@pytest.mark.parametrize(
    ("v", "message"),
    [
        (np.zeros((2, 5)), r"shape \(num, 6\), one column per visible unit; got \(2, 5\)"),
        (np.zeros((2, 2, 3)), "Flatten images"),
        (np.zeros((0, 6)), "no data"),
        (np.full((2, 6), 0.5), "datasets.binarize"),
        (np.full((2, 6), np.nan), "without NaN"),
    ],
)
def test_wrong_states_are_refused_with_the_remedy(function, v, message):
    with pytest.raises(ValueError, match=message):
        function(BernoulliRBM(6, 4), v)
