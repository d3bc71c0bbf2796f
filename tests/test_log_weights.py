"""Every function of log-weights takes them from any carrier, zero weights among them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.cumulants import sample_cumulants
from rbm_tf.cumulants.errors import cumulant_standard_errors, series_standard_error
from rbm_tf.cumulants.path import lambda_path
from rbm_tf.cumulants.streaming import StreamingCumulants
from rbm_tf.diagnostics import effective_sample_size, pareto_k
from rbm_tf.estimates import estimate_log_z
from rbm_tf.shared.log_weights import as_log_weights, float_tensor
from vae_keras.evidence import (
    cumulant,
    elbo,
    grouped_cumulant,
    iwae,
    jackknife,
    thermodynamic_sum,
)
from vae_keras.evidence.groups import (
    gamma_closure,
    grouped_estimate,
    grouped_standard_error,
    regrouped_cumulants,
)
from vae_keras.evidence.unbiased import sumo

ZERO = -np.inf


def streamed(w):
    shape = tuple(np.shape(float_tensor(w)))[1:]
    return StreamingCumulants.empty(max_order=3, shape=shape).update(w).cumulants()


FUNCTIONS = {
    "elbo": elbo,
    "iwae": iwae,
    "jackknife": jackknife,
    "second_jackknife": lambda w: jackknife(w, order=2),
    "cumulant": lambda w: cumulant(w, order=4),
    "grouped_cumulant": lambda w: grouped_cumulant(w, 5),
    "left": lambda w: thermodynamic_sum(w, [0, 0.5, 1], rule="left"),
    "right": lambda w: thermodynamic_sum(w, [0, 0.5, 1], rule="right"),
    "sumo": lambda w: sumo(w, np.full(np.shape(float_tensor(w))[1:], 3)),
    "grouped_estimate": lambda w: grouped_estimate(w, seed=0).log_p,
    "grouped_standard_error": lambda w: grouped_standard_error(w, 5),
    "gamma_closure": lambda w: gamma_closure(regrouped_cumulants(w, 5, seed=0)),
    "effective_sample_size": effective_sample_size,
    "pareto_k": pareto_k,
    "sample_cumulants": lambda w: sample_cumulants(w, 4),
    "cumulant_standard_errors": lambda w: cumulant_standard_errors(w, 3),
    "series_standard_error": lambda w: series_standard_error(w, 2),
    "streaming": streamed,
    "lambda_path": lambda w: lambda_path(w, [0.0, 0.5, 1.0]).free_energy,
}
TOGETHER = ("grouped_estimate", "gamma_closure", "grouped_standard_error")  # share one theta
CARRIERS = {
    "list": lambda w: w.tolist(),
    "int64": lambda w: w.astype("int64"),
    "int8": lambda w: tf.cast(w, tf.int8),
    "float16": lambda w: w.astype("float16"),
    "bfloat16": lambda w: tf.cast(w, tf.bfloat16),
    "float32": lambda w: w.astype("float32"),
    "keras tensor": keras.ops.convert_to_tensor,
    "keras variable": keras.Variable,
}


def log_weights():
    return np.random.default_rng(0).integers(-12, -4, size=(60, 3)).astype(float)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_numbers_give_the_same_value_whatever_carries_them(name, carrier):
    expected = FUNCTIONS[name](log_weights())
    value = FUNCTIONS[name](CARRIERS[carrier](log_weights()))
    np.testing.assert_allclose(value, expected, rtol=2e-4, atol=1e-5)
    assert np.asarray(value).dtype in (np.float32, np.float64)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_batches_of_any_shape_are_batches(name):
    if name in TOGETHER:
        pytest.skip("examples are judged together")
    flat = np.asarray(FUNCTIONS[name](log_weights()))
    several = FUNCTIONS[name](np.stack([log_weights()] * 2, 1))  # (60, 2, 3)
    np.testing.assert_allclose(several, np.stack([flat] * 2, -2), rtol=1e-9)
    one = FUNCTIONS[name](log_weights()[:, 0])
    np.testing.assert_allclose(one, flat[..., 0], rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_number_makes_the_estimate_of_its_own_example_nan_and_no_other(name, bad):
    w = log_weights()
    w[3, 1] = bad
    with np.errstate(invalid="ignore"):
        value = np.asarray(FUNCTIONS[name](w))
    if name == "lambda_path":
        value = value[1:]  # F(0) knows no weight
    of_any_samples = name in ("streaming", "sample_cumulants")  # where inf may be a value
    assert np.all(np.isnan(value[..., 1])) or of_any_samples
    assert np.all(np.isfinite(value[..., ::2]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("elbo", ZERO),
        ("iwae", np.log(np.exp([-1, -2, -1.5]).sum() / 4)),
        ("jackknife", None),
        ("left", ZERO),
        ("right", -1.3787224),
        ("effective_sample_size", np.exp([-1, -2, -1.5]).sum() ** 2 / np.exp([-2, -4, -3.0]).sum()),
    ],
)
def test_zero_weight_is_a_weight_like_others(name, expected):
    w = np.array([-1, ZERO, -2, -1.5])
    if expected is None:  # 4 iwae - 3 <iwae without one>
        means = [np.log(np.exp(np.delete(w, i)).mean()) for i in range(4)]
        expected = 4 * np.log(np.exp(w).mean()) - 3 * np.mean(means)
    value = FUNCTIONS[name](w[:, np.newaxis])
    np.testing.assert_allclose(value, [expected], rtol=1e-6)


@pytest.mark.parametrize("name", ["elbo", "iwae", "left", "right"])
def test_estimates_of_zero_weights_alone_are_minus_infinity(name):
    np.testing.assert_array_equal(FUNCTIONS[name](np.full((4, 2), ZERO)), [ZERO, ZERO])
    assert FUNCTIONS["effective_sample_size"](np.full(4, ZERO)) == 0


def test_derivative_of_a_thermodynamic_sum_by_the_other_weights_is_finite():
    w = tf.constant([-1.0, ZERO, -2.0, -1.5])
    with tf.GradientTape() as tape:
        tape.watch(w)
        value = thermodynamic_sum(w, [0, 0.5, 1], rule="right")
    slope = tape.gradient(value, w).numpy()
    assert np.all(np.isfinite(slope))
    assert slope.sum() == pytest.approx(1, rel=1e-6)


def test_averages_of_integers_and_half_precision_are_no_integers_and_do_not_overflow():
    np.testing.assert_array_equal(elbo([[-1], [-2]]), [-1.5])
    far = np.float16(np.random.default_rng(0).normal(-3000, 4, size=(200, 1)))
    np.testing.assert_allclose(elbo(far), far.astype(float).mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        cumulant(far, order=4), cumulant(far.astype(float), order=4), rtol=1e-4
    )


def test_one_sample_is_its_own_estimate():
    for name in ("elbo", "iwae", "left", "right"):
        np.testing.assert_array_equal(FUNCTIONS[name]([[-7]]), [-7])
    assert estimate_log_z([-7]).effective_sample_size == 1


def test_ln_z_from_weights_of_any_kind():
    for w in ([-1, -2], np.array([-1, -2], "float16"), tf.constant([-1, -2, ZERO])):
        estimate = estimate_log_z(w)
        assert estimate.log_z == pytest.approx(np.log((np.exp(-1) + np.exp(-2)) / len(w)))
        np.testing.assert_allclose(
            estimate.effective_sample_size, effective_sample_size(w), rtol=1e-12
        )
    nothing = estimate_log_z([ZERO, ZERO])
    assert nothing.log_z == ZERO
    assert np.isnan(nothing.standard_error)
    for bad in (np.nan, np.inf):
        assert np.isnan(estimate_log_z([0.0, bad]).log_z)


def test_masked_weights_are_no_numbers_and_complex_ones_are_refused():
    log_w = np.ma.masked_array(np.zeros((4, 2)), np.arange(8).reshape(4, 2) == 3)
    np.testing.assert_array_equal(iwae(log_w), [0, np.nan])
    for wrong in (np.zeros((4, 2)) + 1j, tf.zeros((4, 2), tf.complex64), [["a"]]):
        with pytest.raises(ValueError, match="Real numbers are needed; these are of type"):
            iwae(wrong)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"num_samples of 1 or more; got \(\)"):
        as_log_weights(3.0)
    with pytest.raises(ValueError, match=r"num_samples of 2 or more; got \(1, 5\)"):
        as_log_weights(np.zeros((1, 5)), at_least=2)
    with pytest.raises(ValueError, match=r"num_samples of 1 or more; got \(0, 2\)"):
        estimate_log_z(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="one K for each example"):
        sumo(np.zeros((3, 2)), [1])
