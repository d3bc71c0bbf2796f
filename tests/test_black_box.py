import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.cumulants import StreamingJointCumulants, expectation_series
from rbm_tf.shared.seeds import as_seed
from vae_keras.black_box import (
    corrected_expectation,
    corrected_quantiles,
    corrected_variance,
    evidence,
    evidence_of_weights,
    expectation_of_weights,
    free_energy,
    log_weights,
    monte_carlo_cumulant_loss,
    series_weights,
    variance_of_weights,
)

tfd, tfb = tfp.distributions, tfp.bijectors
Y = np.array([1.0, 2.0, 0.5], np.float32)


def on_y(m, s):
    return tfd.Independent(tfd.Normal(m[..., tf.newaxis] + tf.zeros(3), s[..., tf.newaxis]), 1)


def coroutine():
    m = yield tfd.Normal(0.0, 1.0, name="m")
    s = yield tfd.Gamma(2.0, 2.0, name="s")
    yield tfd.Normal(m * tf.ones(3), s, name="y")


def plain_coroutine():
    root = tfd.JointDistributionCoroutine.Root
    m = yield root(tfd.Normal(0.0, 1.0, name="m"))
    s = yield root(tfd.Gamma(2.0, 2.0, name="s"))
    yield tfd.Independent(on_y(m, s), 0, name="y")


PRIORS = [tfd.Normal(0.0, 1.0), tfd.Gamma(2.0, 2.0)]
MODELS = {
    "sequential": lambda: tfd.JointDistributionSequential([*PRIORS, lambda s, m: on_y(m, s)]),
    "named": lambda: tfd.JointDistributionNamed({"m": PRIORS[0], "s": PRIORS[1], "y": on_y}),
    "coroutine": lambda: tfd.JointDistributionCoroutine(plain_coroutine),
    "sequential, batched": lambda: tfd.JointDistributionSequentialAutoBatched(
        [*PRIORS, lambda s, m: tfd.Normal(m * tf.ones(3), s)]
    ),
    "named, batched": lambda: tfd.JointDistributionNamedAutoBatched(
        {"m": PRIORS[0], "s": PRIORS[1], "y": lambda m, s: tfd.Normal(m * tf.ones(3), s)}
    ),
    "coroutine, batched": lambda: tfd.JointDistributionCoroutineAutoBatched(coroutine),
}


def parts(z):
    return [z["m"], z["s"]] if isinstance(z, dict) else list(z)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "build"), list(zip(MODELS, itertools.cycle(["factored", "affine"]), strict=False))
)  # in turns: each of both with plain and with batched joint distributions
def test_log_weights_of_every_joint_distribution_are_those_of_its_densities(kind, build):
    model = MODELS[kind]()
    pin = (None, None, Y) if "sequential" in kind else ()
    pinned = model.experimental_pin(*pin, **({} if pin else {"y": Y}))
    bijector = pinned.experimental_default_event_space_bijector()
    tf.random.set_seed(0)
    if build == "factored":
        q = tfp.experimental.vi.build_factored_surrogate_posterior(
            pinned.event_shape, bijector=bijector
        )
    else:
        q = tfp.experimental.vi.build_affine_surrogate_posterior(
            pinned.event_shape, "tril", bijector=bijector
        )
    found = log_weights(pinned.unnormalized_log_prob, q, 60, seed=3)
    z = q.sample(60, seed=as_seed(3))
    m, s = (part.numpy() for part in parts(z))
    log_p = scipy.stats.norm.logpdf(m) + scipy.stats.gamma(2, scale=0.5).logpdf(s)
    log_p += scipy.stats.norm.logpdf(Y, m[:, np.newaxis], s[:, np.newaxis]).sum(-1)
    np.testing.assert_allclose(found, log_p - q.log_prob(z), rtol=1e-3, atol=1e-3)
    values = corrected_expectation(
        lambda z: z, pinned.unnormalized_log_prob, q, 60, order=0, seed=3, progress=False
    ).value
    tf.nest.assert_same_structure(values, z)
    with tf.GradientTape() as tape:
        loss = monte_carlo_cumulant_loss(pinned.unnormalized_log_prob, q, 60, seed=3)
    assert float(loss) == pytest.approx(-float(tf.reduce_mean(found)), rel=1e-5)
    assert all(slope is not None for slope in tape.gradient(loss, q.trainable_variables))


