"""What users hand over to a VAE, question by question; KERAS_BACKEND=jax or torch, too."""

import itertools

import keras
import numpy as np
import pandas
import pytest
import scipy.sparse
from batches import Batches
from keras import ops

from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import Bernoulli, Latents, enumerated, log_weights
from vae_keras.vae import VAE

numpy = ops.convert_to_numpy
X = (np.random.default_rng(0).random((8, 6)) < 0.4).astype("float32")
NOISY = 1 - X
WHOLE = 20_000_000  # of which float32 holds even numbers alone


def small(**options):
    hidden = {"hidden_units": (4,)}
    return VAE(dense_encoder((6,), 2, **hidden), dense_decoder((6,), 2, **hidden), **options)


def denoising():
    x, noisy = keras.Input((6,), name="x"), keras.Input((6,), name="noisy")
    z = keras.Input((2,), name="z")
    encoder = keras.Model([x, noisy], dense_encoder((6,), 2)(noisy))
    return VAE(encoder, keras.Model(z, dense_decoder((6,), 2)(z)))


def numbered():
    """A VAE whose condition is an integer, of which it sees whether it is odd."""
    x, z = keras.Input((6,), name="x"), keras.Input((2,), name="z")
    y = keras.Input((), dtype="int32", name="y")
    odd = keras.layers.Lambda(lambda y: ops.cast(y % 2, "float32")[:, None], (1,))(y)
    joined = [keras.layers.Concatenate()([a, odd]) for a in (x, z)]
    encoder = keras.Model([x, y], dense_encoder((7,), 2)(joined[0]))
    return VAE(encoder, keras.Model([z, y], dense_decoder((6,), 3)(joined[1])), seed=0)


def bits():
    return Latents(lambda x: x, lambda z: z, posterior=Bernoulli())


def tf_data(*parts, size=4):
    data = pytest.importorskip("tensorflow").data
    return data.Dataset.from_tensor_slices(parts).batch(size)


def networks_of(vae, x):
    return log_weights(vae.encoder, vae.decoder, x, 3, seed=0)


QUESTIONS = {
    "fit": lambda vae, x: vae.fit(x, verbose=0).history["loss"],
    "evaluate": lambda vae, x: vae.evaluate(x, verbose=0),
    "predict": lambda vae, x: vae.predict(x, verbose=0),
    "log_weights": lambda vae, x: vae.log_weights(x, 3, seed=0),
    "elbo": lambda vae, x: vae.elbo(x, seed=0),
    "encode": lambda vae, x: vae.encode(x)[0],
    "reconstruct": lambda vae, x: vae.reconstruct(x),
    "log_weights of networks": networks_of,
    "enumerated": lambda vae, x: enumerated(bits(), x),
}
ONE_INPUT = [name for name in QUESTIONS if name not in ("log_weights of networks", "enumerated")]
ABOUT_ARRAYS = list(QUESTIONS)[3:]  # and not about batches
FORMS = {
    "list": X.tolist(),
    "frame": pandas.DataFrame(X.astype(int)).convert_dtypes(),
    "sparse": scipy.sparse.csr_matrix(X),
    "float64": X.astype("float64"),
    "masked without a mask": np.ma.masked_array(X),
}
REFUSED = {
    "grey levels to 16": (16 * X, r"must lie in \[0, 1\]"),
    "masked": (np.ma.masked_array(X, X > 0), "without NaN"),
    "frame with NA": (pandas.DataFrame(np.where(X > 0, np.nan, X)).convert_dtypes(), "without NaN"),
    "complex": (X + 0j, "x must hold numbers"),
    "text": ([["a"] * 6] * 8, "x must hold numbers"),
    "empty": (X[:0], "no data|batch of 1 or more|at least one image"),
}


@pytest.mark.slow
@pytest.mark.grid
@pytest.mark.parametrize(("question", "form"), list(itertools.product(QUESTIONS, FORMS)))
def test_every_question_takes_data_in_every_form(question, form):
    keras.utils.set_random_seed(0)
    given, expected = small(seed=0), small(seed=0)
    expected.set_weights(given.get_weights())
    found = QUESTIONS[question](given, FORMS[form])
    np.testing.assert_allclose(numpy(found), numpy(QUESTIONS[question](expected, X)), rtol=1e-6)


