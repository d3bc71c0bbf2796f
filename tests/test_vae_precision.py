"""A VAE computes in the type of its networks, densities in float32 or wider."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import LinearGaussian

from vae_keras import evidence
from vae_keras.evidence.annealing import ais, reverse_ais
from vae_keras.evidence.blocks import estimate_in_blocks, streamed_iwae
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import (
    ELBO,
    IWAE,
    DoublyReparameterizedIWAE,
    ThermodynamicObjective,
)
from vae_keras.vae import VAE

OBJECTIVES = [ELBO(), IWAE(5), DoublyReparameterizedIWAE(5), ThermodynamicObjective(5)]


@pytest.fixture
def policy(request):
    """The name of a policy; "floatx" is float64 by Keras's older switch."""
    if request.param == "floatx":
        keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64" if request.param == "floatx" else request.param)
    yield request.param
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def x():
    return (np.random.default_rng(0).random((40, 8)) < 0.3).astype("float32")


def small_vae(objective=None):
    keras.utils.set_random_seed(0)
    networks = dense_encoder((8,), 2, hidden_units=(4,)), dense_decoder((8,), 2, hidden_units=(4,))
    objective = type(objective).from_config(objective.get_config()) if objective else None
    return VAE(*networks, objective=objective, seed=0)


@pytest.mark.parametrize("policy", ["float64", "floatx"], indirect=True)
def test_log_weights_of_a_float64_model_are_the_evidence_in_float64(policy):
    model = LinearGaussian()
    log_weights = model.vae().log_weights(model.x, 20, seed=0)
    assert log_weights.dtype == tf.float64
    rtol = 1e-11 if policy == "floatx" else 1e-6  # a policy leaves `keras.Input` in float32
    np.testing.assert_allclose(log_weights, np.tile(model.log_p(), (20, 1)), rtol=rtol)
    assert model.vae(0.1).elbo(model.x).dtype == tf.float64


@pytest.mark.long
@pytest.mark.parametrize("policy", ["float64", "floatx"], indirect=True)
def test_estimates_of_a_float64_model_are_those_of_its_float32_twin(policy, x):
    wide = small_vae()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    narrow = small_vae()
    narrow.set_weights(wide.get_weights())
    estimates = {"iwae": evidence.iwae, "two": lambda w: evidence.jackknife(w, order=2)}
    values = [estimate_in_blocks(vae, x, estimates, 4000, seed=0) for vae in (wide, narrow)]
    for name in estimates:
        np.testing.assert_allclose(*(each[name] for each in values), atol=0.1)  # other noise
    np.testing.assert_allclose(*(streamed_iwae(v, x, 4000, seed=0) for v in (wide, narrow)), atol=1)
    betas = np.linspace(0, 1, 5)
    assert np.all(np.isfinite(ais(wide, x[:3], num_chains=5, betas=betas, seed=0).log_weights))
    simulated, z = wide.sample(3, seed=0)
    run = reverse_ais(wide, simulated, z, betas=betas, seed=0)
    assert np.all(np.isfinite(run.log_weights))


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("policy", ["float64", "floatx", "mixed_float16"], indirect=True)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
def test_any_objective_trains_in_any_precision(policy, objective, x):
    vae = small_vae(objective)
    vae.run_eagerly = policy != "float64"  # which has its graph
    vae.optimizer.learning_rate = 0.03
    losses = vae.fit(x, epochs=6, batch_size=40, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0]
    assert vae.log_weights(x, 3, seed=0).dtype == ("float32" if "16" in policy else "float64")
    assert set(np.unique(vae.sample(50, seed=0)[0])) <= {0.0, 1.0}


@pytest.mark.long
def test_networks_of_two_precisions_work_together(x):
    encoder, decoder = (
        dense_encoder((8,), 2, hidden_units=(4,)),
        dense_decoder((8,), 2, hidden_units=(4,)),
    )
    keras.config.set_dtype_policy("float64")
    try:
        wide = dense_encoder((8,), 2, hidden_units=(4,)), dense_decoder((8,), 2, hidden_units=(4,))
    finally:
        keras.config.set_dtype_policy("float32")
    for networks, dtype in (((encoder, wide[1]), "float32"), ((wide[0], decoder), "float64")):
        vae = VAE(*networks, objective=DoublyReparameterizedIWAE(5), seed=0)
        assert np.all(np.isfinite(vae.fit(x, verbose=0).history["loss"]))
        assert vae.log_weights(x, 3, seed=0).dtype == dtype


@pytest.mark.parametrize("policy", ["float16"], indirect=True)
def test_weights_in_float16_are_refused_with_the_remedy(policy):
    with pytest.raises(ValueError, match="under the policy 'mixed_float16'"):
        small_vae()