@pytest.fixture
def tilted():
    """q, and a target whose integral is e^(1/8), with mean 1/2."""
    q = tfd.Normal(np.float64(0), np.float64(1))
    return lambda z: q.log_prob(z) + 0.5 * z, q


@pytest.mark.long
def test_integers_of_any_kind_and_tensors_are_seeds_and_none_is_another_each_time(tilted):
    seeds = (
        5,
        np.int64(5),
        np.uint8(5),
        tf.constant(5),
        tf.constant(5, tf.int64),
        as_seed(5),
        [5, 0],
    )
    draws = [log_weights(*tilted, 4, seed=seed).numpy() for seed in seeds]
    for other in draws[1:]:
        np.testing.assert_array_equal(other, draws[0])
    for seed in (6, None, None):
        assert np.all(log_weights(*tilted, 4, seed=seed) != draws[0])
    for call in (evidence, lambda *a, **k: corrected_expectation(lambda z: z, *a, **k)):
        one, two = call(*tilted, 100, seed=5), call(*tilted, 100, seed=np.int32(5))
        assert str(one) == str(two)
    with pytest.raises(ValueError, match="seed must be an integer"):
        log_weights(*tilted, 4, seed=0.5)


def test_log_weights_in_a_graph_are_those_outside_and_new_ones_without_a_seed(tilted):
    traced = tf.function(lambda: log_weights(*tilted, 4, seed=5))
    np.testing.assert_allclose(traced(), log_weights(*tilted, 4, seed=5), rtol=1e-12)
    fresh = tf.function(lambda: log_weights(*tilted, 4))
    assert np.all(fresh().numpy() != fresh().numpy())


def test_dtype_is_that_of_the_wider_density():
    for dtype, log_p, expected in (
        (np.float32, lambda z: -(z**2), tf.float32),
        (np.float64, lambda z: -(z**2), tf.float64),
        (np.float16, lambda z: -(z**2), tf.float32),
        (np.float32, lambda z: -1e6 - np.square(z.numpy(), dtype=np.float64), tf.float64),
        (np.float32, lambda z: (-(z.numpy() ** 2)).tolist(), tf.float32),
    ):
        q = tfd.Normal(dtype(0), dtype(1))
        found = log_weights(log_p, q, 5, seed=1)
        assert found.dtype == expected
    q = tfd.Normal(np.float32(0), np.float32(1))
    found = log_weights(lambda z: np.float64(q.log_prob(z)) - 1e6 - 0.001, q, 5, seed=1)
    np.testing.assert_allclose(found, np.full(5, -1e6 - 0.001), rtol=1e-14)  # no digit is lost


@pytest.mark.long
def test_plain_functions_of_numpy_are_targets(tilted):
    _, q = tilted
    found = evidence(lambda z: scipy.stats.norm(0.5).logpdf(z) + 0.125, q, 1000, seed=2)
    theirs = evidence(*tilted, 1000, seed=2)
    np.testing.assert_allclose(found.log_weights, theirs.log_weights, rtol=1e-9, atol=1e-12)
    two = tfd.JointDistributionNamed({"a": q, "b": q})
    found = corrected_expectation(
        lambda z: np.asarray(z["a"]) - np.asarray(z["b"]) > 0,
        lambda a, b: scipy.stats.norm.logpdf(a) + scipy.stats.norm.logpdf(b),
        two,
        1000,
        seed=2,
    )
    assert abs(found.value - 0.5) < 5 * found.standard_error
    energy = free_energy(lambda z: np.square(z) / 2, q, 100, seed=2)
    assert energy.value == pytest.approx(-0.5 * np.log(2 * np.pi), abs=1e-12)