@pytest.mark.parametrize(("question", "kind"), list(itertools.product(QUESTIONS, REFUSED)))
def test_every_question_refuses_what_the_likelihood_does_not_know(question, kind):
    x, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        QUESTIONS[question](small(), x)


@pytest.mark.parametrize("question", ONE_INPUT)
def test_a_dict_of_one_input_may_have_any_key(question):
    QUESTIONS[question](small(), {"pixels": X})


@pytest.mark.parametrize("question", ABOUT_ARRAYS)
def test_questions_about_arrays_name_what_takes_batches(question):
    with pytest.raises(ValueError, match=r"in memory here: give arrays.* or call evaluate"):
        QUESTIONS[question](small(), iter([X]))


def test_tensors_that_hold_their_numbers_otherwise_are_taken_or_refused():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("another framework's tensors")
    vae = small()
    found = vae.log_weights(tf.sparse.from_dense(X), 3, seed=0)
    np.testing.assert_array_equal(found, vae.log_weights(X, 3, seed=0))
    for call in (vae.elbo, vae.fit):
        with pytest.raises(ValueError, match=r"pad them, by data\.to_tensor"):
            call(tf.ragged.constant([[0.0, 1.0], [1.0]]))
    with pytest.raises(ValueError, match="complex"):
        vae.elbo(tf.cast(X, "complex64"))


Y_IS_LOST = {
    "other numbers": NOISY,
    "text": ["a"] * 8,
    "fewer": X[:3],
    "labels": np.arange(8),
}


@pytest.mark.parametrize("y", list(Y_IS_LOST.values()), ids=list(Y_IS_LOST))
@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_a_y_that_would_be_lost_is_refused(call, y):
    with pytest.raises(ValueError, match=r"y is not used: the likelihood scores x.*denoising"):
        getattr(small(), call)(X, y)
    with pytest.raises(ValueError, match="y is not used"):
        getattr(denoising(), call)({"x": X, "noisy": NOISY}, y)


@pytest.mark.slow
@pytest.mark.parametrize(
    "batches",
    [
        lambda y: tf_data(X, y),
        lambda y: Batches([(X, y)]),
        lambda y: iter([(X, y)]),
        lambda y: tf_data(X, {"y": y}),
        lambda y: tf_data({"x": X}, y),
    ],
)
def test_a_y_that_would_be_lost_is_refused_in_batches_too(batches):
    for call in (small().fit, small().evaluate):
        with pytest.raises(ValueError, match="y is not used") as caught:
            call(batches(NOISY), verbose=0)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="y is not used"):
        small().fit(X, validation_data=(X, NOISY), verbose=0)


@pytest.mark.slow
def test_autoencoders_are_trained_on_pairs_of_the_same():
    losses = []
    for data in ((X,), (X, X), (X, X.astype("float64").tolist()), (tf_data(X, X, size=8),)):
        keras.utils.set_random_seed(0)
        losses.append(small(seed=0).evaluate(*data, verbose=0)[0])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    denoising().fit({"x": X, "noisy": NOISY}, X, verbose=0)


def test_a_denoising_vae_scores_the_clean_data_and_sees_the_noisy():
    vae, data = denoising(), {"x": X, "noisy": NOISY}
    vae.fit(data, verbose=0)
    np.testing.assert_array_equal(
        numpy(vae.encode(data)[0]), numpy(vae.encode({"x": NOISY, "noisy": NOISY})[0])
    )
    z = vae.latents.draws(data, 1, seed=0).value
    log_p = numpy(vae.likelihood.log_prob(vae.decoder(z), ops.convert_to_tensor(X)))
    found = numpy(vae.latents.draws(data, 1, seed=0).log_likelihood)[0]
    np.testing.assert_allclose(found, log_p, rtol=1e-5)


def test_masked_weights_are_missing_weights():
    weight = np.ma.masked_array(np.ones(8), np.arange(8) == 3)
    with pytest.raises(ValueError, match="1 of them NaN or infinite"):
        small().fit(X, sample_weight=weight, verbose=0)


