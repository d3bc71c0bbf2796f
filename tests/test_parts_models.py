"""Models of parts train, are saved in safe mode, and are the same when they are loaded."""

import keras
import numpy as np
import pytest
from keras import ops

from vae_keras.networks import dense_encoder
from vae_keras.objectives import ELBO, IWAE, DoublyReparameterizedIWAE, ThermodynamicObjective
from vae_keras.parts import (
    Bernoulli,
    Categorical,
    Chain,
    Coupling,
    Flow,
    FullGaussian,
    Gaussian,
    Latents,
    Masked,
    Mixture,
    NegativeBinomial,
    Own,
    RelaxedBernoulli,
    Vamp,
    ZeroInflated,
)

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(5)
NAMES = ("encoder", "decoder", "posterior", "prior", "likelihood", "prior_network", "objective")


@keras.saving.register_keras_serializable(package="test_parts_models")
class Model(keras.Model):
    """The smallest model of `Latents`: `compile` has no loss, however many heads there are."""

    def __init__(self, num_samples, **given):
        super().__init__()
        self.num_samples = num_samples
        for name in NAMES:
            setattr(self, name, given.get(name))
        own = {name: given.get(name) for name in NAMES[:-1] if given.get(name) is not None}
        self.latents = Latents(**own)
        self.seeds = keras.random.SeedGenerator(0)
        self.built = True

    def call(self, x):
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        draws = self.latents.draws(x, self.num_samples, seed=self.seeds, training=training)
        return ops.mean(self.objective.call(draws))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {"num_samples": self.num_samples, **{k: serialize(getattr(self, k)) for k in NAMES}}

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        return cls(config["num_samples"], **{name: deserialize(config[name]) for name in NAMES})


def network(inputs, *heads):
    """A functional model with inputs by name and heads of the given shapes."""
    tensors = {name: keras.Input(shape, name=name) for name, shape in inputs.items()}
    flat = [keras.layers.Flatten()(tensor) for tensor in tensors.values()]
    hidden = keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    hidden = keras.layers.Dense(8, "tanh")(hidden)
    outputs = [
        keras.layers.Reshape(shape)(keras.layers.Dense(int(np.prod(shape)))(hidden))
        for shape in heads
    ]
    return keras.Model(tensors, outputs if len(outputs) > 1 else outputs[0])


def shared_encoder():
    encoder = dense_encoder((5,), 2, hidden_units=(8,))
    return {"encoder": encoder, "prior": Vamp(Gaussian(), encoder, (5,), num_components=4)}


def chain():
    return {
        "encoder": network({"x": (5,)}, (2,), (2,)),
        "decoder": network({"z1": (2,)}, (5,)),
        "posterior": Chain(
            {"z1": Gaussian(), "z2": Gaussian()}, {"z2": network({"z1": (2,)}, (1,), (1,))}
        ),
        "prior": Chain(
            {"z2": Own(Gaussian(), (1,), trainable=False), "z1": Gaussian()},
            {"z1": network({"z2": (1,)}, (2,), (2,))},
        ),
        "objective": DoublyReparameterizedIWAE(3),
    }