def test_values_have_the_structure_that_f_returns_and_a_batch(tilted):
    q = tfd.Independent(tfd.Normal(np.zeros((2, 3)), np.float64(1)), 1)  # batch 2, event 3
    target = lambda z: q.log_prob(z) + 0.3 * tf.reduce_sum(z, -1)  # noqa: E731
    found = corrected_expectation(
        lambda z: {"mean": z, "pair": (z[..., 0] > 0.3, tf.einsum("nbi,nbj->nbij", z, z))},
        target,
        q,
        3000,
        order=3,
        seed=4,
    )
    exact = {"mean": np.full((2, 3), 0.3), "pair": (np.full(2, 0.5), np.full((2, 3, 3), 0.09))}
    exact["pair"][1][...] += np.eye(3)
    tf.nest.assert_same_structure(found.value, exact)
    flat = zip(*map(tf.nest.flatten, (found.value, exact, found.standard_error)), strict=True)
    for value, truth, error in flat:
        assert value.shape == truth.shape == error.shape
        assert np.all(np.abs(value - truth) < 5 * error)
    assert found.terms["pair"][1].shape == (4, 2, 3, 3)


def test_shifts_of_f_move_means_alone_and_cost_no_digits(tilted):
    args = {"order": 3, "seed": 5}
    near = [
        call(lambda z: z, *tilted, 2000, **args)
        for call in (corrected_expectation, corrected_variance)
    ]
    far = [
        call(lambda z: z + 1e6, *tilted, 2000, **args)
        for call in (corrected_expectation, corrected_variance)
    ]
    assert far[0].value - 1e6 == pytest.approx(near[0].value, abs=1e-9)
    assert far[1].value == pytest.approx(near[1].value, rel=1e-9)
    for one, other in zip(near, far, strict=True):
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-8)
    constant = corrected_expectation(lambda z: 0.1 + 0 * z, *tilted, 2000, **args)
    assert constant.value == pytest.approx(0.1, abs=1e-15) and constant.verdict.trusted


