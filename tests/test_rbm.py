import gc
import json
import pathlib
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.datasets import bars_and_stripes
from rbm_tf.machine import hidden_input
from rbm_tf.mean_field import plefka, tap
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.batches import gathered_batches
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    ExactPhase,
    MeanFieldPhase,
    ModelStates,
    ParallelTempering,
    PersistentContrastiveDivergence,
)


def energies(rbm, all_states):
    """E(v, h) of every pair of states, (num visible states, num hidden states)."""
    v, h = all_states(rbm.num_visible), all_states(rbm.num_hidden)
    pairs = [rbm.energy(v, np.broadcast_to(state, (len(v), len(state)))).numpy() for state in h]
    return np.stack(pairs, 1)


def test_energy_is_the_bilinear_form(random_rbm):  # B1
    rbm = random_rbm(5, 3)
    v, h = np.array([[1.0, 0, 1, 1, 0]]), np.array([[0.0, 1, 1]])
    a, b, w = rbm.visible_bias.numpy(), rbm.hidden_bias.numpy(), rbm.kernel.numpy()
    expected = -(v[0] @ a) - h[0] @ b - v[0] @ w @ h[0]
    assert rbm.energy(v, h).numpy()[0] == pytest.approx(expected, rel=1e-12)


def test_boltzmann_distribution_sums_to_one(random_rbm, all_states):  # B3
    rbm = random_rbm(5, 3)
    total = np.exp(-energies(rbm, all_states) - enumeration.log_z(rbm)).sum()
    assert total == pytest.approx(1, rel=1e-12)


def test_free_energy_equals_enumerated_marginal(random_rbm, all_states):  # B4, B5
    rbm = random_rbm(5, 3)
    marginal = np.exp(-energies(rbm, all_states)).sum(1)
    np.testing.assert_allclose(
        rbm.free_energy(all_states(5)), -np.log(marginal), rtol=1e-12, atol=1e-12
    )


def test_log_likelihood_is_equilibrium_minus_clamped_free_energy(random_rbm, all_states):  # B2, B5
    rbm = random_rbm(5, 3)
    weights = np.exp(-energies(rbm, all_states))
    p = weights.sum(1) / weights.sum()
    data = all_states(5)[[3, 17, 17, 30]]
    mean_log_p = np.log(p[[3, 17, 17, 30]]).mean()
    free_energies = -rbm.free_energy(data).numpy().mean() - enumeration.log_z(rbm)
    assert free_energies == pytest.approx(mean_log_p, rel=1e-12)


def test_conditional_means_equal_enumeration(random_rbm, all_states):
    rbm = random_rbm(4, 3)
    weights = np.exp(-energies(rbm, all_states))
    h_mean = (weights / weights.sum(1, keepdims=True)) @ all_states(3)
    v_mean = (weights / weights.sum(0)).T @ all_states(4)
    np.testing.assert_allclose(rbm.hidden_mean(all_states(4)), h_mean, rtol=1e-12)
    np.testing.assert_allclose(rbm.visible_mean(all_states(3)), v_mean, rtol=1e-12)


def test_gradient_of_the_clamped_free_energy(random_rbm):  # B8
    rbm = random_rbm(5, 3)
    v = np.array([[1.0, 0, 1, 1, 0]])
    with tf.GradientTape() as tape:
        free_energy = rbm.free_energy(v)
    by_kernel, by_visible, by_hidden = tape.gradient(
        free_energy, [rbm.kernel.value, rbm.visible_bias.value, rbm.hidden_bias.value]
    )
    h = rbm.hidden_mean(v).numpy()
    np.testing.assert_allclose(by_kernel, -v.T @ h, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(by_visible, -v[0])
    np.testing.assert_allclose(by_hidden, -h[0], rtol=1e-12)


def test_gradient_of_the_equilibrium_free_energy_is_a_model_average(random_rbm):  # B9
    rbm = random_rbm(4, 3)
    exact = enumeration.moments(rbm)
    step = 1e-5
    for variable, average in zip(
        (rbm.kernel, rbm.visible_bias, rbm.hidden_bias),
        (exact.correlation, exact.visible, exact.hidden),
        strict=True,
    ):
        value = variable.numpy()
        for index in np.ndindex(value.shape):
            log_z = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                variable.assign(moved)
                log_z.append(enumeration.log_z(rbm))
            variable.assign(value)
            slope = (log_z[0] - log_z[1]) / (2 * step)
            assert slope == pytest.approx(average[index], abs=1e-8)


class GivenStates(ContrastiveDivergence):
    """Given visible states in place of the chains'; it keeps what it sees of the data."""

    def __init__(self, states):
        super().__init__(seed=0)
        self.states, self.seen = states, []

    def call(self, parameters, data_hidden_input, training):
        self.next_seed(training)
        self.seen.append(data_hidden_input)
        v = tf.constant(self.states, data_hidden_input.dtype)
        return ModelStates.of(v, hidden_input(parameters, v))


def gap_gradients(rbm, data):
    """The mean gap and the gradients that `fit` uses."""
    variables = [rbm.kernel, rbm.visible_bias, rbm.hidden_bias]
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(data), training=False)
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return float(loss), [gradient.numpy() for gradient in gradients]


