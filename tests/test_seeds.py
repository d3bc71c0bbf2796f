import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.seeds import as_seed
from rbm_tf.training.negative_phase import ContrastiveDivergence
from vae_keras.evidence import (
    estimate_in_blocks,
    regrouped_cumulants,
    streamed_iwae,
    sumo_lengths,
)
from vae_keras.lambda_vae import build_lambda_vae
from vae_keras.layers import AffineCoupling, GaussianSampling
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import Bernoulli
from vae_keras.vae import VAE

X = np.eye(6, dtype="float32")


def vae(seed=0):
    keras.utils.set_random_seed(0)
    return VAE(dense_encoder((6,), 2), dense_decoder((6,), 2), seed=seed)


CALLS = {
    "RBM": lambda seed: BernoulliRBM(6, 4, seed=seed).kernel,
    "phase": lambda seed: ContrastiveDivergence(seed=seed).seed,
    "sample": lambda seed: BernoulliRBM(6, 4, seed=0).sample(3, 5, seed=seed),
    "training": lambda seed: vae(seed).fit(X, verbose=0).history["loss"],
    "log-weights": lambda seed: vae().log_weights(X, 3, seed=seed),
    "ELBO": lambda seed: vae().elbo(X, num_samples=3, seed=seed),
    "generate": lambda seed: vae().generate(3, seed=seed),
    "sampled data": lambda seed: vae().sample(3, seed=seed)[1],
    "layer": lambda seed: GaussianSampling(seed=seed)((X, X)),
    "flow": lambda seed: AffineCoupling(seed=seed).seed,
    "part": lambda seed: Bernoulli(seed=seed)(X)[0],
    "post": lambda seed: build_lambda_vae((6,), seed=seed).get_layer("sampling").count_params(),
}


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_integers_of_every_kind_are_seeds_and_nothing_else_is(call):
    expected = np.asarray(call(3))
    for kind in (np.int64, np.int32, np.uint8):
        np.testing.assert_array_equal(call(kind(3)), expected)
    for wrong in (3.5, "3"):
        with pytest.raises(ValueError, match="seed must be an integer"):
            call(wrong)


def test_seeds_up_to_two_to_the_62_differ():
    seeds = [0, 1, 2**31 - 1, 2**31, 2**32, 2**61, -1]
    assert len({tuple(as_seed(seed).numpy().tolist()) for seed in seeds}) == len(seeds)
    np.testing.assert_array_equal(as_seed(tf.constant([1, 2])), [1, 2])
    np.testing.assert_array_equal(as_seed(tf.constant(7)), as_seed(7))


def test_seeds_outside_their_range_are_refused_before_the_work():
    model, one = vae(), {"one": lambda log_weights: log_weights[0]}
    for call in (
        lambda seed: vae(seed),
        lambda seed: Bernoulli(seed=seed),
        lambda seed: model.log_weights(X, 3, seed=seed),
        lambda seed: estimate_in_blocks(model, X, one, 3, seed=seed),
        lambda seed: sumo_lengths(3, seed=seed),
        lambda seed: regrouped_cumulants(np.zeros((6, 2)), 2, seed=seed),
    ):
        with pytest.raises(ValueError, match="seed must be from 0 to"):
            call(-1)
        with pytest.raises(ValueError, match="seed must be an integer"):
            call(0.5)


@pytest.mark.slow
def test_without_a_seed_the_global_one_fixes_every_draw():
    model, one = vae(), {"one": lambda log_weights: log_weights[0]}
    for call in (
        lambda: model.log_weights(X, 3),
        lambda: estimate_in_blocks(model, X, one, 3)["one"],
        lambda: streamed_iwae(model, X, 3),
        lambda: sumo_lengths(30),
        lambda: regrouped_cumulants(np.random.default_rng(0).normal(size=(40, 2)), 4),
    ):
        draws = []
        for seed in (1, 1, 2):
            keras.utils.set_random_seed(seed)
            draws.append(np.asarray(call()))
        np.testing.assert_array_equal(draws[0], draws[1])
        assert np.any(draws[0] != draws[2])


def test_models_refuse_seeds_that_would_agree_with_smaller_ones():
    for seed in (-1, 2**31):
        with pytest.raises(ValueError, match="seed must be from 0 to 2147483647"):
            BernoulliRBM(6, 4, seed=seed)
