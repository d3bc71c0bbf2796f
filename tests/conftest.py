import collections
import gc
import random

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


def pytest_addoption(parser):
    text = "all cases of tests marked grid, of which a third runs otherwise"
    parser.addoption("--grids", action="store_true", help=text)


def pytest_collection_modifyitems(config, items):
    """Leave out most of the grids, unless asked, and put the chapters in the middle.

    There the second of two processes begins: the first one has answers at once, and the long
    chapters do not come last.
    """
    if not config.getoption("grids"):
        left_out = set(_two_thirds_of_each_grid(items))
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    chapters = [item for item in items if item.path.stem == "test_notebooks"]
    others = [item for item in items if item not in chapters]
    middle = min(len(items) // 2, len(others))
    items[:] = others[:middle] + chapters + others[middle:]


def _two_thirds_of_each_grid(items):
    """Cases drawn by the name of their test: on every machine the same ones."""
    grids = collections.defaultdict(list)
    for item in items:
        if item.get_closest_marker("grid"):
            grids[item.nodeid.partition("[")[0]].append(item)
    for name, cases in grids.items():
        yield from random.Random(name).sample(cases, 2 * len(cases) // 3)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order(request):
    """Neither weights without a seed of their own nor what RNG draws depend on the tests before."""
    import keras

    keras.utils.set_random_seed(0)
    module = getattr(request, "module", None)
    if hasattr(module, "RNG"):
        generator = module.RNG.bit_generator
        generator.state = _at_import.setdefault(module.__name__, generator.state)


_at_import = {}  # the state of each module's RNG


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
