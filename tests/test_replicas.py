"""RBMs under a strategy of two replicas beside one device, in processes that have two."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from no_drift import check_samples, model_states

from rbm_tf.machine import Machine, hidden_input
from rbm_tf.shared import replicas

HERE = pathlib.Path(__file__).parent
pytestmark = pytest.mark.long  # processes of their own


@functools.cache
def found(*arguments):
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, HERE / "replicas_of_rbm.py", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("run", ["exact", "gauge", "precisions", "tap"])
def test_without_draws_two_replicas_are_one_device_step_by_step(run):
    (loss, steps, value), (loss_of_two, steps_of_two, value_of_two) = (
        found("deterministic")[f"{run} {name}"] for name in ("one", "two")
    )
    assert len(steps) == 10 and not np.allclose(steps[0][:18], steps[-1][:18], atol=1e-4)
    np.testing.assert_allclose(steps_of_two, steps, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(loss_of_two, loss, rtol=1e-6)  # means of Keras, in float32
    np.testing.assert_allclose(value_of_two, value, rtol=1e-6)


@pytest.mark.parametrize("phase", ["cd", "pcd", "tempering"])
def test_gradient_and_offsets_are_those_of_the_states_of_both_replicas(phase):
    step, expected = found("sampled")[phase]
    for one, other in zip(step, expected, strict=True):
        assert np.any(one)
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("devices", ["one", "two"])
def test_persistent_chains_reach_the_fixed_point_of_the_exact_gradient(devices):
    for phase in ("ExactPhase", "PersistentContrastiveDivergence"):
        start, end = found("fixed_point")[f"{phase} {devices}"]
        assert (
            0 <= end < 0.01 * start
        )  # from about one nat; the noise of 1,000 chains leaves 0.0005


def test_where_the_exact_gradient_is_zero_that_of_the_chains_of_both_replicas_is_noise():
    results = found("fixed_point")
    machine = Machine(*(tf.constant(value, tf.float64) for value in results["goal"]))
    states = model_states(machine)
    hidden = machine.hidden.mean(hidden_input(machine, states.states)).numpy()
    products = states.states[:, :, None] * hidden[:, None]
    chains = np.array(results["chains"])
    for step, values in zip(results["step"], (products, states.states, hidden), strict=True):
        variance = np.tensordot(states.p, values**2, 1) - np.tensordot(states.p, values, 1) ** 2
        assert np.any(step)
        assert np.all(np.abs(step) < 5 * np.sqrt(variance / len(chains)))
    for share in np.split(chains, 2):
        check_samples(share, model_states(machine.transposed))


def test_no_draw_is_that_of_both_replicas():
    chains, weights = (np.array(found("draws")[name]) for name in ("chains", "weights"))
    for first, second in np.split(chains, 2, 1), np.split(weights, 2):
        assert np.any(first != second)
    assert chains.shape == (2, 40, 6) and len(set(map(tuple, chains[-1]))) > 10


def test_annealing_on_two_replicas_has_the_exact_ln_z_of_its_parts():
    results = found("annealing")
    log_z, log_z_of_other = results["log_z"]
    for name, sign, exact in (
        ("ais", 1, log_z),
        ("reverse", -1, log_z),
        ("ratio", 1, log_z_of_other - log_z),
    ):
        ratio = np.exp(sign * (np.array(results[name]) - exact))  # of the mean 1, whatever the path
        for part in (ratio, *np.split(ratio, 2)):
            assert abs(part.mean() - 1) < 5 * part.std() / np.sqrt(len(part))
    # without moves there are the draws of the base alone, which are those of one device, in order
    np.testing.assert_allclose(results["one_step"], results["one_step_here"], rtol=1e-12)


def test_chains_that_cannot_be_shared_out_are_refused():
    results = found("annealing")
    assert "2 replicas cannot share out num_chains=5 evenly: take 4 or 6" in results["error"]
    assert "num_chains=101 evenly: take 100 or 102" in results["error_of_phase"]


def test_what_two_replicas_saved_loads_on_one_device_and_goes_on_on_two(tmp_path):
    results = found("checkpoint", str(tmp_path / "rbm.keras"))
    for name in ("loaded", "saved"):
        assert len(results[name]) > 5
    for one, other in zip(results["loaded"], results["saved"], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(*results["on"], strict=True):
        np.testing.assert_array_equal(one, other)
    rbm = keras.models.load_model(tmp_path / "rbm.keras")
    assert rbm.negative_phase.chains.shape == (100, 4)


def test_on_one_device_nothing_of_it_is_in_a_graph():
    x = tf.constant([[3.0, 4.0]])
    functions = (
        replicas.own_seed,
        replicas.own_share,
        replicas.of_all_shares,
        functools.partial(replicas.over_all, "SUM"),
        functools.partial(replicas.over_all, "MEAN"),
        lambda x: replicas.in_proportion(x, x),
    )
    assert all(function(x) is x for function in functions)