def flow():
    steps = [Coupling(2, num_hidden=8, context_dim=3, flip=flip) for flip in (False, True)]

    @keras.saving.register_keras_serializable(package="test_parts_models")
    class WithContext(keras.layers.Layer):
        """Packs three heads as ((mean, log_var), context)."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.heads = [keras.layers.Dense(n) for n in (2, 2, 3)]

        def build(self, shape):
            for head in self.heads:
                head.build(shape)

        def call(self, x):
            mean, log_var, context = (head(x) for head in self.heads)
            return (mean, log_var), context

    encoder = WithContext()
    encoder.build((None, 5))
    return {
        "encoder": encoder,
        "posterior": Flow(Gaussian(), steps, context=True),
        "objective": IWAE(3),
    }


MODELS = {
    "bits": lambda: {
        "encoder": network({"x": (5,)}, (4,)),
        "decoder": network({"z": (4,)}, (5,)),
        "posterior": Bernoulli(),
        "prior": Own(Bernoulli(), (4,)),
        "objective": ThermodynamicObjective(3),
    },
    "relaxed": lambda: {
        "encoder": network({"x": (5,)}, (4,)),
        "decoder": network({"z": (4,)}, (5,)),
        "posterior": RelaxedBernoulli(),
        "prior": Own(RelaxedBernoulli(), (4,)),
        "objective": IWAE(3),
    },
    "full": lambda: {
        "encoder": network({"x": (5,)}, (2,), (2,), (1,)),
        "posterior": FullGaussian(),
        "likelihood": Gaussian(),
        "decoder": network({"z": (2,)}, (5,), (5,)),
    },
    "vamp": shared_encoder,
    "chain": chain,
    "flow": flow,
    "conditions": lambda: {
        "encoder": network({"x": (5,), "condition": (1,)}, (2,), (2,)),
        "decoder": network({"z": (2,), "condition": (1,)}, (5,)),
        "prior": Gaussian(),
        "prior_network": network({"condition": (1,)}, (2,), (2,)),
        "objective": IWAE(3),
    },
    "counts": lambda: {
        "prior": Own(Mixture(Gaussian(), 3), (2,), spread=1.0),
        "likelihood": ZeroInflated(NegativeBinomial()),
        "decoder": CountHeads(),
    },
    "words": lambda: {
        "decoder": network({"z": (2,)}, (5, 4)),
        "likelihood": Masked(Categorical(4)),
    },
}


@keras.saving.register_keras_serializable(package="test_parts_models")
class CountHeads(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.heads = [keras.layers.Dense(5) for _ in range(3)]
        for head in self.heads:
            head.build((None, 2))
        self.built = True

    def call(self, z):
        gate, log_mean, log_r = (head(z) for head in self.heads)
        return gate, (log_mean, log_r)


def data(name):
    x = RNG.integers(0, 4 if name == "words" else 2, size=(24, 5))
    if name == "words":
        return x.astype("int32")
    x = x.astype("float32")
    y = RNG.normal(size=(24, 1)).astype("float32")
    return {"condition": y, "x": x} if name == "conditions" else x


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_and_is_the_same_after_saving_in_safe_mode(name, tmp_path):
    keras.utils.set_random_seed(1)
    defaults = {
        "encoder": network({"x": (5,)}, (2,), (2,)),
        "decoder": network({"z": (2,)}, (5,)),
        "posterior": Gaussian(),
        "likelihood": Bernoulli(),
        "objective": ELBO(num_samples=3),
    }
    model, x = Model(3, **{**defaults, **MODELS[name]()}), data(name)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    before = [numpy(w) for w in model.trainable_weights]
    losses = model.fit(x, batch_size=12, epochs=15, verbose=0).history["loss"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    moved = [np.any(numpy(w) != b) for w, b in zip(model.trainable_weights, before, strict=True)]
    assert all(moved), [
        w.path for w, m in zip(model.trainable_weights, moved, strict=True) if not m
    ]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    each = [numpy(m.latents.log_weights(x, 4, seed=0)) for m in (model, loaded)]
    np.testing.assert_array_equal(*each)
    assert each[0].shape == (4, 24) and np.all(np.isfinite(each[0]))


def test_under_mixed_precision_log_weights_are_float32():
    encoder, decoder = network({"x": (5,)}, (2,), (2,)), network({"z": (2,)}, (5,))
    x = data("")
    full = numpy(Latents(encoder, decoder).log_weights(x, 4, seed=0))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = [network({"x": (5,)}, (2,), (2,)), network({"z": (2,)}, (5,))]
        for ours, theirs in zip(mixed, (encoder, decoder), strict=True):
            ours.set_weights(theirs.get_weights())
        prior = Own(Gaussian(), (2,))
        half = Latents(*mixed, posterior=Gaussian(), prior=prior).log_weights(x, 4, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(half.dtype) == "float32"
    np.testing.assert_allclose(numpy(half), full, atol=0.05)
