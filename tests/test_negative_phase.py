import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf import enumeration, gibbs
from rbm_tf.datasets import bars_and_stripes
from rbm_tf.mean_field import plefka, tap
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    ExactPhase,
    MeanFieldPhase,
    ParallelTempering,
    PersistentContrastiveDivergence,
)

PHASES = {
    "CD": lambda steps: ContrastiveDivergence(steps, seed=1),
    "PCD": lambda steps: PersistentContrastiveDivergence(5, num_steps=steps, seed=1),
    "tempering": lambda steps: ParallelTempering(3, num_chains=5, num_steps=steps, seed=1),
    "mean field": lambda steps: MeanFieldPhase(2, num_chains=5, num_iterations=steps, seed=1),
}


def graph_size(phase):
    """The number of operations in the graph of a training step, those of its loops among them."""
    rbm = BernoulliRBM(6, 4, negative_phase=phase, seed=0)
    step = tf.function(lambda x: rbm.compute_loss(x, training=True))
    graph = step.get_concrete_function(tf.zeros((3, 6))).graph.as_graph_def()
    return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)


@pytest.mark.long
@pytest.mark.parametrize("name", PHASES)
def test_the_graph_of_many_steps_is_no_larger_than_that_of_some(name):
    assert graph_size(PHASES[name](60)) == graph_size(PHASES[name](12))


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("name", PHASES)
def test_a_loop_in_the_graph_gives_the_bits_of_the_steps_one_by_one(name, monkeypatch):
    x = (np.random.default_rng(0).random((20, 6)) < 0.3).astype("float32")
    weights = []
    for unrolled in (0, 100):
        monkeypatch.setattr(gibbs, "UNROLLED", unrolled)
        rbm = BernoulliRBM(6, 4, negative_phase=PHASES[name](15), seed=0)
        rbm.compile(keras.optimizers.SGD(0.05), jit_compile=False)  # XLA orders sums by the graph
        rbm.fit(x, epochs=2, batch_size=10, verbose=0)
        weights.append(rbm.get_weights())
    for looped, one_by_one in zip(*weights, strict=True):
        np.testing.assert_array_equal(looped, one_by_one)


@pytest.mark.parametrize("gradient", ["centered", "plain"])
def test_exact_phase_gives_minus_the_log_likelihood_and_its_gradient(random_rbm, gradient):
    rbm = random_rbm(5, 3, negative_phase=ExactPhase(seed=0), gradient=gradient)
    centered = gradient == "centered"
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


@pytest.mark.grid
@pytest.mark.parametrize("order", [1, 2, 3])
def test_mean_field_phase_gives_gamma_and_its_gradient(random_rbm, order):  # B26
    rbm = random_rbm(6, 4, scale=0.5)
    phase = MeanFieldPhase(order, num_chains=7, num_iterations=100, seed=0)
    phase.build((rbm.visible, rbm.hidden))
    moments = phase(tf.zeros((1, 4), "float64"), machine=rbm.machine, training=True)
    solution = tap(rbm, order=order)
    assert float(moments.free_energy) == pytest.approx(solution.free_energy, abs=1e-10)
    np.testing.assert_allclose(moments.visible, solution.visible, atol=1e-8)
    m, n = tf.constant(solution.visible[None]), tf.constant(solution.hidden[None])
    kernel, *biases = rbm.machine.parameters
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        gamma = plefka.gamma((kernel, *biases), m, n, order)
    np.testing.assert_allclose(moments.correlation, -tape.gradient(gamma, kernel), atol=1e-8)
    np.testing.assert_allclose(phase.magnetisations[0].numpy()[3], solution.visible, atol=1e-6)


@pytest.mark.grid
@pytest.mark.long
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
