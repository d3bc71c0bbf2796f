import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf import gibbs
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    MeanFieldPhase,
    ParallelTempering,
    PersistentContrastiveDivergence,
)

PHASES = {
    "CD": lambda steps: ContrastiveDivergence(steps, seed=1),
    "PCD": lambda steps: PersistentContrastiveDivergence(5, steps, seed=1),
    "tempering": lambda steps: ParallelTempering(3, num_chains=5, num_steps=steps, seed=1),
    "mean field": lambda steps: MeanFieldPhase(2, num_chains=5, num_iterations=steps, seed=1),
}


def graph_size(phase):
    """The number of operations in the graph of a training step, those of its loops among them."""
    rbm = BernoulliRBM(6, 4, negative_phase=phase, seed=0)
    step = tf.function(lambda x: rbm.compute_loss(x, training=True))
    graph = step.get_concrete_function(tf.zeros((3, 6))).graph.as_graph_def()
    return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)


@pytest.mark.parametrize("name", PHASES)
def test_the_graph_of_many_steps_is_no_larger_than_that_of_some(name):
    assert graph_size(PHASES[name](60)) == graph_size(PHASES[name](12))


@pytest.mark.slow
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
