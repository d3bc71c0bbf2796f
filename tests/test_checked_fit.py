"""Every carrier of data on every path of every model, with values that are known exactly."""

import itertools

import keras
import numpy as np
import pandas
import pytest
import scipy.sparse
import tensorflow as tf
from batches import Batches

from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.checkpoints import arrays_of, variables_of
from rbm_tf.training.negative_phase import ContrastiveDivergence
from vae_keras.layers import AddKL
from vae_keras.vae import VAE

NUM, BATCH, RATE, L2 = 8, 4, 0.1, 0.5
X = (np.random.default_rng(0).random((NUM, 6)) < 0.4).astype("float32")
Y = np.eye(3, dtype="float32")[np.arange(NUM) % 3]


def rbm(l2=0.0):
    parameters = np.random.default_rng(1).normal(size=(6, 4)), np.zeros(6), np.zeros(4)
    phase = ContrastiveDivergence(seed=0)
    model = BernoulliRBM.from_parameters(*parameters, negative_phase=phase, seed=0)
    model.kernel.regularizer = keras.regularizers.L2(l2)
    return model


def networks(*conditions):
    """An encoder and a decoder of one weight matrix each, seeded."""
    x, z = keras.Input((6,), name="x"), keras.Input((2,), name="z")
    y = [keras.Input((num,), name="y") for num in conditions]
    joined = [keras.layers.Concatenate()([a, *y]) if y else a for a in (x, z)]
    hidden = keras.layers.Dense(4, name="last", kernel_initializer=uniform(2))(joined[0])
    encoder = keras.Model([x, *y] if y else x, (hidden[:, :2], hidden[:, 2:]))
    logits = keras.layers.Dense(6, kernel_initializer=uniform(3))(joined[1])
    return encoder, keras.Model([z, *y] if y else z, logits)


def uniform(seed):
    return keras.initializers.RandomUniform(seed=seed)


def vae(l2=0.0, conditions=()):
    encoder, decoder = networks(*conditions)
    encoder.get_layer("last").kernel.regularizer = keras.regularizers.L2(l2)
    return VAE(encoder, decoder, seed=0)


def conditional_vae(l2=0.0):
    return vae(l2, conditions=(3,))


MODELS = {"rbm": rbm, "vae": vae, "conditional_vae": conditional_vae}


def made(name, l2=0.0):
    model = MODELS[name](l2)
    model.compile(keras.optimizers.SGD(RATE), run_eagerly=True)
    kernel = model.kernel if name == "rbm" else model.encoder.get_layer("last").kernel
    return model, kernel


def cut(parts):
    """Batches (x, y, sample_weight) of arrays."""
    return [tuple(a[i : i + BATCH] for a in parts) for i in range(0, NUM, BATCH)]


ARRAYS = {
    "array": np.asarray,
    "list": lambda a: a.tolist(),
    "frame": pandas.DataFrame,
    "missing-aware frame": lambda a: pandas.DataFrame(a).convert_dtypes(),
    "sparse": scipy.sparse.csr_matrix,
    "tensor": tf.constant,
    "integers": lambda a: a.astype("int64"),
    "dict": lambda a: {"x": a},
}
BATCHED = {
    "tf.data": lambda *parts: tf.data.Dataset.from_tensor_slices(parts).batch(BATCH),
    "tf.data of dicts": lambda x, *rest: tf.data.Dataset.from_tensor_slices(
        ({"x": x}, *rest)
    ).batch(BATCH),
    "PyDataset": lambda *parts: Batches(cut(parts)),
    "generator": lambda *parts: (element for element in itertools.cycle(cut(parts))),
}
CARRIERS = [*ARRAYS, *BATCHED]


