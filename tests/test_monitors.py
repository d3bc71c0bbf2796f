import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.enumeration import log_z
from rbm_tf.pseudo_likelihood import pseudo_log_likelihood
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.training import monitors
from rbm_tf.training.monitors import (
    FreeEnergyGap,
    LogLikelihood,
    PseudoLikelihood,
    StopWhenNotFinite,
)


def binary_data(num, num_visible=6, seed=0):
    return (np.random.default_rng(seed).random((num, num_visible)) < 0.3).astype("float32")


def fit(rbm, *callbacks, epochs=1, learning_rate=0.1, num=60):
    rbm.compile(keras.optimizers.SGD(learning_rate, momentum=0.5))
    x = binary_data(num, rbm.num_visible)
    return rbm.fit(x, epochs=epochs, batch_size=10, verbose=0, callbacks=list(callbacks)).history


def log_once(monitor, rbm):
    """What the monitor adds to the logs after one epoch that changes nothing."""
    logs = {}
    monitor.set_model(rbm)
    monitor.on_train_begin()
    monitor.on_epoch_end(0, logs)
    return logs


def mean_log_likelihood(rbm, x):
    return -rbm.free_energy(x).numpy().mean(dtype=float) - log_z(rbm)


def record_each_epoch(value):
    """A callback and the list of value() after each epoch."""
    values = []
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: values.append(value()))
    return record, values


def test_pseudo_likelihood_callback_logs_the_mean_over_examples(random_rbm, all_states):
    x = np.tile(all_states(6), (400, 1))  # 25,600: several blocks
    rbm = random_rbm(6, 4)
    logged = log_once(PseudoLikelihood(x, seed=0), rbm)["pseudo_log_likelihood"]
    exact = pseudo_log_likelihood(rbm, all_states(6)).numpy()
    spread = 6 * exact.std(1)  # over the choice of the pixel, for each example
    standard_error = np.sqrt(np.mean(spread**2) / len(x))
    assert abs(logged - exact.sum(1).mean()) < 5 * standard_error


def test_pseudo_likelihood_callback_keeps_its_pixels_and_draws_them_by_seed(monkeypatch):
    monkeypatch.setattr(monitors, "_BLOCK", 10)
    rbm = BernoulliRBM(6, 4, seed=0)
    x = np.tile(binary_data(10), (2, 1))  # two equal blocks

    def logged(seed, x=x):
        return log_once(PseudoLikelihood(x, name="value", seed=seed), rbm)["value"]

    assert logged(0) == logged(0) != logged(1)
    assert logged(0) != logged(0, x[:10])  # another block, other pixels
    monitor = PseudoLikelihood(x)
    assert log_once(monitor, rbm) == log_once(monitor, rbm)


def test_free_energy_gap_is_the_difference_of_log_likelihoods():
    rbm = BernoulliRBM(6, 4, seed=0)
    x_train, x_validation = binary_data(20, seed=1), binary_data(30, seed=2)
    logged = fit(rbm, FreeEnergyGap(x_train, x_validation), epochs=2)["free_energy_gap"]
    expected = mean_log_likelihood(rbm, x_train) - mean_log_likelihood(rbm, x_validation)
    assert logged[-1] == pytest.approx(expected, abs=1e-5)
    assert logged[0] != logged[1]


def test_free_energy_gap_takes_a_fixed_part_of_all_training_data_and_grey_levels():
    x_train = np.repeat([[0.2] * 6, [0.8] * 6], 500, 0)  # in order, as data by class would be
    first, second = (FreeEnergyGap(x_train, binary_data(100)) for _ in range(2))
    assert first.x_train.shape == (100, 6)
    share = np.mean(first.x_train > 0.5)
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(100)
    np.testing.assert_array_equal(first.x_train, second.x_train)


