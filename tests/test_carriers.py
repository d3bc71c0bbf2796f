"""What carries batches to a VAE on every Keras backend: KERAS_BACKEND=jax or torch, too."""

import keras
import numpy as np
import pytest
from batches import Batches
from keras import ops

from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

NUM, BATCH, RATE, L2 = 8, 4, 0.1, 0.5
X = (np.random.default_rng(0).random((NUM, 6)) < 0.4).astype("float32")


def elements(x, weight):
    return [
        (x[i : i + BATCH], x[i : i + BATCH], weight[i : i + BATCH]) for i in range(0, NUM, BATCH)
    ]


def tf_data(x, weight):
    data = pytest.importorskip("tensorflow").data
    return data.Dataset.from_tensor_slices((x, x, weight)).batch(BATCH)


def data_loader(x, weight):
    data = pytest.importorskip("torch.utils.data")
    tensors = [pytest.importorskip("torch").tensor(a) for a in (x, x, weight)]
    return data.DataLoader(data.TensorDataset(*tensors), batch_size=BATCH)


CARRIERS = {
    "array": lambda x, weight: x,
    "tf.data": tf_data,
    "PyDataset": lambda x, weight: Batches(elements(x, weight)),
    "generator": lambda x, weight: (element for element in elements(x, weight)),
    "DataLoader": data_loader,
}


def steps(carrier, name="steps"):
    """Keras warns when a generator ends before it is told to."""
    return {name: NUM // BATCH} if carrier == "generator" else {}


def made():
    vae = VAE(
        dense_encoder((6,), 2, hidden_units=(4,)), dense_decoder((6,), 2, hidden_units=(4,)), seed=0
    )
    vae.compile(keras.optimizers.SGD(RATE))
    layer = vae.encoder.layers[-1]
    layer.kernel.regularizer = keras.regularizers.L2(L2)
    return vae, layer.kernel


@pytest.mark.grid
@pytest.mark.parametrize("carrier", CARRIERS)
def test_weights_and_regularisers_count_whatever_carries_the_data(carrier):
    vae, kernel = made()
    before, weight = ops.convert_to_numpy(kernel), np.zeros(NUM, "float32")
    beside = {"sample_weight": weight} if carrier == "array" else {}
    held = (X, None, weight) if carrier == "array" else CARRIERS[carrier](X, weight)
    history = vae.fit(
        CARRIERS[carrier](X, weight),
        batch_size=BATCH,
        validation_data=held,
        verbose=0,
        **beside,
        **steps(carrier, "steps_per_epoch"),
        **steps(carrier, "validation_steps"),
    ).history
    shrunk = before * (1 - 2 * RATE * L2) ** 2
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), shrunk, rtol=1e-5)
    assert history["val_loss"][0] == pytest.approx(L2 * np.sum(shrunk**2), rel=1e-5)
    options = {"verbose": 0, "return_dict": True, **beside, **steps(carrier)}
    evaluated = vae.evaluate(CARRIERS[carrier](X, weight), **options)
    assert evaluated["loss"] == pytest.approx(history["val_loss"][0], rel=1e-5)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_batches_outside_the_support_are_refused_whatever_carries_them(carrier):
    vae, _ = made()
    for values in (255 * X, np.where(X > 0, np.nan, X)):
        data = CARRIERS[carrier](values, np.ones(NUM, "float32"))
        with pytest.raises(ValueError, match="divide 8-bit images by 255"):
            vae.fit(data, verbose=0)
        with pytest.raises(ValueError, match="divide 8-bit images by 255"):
            vae.evaluate(CARRIERS[carrier](values, np.ones(NUM, "float32")), verbose=0)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_predictions_are_those_of_the_arrays(carrier):
    vae, _ = made()
    data = CARRIERS[carrier](X, np.ones(NUM, "float32"))
    predicted = vae.predict(data, verbose=0, **steps(carrier))
    np.testing.assert_allclose(predicted, ops.convert_to_numpy(vae(X)), rtol=1e-5)


@pytest.mark.long
def test_validation_leaves_training_as_it_is_and_repeats_its_noise():
    weights, losses = [], []
    initial = [ops.convert_to_numpy(w) for w in made()[0].get_weights()]
    for options in ({}, {"validation_data": (X,)}):
        vae, kernel = made()
        vae.set_weights(initial)
        vae.fit(X, epochs=2, batch_size=BATCH, verbose=0, **options)
        weights.append(ops.convert_to_numpy(kernel))
        losses += [vae.evaluate(X, verbose=0, return_dict=True)["loss"] for _ in range(2)]
    np.testing.assert_array_equal(*weights)
    assert losses == losses[:1] * 4