def carried(name, carrier, weight, x=X, y=Y):
    """Keyword arguments of fit that hand the data over; None where there is no such thing."""
    conditional = name == "conditional_vae"
    if carrier in ARRAYS:
        if conditional and carrier == "dict":
            return {"x": {"x": x, "y": y}, "sample_weight": weight}
        column = carrier in ("tensor", "frame", "sparse", "missing-aware frame")
        weight = ARRAYS[carrier](weight[:, None]) if column else weight.tolist()
        arguments = {"x": ARRAYS[carrier](x), "sample_weight": weight}
        return arguments | ({"y": ARRAYS[carrier](y)} if conditional else {})
    if conditional and carrier == "tf.data of dicts":
        elements = {"x": x, "y": y}, x, weight
        return {"x": tf.data.Dataset.from_tensor_slices(elements).batch(BATCH)}
    return {"x": BATCHED[carrier](x, y if conditional else x, weight)}


PATHS = {
    "shuffled": {"epochs": 2},
    "in order": {"epochs": 2, "shuffle": False},
    "steps": {"epochs": 2, "steps_per_epoch": 1},
    "validation split": {"validation_split": 0.5},
    "validation data": {},
}
STEPS = dict(zip(PATHS, (4, 4, 2, 1, 2), strict=True))
EVERY = pytest.mark.parametrize(
    ("name", "carrier"), list(itertools.product(MODELS, CARRIERS)), ids=lambda value: value
)
# For what takes long: every carrier with the RBM, and in turns with the VAEs, which share a door.
IN_TURNS = pytest.mark.parametrize(
    ("name", "carrier"),
    [
        (name, carrier)
        for carrier, kind in zip(
            CARRIERS, itertools.cycle(["vae", "conditional_vae"]), strict=False
        )
        for name in ("rbm", kind)
    ],
    ids=lambda value: value,
)


def run(model, name, carrier, path, weight, x=X):
    """Fit along a path; returns the history, or None where the path takes no such carrier."""
    options = dict(PATHS[path])
    if carrier in BATCHED and path == "validation split":
        return None
    if carrier == "generator" and path != "steps":
        options["steps_per_epoch"] = NUM // BATCH  # a generator does not end
    if path == "validation data":
        held = carried(name, carrier, weight, x)
        options["validation_data"] = (
            (held["x"], held.get("y"), held["sample_weight"]) if carrier in ARRAYS else held["x"]
        )
        options["validation_steps"] = NUM // BATCH
    data = carried(name, carrier, weight, x)
    return model.fit(**data, batch_size=BATCH, verbose=0, **options).history


@pytest.mark.grid
@pytest.mark.long
@IN_TURNS
def test_zero_weights_leave_the_regulariser_alone_on_every_path(name, carrier):
    model, kernel = made(name, L2)
    for path in PATHS:
        before, done = kernel.numpy(), int(model.optimizer.iterations)
        history = run(model, name, carrier, path, np.zeros(NUM, "float32"))
        if history is None:
            continue
        steps = int(model.optimizer.iterations) - done
        assert steps == STEPS[path]
        shrunk = before * (1 - 2 * RATE * L2) ** steps
        np.testing.assert_allclose(kernel.numpy(), shrunk, rtol=1e-5, atol=1e-7, err_msg=path)
        penalty = L2 * np.sum(shrunk.astype(float) ** 2)
        if path.startswith("validation"):
            assert history["val_loss"][-1] == pytest.approx(penalty, rel=1e-5)
    evaluated = carried(name, carrier, np.zeros(NUM, "float32"))
    options = {"batch_size": BATCH, "steps": 2, "verbose": 0, "return_dict": True}
    loss = model.evaluate(**evaluated, **options)["loss"]
    assert loss == pytest.approx(L2 * np.sum(kernel.numpy().astype(float) ** 2), rel=1e-5)