def test_log_likelihood_callback_logs_the_exact_values(monkeypatch):
    monkeypatch.setattr(monitors, "_BLOCK", 7)
    rbm, x = BernoulliRBM(6, 4, seed=0), binary_data(30, seed=1)
    record, expected = record_each_epoch(lambda: (log_z(rbm), mean_log_likelihood(rbm, x)))
    history = fit(rbm, LogLikelihood(x), record, epochs=3)
    assert "log_z_standard_error" not in history
    logged = np.stack([history["log_z"], history["log_likelihood"]], 1)
    np.testing.assert_allclose(logged, expected, rtol=1e-6)
    assert len(set(history["log_likelihood"])) == 3


def test_means_over_examples_are_added_up_in_float64():
    kernel, x = np.random.default_rng(0).normal(size=(6, 4)), binary_data(1000)
    hidden_bias = np.full(4, 3e4)  # float32 resolves free energies to 0.008
    rbm = BernoulliRBM.from_parameters(kernel, np.zeros(6), hidden_bias)
    logged = log_once(LogLikelihood(x), rbm)["log_likelihood"]
    assert logged == pytest.approx(mean_log_likelihood(rbm, x), abs=1e-6)


def test_every_epoch_between_two_evaluations_repeats_the_last():
    rbm, x = BernoulliRBM(6, 4, seed=0), binary_data(30, seed=1)
    callbacks = (
        LogLikelihood(x, every=3),
        PseudoLikelihood(x, every=3, seed=0),
        FreeEnergyGap(x, x[:10], every=3),
    )
    record, exact = record_each_epoch(lambda: log_z(rbm))
    history = fit(rbm, *callbacks, record, epochs=7)
    evaluated = [0, 0, 2, 2, 2, 5, 5]  # after epochs 1, 3 and 6
    np.testing.assert_array_equal(history["log_z"], [exact[index] for index in evaluated])
    for name in ("log_likelihood", "pseudo_log_likelihood", "free_energy_gap"):
        values = np.array(history[name])
        np.testing.assert_array_equal(values, values[evaluated])
        assert len(set(values)) == 3


def test_another_fit_starts_with_a_value_of_its_own():
    rbm, x = BernoulliRBM(6, 4, seed=0), binary_data(30, seed=1)
    monitor = LogLikelihood(x, every=100)
    first, second = (fit(rbm, monitor)["log_z"][0] for _ in range(2))
    assert first != second == log_z(rbm)


def test_early_stopping_sees_what_stands_before_it():
    monitor = PseudoLikelihood(binary_data(30), name="val_pseudo_log_likelihood", seed=0)
    stop = keras.callbacks.EarlyStopping("val_pseudo_log_likelihood", mode="max", patience=2)
    history = fit(BernoulliRBM(6, 4, seed=0), monitor, stop, epochs=10, learning_rate=0.0)
    assert len(history["val_pseudo_log_likelihood"]) == 3  # nothing improves: 1 + patience


def test_csv_logger_and_progress_bar_see_every_name(tmp_path, capsys):
    x = binary_data(30)
    callbacks = [PseudoLikelihood(x), FreeEnergyGap(x, x[:9]), LogLikelihood(x)]
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    BernoulliRBM(6, 4).fit(x, epochs=2, verbose=2, callbacks=[*callbacks, logger])
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    shown = capsys.readouterr().out
    for name in ("pseudo_log_likelihood", "free_energy_gap", "log_z", "log_likelihood"):
        assert all(np.isfinite(float(row[name])) for row in rows)
        assert f" {name}: " in shown
    assert len(rows) == 2


def test_tensorboard_gets_the_values_of_every_epoch(tmp_path):
    x = binary_data(30)
    board = keras.callbacks.TensorBoard(tmp_path)
    history = fit(BernoulliRBM(6, 4, seed=0), LogLikelihood(x), board, epochs=2)
    (events,) = (tmp_path / "train").glob("events*")
    written = [
        tf.make_ndarray(value.tensor)
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
        if value.tag == "epoch_log_likelihood"
    ]
    np.testing.assert_allclose(written, history["log_likelihood"], rtol=1e-6)