def test_plain_gap_gradient_equals_autodiff_of_the_free_energies(random_rbm):  # B10
    rng = np.random.default_rng(1)
    data, model_states = rng.integers(2, size=(4, 5)) * 1.0, rng.integers(2, size=(7, 5)) * 1.0
    rbm = random_rbm(5, 3, negative_phase=GivenStates(model_states), centered=False)
    loss, gradients = gap_gradients(rbm, data)
    variables = [rbm.kernel.value, rbm.visible_bias.value, rbm.hidden_bias.value]
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(rbm.free_energy(data)) - tf.reduce_mean(
            rbm.free_energy(model_states)
        )
    assert loss == pytest.approx(float(expected), rel=1e-12)
    for gradient, by_autodiff in zip(gradients, tape.gradient(expected, variables), strict=True):
        np.testing.assert_allclose(gradient, by_autodiff, rtol=1e-10, atol=1e-12)


def test_centred_gradient_is_the_plain_gradient_of_centred_parameters(random_rbm):
    # E = -(v - mu).a' - (h - lambda).b' - (v - mu) W (h - lambda) with a' = a + W lambda and
    # b' = b + W^T mu; a step in (W, a', b') moves a by da' - dW lambda, b by db' - dW^T mu.
    rng = np.random.default_rng(1)
    data, model_states = rng.integers(2, size=(4, 5)) * 1.0, rng.integers(2, size=(7, 5)) * 1.0
    rbm = random_rbm(5, 3, negative_phase=GivenStates(model_states))
    mu, lam = np.full(5, 0.3), np.array([0.2, 0.5, 0.6])
    rbm.visible_offset.assign(mu)
    rbm.hidden_offset.assign(lam)

    def averages(v):
        h = rbm.hidden_mean(v).numpy()
        return (v - mu).T @ (h - lam) / len(v), v.mean(0) - mu, h.mean(0) - lam

    kernel_step, visible_step, hidden_step = (
        model - real for model, real in zip(averages(model_states), averages(data), strict=True)
    )
    expected = kernel_step, visible_step - kernel_step @ lam, hidden_step - kernel_step.T @ mu
    _, gradients = gap_gradients(rbm, data)
    for gradient, value in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, value, rtol=1e-10, atol=1e-12)


def test_gradient_with_exact_samples_of_the_model_vanishes_at_the_model(random_rbm, all_states):
    # Data and model states both weighted by p(v): moment matching, B9.
    rbm = random_rbm(4, 2)
    states = all_states(4)
    p = np.exp(-rbm.free_energy(states).numpy() - enumeration.log_z(rbm))
    exact = enumeration.moments(rbm)
    np.testing.assert_allclose(p @ states, exact.visible, rtol=1e-10)
    h = rbm.hidden_mean(states).numpy()
    np.testing.assert_allclose((states * p[:, None]).T @ h, exact.correlation, rtol=1e-10)


def transition_matrix(rbm, states):
    """Exact p(v' | v) of one Gibbs sweep, by summing over hidden states."""
    h = ((np.arange(2**rbm.num_hidden)[:, None] >> np.arange(rbm.num_hidden)) & 1) * 1.0

    def probabilities(mean, x):  # prod of Bernoulli, (len(mean), len(x))
        return np.exp(np.log(mean) @ x.T + np.log(1 - mean) @ (1 - x).T)

    up = probabilities(rbm.hidden_mean(states).numpy(), h)
    return up @ probabilities(rbm.visible_mean(h).numpy(), states)