@pytest.mark.long
@pytest.mark.grid
@IN_TURNS
def test_doubled_weights_double_the_step_on_every_path(name, carrier):
    model, kernel = made(name)
    start, before = arrays_of(model), kernel.numpy()
    for shuffle, steps in itertools.product((True, False), (None, 1)):
        if carrier in BATCHED and (shuffle or steps is None):
            continue
        moved = []
        for scale in (1.0, 2.0):
            for variable, value in zip(variables_of(model), start, strict=True):
                variable.assign(value)
            data = carried(name, carrier, scale * np.linspace(0, 1, NUM, dtype="float32"))
            options = {"batch_size": NUM, "shuffle": shuffle, "steps_per_epoch": steps}
            model.fit(**data, verbose=0, **options)
            assert int(model.optimizer.iterations) == 1
            moved.append(kernel.numpy() - before)
        assert np.abs(moved[0]).max() > 1e-4
        np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-3, atol=1e-6)


@pytest.mark.grid
@EVERY
def test_bad_values_are_refused_on_every_path_with_the_remedy(name, carrier):
    weight, (model, _) = np.ones(NUM, "float32"), made(name)
    bad = {"divide 8-bit images by 255": 255 * X}
    if carrier != "integers":
        bad["without NaN"] = np.where(X > 0, np.nan, X)
    for message, x in bad.items():
        for path in PATHS:
            if carrier in BATCHED and path == "validation split":
                continue
            with pytest.raises(ValueError, match=message):
                run(model, name, carrier, path, weight, x)
        with pytest.raises(ValueError, match=message):
            model.evaluate(**carried(name, carrier, weight, x), steps=1, verbose=0)
        data = carried(name, carrier, weight, x)
        inputs = data["x"] if data.get("y") is None else (data["x"], data["y"])
        with pytest.raises(ValueError, match=message):
            model.predict(inputs, steps=1, verbose=0)
    weight[3] = np.nan
    with pytest.raises(ValueError, match="sample_weight must hold one finite number"):
        run(model, name, carrier, "steps", weight)
    with pytest.raises(ValueError, match="sample_weight must hold one finite number"):
        model.evaluate(**carried(name, carrier, weight), steps=1, verbose=0)


@pytest.mark.grid
@EVERY
def test_predictions_do_not_depend_on_the_carrier(name, carrier):
    model, _ = made(name)
    x = (X, Y) if name == "conditional_vae" else X
    expected = model(x)
    data = carried(name, carrier, np.ones(NUM, "float32"))
    inputs = data["x"] if data.get("y") is None else (data["x"], data["y"])
    np.testing.assert_allclose(
        model.predict(inputs, batch_size=BATCH, steps=2, verbose=0), expected, rtol=1e-6
    )


@pytest.mark.parametrize("name", MODELS)
def test_single_batches_pass_the_same_door(name):
    y = Y if name == "conditional_vae" else None
    model, kernel = made(name, L2)
    before = kernel.numpy()
    model.train_on_batch(X.tolist(), y, sample_weight=np.zeros(NUM))
    np.testing.assert_allclose(kernel.numpy(), before * (1 - 2 * RATE * L2), rtol=1e-5, atol=1e-7)
    model.reset_metrics()
    loss = model.test_on_batch(X, y, sample_weight=np.zeros(NUM), return_dict=True)["loss"]
    assert loss == pytest.approx(L2 * np.sum(kernel.numpy() ** 2), rel=1e-5)
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="divide 8-bit images by 255"):
            call(255 * X, y)
    with pytest.raises(ValueError, match="divide 8-bit images by 255"):
        model.predict_on_batch(255 * X if y is None else (255 * X, y))


@pytest.mark.grid
@pytest.mark.parametrize("name", MODELS)
def test_graphs_of_many_steps_count_weights_and_regularisers_too(name):
    model, kernel = made(name, L2)
    model.compile(keras.optimizers.SGD(RATE), steps_per_execution=3)
    before = kernel.numpy()
    data = carried(name, "array", np.zeros(NUM, "float32"))
    model.fit(**data, batch_size=3, epochs=2, verbose=0, validation_data=None)
    np.testing.assert_allclose(kernel.numpy(), before * (1 - 2 * RATE * L2) ** 6, rtol=1e-5)


