"""Saved models in a process that has used nothing of the packages yet."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from rbm_tf import RBM, load_model, units
from rbm_tf.shared.saving import import_named
from vae_keras import VAE, RBMPrior, dense_decoder, dense_encoder, layers, parts
from vae_keras.objectives import VIMCO

X = (np.random.default_rng(0).random((4, 6)) < 0.5).astype("float32")


def functional():
    x = keras.Input((6,))
    pair = keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)
    z = layers.GaussianSampling(seed=0)(layers.AddKL()(pair))
    return keras.Model(x, keras.layers.Dense(6)(z))


def with_rbm_as_prior():
    encoder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    prior = RBMPrior(3, 2, seed=0)
    options = {"posterior": parts.Bernoulli(), "prior": prior, "objective": VIMCO(2)}
    return VAE(encoder, dense_decoder((6,), 3), **options)


MODELS = {
    "plain": lambda: VAE(dense_encoder((6,), 2), dense_decoder((6,), 2)),
    "functional": functional,
    "prior": with_rbm_as_prior,
    "mixed": lambda: RBM(units.Mixed([units.Spin(2), units.ReLU(4)]), units.Potts(2, 3)),
}
IN_ANOTHER = """
import sys
import keras, numpy as np
package, path, result = sys.argv[1:]
model = __import__(package).load_model(path)
np.savez(result, *model.get_weights())
"""


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_in_a_process_that_has_used_nothing(name, tmp_path):
    keras.utils.set_random_seed(0)
    model, paths = MODELS[name](), (tmp_path / "model.keras", tmp_path / "weights.npz")
    model.save(paths[0])
    package = "rbm_tf" if name == "mixed" else "vae_keras"
    subprocess.run([sys.executable, "-c", IN_ANOTHER, package, *map(str, paths)], check=True)
    with np.load(paths[1]) as found:
        assert len(found.files) == len(model.get_weights()) > 0
        for weight, own in zip(found.values(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, own)


@pytest.mark.long
def test_a_vae_brings_its_parts_along(tmp_path):
    """Keras alone loads it too, once the class of the model itself is known."""
    with_rbm_as_prior().save(tmp_path / "model.keras")
    code = "import keras, sys; from vae_keras import VAE; keras.models.load_model(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.keras")], check=True)


def test_only_modules_of_the_packages_are_imported():
    name = "antigravity"  # which would open a browser
    import_named({"module": name, "config": [{"module": f"{name}.rbm_tf"}, {"module": None}]})
    assert name not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        import_named([({"module": "rbm_tf.no_such"},)])


def test_what_is_no_model_is_refused_as_by_keras(tmp_path):
    for path in (tmp_path / "absent.keras", tmp_path / "text.keras"):
        if path.stem == "text":
            path.write_text("no model")
        with pytest.raises(ValueError, match="File"):
            load_model(path)
