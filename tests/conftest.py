import gc

import matplotlib
import numpy as np
import pytest

from rbm_tf.quiet import quiet_start

matplotlib.use("Agg")


def pytest_configure(config):
    """Start TensorFlow, but not in the process that only hands out tests to others."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        quiet_start()
        gc.set_threshold(50_000, 20, 20)  # of thousands of graphs, which it looks through each time


def pytest_collection_modifyitems(items):
    """Put the chapters in the middle, where the second of two processes begins.

    The first one has answers at once, and the long chapters do not come last.
    """
    chapters = [item for item in items if item.path.stem == "test_notebooks"]
    others = [item for item in items if item not in chapters]
    middle = min(len(items) // 2, len(others))
    items[:] = others[:middle] + chapters + others[middle:]


@pytest.fixture
def eagerly():
    """Nothing is traced: for claims about many small models, which would make a graph each."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def random_rbm():
    """Make an RBM with normal random parameters of a given scale, in float64 unless told."""
    from rbm_tf.rbm import BernoulliRBM

    def make(num_visible, num_hidden, scale=1.0, seed=0, bias_scale=None, **kwargs):
        rng = np.random.default_rng(seed)
        bias_scale = scale if bias_scale is None else bias_scale
        kernel = scale * rng.normal(size=(num_visible, num_hidden))
        biases = bias_scale * rng.normal(size=num_visible), bias_scale * rng.normal(size=num_hidden)
        options = {"seed": seed, "dtype": "float64", **kwargs}
        return BernoulliRBM.from_parameters(kernel, *biases, **options)

    return make


@pytest.fixture
def all_states():
    """All states of n binary units, (2 ** n, n) float64."""

    def states(num_units):
        return ((np.arange(2**num_units)[:, None] >> np.arange(num_units)) & 1).astype(float)

    return states