def test_gibbs_step_leaves_the_model_unchanged_and_is_reversible(random_rbm, all_states):
    rbm = random_rbm(4, 3)
    states = all_states(4)
    p = np.exp(-rbm.free_energy(states).numpy() - enumeration.log_z(rbm))
    flow = p[:, None] * transition_matrix(rbm, states)
    np.testing.assert_allclose(flow, flow.T, atol=1e-14)
    np.testing.assert_allclose(flow.sum(0), p, atol=1e-14)


def test_gibbs_step_draws_from_its_transition_matrix(random_rbm, all_states):
    rbm = random_rbm(3, 2)
    states, num = all_states(3), 20_000
    row = transition_matrix(rbm, states)[5]
    v = rbm.gibbs_step(np.repeat(states[5:6], num, 0), seed=0).numpy()
    counts = np.bincount((v @ [1, 2, 4]).astype(int), minlength=8)
    assert np.all(np.abs(counts / num - row) < 5 * np.sqrt(row * (1 - row) / num))


@pytest.mark.parametrize("centered", [True, False])
def test_exact_phase_gives_minus_the_log_likelihood_and_its_gradient(random_rbm, centered):
    rbm = random_rbm(5, 3, negative_phase=ExactPhase(seed=0), centered=centered)
    rbm.visible_offset.assign(np.full(5, 0.3))
    data = np.random.default_rng(1).integers(2, size=(4, 5)) * 1.0
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(data), training=False)
    variables = [rbm.kernel.value, rbm.visible_bias.value, rbm.hidden_bias.value]
    gradients = [g.numpy() for g in tape.gradient(loss, variables)]
    exact_loss = rbm.free_energy(data).numpy().mean() + enumeration.log_z(rbm)
    assert float(loss) == pytest.approx(exact_loss, rel=1e-12)
    exact, h = enumeration.moments(rbm), rbm.hidden_mean(data).numpy()
    mu, lam = (np.asarray(x) * centered for x in (rbm.visible_offset, rbm.hidden_offset))
    by_visible, by_hidden = exact.visible - data.mean(0), exact.hidden - h.mean(0)
    by_kernel = exact.correlation - data.T @ h / 4
    by_kernel -= np.outer(by_visible, lam) + np.outer(mu, by_hidden)
    expected = by_kernel, by_visible - by_kernel @ lam, by_hidden - by_kernel.T @ mu
    for gradient, value in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, value, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_mean_field_phase_gives_gamma_and_its_gradient(random_rbm, order):  # B26
    rbm = random_rbm(6, 4, scale=0.5)
    phase = MeanFieldPhase(order, num_chains=7, num_iterations=100, seed=0)
    phase.build((6, 4))
    moments = phase(rbm.machine, tf.zeros((1, 4), "float64"), training=True)
    solution = tap(rbm, order=order)
    assert float(moments.free_energy) == pytest.approx(solution.free_energy, abs=1e-10)
    np.testing.assert_allclose(moments.visible, solution.visible, atol=1e-8)
    m, n = tf.constant(solution.visible[None]), tf.constant(solution.hidden[None])
    kernel, *biases = rbm.machine
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        gamma = plefka.gamma((kernel, *biases), m, n, order)
    np.testing.assert_allclose(moments.correlation, -tape.gradient(gamma, kernel), atol=1e-8)
    np.testing.assert_allclose(phase.magnetisations[0].numpy()[3], solution.visible, atol=1e-6)


@pytest.mark.parametrize(
    "phase",
    [
        ExactPhase(seed=0),
        MeanFieldPhase(order=2, seed=0),
        ParallelTempering(num_betas=4, num_chains=20, seed=0),
    ],
)
def test_phases_train_save_and_load(phase, tmp_path):
    x = np.tile(bars_and_stripes(3)[0].reshape(-1, 9), (10, 1))
    rbm = BernoulliRBM(9, 6, negative_phase=phase, seed=1)
    rbm.compile(keras.optimizers.SGD(0.3, momentum=0.5))
    before = rbm.free_energy(x).numpy().mean() + enumeration.log_z(rbm)
    rbm.fit(x, epochs=40, batch_size=14, verbose=0)
    assert rbm.free_energy(x).numpy().mean() + enumeration.log_z(rbm) < before - 0.3
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")
    assert json.dumps(loaded.get_config()) == json.dumps(rbm.get_config())
    assert loaded.evaluate(x, verbose=0) == rbm.evaluate(x, verbose=0)


