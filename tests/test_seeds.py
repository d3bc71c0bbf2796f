import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.seeds import as_seed
from rbm_tf.training.negative_phase import ContrastiveDivergence
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


def test_models_refuse_seeds_that_would_agree_with_smaller_ones():
    for seed in (-1, 2**31):
        with pytest.raises(ValueError, match="seed must be from 0 to 2147483647"):
            BernoulliRBM(6, 4, seed=seed)