def test_kl_that_an_encoder_adds_counts_once():
    encoder, decoder = networks()
    kl = keras.Model(encoder.inputs, AddKL(weight=3.0)(encoder.outputs))
    plain, added = VAE(encoder, decoder, seed=0), VAE(kl, decoder, seed=0)
    losses = [model.evaluate(X, verbose=0, return_dict=True) for model in (plain, added)]
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"] + 3 * losses[0]["kl"], rel=1e-5)
    np.testing.assert_allclose(plain.elbo(X, seed=0), added.elbo(X, seed=0), rtol=1e-6)
    for model in (plain, added):
        model.compile(keras.optimizers.SGD(RATE))
    trained = added.fit(X, verbose=0, batch_size=NUM).history["loss"]
    assert trained[0] > 0


@pytest.mark.parametrize("name", MODELS)
def test_epochs_of_some_steps_go_on_through_the_data_in_a_new_order_each_pass(name):
    model, _ = made(name)
    seen = []

    def record(x, *args, **kwargs):
        seen.append(np.asarray(x[0] if isinstance(x, (tuple, list)) else x)[:, 0])
        return original(x, *args, **kwargs)

    original, model.compute_loss = model.compute_loss, record
    x = np.linspace(0, 1, NUM)[:, None] * np.ones((1, 6))
    data = carried(name, "array", np.ones(NUM, "float32"), x.astype("float32"))
    model.fit(**data, batch_size=3, steps_per_epoch=2, epochs=4, verbose=0)
    rows = np.concatenate(seen)
    assert len(rows) == 3 * NUM  # 4 epochs of 2 batches of 3 are three passes
    passes = rows.reshape(3, NUM)
    np.testing.assert_allclose(np.sort(passes), np.tile(x[:, 0], (3, 1)), rtol=1e-6)
    assert np.any(passes[0] != passes[1]) and np.any(passes[0] != x[:, 0])