def test_exact_gradient_reaches_the_entropy_of_bars_and_stripes():
    x = bars_and_stripes(3)[0].reshape(-1, 9)
    rbm = BernoulliRBM(9, 10, negative_phase=ExactPhase(), seed=0)
    rbm.compile(keras.optimizers.SGD(0.3, momentum=0.9), steps_per_execution=50)
    rbm.fit(np.tile(x, (50, 1)), batch_size=14, epochs=50, shuffle=False, verbose=0)
    log_likelihood = -rbm.free_energy(x).numpy().mean() - enumeration.log_z(rbm)
    assert -np.log(14) - 0.05 < log_likelihood <= -np.log(14)


def test_training_raises_the_exact_likelihood_of_bars_and_stripes():
    x = bars_and_stripes(3)[0].reshape(-1, 9)
    rbm = BernoulliRBM(9, 8, seed=0)

    def log_likelihood():
        return -rbm.free_energy(x).numpy().mean() - enumeration.log_z(rbm)

    schedule = keras.optimizers.schedules.PolynomialDecay(0.3, 1500, 0.0)
    rbm.compile(keras.optimizers.SGD(schedule), steps_per_execution=50)
    before = log_likelihood()
    rbm.fit(np.tile(x, (250, 1)), batch_size=70, epochs=30, verbose=0)
    assert before < -6
    assert -np.log(len(x)) - 1 < log_likelihood() < -np.log(len(x))  # 14 images: at most -ln 14


def test_fit_takes_what_keras_users_give_it():
    rng = np.random.default_rng(0)
    x = (rng.random((60, 6)) < 0.3).astype("float32")
    rbm = BernoulliRBM(6, 4, seed=0)
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=50)
    history = rbm.fit(
        x,
        epochs=2,
        batch_size=25,
        verbose=0,
        sample_weight=np.linspace(0, 1, 60),
        validation_data=x[:20],
        callbacks=[stop],
    )
    assert set(history.history) == {"loss", "free_energy", "val_loss", "val_free_energy"}
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(20)
    rbm.fit(dataset, epochs=1, verbose=0)
    sequential = keras.Sequential([rbm, keras.layers.Dense(2)])
    assert sequential(x).shape == (60, 2)
    inputs = keras.Input((6,))
    functional = keras.Model(inputs, keras.layers.Dense(2)(rbm(inputs)))
    assert functional.predict(x, verbose=0).shape == (60, 2)


