import doctest
import importlib

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from test_architecture import PUBLIC

from rbm_tf import units

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def names_around(name):
    """All public names; of two that are alike, the module's own, or else that of its package."""
    package = name.split(".")[0]
    names = {"np": np, "tf": tf, "keras": keras, "ops": ops, "plt": plt, "units": units}
    for module in [*sorted(PUBLIC, key=lambda other: other.startswith(package)), name]:
        public = vars(importlib.import_module(module)).items()
        names |= {key: value for key, value in public if not key.startswith("_")}
    return names


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_in_docstrings_print_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(
        module, extraglobs=names_around(name)
    ):
        runner.run(test)
    assert runner.failures == 0
