"""Annealing with units clamped, against exact sums and integrals."""

import numpy as np
import pytest
import tensorflow as tf
from test_conditional import by_hand, masks_of, rbm_of, some_states

from rbm_tf import annealing
from rbm_tf.conditional import annealing as module
from rbm_tf.conditional import clamped_ais, clamped_log_z
from rbm_tf.machine import Machine, clamped_free_energy
from rbm_tf.units import Binary, Mixed, Potts, Spin

PAIRS = [
    ("Binary", "Binary"),
    ("Spin", "DReLU"),
    ("Gaussian", "Potts"),
    ("Potts", "ReLU"),
    ("TruncatedExponential", "Spin"),
    ("DReLU", "Binary"),
    ("Gaussian", "Gaussian"),
    ("Gaussian", "ReLU"),
    ("ReLU", "TruncatedExponential"),
]
BETAS = np.linspace(0, 1, 21)


def check(estimate, exact):
    error = np.abs(estimate.log_z - exact)
    assert np.all(error <= 5 * estimate.standard_error + 1e-12)
    assert np.all(estimate.standard_error < 0.1)


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_annealing_finds_ln_z_of_every_example_whatever_it_misses(visible, hidden):
    rbm = rbm_of(visible, hidden)
    v, masks = some_states(rbm, 5), masks_of(rbm)
    exact = [by_hand(rbm, *pair) for pair in zip(v, masks, strict=True)]
    estimate = clamped_ais(rbm, v, mask=masks, num_chains=2000, betas=BETAS, seed=1)
    assert estimate.log_weights.shape == (2000, 5)
    check(estimate, exact)
    assert np.all(estimate.standard_error[:4] > 0)
    nothing_missing = -clamped_free_energy(rbm, v[4:])
    np.testing.assert_allclose(estimate.log_weights[:, 4], nothing_missing[0], rtol=1e-12)


@pytest.mark.long
def test_annealing_of_a_mixed_layer_in_blocks_of_examples(monkeypatch):
    rng = np.random.default_rng(0)
    visible, hidden = Mixed([Binary(2), Potts(2, 3), Spin(1)]), Binary(4)
    shapes = (visible.size, hidden.size), visible.size, hidden.size
    rbm = Machine(*(tf.constant(rng.normal(size=shape)) for shape in shapes), visible, hidden)
    v, units = some_states(rbm, 7), np.eye(5)[:4] + np.eye(5)[1:]
    masks = 1 - np.concatenate([units, units[:3]])[:, visible.unit_of_column]
    options = {"num_chains": 1000, "betas": BETAS, "seed": 3}
    check(clamped_ais(rbm, v, mask=masks, **options), clamped_log_z(rbm, v, mask=masks))
    monkeypatch.setattr(module, "_NUMBERS", 2 * 1000 * (visible.size + hidden.size))
    sizes, anneal = [], annealing.anneal
    monkeypatch.setattr(
        annealing,
        "anneal",
        lambda path, b, v, *rest: sizes.append(len(v)) or anneal(path, b, v, *rest),
    )
    check(clamped_ais(rbm, v, mask=masks, **options), clamped_log_z(rbm, v, mask=masks))
    assert sizes == [2000, 2000, 2000, 1000]


def test_a_model_anneals_from_the_means_of_its_data(random_rbm):
    rbm = random_rbm(6, 3, scale=1.5, dtype="float32")
    rbm.visible_offset.assign(np.linspace(0.1, 0.9, 6))
    v, mask = np.eye(6), [1, 1, 0, 0, 0, 1]
    estimate = clamped_ais(rbm, v, mask=mask, num_chains=500, betas=BETAS, seed=0)
    check(estimate, clamped_log_z(rbm, v, mask=mask))
    again = clamped_ais(rbm, v, mask=mask, num_chains=500, betas=BETAS, seed=0)
    np.testing.assert_array_equal(again.log_weights, estimate.log_weights)
    other = clamped_ais(rbm.machine, v, mask=mask, num_chains=500, betas=BETAS, seed=0)
    assert np.any(other.log_weights != estimate.log_weights)
    with pytest.raises(ValueError, match="num_chains"):
        clamped_ais(rbm, v, mask=mask, num_chains=0)