def test_adam_gets_the_plain_gradient_and_converges():
    x = bars_and_stripes(3)[0].reshape(-1, 9)
    rbm = BernoulliRBM(9, 8, negative_phase=ExactPhase(), seed=0)
    rbm.compile("adam", steps_per_execution=50)
    rbm.optimizer.learning_rate = 0.03
    losses = rbm.fit(np.tile(x, (50, 1)), batch_size=14, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 4.5 < losses[0]


def test_zero_sample_weight_removes_an_example(random_rbm):
    rbm = random_rbm(5, 3)
    rng = np.random.default_rng(0)
    data = tf.constant(rng.integers(2, size=(4, 5)) * 1.0)

    def gradient(x, weight):
        rbm.negative_phase.random_state.assign([7, 7])
        with tf.GradientTape() as tape:
            loss = rbm.compute_loss(x, sample_weight=weight, training=False)
        return tape.gradient(loss, rbm.kernel.value).numpy()

    weighted = gradient(data, tf.constant([2.0, 2.0, 0.0, 0.0]))
    np.testing.assert_allclose(weighted, gradient(data[:2], None), rtol=1e-10, atol=1e-12)


def test_batches_are_a_permutation_that_seed_and_epoch_decide():
    x = np.linspace(0, 1, 23)[:, np.newaxis] * np.ones(2)
    seen = []

    class Record(BernoulliRBM):
        def compute_loss(self, x=None, *args, **kwargs):
            seen.append(x.numpy()[:, 0])
            return super().compute_loss(x, *args, **kwargs)

    for seed in (3, 3, 4):
        rbm = Record(2, 1, seed=seed)
        rbm.compile("sgd", run_eagerly=True)
        rbm.fit(x, batch_size=5, epochs=2, verbose=0)
    assert [len(batch) for batch in seen] == 6 * [5, 5, 5, 5, 3]
    orders = np.concatenate(seen).reshape(3, 2, 23)
    np.testing.assert_allclose(np.sort(orders), np.broadcast_to(x[:, 0], orders.shape), rtol=1e-6)
    np.testing.assert_array_equal(orders[0], orders[1])
    assert np.any(orders[0, 0] != orders[0, 1]) and np.any(orders[0] != orders[2])


def test_batches_free_their_data_without_waiting_for_the_garbage_collector():
    x = tf.random.uniform((10, 2))
    data = weakref.ref(x)
    batches = gathered_batches((x,), 5, rows=tf.range(10))
    assert len(list(batches)) == 2
    gc.disable()
    try:
        del x, batches
        assert data() is None
    finally:
        gc.enable()


def test_validation_split_holds_back_the_last_examples():
    x = np.zeros((50, 6), "float32")
    x[40:] = 1
    rbm = BernoulliRBM(6, 4, seed=0)
    history = rbm.fit(x, validation_split=0.2, sample_weight=np.ones(50), verbose=0).history
    held_back = rbm.free_energy(x[40:]).numpy().mean()
    assert history["val_free_energy"][0] == pytest.approx(held_back, rel=1e-5)
    assert rbm.visible_offset.numpy().max() == 0  # the held-back ones were not seen


def test_resampling_draws_grey_levels_anew_with_the_right_mean():
    x = np.full((2000, 6), 0.3, "float32")
    parameters = np.eye(6), np.zeros(6), np.zeros(6)  # hidden inputs are the visible states
    phase = GivenStates(np.zeros((1, 6)))
    rbm = BernoulliRBM.from_parameters(*parameters, negative_phase=phase, seed=0, resample=True)
    for _ in range(2):
        rbm.compute_loss(tf.constant(x), training=True)
    seen = np.array(phase.seen)
    assert set(np.unique(seen)) == {0, 1}
    assert np.any(seen[0] != seen[1])
    assert np.all(np.abs(seen[0].mean(0) - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 2000))


def test_first_fit_sets_visible_bias_to_log_odds_and_keeps_constant_pixels_finite():
    x = np.zeros((50, 3), "float32")
    x[:, 1], x[:25, 2] = 1, 1
    rbm = BernoulliRBM(3, 2, seed=0)
    rbm.adapt(x)
    np.testing.assert_allclose(rbm.visible_bias, np.log([1 / 51, 51, 1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rbm.visible_offset, [0, 1, 0.5])
    rbm.fit(x, epochs=1, verbose=0)
    assert np.all(np.isfinite(rbm.kernel.numpy()))


def test_saved_model_goes_on_exactly_where_it_stopped(tmp_path):
    x = (np.random.default_rng(0).random((40, 6)) < 0.3).astype("float32")
    keras.utils.set_random_seed(0)
    rbm = BernoulliRBM(6, 4, negative_phase=PersistentContrastiveDivergence(20, 2, seed=3), seed=1)
    rbm.fit(x, epochs=2, verbose=0, shuffle=False)
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")  # safe mode
    assert json.dumps(loaded.get_config()) == json.dumps(rbm.get_config())
    for model in (rbm, loaded):
        model.fit(x, epochs=2, verbose=0, shuffle=False)
    for weight, loaded_weight in zip(rbm.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), loaded_weight.numpy())


KILLED = """
import os, sys
from rbm_tf.quiet import quiet_start
quiet_start()
import keras, numpy as np
from rbm_tf.shared.checkpoints import BackupAndRestore
from rbm_tf.rbm import BernoulliRBM

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs):
        if self.epoch == 3 and batch == 2:
            os.kill(os.getpid(), 9)

x = (np.random.default_rng(0).random((50, 6)) < 0.3).astype("float32")
rbm = BernoulliRBM(6, 4, seed=1, resample=True)
rbm.compile(keras.optimizers.SGD(0.1, momentum=0.9))
backup = BackupAndRestore(sys.argv[1] + "/backup")
kill = [Kill()] if sys.argv[2] == "kill" else []
rbm.fit(x, batch_size=8, epochs=6, verbose=0, callbacks=[backup, *kill])
rbm.save_weights(sys.argv[1] + "/last.weights.h5")
"""


@pytest.mark.slow
def test_training_that_was_killed_resumes_to_the_last_bit(tmp_path, monkeypatch):
    for folder in ("broken", "whole"):
        (tmp_path / folder).mkdir()
    root = pathlib.Path(__file__).parent.parent
    killed = [sys.executable, "-c", KILLED, str(tmp_path / "broken"), "kill"]
    assert subprocess.run(killed, cwd=root).returncode == -9
    assert not (tmp_path / "broken" / "last.weights.h5").exists()
    for folder in ("broken", "whole"):
        monkeypatch.setattr(sys, "argv", ["", str(tmp_path / folder), "go on"])
        exec(KILLED, {})
    models = [BernoulliRBM(6, 4, resample=True) for _ in range(2)]
    for model, folder in zip(models, ("broken", "whole"), strict=True):
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
        model.optimizer.build(model.trainable_variables)
        model.load_weights(tmp_path / folder / "last.weights.h5")
    for weight, other in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy())
    assert np.abs(models[0].kernel.numpy()).max() > 0.02  # it has learned something


def test_export_serves_the_hidden_means(tmp_path):
    rbm = BernoulliRBM(6, 4, seed=0)
    rbm.export(tmp_path / "rbm", verbose=False)
    v = np.ones((2, 6), "float32")
    exported = tf.saved_model.load(tmp_path / "rbm")
    np.testing.assert_allclose(exported.serve(v), rbm.hidden_mean(v), rtol=1e-6)


def test_mixed_precision_trains_with_float32_free_energies():
    x = (np.random.default_rng(0).random((60, 6)) < 0.3).astype("float32")
    rbm = BernoulliRBM(6, 4, seed=0, dtype="mixed_bfloat16")
    rbm.fit(x, epochs=1, verbose=0)
    assert rbm(x).dtype == tf.bfloat16
    assert rbm.free_energy(x).dtype == tf.float32
    wide = BernoulliRBM(6, 4, seed=0)
    wide.set_weights(rbm.get_weights())
    np.testing.assert_allclose(rbm.free_energy(x), wide.free_energy(x), rtol=2e-2)


def test_same_seed_gives_the_same_numbers(random_rbm):
    rbm = random_rbm(6, 4)
    np.testing.assert_array_equal(rbm.sample(5, 20, seed=1), rbm.sample(5, 20, seed=1))
    assert np.any(rbm.sample(5, 20, seed=1) != rbm.sample(5, 20, seed=2))
    v = np.ones((50, 6))
    np.testing.assert_array_equal(rbm.gibbs_step(v, seed=1), rbm.gibbs_step(v, seed=1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((5, 2, 3)), "Flatten images"),
        (np.zeros((5, 7)), "Flatten images"),
        (np.full((5, 6), 255.0), "divide 8-bit images by 255"),
        (np.full((5, 6), np.nan), "without NaN"),
        (np.zeros((0, 6)), "no data"),
    ],
)
def test_wrong_data_are_refused_with_the_remedy(data, message):
    with pytest.raises(ValueError, match=message):
        BernoulliRBM(6, 4).fit(data, verbose=0)


def test_wrong_sizes_are_refused():
    for sizes in ((0, 4), (4, 0)):
        with pytest.raises(ValueError, match="at least one visible and one hidden"):
            BernoulliRBM(*sizes)
    with pytest.raises(ValueError, match=r"shape \(batch, 6\)"):
        BernoulliRBM(6, 4).free_energy(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="num_steps"):
        ContrastiveDivergence(num_steps=0)
    with pytest.raises(ValueError, match="num_chains"):
        PersistentContrastiveDivergence(num_chains=0)
    with pytest.raises(ValueError, match="num_betas"):
        ParallelTempering(num_betas=1)
    with pytest.raises(ValueError, match="order must be 1, 2 or 3"):
        MeanFieldPhase(order=4)
    with pytest.raises(ValueError, match="num_samples must be an integer of 1 or more"):
        BernoulliRBM(6, 4).sample(0)