@pytest.mark.parametrize("name", MODELS)
def test_validation_leaves_training_as_it_is_and_repeats_its_noise(name):
    data = carried(name, "array", np.ones(NUM, "float32"))
    held = {"validation_data": (data["x"], data.get("y"), np.ones(NUM))}
    weights, losses = [], []
    for options in ({}, held):
        model, kernel = made(name)
        model.fit(**data, epochs=2, verbose=0, **options)
        weights.append(kernel.numpy())
        losses += [model.evaluate(**data, verbose=0, return_dict=True)["loss"] for _ in range(2)]
    np.testing.assert_array_equal(*weights)
    assert losses == losses[:1] * 4


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of 1 or more; got 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer of 1 or more; got 2.5"),
        ({"sample_weight": np.ones(NUM - 1)}, "one finite number for each of 8 examples"),
        ({"sample_weight": np.ones((NUM, 6))}, "one finite number for each of 8 examples"),
        ({"class_weight": {0: 1.0}}, r"sample_weight=\[class_weight\[label\] for label in"),
        ({"validation_split": 1.0}, "validation_split must be above 0 and below 1"),
        ({"validation_split": 0.99}, "leave an example on both sides; got 0.99"),
        ({"x": None}, "takes data x and|must hold numbers"),
        ({"x": [["a"] * 6] * NUM}, "must hold numbers"),
        ({"x": [[0.0] * 6, [0.0] * 5]}, "must hold numbers"),
        ({"x": object()}, "must hold numbers"),
        ({"x": X[:, :5]}, r"must have shape \("),
        ({"x": X[:0]}, "no data|batch of 1 or more"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(name, change, message):
    model, _ = made(name)
    with pytest.raises(ValueError, match=message) as caught:
        model.fit(**{**carried(name, "array", np.ones(NUM)), "verbose": 0, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_options_that_a_data_set_does_not_take_are_refused(name):
    model, _ = made(name)
    data = carried(name, "tf.data", np.ones(NUM, "float32"))
    with pytest.raises(ValueError, match="carries its own targets and weights"):
        model.fit(**data, sample_weight=np.ones(NUM), verbose=0)
    with pytest.raises(ValueError, match="carries its own targets and weights"):
        model.evaluate(**data, sample_weight=np.ones(NUM), verbose=0)
    with pytest.raises(ValueError, match="give a data set validation_data"):
        model.fit(**data, validation_split=0.5, verbose=0)


@pytest.mark.parametrize("name", MODELS)
def test_a_loss_that_would_not_count_is_refused(name):
    model, _ = made(name)
    for options in ({"loss": "mse"}, {"metrics": ["mse"]}):
        model.compile("sgd", **options)
        with pytest.raises(ValueError, match="has a loss of its own"):
            model.fit(**carried(name, "array", np.ones(NUM)), verbose=0)


def test_callback_lists_and_positional_arguments_of_keras_are_taken():
    model, _ = made("rbm")
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    seen = []
    model.fit(X, None, BATCH, 2, 0, stop)
    model.fit(
        X, None, BATCH, 3, 0, keras.callbacks.CallbackList([stop], add_history=True, model=model)
    )
    assert seen == [0, 1, 0, 1, 2]


@pytest.mark.long
def test_adapting_takes_every_carrier_and_sees_the_first_batch_of_a_generator():
    for carrier in CARRIERS:
        model, _ = made("rbm")
        data = carried("rbm", carrier, np.ones(NUM, "float32"))
        model.fit(**data, batch_size=BATCH, steps_per_epoch=2, verbose=0)
        mean = X[:BATCH].mean(0) if carrier == "generator" else X.mean(0)
        np.testing.assert_allclose(model.visible_offset, mean, rtol=1e-6, err_msg=carrier)


def test_centred_gradient_is_the_same_under_mixed_float16():
    steps = []
    for policy in ("float32", "mixed_float16"):
        model = BernoulliRBM(
            6, 4, negative_phase=ContrastiveDivergence(seed=0), seed=0, dtype=policy
        )
        model.compile(keras.optimizers.SGD(RATE))
        model.adapt(X)
        before = model.kernel.numpy()
        model.fit(X, batch_size=NUM, verbose=0)
        steps.append(model.kernel.numpy() - before)
    np.testing.assert_allclose(steps[0], steps[1], rtol=2e-2, atol=1e-4)


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"steps_per_epoch": 2}], ids=["passes", "steps"])
def test_training_in_two_parts_is_training_in_one_to_the_last_bit(name, options, tmp_path):
    data = carried(name, "array", np.linspace(0.5, 1, NUM, dtype="float32"))
    options = {**data, "batch_size": 3, "verbose": 0, **options}
    first, _ = made(name)
    first.fit(epochs=2, **options)
    first.save_weights(tmp_path / "half.weights.h5")
    other, _ = made(name)  # its own draws and order give way to the saved ones
    other.fit(epochs=1, **options)
    other.load_weights(tmp_path / "half.weights.h5")
    for model in (first, other):
        model.fit(epochs=4, initial_epoch=2, **options)
    for weight, resumed in zip(first.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), resumed.numpy())


def test_a_model_without_a_seed_resumes_in_the_order_of_the_one_that_was_saved(tmp_path):
    models = [BernoulliRBM(6, 4, negative_phase=ContrastiveDivergence()) for _ in range(2)]
    models[0].fit(X, batch_size=2, verbose=0)
    models[0].save_weights(tmp_path / "rbm.weights.h5")
    models[1].load_weights(tmp_path / "rbm.weights.h5")
    for model in models:
        model.fit(X, batch_size=2, epochs=2, verbose=0)
    np.testing.assert_array_equal(models[0].kernel.numpy(), models[1].kernel.numpy())


@pytest.mark.parametrize("call", ["fit", "train_on_batch"])
def test_a_step_is_traced_once_with_an_optimizer_that_makes_variables(call):
    class Counting(BernoulliRBM):
        num_traces = 0

        def train_step(self, data):
            Counting.num_traces += 1
            return super().train_step(data)

    model = Counting(6, 4, seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    getattr(model, call)(X[:BATCH])
    assert Counting.num_traces == 1