def test_estimated_log_likelihood_agrees_with_the_exact_one(monkeypatch):
    monkeypatch.setattr(monitors, "_MAX_EXACT_STATES", 8)
    rbm, x = BernoulliRBM(6, 4, seed=0), binary_data(30, seed=1)
    monitor = LogLikelihood(x, num_chains=500, betas=np.linspace(0, 1, 20), seed=0)
    last = {name: values[-1] for name, values in fit(rbm, monitor, epochs=3).items()}
    error = last["log_z_standard_error"]
    assert 0 < error < 0.05
    assert 0 < abs(last["log_z"] - log_z(rbm)) < 5 * error
    expected = mean_log_likelihood(rbm, x) + log_z(rbm) - last["log_z"]
    assert last["log_likelihood"] == pytest.approx(expected, abs=1e-5)


def test_log_z_is_exact_where_that_is_quick_and_estimated_above(monkeypatch):
    monkeypatch.setattr(monitors, "_MAX_EXACT_STATES", 2**10)
    monitor = LogLikelihood(binary_data(10, 21), num_chains=5, betas=[0, 0.5, 1])
    exact, estimated = (log_once(monitor, BernoulliRBM(21, units)) for units in (10, 11))
    assert "log_z_standard_error" not in exact
    assert "log_z_standard_error" in estimated


def test_arguments_of_the_estimate_reach_it():
    rbm, x = BernoulliRBM(21, 21, seed=0), binary_data(10, 21)

    def logged(**arguments):
        return log_once(LogLikelihood(x, **arguments), rbm)["log_z"]

    few = {"num_chains": 5, "betas": [0, 0.5, 1]}
    assert logged(**few) == logged(**few)
    for change in ({"num_chains": 6}, {"betas": [0, 0.4, 1]}, {"seed": 1}):
        assert logged(**{**few, **change}) != logged(**few)


def test_training_that_diverges_stops_at_once_and_goes_back():
    rbm = BernoulliRBM(6, 4, seed=0)

    def state():
        return [variable.numpy() for variable in (*rbm.weights, *rbm.optimizer.variables)]

    rate = keras.callbacks.LearningRateScheduler(lambda epoch, _: 1e38 if epoch == 2 else 0.1)
    record, states = record_each_epoch(state)
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(1))
    with pytest.warns(UserWarning, match=r"epoch 3: .* lower the learning rate"):
        history = fit(rbm, StopWhenNotFinite(), rate, record, count, epochs=10, num=1000)
    assert len(history["loss"]) == 3
    assert not np.isfinite(history["loss"][-1])
    assert 200 < len(batches) < 250  # of 100 an epoch
    for restored, kept in zip(state(), states[1], strict=True):
        np.testing.assert_array_equal(restored, kept)
    rbm.optimizer.learning_rate = 0.1
    again = rbm.fit(binary_data(60), epochs=2, verbose=0, callbacks=[StopWhenNotFinite()])
    assert np.all(np.isfinite(again.history["loss"]))


def test_weights_that_are_not_finite_stop_training_under_a_finite_loss():
    rbm = BernoulliRBM(6, 4, seed=0)
    start = rbm.kernel.numpy()
    spoil = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rbm.kernel.assign(np.full((6, 4), np.inf))
    )
    with pytest.warns(UserWarning, match="epoch 1:"):
        history = fit(rbm, spoil, StopWhenNotFinite(), epochs=5)
    assert np.all(np.isfinite(history["loss"]))
    assert len(history["loss"]) == 1
    np.testing.assert_array_equal(rbm.kernel, start)


