import keras
import numpy as np
import pytest
from keras import ops
from linear_gaussian import LinearGaussian

from vae_keras import evidence
from vae_keras.objectives.perturbative import CumulantObjective, PerturbativeBound

SHIFT = np.array([0.3, -0.4])
MODEL = LinearGaussian()
OBJECTIVES = [CumulantObjective(5), CumulantObjective(6, order=3), PerturbativeBound(5, offset=0.5)]


class Draws:
    """Draws with given log-weights."""

    def __init__(self, log_weights):
        self.log_weights = ops.convert_to_tensor(log_weights)


@pytest.mark.parametrize("order", [2, 3])
def test_loss_is_minus_the_cumulant_expansion(order):
    w = np.random.default_rng(0).normal(-50, 2, size=(7, 4)).astype("float32")
    loss = CumulantObjective(7, order=order).call(Draws(w))
    np.testing.assert_allclose(loss, -evidence.cumulant(w, order=order), rtol=1e-5)


def test_perturbative_bound_is_below_the_exact_value_whatever_v0_is():  # B24
    w = np.array([[0.0], [3.0], [0.0], [0.0]])
    exact = np.log(np.mean(np.exp(w)))
    values = [-PerturbativeBound(4, offset=v0).call(Draws(w))[0] for v0 in np.linspace(-2, 4, 25)]
    assert np.max(values) < exact
    assert np.max(values) > w.mean()  # and better than the ELBO at the best V0
    third = -CumulantObjective(4, order=3).call(Draws(w))[0]
    assert third > exact  # the cumulants of odd order are no bound


def test_perturbative_bound_is_at_most_iwae_of_the_same_draws():
    w = np.random.default_rng(0).normal(-20, np.linspace(0.1, 6, 500), size=(5, 500))
    for offset in (-2.0, 0.0, 1.5):
        value = -PerturbativeBound(5, offset=offset).call(Draws(w))
        assert np.all(np.asarray(value) <= evidence.iwae(w).numpy() + 1e-9)


def test_perturbative_bound_of_equal_weights_is_exact():
    value = -PerturbativeBound(3).call(Draws(np.full((3, 2), -7.5)))
    np.testing.assert_allclose(value, [-7.5, -7.5], rtol=1e-6)


def test_perturbative_bound_goes_on_where_its_bracket_is_negative():
    w = np.array([[-9.0], [9.0], [-9.0], [0.0], [-9.0]])
    loss = PerturbativeBound(5).call(Draws(w))
    assert np.all(np.isfinite(loss))


def test_order_two_pays_for_variance_without_limit():
    base = np.random.default_rng(0).normal(size=(20, 1))
    base -= base.mean()
    exact = [np.log(np.mean(np.exp(s * base))) for s in (1, 10, 100)]
    values = [-float(CumulantObjective(20).call(Draws(s * base))[0]) for s in (1, 10, 100)]
    assert values[2] > 50 * values[1] > 2000 * values[0]
    assert values[2] > exact[2] + 1000  # the estimate that the samples themselves give


@pytest.mark.long
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
def test_objective_trains_and_comes_back_from_a_file(objective, tmp_path):
    config = objective.get_config()
    assert type(objective).from_config(config).get_config() == config
    vae = MODEL.vae(SHIFT, objective=objective, seed=0)
    before = vae.get_weights()
    vae.fit(MODEL.x, epochs=2, batch_size=10, verbose=0)
    assert any(np.any(a != b) for a, b in zip(before, vae.get_weights(), strict=True))
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    assert again.objective.get_config() == config


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="order must be 2 or 3; got 1"):
        CumulantObjective(5, order=1)
    with pytest.raises(ValueError, match="needs num_samples of 3"):
        CumulantObjective(2, order=3)
    with pytest.raises(ValueError, match="num_samples must be an integer of 2 or more"):
        PerturbativeBound(1)
    with pytest.raises(ValueError, match="offset must be -2 or above"):
        PerturbativeBound(5, offset=-3.0)
