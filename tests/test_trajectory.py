from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from no_drift import check_no_drift, model_states
from test_exact_pairs import pair

from rbm_tf.enumeration import log_z
from rbm_tf.machine import machine_of
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.trajectory import Trajectory, _advance, _stacked, trajectory_ais, trajectory_windows
from rbm_tf.umbrella import bar, bar_along, mbar, thermodynamic_integration


def scaled(machine, *factors):
    """Machines on the way to one, as training might have left them."""
    return [machine.scaled(factor) for factor in factors]


def test_the_callback_keeps_machines_at_growing_distances():
    rbm, trajectory = BernoulliRBM(4, 3, seed=0), Trajectory(spacing=0.5)
    start = machine_of(rbm)
    rbm.fit(np.eye(4), epochs=10, verbose=0, callbacks=[trajectory])
    assert len(trajectory.machines) == 7  # epochs 0, 1, 2, 3, 5, 8, 10
    np.testing.assert_array_equal(trajectory.machines[0].kernel, start.kernel)
    np.testing.assert_array_equal(trajectory.machines[-1].kernel, rbm.kernel)
    later = Trajectory(spacing=0.5)
    rbm.fit(np.eye(4), epochs=10, initial_epoch=6, verbose=0, callbacks=[later])
    np.testing.assert_array_equal(later.machines[-1].kernel, rbm.kernel)
    every = Trajectory(spacing=0)
    rbm.fit(np.eye(4), epochs=3, verbose=0, callbacks=[every])
    assert len(every.machines) == 4
    with pytest.raises(ValueError, match="spacing must be 0 or more; got -1"):
        Trajectory(spacing=-1)


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize(
    "kinds", [("Binary", "Binary"), ("Gaussian", "Spin"), ("Potts", "ReLU"), ("DReLU", "Binary")]
)
def test_log_z_along_a_trajectory_is_exact(kinds):
    machines = scaled(pair(*kinds), 0.2, 0.6, 1.0)
    windows = trajectory_windows(machines, num_steps=100, num_burn_in=20, seed=0)
    exact = [log_z(machine) for machine in machines]
    along = bar_along(windows)
    difference = np.abs(along.log_z[1:] - exact)
    assert np.all(difference < 5 * along.standard_error[1:]) and along.standard_error[0] == 0
    for road in (bar, mbar):
        estimate = road(windows)
        assert abs(estimate.log_z - exact[-1]) < 5 * estimate.standard_error
    assert bar(windows).log_z == pytest.approx(along.log_z[-1], abs=1e-12)
    annealed = trajectory_ais(machines, num_chains=1000, num_steps=3, seed=1)
    weights = np.exp(annealed.log_weights - exact[-1])
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(1000)


def test_sweeps_and_swaps_leave_every_machine_where_it_is(random_rbm):
    machines = [machine_of(random_rbm(5, 3, seed=seed)) for seed in range(3)]
    stack, _, num_windows = _stacked(machines)
    free = replace(machines[0], kernel=0 * machines[0].kernel)

    def move(*states):
        v = tf.constant(np.stack(states))
        for index in range(6):
            v = _advance(stack, v, index, (0, 1))
        return v.numpy()

    assert num_windows == 4
    check_no_drift(move, *(model_states(machine) for machine in (free, *machines)))


def test_the_base_is_the_first_machine_without_its_kernel():
    first = pair("Gaussian", "ReLU")
    base = replace(first, kernel=0 * first.kernel)
    assert _stacked([first, first])[1] == pytest.approx(log_z(base), abs=1e-9)


def test_the_same_seed_gives_the_same_windows_in_parts_or_at_once(monkeypatch):
    machines = scaled(pair("Binary", "Binary"), 0.5, 1.0)
    once, again = (trajectory_windows(machines, num_steps=20, seed=3) for _ in range(2))
    np.testing.assert_array_equal(once.free_energies, again.free_energies)


def test_what_is_no_trajectory_is_refused():
    machine = pair("Binary", "Binary")
    with pytest.raises(ValueError, match="two machines or more; got 1"):
        trajectory_windows([machine])
    with pytest.raises(ValueError, match="need the same units"):
        trajectory_ais([machine, pair("Spin", "Binary")])
    windows = trajectory_windows(scaled(machine, 0.5, 1.0), num_steps=5, seed=0)
    with pytest.raises(ValueError, match="no temperature to integrate over"):
        thermodynamic_integration(windows)