@pytest.mark.long
def test_of_many_draws_only_the_log_weights_are_kept():
    import tracemalloc

    q = tfd.MultivariateNormalDiag(np.zeros(30), np.ones(30))
    peaks = []
    for num in (50_000, 150_000):
        tracemalloc.start()
        found = corrected_expectation(
            lambda z: z,
            lambda z: q.log_prob(z) + 0.1 * z[:, 0],
            q,
            num,
            order=1,
            progress=False,
            seed=6,
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 8 * 100_000 * 15  # half of what the draws would take
    assert np.all(np.abs(found.value - 0.1 * np.eye(30)[0]) < 5 * found.standard_error)


def test_parts_of_several_workers_merge_to_the_whole():
    rng = np.random.default_rng(7)
    z = rng.normal(size=4000)
    log_w = 0.3 * z + 0.05 * z**2
    whole = expectation_of_weights(z, log_w, order=3)
    workers = [
        StreamingJointCumulants.empty(4).update(z[part], log_w[part])
        for part in np.array_split(np.arange(4000), 7)
    ]
    merged = workers[0]
    for worker in workers[1:]:
        merged = merged.merge(worker)
    assert float(expectation_series(merged.cumulants())) == pytest.approx(whole.value, rel=1e-12)


def test_draws_in_blocks_of_unequal_size_are_the_draws_at_once(monkeypatch, tilted):
    whole = corrected_variance(lambda z: z, *tilted, 1000, order=2, seed=8)
    seen = []

    def f(z):
        seen.append(z.numpy())
        return z

    monkeypatch.setattr("vae_keras.black_box.inputs.BLOCK", 130)
    found = corrected_variance(f, *tilted, 1000, order=2, seed=8)
    assert [len(z) for z in seen] == [130] * 7 + [90]
    values, log_w = np.concatenate(seen), 0.5 * np.concatenate(seen)
    mean, square = (expectation_of_weights(values**k, log_w, order=2).value for k in (1, 2))
    assert found.value == pytest.approx(square - mean**2, rel=1e-9)
    from_elsewhere = variance_of_weights(values, log_w, order=2)
    assert from_elsewhere.value == pytest.approx(found.value, rel=1e-9)
    assert from_elsewhere.standard_error == pytest.approx(found.standard_error, rel=1e-9)
    assert len(np.unique(values)) == 1000
    in_blocks = corrected_expectation(lambda z: z, *tilted, 1000, order=2, seed=8)
    at_once = expectation_of_weights(values, log_w, order=2)
    assert in_blocks.value == pytest.approx(at_once.value, rel=1e-9)
    assert in_blocks.standard_error == pytest.approx(at_once.standard_error, rel=1e-9)
    np.testing.assert_allclose(in_blocks.terms, at_once.terms, rtol=1e-9)
    assert abs(found.value - whole.value) < 5 * np.hypot(found.standard_error, whole.standard_error)


def test_records_print_what_they_hold(tilted):
    found = evidence(*tilted, 2000, order=3, seed=9)
    text = str(found)
    for name in ("elbo", "cumulants to 3", "grouped", "iwae", "jackknife"):
        assert f"\n{name} " in text
    assert f"{found.elbo.log_z:.3f}" in text and text.endswith(found.verdict.message)
    assert found.verdict.trusted and found.verdict.message.startswith("Trust order 3")


@pytest.mark.parametrize("order", [2, 3, 4])
def test_verdicts_judge_the_order_that_they_name(order):
    # ln w = a u^2 / 2 has kappa_n = (n - 1)! a^n / 2, and terms a^n / 2n
    u = np.random.default_rng(10).normal(size=40_000)
    for a in (-0.25, -0.8):
        share = 2 * abs(a) ** (order - 1) / (order + 1)  # of the second term
        verdict = evidence_of_weights(a * u**2 / 2, order=order).verdict
        assert abs(share - 0.25) > 0.03 and verdict.trusted == (share < 0.25)
        assert f"rust order {order}" in verdict.message


def test_heavy_tails_are_not_trusted():
    rng = np.random.default_rng(11)
    log_w = np.log1p(rng.pareto(0.9, size=10_000))  # k = 1.1
    assert not evidence_of_weights(log_w).verdict.trusted
    found = expectation_of_weights(rng.normal(size=10_000), log_w)
    assert not found.verdict.trusted and "heavy tail" in found.verdict.message
    assert found.verdict.signs["pareto_k"] > 0.7


def test_weights_of_zero_leave_averages_of_weights_and_say_so():
    q, p = tfd.Normal(np.float64(0), np.float64(1)), tfd.Exponential(np.float64(1))
    target = lambda z: tf.where(z > 0, p.log_prob(tf.abs(z)), -np.inf)  # noqa: E731
    found = evidence(target, q, 20_000, seed=12)
    for estimate in (found.iwae, found.jackknife):
        assert abs(estimate.log_z) < 5 * estimate.standard_error
    assert found.elbo.log_z == -np.inf and np.isnan(found.cumulant.log_z)
    assert not found.verdict.trusted
    assert "weights are 0" in found.verdict.message and "bijector" in found.verdict.message
    calls = (
        lambda: corrected_expectation(lambda z: z, target, q, 100, seed=0),
        lambda: expectation_of_weights(np.ones(100), found.log_weights[:100]),
        lambda: series_weights(found.log_weights),
        lambda: corrected_quantiles(np.ones(20_000), found.log_weights, [0.5]),
        lambda: free_energy(lambda z: -target(z), q, 100, seed=0),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"are -inf: .* bijector"):
            call()


def test_weights_that_are_none_are_refused_with_their_number(tilted):
    _, q = tilted
    for bad in (np.nan, np.inf):
        target = lambda z, bad=bad: tf.where(z > 0, np.float64(bad), 0.0)  # noqa: E731
        calls = (
            lambda target=target: evidence(target, q, 50, seed=0),
            lambda target=target: corrected_expectation(lambda z: z, target, q, 100, seed=0),
            lambda target=target: corrected_variance(lambda z: z, target, q, 100, seed=0),
            lambda bad=bad: evidence_of_weights([0.0] * 40 + [bad]),
            lambda bad=bad: expectation_of_weights(np.ones(60), [0.0] * 59 + [bad]),
            lambda bad=bad: series_weights([0.0, 1.0, bad]),
        )
        for call in calls:
            with pytest.raises(ValueError, match=r"log-weights are NaN or \+inf"):
                call()


def test_shapes_that_do_not_fit_are_refused(tilted):
    target, q = tilted
    pair = tfd.Normal(np.zeros(2), np.float64(1))  # a batch, where an event was meant
    for wrong, surrogate in (
        (lambda z: tf.reduce_sum(target(z)), q),
        (lambda z: tf.reduce_sum(z, -1), pair),
        (lambda z: z, tfd.Independent(pair, 1)),
    ):
        with pytest.raises(ValueError, match="keep the axis of the draws in front"):
            log_weights(wrong, surrogate, 7, seed=0)
        with pytest.raises(ValueError, match="keep the axis of the draws in front"):
            monte_carlo_cumulant_loss(wrong, surrogate, 7)
    pinned = MODELS["named"]().experimental_pin(y=Y)
    with pytest.raises(ValueError, match="distribution take unnormalized_log_prob"):
        evidence(pinned, q, 100)
    with pytest.raises(ValueError, match="go into evidence_of_weights"):
        evidence(target, np.random.default_rng(0), 100)
    for f in (lambda z: 1.0, lambda z: z[:-1], lambda z: tf.reduce_mean(z)):
        with pytest.raises(ValueError, match="f gave the shape"):
            corrected_expectation(f, target, q, 100, seed=0)
    with pytest.raises(ValueError, match="f is not finite for"):
        corrected_expectation(lambda z: z / 0.0, target, q, 100, seed=0)
    with pytest.raises(ValueError, match="must both be"):
        corrected_quantiles(np.ones(4), np.ones(5), [0.5])
    with pytest.raises(ValueError, match="between 0 and 1"):
        corrected_quantiles(np.ones(4), np.ones(4), [1.5])


def test_counts_and_orders_out_of_range_are_refused(tilted):
    target, q = tilted
    for num in (0, 1, 29, 3.5):
        with pytest.raises(ValueError, match="num_samples must be an integer of 30 or more"):
            evidence(target, q, num)
    with pytest.raises(ValueError, match="num_samples of 30 or more"):
        evidence_of_weights(np.zeros(29))
    with pytest.raises(ValueError, match="num_samples must be an integer of 1 or more"):
        log_weights(target, q, 0)
    for num in (1, 50):
        with pytest.raises(ValueError, match="num_samples must be an integer of 51 or more"):
            corrected_expectation(lambda z: z, target, q, num)
    with pytest.raises(ValueError, match="num_samples must be an integer of 3 or more"):
        free_energy(target, q, 2)
    for order in (0, 7, 1.5):
        with pytest.raises(ValueError, match="order must be an integer from 1 to 6"):
            evidence(target, q, 100, order=order)
        with pytest.raises(ValueError, match="order must be an integer from 1 to 6"):
            free_energy(target, q, 100, order=order)
    for order in (-1, 6, 1.5):
        with pytest.raises(ValueError, match="order must be an integer from 0 to 5"):
            corrected_expectation(lambda z: z, target, q, 100, order=order)
        with pytest.raises(ValueError, match="order must be an integer from 0 to 5"):
            series_weights(np.zeros(10), order=order)


def test_energies_that_do_not_belong_to_the_trial_are_refused(tilted):
    _, q = tilted
    energy = lambda z: z**2  # noqa: E731
    for wrong in (lambda z: z**2, lambda z: z**2 / 2 + 0.01 * z, lambda z: tf.abs(z)):
        with pytest.raises(ValueError, match="not the energy of the trial at this beta"):
            free_energy(energy, q, 100, trial_energy=wrong, seed=0)
    with pytest.raises(ValueError, match="not the energy of the trial at this beta"):
        free_energy(energy, q, 100, trial_energy=lambda z: z**2 / 2, beta=2.0, seed=0)
    with pytest.raises(ValueError, match="trial_energy gave the shape"):
        free_energy(energy, q, 100, trial_energy=lambda z: 0.0, seed=0)
    for beta in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="beta must be positive"):
            free_energy(energy, q, 100, beta=beta)
    wide = tfd.Independent(tfd.Normal(tf.zeros(500), 30.0), 1)  # ln q of thousands, in float32
    found = free_energy(
        lambda z: tf.reduce_sum(z**2, -1) / 1800,
        wide,
        100,
        trial_energy=lambda z: tf.reduce_sum(z**2, -1) / 1800,
        seed=0,
    )
    assert found.value == pytest.approx(found.trial, abs=1e-2)