@pytest.mark.slow
def test_integer_conditions_that_no_float32_tells_apart_stay_apart():
    vae = numbered()
    even, odd = ({"x": X, "y": np.full(8, WHOLE + i)} for i in (0, 1))
    for call in (
        vae.reconstruct,
        lambda data: vae.predict(data, verbose=0),
        lambda data: vae.evaluate(data, verbose=0),
        lambda data: vae.log_weights(data, 3, seed=0),
        lambda data: vae.generate(conditions={"y": data["y"]}, seed=0),
        lambda data: vae.evaluate(tf_data(data["x"], data["y"]), verbose=0),
    ):
        assert np.abs(numpy(call(even)) - numpy(call(odd))).max() > 1e-4
        small_numbers = {**odd, "y": odd["y"] % 2}
        np.testing.assert_allclose(numpy(call(odd)), numpy(call(small_numbers)), rtol=1e-5)
    with pytest.raises(ValueError, match="y must hold integers of type int32"):
        vae.fit(X, np.full(8, 0.5), verbose=0)
    with pytest.raises(ValueError, match="y must hold numbers"):
        vae.fit(X, ["a"] * 8, verbose=0)


def test_decoding_takes_arrays_and_checks_what_it_is_given():
    vae, y = numbered(), [0, 1, 1]
    z = np.random.default_rng(1).normal(size=(3, 2))
    expected = vae.decode(ops.convert_to_tensor(z, "float32"), conditions={"y": y})
    for given in (z, z.tolist()):
        np.testing.assert_allclose(numpy(vae.decode(given, conditions={"y": y})), numpy(expected))
    with pytest.raises(ValueError, match=r"z must have shape \(batch, 2\)"):
        vae.decode(z[:, :1], conditions={"y": y})
    with pytest.raises(ValueError, match=r"one length; got \[2, 3\]"):
        vae.decode(z[:2], conditions={"y": y})
    for conditions in (np.zeros(3), {"y": y, "a": y}):
        with pytest.raises(ValueError, match=r"must be a dict with the keys \['y'\]; got"):
            vae.generate(conditions=conditions)
    with pytest.raises(ValueError, match=r"y must have shape \(batch, \)"):
        vae.generate(conditions={"y": 2})
    with pytest.raises(ValueError, match=r"with the keys \[\]"):
        small().decode(z, conditions={"y": y})


def test_weights_in_a_column_count_in_a_data_set():
    weight, vae = np.linspace(0, 1, 8, dtype="float32"), small(seed=0)
    columns = vae.evaluate(tf_data(X, X, weight[:, None]), verbose=0)
    np.testing.assert_allclose(columns, vae.evaluate(tf_data(X, X, weight), verbose=0))


def test_elements_of_a_data_set_are_looked_at_before_a_model_is_built_on_them():
    tf = pytest.importorskip("tensorflow")
    vae = small(seed=0)
    for data in (tf_data(X).unbatch(), tf_data(X[:, :5]), tf_data(X.reshape(8, 2, 3))):
        with pytest.raises(ValueError, match=r"x must have shape \(batch, 6\).*\.batch\(100\)"):
            vae.fit(data, verbose=0)
    unknown = tf.data.Dataset.from_generator(lambda: iter([X]), output_types=tf.float32)
    np.testing.assert_allclose(
        vae.evaluate(unknown, steps=1, verbose=0), vae.evaluate(X, verbose=0), rtol=1e-6
    )
    ragged = tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1.0, 0.0], [1.0]]))
    with pytest.raises(ValueError, match="ragged tensors: pad them"):
        vae.fit(ragged.batch(2), verbose=0)


def test_single_batches_refuse_a_loss_as_fit_does():
    vae = small()
    vae.compile("adam", "mse")
    for call in (vae.train_on_batch, vae.test_on_batch, vae.fit):
        with pytest.raises(ValueError, match="has a loss of its own"):
            call(X)
    vae.compile(None)
    for call in (vae.train_on_batch, vae.fit):
        with pytest.raises(ValueError, match=r"call compile\(optimizer\)"):
            call(X)