def test_loss_that_is_not_finite_stops_any_model_under_finite_weights():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    start = model.get_weights()
    spoil = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: logs.update(loss=np.nan)
    )
    with pytest.warns(UserWarning, match="epoch 1:"):
        history = model.fit(
            binary_data(60),
            np.zeros((60, 1)),
            epochs=5,
            verbose=0,
            callbacks=[spoil, StopWhenNotFinite()],
        )
    assert len(history.history["loss"]) == 1
    assert int(model.optimizer.iterations) == 0
    for restored, kept in zip(model.get_weights(), start, strict=True):
        np.testing.assert_array_equal(restored, kept)


@pytest.mark.long
def test_training_that_stays_finite_is_left_alone():
    plain, watched = BernoulliRBM(6, 4, seed=0), BernoulliRBM(6, 4, seed=0)
    for rbm, callbacks in ((plain, []), (watched, [StopWhenNotFinite()])):
        keras.utils.set_random_seed(0)
        fit(rbm, *callbacks, epochs=3)
    np.testing.assert_array_equal(plain.kernel, watched.kernel)


def test_model_without_weights_is_refused():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"begin it with keras.Input"):
        model.fit(np.ones((4, 6)), np.ones(4), callbacks=[StopWhenNotFinite()])


def test_model_that_is_broken_from_the_start_is_refused():
    rbm = BernoulliRBM.from_parameters(np.zeros((6, 4)), np.zeros(6), np.full(4, np.nan))
    with pytest.raises(ValueError, match="before training starts: build it again"):
        fit(rbm, StopWhenNotFinite())


@pytest.mark.parametrize("monitor", [PseudoLikelihood, LogLikelihood])
def test_wrong_arguments_are_refused_at_once(monitor):
    x = binary_data(5)
    for wrong, message in (
        (x[0], "Flatten images"),
        (x[:0], "with num of 1 or more"),
        (np.full((5, 6), np.nan), "without NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            monitor(wrong)
    with pytest.raises(ValueError, match=r"datasets\.binarize"):
        fit(BernoulliRBM(6, 4), monitor(x + 0.5))
    with pytest.raises(ValueError, match="every must be an integer of 1 or more"):
        monitor(x, every=0)


def test_wrong_arguments_of_the_gap_are_refused_by_name():
    x = binary_data(5)
    for wrong, message in (
        (x[:0], "with num of 1 or more"),
        (255 * x, "divide 8-bit images by 255"),
        (-x, "must lie in"),
        (np.full((5, 6), np.nan), "without NaN"),
    ):
        with pytest.raises(ValueError, match="x_train .*" + message):
            log_once(FreeEnergyGap(wrong, x), BernoulliRBM(6, 4))
        with pytest.raises(ValueError, match="x_validation .*" + message):
            log_once(FreeEnergyGap(x, wrong), BernoulliRBM(6, 4))
    with pytest.raises(ValueError, match="every must be an integer of 1 or more"):
        FreeEnergyGap(x, x, every=0)


def test_wrong_width_is_refused_before_the_first_step():
    x, wide = binary_data(5), binary_data(5, 7)
    for monitor, name in (
        (PseudoLikelihood(wide), "x"),
        (LogLikelihood(wide), "x"),
        (FreeEnergyGap(wide, x), "x_train"),
        (FreeEnergyGap(x, wide), "x_validation"),
    ):
        rbm = BernoulliRBM(6, 4, seed=0)
        with pytest.raises(ValueError, match=rf"^{name} must .* got \(5, 7\)\."):
            fit(rbm, monitor)
        assert int(rbm.optimizer.iterations) == 0


def test_model_without_visible_units_is_refused():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="watches an RBM; got a"):
        model.fit(np.ones((4, 6)), np.ones(4), callbacks=[LogLikelihood(binary_data(5))])


def test_bad_path_of_the_estimate_is_refused():
    with pytest.raises(ValueError, match="betas must be a list"):
        log_once(LogLikelihood(binary_data(5, 21), betas=[0, 0.5]), BernoulliRBM(21, 21))
