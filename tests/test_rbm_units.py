"""RBMs of all units as Keras models: they train, save, load, resume and are watched."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_gradients_of_units import draws
from test_units_layers import KINDS, machine

from rbm_tf import enumeration
from rbm_tf.machine import clamped_free_energy
from rbm_tf.pseudo_likelihood import pseudo_log_likelihood
from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.training.coordinates import GRADIENTS
from rbm_tf.training.monitors import FreeEnergyGap, LogLikelihood, PseudoLikelihood
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    ExactPhase,
    PersistentContrastiveDivergence,
)
from rbm_tf.units import Binary, DReLU, Gaussian, Mixed, Potts, ReLU, Spin

PHASES = {
    "CD": lambda: ContrastiveDivergence(2, seed=1),
    "PCD": lambda: PersistentContrastiveDivergence(10, seed=1),
    "exact": lambda: ExactPhase(seed=1),
}
PAIRS = [  # every second one, as on a chessboard
    (v, h)
    for row, v in enumerate(KINDS)
    for column, h in enumerate(("Binary", "Gaussian", "ReLU", "Potts"))
    if (row + column) % 2 == 0
]


def phases_of(visible, hidden):
    summable = {visible, hidden} & {"Binary", "Spin", "Potts"}
    return [name for name in PHASES if summable or name != "exact"]


def model_and_data(visible, hidden, phase, **options):
    v, h = KINDS[visible](3), KINDS[hidden](2)
    rbm = RBM(v, h, negative_phase=PHASES[phase](), unit_rate=0.1, seed=0, **options)
    return rbm, draws(v, 30, 0).astype("float32")


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_all_units_train_under_all_phases(number):
    for index, phase in enumerate(phases_of(*PAIRS[number])):
        gradient = GRADIENTS[(number + index) % len(GRADIENTS)]
        rbm, x = model_and_data(*PAIRS[number], phase, gradient=gradient)
        rbm.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
        rbm.adapt(x)
        before = [variable.numpy() for variable in rbm.trainable_variables]
        losses = [rbm.train_on_batch(x[start : start + 15])[0] for start in (0, 15)]
        assert np.all(np.isfinite(losses))
        for variable, value in zip(rbm.trainable_variables, before, strict=True):
            assert np.all(np.isfinite(variable)) and np.any(variable.numpy() != value)


def loaded_eagerly(path):
    """The saved model, in safe mode, without a graph.

    Of the graphs of one step that TensorFlow optimises in one process, one in fourteen adds in
    another order: a property of its optimiser, not of what is saved.
    """
    loaded = keras.models.load_model(path)
    loaded.run_eagerly = True
    return loaded


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_all_units_go_on_to_the_last_bit_after_loading(number, tmp_path):
    names = PAIRS[number]
    phases = phases_of(*names)
    rbm, x = model_and_data(*names, phases[number % len(phases)])
    rbm.run_eagerly = True
    rbm.fit(x, batch_size=15, verbose=0)
    rbm.save(tmp_path / "rbm.keras")
    loaded = loaded_eagerly(tmp_path / "rbm.keras")
    assert json.dumps(loaded.get_config()) == json.dumps(rbm.get_config())
    before = rbm.kernel.numpy()
    for model in (rbm, loaded):
        model.fit(x, batch_size=15, verbose=0)
    for weight, other in zip(rbm.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy(), err_msg=weight.name)
    assert np.any(rbm.kernel.numpy() != before)


def test_layers_of_a_saved_model_are_not_taken_for_one_another(tmp_path):
    for num in range(1, 6):  # in one process, where objects get the ids of earlier ones
        rbm = RBM(Gaussian(num), Potts(2, 3), seed=0)
        rbm.save(tmp_path / "rbm.keras")
        loaded = keras.models.load_model(tmp_path / "rbm.keras")
        assert repr((loaded.visible, loaded.hidden)) == repr((rbm.visible, rbm.hidden))


@pytest.mark.long
def test_mixed_layers_train_and_go_on_to_the_last_bit_after_loading(tmp_path):
    v = Mixed([Gaussian(2, 1.5), Potts(2, 3), ReLU(1), Binary(2)])
    h = Mixed([DReLU(2), Spin(2)])
    x = draws(v, 20, 0).astype("float32")
    rbm = RBM(v, h, gradient="standardized", unit_rate=0.1, kernel_regularizer="l2", seed=0)
    rbm.compile(keras.optimizers.SGD(0.01, momentum=0.5), run_eagerly=True)
    rbm.fit(x, batch_size=10, verbose=0)
    rbm.save(tmp_path / "rbm.keras")
    loaded = loaded_eagerly(tmp_path / "rbm.keras")
    for model in (rbm, loaded):
        model.fit(x, batch_size=10, verbose=0)
    for weight, other in zip(rbm.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy(), err_msg=weight.name)
    assert rbm.unit_parameters["visible_0_log_precision"].shape == (2,)
    assert np.all(rbm.unit_parameters["visible_0_log_precision"].numpy() != np.log(1.5))


@pytest.mark.long
def test_chains_keep_the_states_of_the_layer():
    phase = PersistentContrastiveDivergence(50, seed=0)
    rbm = RBM(Spin(3), ReLU(2), negative_phase=phase, seed=0)
    rbm.fit(draws(Spin(3), 20, 0), verbose=0)
    chains = phase.chains.numpy()
    rbm.hidden.check(chains)
    assert chains.shape == (50, 2) and len(np.unique(chains)) == 100


@pytest.mark.parametrize("names", [("Gaussian", "Binary"), ("Potts", "ReLU"), ("ReLU", "Spin")])
def test_log_likelihood_and_gap_of_all_units_are_the_exact_ones(names):
    v, h, a, b, kernel = machine(*names)
    rbm = RBM.from_parameters(v, h, kernel, a, b)
    x, y = (draws(v, num, num).astype("float32") for num in (30, 20))
    log_p = [
        float(tf.reduce_mean(-clamped_free_energy(rbm.machine, tf.constant(data))))
        - enumeration.log_z(rbm)
        for data in (x, y)
    ]
    logs = {}
    for monitor in (LogLikelihood(x), FreeEnergyGap(x[:20], y)):
        monitor.set_model(rbm)
        monitor.on_train_begin()
        monitor.on_epoch_end(0, logs)
    assert logs["log_likelihood"] == pytest.approx(log_p[0], abs=1e-5)
    first = float(tf.reduce_mean(-clamped_free_energy(rbm.machine, tf.constant(x[:20]))))
    assert logs["free_energy_gap"] == pytest.approx(
        first - enumeration.log_z(rbm) - log_p[1], abs=1e-5
    )
    assert "log_z_standard_error" not in logs


def test_exact_log_likelihood_is_that_of_the_layer_with_fewer_states():
    rbm = RBM(Gaussian(30), Potts(4, 3), seed=0)  # 81 states
    monitor = LogLikelihood(draws(Gaussian(30), 10, 0))
    monitor.set_model(rbm)
    assert monitor.values()["log_z"] == enumeration.log_z(rbm)


@pytest.mark.parametrize("watch", [LogLikelihood, PseudoLikelihood, lambda x: FreeEnergyGap(x, x)])
@pytest.mark.parametrize(
    ("unit", "value", "message"),
    [
        (Binary(3), -1.0, "must lie in"),
        (Spin(3), 3.0, r"\[-1.0, 1.0\]: the first is 3.0 in row ., column 1"),
        (ReLU(3), -0.5, r"\[0, inf\]: the first is -0.5 in row ., column 1"),
        (Potts(1, 3), 0.25, r"whose sum is 1.25, in row ., unit 0"),
    ],
)
def test_monitors_ask_the_units_for_their_states(watch, unit, value, message):
    x = unit.sample(np.full((5, 3), 9.0) * [1, -1, 1], seed=0).numpy()
    x[2, 1] = value
    with pytest.raises(ValueError, match=message):
        RBM(unit, Binary(2)).fit(x[:2], verbose=0, callbacks=[watch(x)])


def test_monitors_of_binary_units_are_those_of_before():
    x = np.random.default_rng(0).integers(2, size=(20, 6)).astype("float32")
    history = BernoulliRBM(6, 4, seed=0).fit(
        x, verbose=0, callbacks=[PseudoLikelihood(x, seed=0), FreeEnergyGap(x / 2, x / 3)]
    )
    assert history.history["pseudo_log_likelihood"][0] < 0
    assert np.isfinite(history.history["free_energy_gap"][0])
    assert pseudo_log_likelihood(BernoulliRBM(6, 4), x).shape == (20, 6)


@pytest.mark.parametrize(
    ("unit", "row", "message"),
    [
        (Binary(2), [0.5, 1.5], r"must lie in .* is 1\.5 in row 1, column 1"),
        (Spin(2), [0.5, -1.5], r"-1\.5 in row 1, column 1"),
        (Gaussian(2), [0.5, np.inf], r"inf in row 1, column 1"),
        (ReLU(2), [0.5, -0.5], r"means of ReLU units, .*-0\.5 in row 1, column 1"),
        (DReLU(2), [np.nan, 0.5], "1 of 4 values are NaN"),
        (KINDS["TruncatedExponential"](2), [0.5, 1.25], r"1\.25 in row 1, column 1"),
        (Potts(2, 2), [1, 0, 0.5, 0.25], r"\[0\.5, 0\.25\], whose sum is 0\.75, in row 1, unit 1"),
        (Potts(1, 2), [1.5, -0.5], r"whose sum is 1, in row 1, unit 0"),
        (Mixed([Gaussian(1), Spin(1)]), [9.0, 2.0], r"2\.0 in row 1, column 0"),
    ],
)
def test_data_that_the_units_cannot_have_are_refused_with_the_place(unit, row, message):
    good = unit.mean(np.zeros((1, unit.size), "float32")).numpy()
    with pytest.raises(ValueError, match=message):
        RBM(unit, Binary(2)).fit(np.concatenate([good, [row]]), verbose=0)


@pytest.mark.parametrize("make", [Gaussian, ReLU, DReLU])
def test_precisions_that_are_not_positive_are_refused(make):
    with pytest.raises(ValueError, match=r"precision.* must be above 0; got -1\.0"):
        RBM(make(3, -1.0), Binary(2))


@pytest.mark.long
def test_standardised_images_train_with_the_default_settings():
    rng = np.random.default_rng(0)
    spectrum = 1 / (np.add.outer(np.fft.fftfreq(28) ** 2, np.fft.rfftfreq(28) ** 2) + 1e-3)
    noise = np.fft.rfft2(rng.normal(size=(500, 28, 28)))
    x = np.fft.irfft2(noise * spectrum, s=(28, 28)).reshape(500, 784)
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    rbm = RBM(Gaussian(784), Binary(64), seed=0)
    history = rbm.fit(x, batch_size=20, epochs=8, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert history["free_energy"][-1] < history["free_energy"][0] - 50
    assert np.abs(rbm.kernel.numpy()).max() < 2
    assert np.abs(rbm.sample(50, 50, seed=0).numpy()).std() < 3
