"""Ratios of partition functions by a map, and Bennett's ratio, against closed forms and pymbar."""

import numpy as np
import pytest
import scipy.stats
from keras import ops

from rbm_tf.estimates import bennett, estimate_log_z
from vae_keras.evidence import targeted_log_z_ratio
from vae_keras.parts import FlowStep

MEAN, SCALE = np.array([3.0, -2.0], "float32"), np.array([0.5, 3.0], "float32")
EXACT = float(np.log(SCALE).sum()) - 0.7  # of `harmonic_1` over `harmonic_0`


class Affine(FlowStep):
    """z' = mean + scale z, which moves N(0, I) to N(mean, scale^2)."""

    def __init__(self, mean=MEAN, scale=SCALE):
        super().__init__()
        self.shift, self.factor = np.asarray(mean), np.asarray(scale)

    def call(self, z, context=None):
        log_det = float(np.log(self.factor).sum())
        return self.shift + self.factor * z, log_det + ops.zeros_like(z[:, 0])

    def inverse(self, z, context=None):
        log_det = float(np.log(self.factor).sum())
        return (z - self.shift) / self.factor, ops.zeros_like(z[:, 0]) - log_det


def harmonic_0(z):
    return 0.5 * ops.sum(z**2, -1)


def harmonic_1(z):
    return 0.5 * ops.sum(((z - MEAN) / SCALE) ** 2, -1) + 0.7


def samples(num, seed, at_end=False):
    z = np.random.default_rng(seed).normal(size=(num, 2))
    return MEAN + SCALE * z if at_end else z


def test_a_perfect_map_has_the_same_weight_everywhere_which_is_the_ratio():
    """B48 with a variance of zero: one sample of each side would do."""
    ends = samples(50, 0), samples(60, 1, at_end=True)
    found = targeted_log_z_ratio(harmonic_0, harmonic_1, [Affine()], *ends)
    for one in found:
        assert abs(one.log_z - EXACT) < 1e-4 and one.standard_error < 1e-5


@pytest.mark.parametrize(
    "steps", [[], [Affine(MEAN * 0.8, SCALE**0.7), Affine(0.1 * MEAN, [1, 1])]]
)
def test_every_map_gives_the_ratio_from_either_side_within_its_errors(steps):
    """B48: without a map for a small change of energy, with an imperfect one for a large one."""
    if steps:
        energy, end, exact = harmonic_1, samples(20_000, 3, at_end=True), EXACT
    else:
        energy, exact = (lambda z: 0.5 * ops.sum((z - 0.5) ** 2, -1) + 0.7), -0.7
        end = samples(20_000, 3) + 0.5
    found = targeted_log_z_ratio(harmonic_0, energy, steps, samples(20_000, 2), end)
    for one in found:
        assert abs(one.log_z - exact) < 5 * one.standard_error
    assert found.bar.standard_error < min(one.standard_error for one in found[:2]) < 0.05
    assert (found.forward.bound, found.reverse.bound) == ("lower", "upper")


def test_weights_of_a_map_follow_the_work_point_by_point():
    """-ln w = E_1(M(z)) - E_0(z) - ln |det|; of samples of 1 it is that of the way there."""
    steps = Affine([1.0, 2.0], [3.0, 0.4]), Affine([-1.0, 0.0], [0.2, 1.1])
    z = samples(7, 4)
    y = (z * [3.0, 0.4] + [1.0, 2.0]) * [0.2, 1.1] + [-1.0, 0.0]
    work = 0.5 * np.sum(((y - MEAN) / SCALE) ** 2 - z**2, -1) + 0.7 - np.log(1.2 * 0.2 * 1.1)
    found = targeted_log_z_ratio(harmonic_0, harmonic_1, steps, z, y)
    np.testing.assert_allclose(found.forward.log_weights, -work, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.reverse.log_weights, -work, rtol=1e-4, atol=1e-4)


def test_without_samples_of_the_other_side_there_is_the_forward_estimate_alone():
    found = targeted_log_z_ratio(harmonic_0, harmonic_1, [Affine()], samples(10, 0))
    assert found.forward.log_z == pytest.approx(EXACT, abs=1e-4)
    assert found.reverse is None and found.bar is None


def gaussian_weights(num, num_reverse, mean, seed=0):
    """ln w of N(0, 1) and of N(mean, 1), whose ln Z is 2."""
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=num), mean + rng.normal(size=num_reverse)
    return 2 + mean * z - mean**2 / 2, 2 + mean * y - mean**2 / 2


def both(log_weights, reverse_log_weights):
    return bennett(estimate_log_z(log_weights), estimate_log_z(reverse_log_weights, reverse=True))


@pytest.mark.long
def test_bennett_has_the_error_that_it_says_and_a_smaller_one_than_either_side():
    each = [gaussian_weights(300, 300, 2.0, seed) for seed in range(200)]
    bars = [both(*weights) for weights in each]
    z = np.array([(one.log_z - 2) / one.standard_error for one in bars])
    assert abs(z.mean()) < 5 / 200**0.5 and scipy.stats.chi2(200).cdf(np.sum(z**2)) < 1 - 1e-6
    assert np.sum(z**2) > scipy.stats.chi2(200).ppf(1e-6)
    spread = np.std([one.log_z for one in bars])
    assert spread < np.std([estimate_log_z(forward).log_z for forward, _ in each])
    assert spread < np.std([estimate_log_z(b, reverse=True).log_z for _, b in each])


def test_a_constant_added_to_the_log_weights_is_added_to_bennett():
    forward, backward = gaussian_weights(100, 70, 1.0)
    plain, moved = (both(forward + c, backward + c) for c in (0, 1e4))
    assert moved.log_z - 1e4 == pytest.approx(plain.log_z, abs=1e-7)
    assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-6)


Z = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: both([0.0, -np.inf], [0.0, 1.0]), "forward has log-weights that are not finite"),
        (lambda: targeted_log_z_ratio(harmonic_0, harmonic_1, [], np.zeros(3)), "samples_0 must"),
        (lambda: targeted_log_z_ratio(harmonic_0, harmonic_1, [], Z, Z[0]), "samples_1 must"),
        (lambda: targeted_log_z_ratio(harmonic_0, lambda z: z**2, [], Z), "energy_1 gave the"),
        (lambda: targeted_log_z_ratio(harmonic_0, harmonic_1, [], Z + np.inf), "not finite"),
    ],
)
def test_what_gives_no_ratio_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
