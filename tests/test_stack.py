"""A stack of two machines against sums over all its states, closed forms and quadrature."""

import numpy as np
import pytest
import tensorflow as tf
from test_exact_pairs import pair
from test_units_layers import KINDS, PAIRS, points

from rbm_tf.enumeration import log_z, moments
from rbm_tf.estimates import estimate_log_z
from rbm_tf.greedy import hidden_data, turned_around
from rbm_tf.machine import Machine, clamped_free_energy, energy
from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.stack import Stack
from rbm_tf.tempering import tempered_sample
from rbm_tf.training import ExactPhase
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, Spin
from vae_keras import evidence

MIDDLES = {
    "Binary": Binary(3),
    "Spin": Spin(3),
    "Potts": Potts(3, 3),
    "with U": Binary(3).add_precision([0.5, -1.0, 2.0]),
    "mixed": Mixed([Binary(2), Potts(1, 3)]),
}


def random_machine(visible, hidden, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    sizes = visible.size, hidden.size
    arrays = [scale * rng.normal(size=size) for size in (sizes, sizes[0], sizes[1])]
    return Machine(*map(tf.constant, arrays), visible, hidden)


def random_stack(kind="Binary", seed=0):
    """Layers of 4 binary units, some of a kind, and 2 binary ones; it is far from its bound."""
    middle = MIDDLES[kind]
    first = random_machine(Binary(4), middle, seed=seed)
    return Stack(first, random_machine(middle, Binary(2), scale=2.0, seed=seed + 10))


def enumerated(stack):
    """All v, and ln p_1(v | h) + ln p_2(h) and ln p_1(h | v) from energies alone, (v, h)."""
    first, second = stack.first, stack.second
    v, h, top = (u.layer_states() for u in (first.visible, first.hidden, second.hidden))

    def joint(machine, left, right):
        rows = tf.repeat(left, len(right), 0), tf.tile(right, (len(left), 1))
        return -energy(machine, *rows).numpy().reshape(len(left), len(right))

    below, above = joint(first, v, h), joint(second, h, top)
    log_p = below - np.logaddexp.reduce(below, 0)  # ln p_1(v | h)
    log_prior = np.logaddexp.reduce(above, 1) - np.logaddexp.reduce(above, None)
    return v, log_p + log_prior, below - np.logaddexp.reduce(below, 1)[:, np.newaxis]


@pytest.mark.parametrize("kind", MIDDLES)
def test_log_likelihood_is_the_sum_over_all_states(kind):
    stack = random_stack(kind)
    v, log_joint, _ = enumerated(stack)
    exact = np.logaddexp.reduce(log_joint, 1)
    np.testing.assert_allclose(stack.log_likelihood(v), exact, rtol=0, atol=1e-12)
    assert np.logaddexp.reduce(exact) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", MIDDLES)
def test_bound_falls_short_by_the_divergence_from_the_posterior(kind):
    """B59: <ln w> over q = p_1(h|v) is ln p(v) less KL(q || p(h|v))."""
    stack = random_stack(kind)
    v, log_joint, log_q = enumerated(stack)
    log_p = np.logaddexp.reduce(log_joint, 1)
    divergence = np.sum(np.exp(log_q) * (log_q - log_joint + log_p[:, np.newaxis]), 1)
    assert divergence.min() > 0.01
    np.testing.assert_allclose(stack.bound(v), log_p - divergence, rtol=0, atol=1e-12)


def test_sums_over_the_layer_in_the_middle_go_on_from_block_to_block():
    middle = Binary(13)  # two blocks of 4,096 states
    first, seconds = random_machine(Binary(3), middle, 0.3), []
    for hidden in (Binary(2), Gaussian(2)):
        seconds.append(random_machine(middle, hidden, 0.3, seed=1))
        stack = Stack(first, seconds[-1])
        states = first.visible.layer_states()
        assert float(tf.reduce_logsumexp(stack.log_likelihood(states))) == pytest.approx(
            0, abs=1e-12
        )
        assert np.all(stack.bound(states) < stack.log_likelihood(states))
    tied = Stack(first, first.transposed)
    exact = -clamped_free_energy(first, states) - log_z(first)
    np.testing.assert_allclose(tied.log_likelihood(states), exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tied.bound(states), exact, rtol=0, atol=1e-12)


def drawn(machine, num):
    """Visible states of a machine, after one sweep."""
    start = machine.hidden.sample(np.zeros((num, machine.num_hidden)), seed=1)
    inputs = machine.visible_bias + start @ tf.transpose(machine.kernel)
    return machine.visible.sample(inputs, seed=2)


@pytest.mark.grid
@pytest.mark.parametrize(("visible", "hidden", "ln_z"), PAIRS)
def test_every_weight_is_the_likelihood_where_the_second_is_the_first_turned_around(
    visible, hidden, ln_z
):
    """B59: F_2 = G_1 and Z_2 = Z_1 there."""
    first = pair(visible, hidden)
    v = drawn(first, 5)
    exact = -clamped_free_energy(first, v).numpy() - ln_z
    weights = Stack(first, first.transposed).log_weights(v, 7, seed=0)
    np.testing.assert_allclose(weights, np.tile(exact, (7, 1)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["Binary", "Spin", "Potts", "mixed"])
def test_the_turned_around_model_makes_the_stack_the_first_machine(kind):
    first = random_stack(kind).first
    second = turned_around(first, dtype="float64", seed=0)
    assert (second.visible.kind, second.hidden.kind) == (first.hidden.kind, first.visible.kind)
    stack, v = Stack(first, second), first.visible.layer_states()
    exact = -clamped_free_energy(first, v) - log_z(first)
    np.testing.assert_allclose(stack.log_likelihood(v), exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(stack.bound(v), exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(stack.log_weights(v, 3, seed=0)[2], exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", MIDDLES)
def test_weights_average_to_the_likelihood_and_their_logarithms_to_the_bound(kind):
    stack = random_stack(kind)
    v = stack.first.visible.layer_states()
    log_weights = stack.log_weights(v, 20_000, seed=0).numpy()  # 32 blocks of draws
    assert log_weights.shape == (20_000, 16)
    assert len(np.unique(log_weights[:, 0])) == stack.first.hidden.num_layer_states
    estimate, exact = estimate_log_z(log_weights), stack.log_likelihood(v).numpy()
    assert np.all(np.abs(estimate.log_z - exact) < 5 * estimate.standard_error)
    error = log_weights.std(0) / np.sqrt(20_000)
    assert np.all(np.abs(log_weights.mean(0) - stack.bound(v)) < 5 * error)
    bound = stack.bound(v, num_samples=20_000, seed=0)
    np.testing.assert_allclose(bound, log_weights.mean(0), rtol=1e-11)


def test_blocks_of_draws_are_independent():
    stack, num = random_stack(), 20_000
    v = stack.first.visible.layer_states()
    x = stack.log_weights(v, num, seed=0).numpy()
    per_block = 10_000 // 16
    repeated = [np.mean(x[:per_block] == x[k : k + per_block]) for k in (per_block, 5 * per_block)]
    assert max(repeated) < 0.9
    np.testing.assert_array_equal(x, stack.log_weights(v, num, seed=0))
    assert np.any(x != stack.log_weights(v, num, seed=1))


def test_estimators_of_the_evidence_take_the_weights():
    stack = random_stack()
    v = stack.first.visible.layer_states()
    exact, bound = stack.log_likelihood(v).numpy(), stack.bound(v).numpy()
    _, log_joint, log_q = enumerated(stack)
    p = np.exp(log_q)
    log_w = log_joint - log_q
    second_order = bound + np.sum(p * (log_w - bound[:, np.newaxis]) ** 2, 1) / 2
    weights = stack.log_weights(v, 20_000, seed=1)
    iwae = np.asarray(evidence.iwae(weights))
    np.testing.assert_allclose(iwae, estimate_log_z(weights).log_z, rtol=0, atol=1e-12)
    np.testing.assert_allclose(evidence.elbo(weights), stack.bound(v, num_samples=20_000, seed=1))
    squares = ((weights - tf.reduce_mean(weights, 0)) ** 2 / 2 + weights).numpy()
    error = squares.std(0) / np.sqrt(len(squares))
    found = np.asarray(evidence.cumulant(weights, order=2))
    assert np.all(np.abs(found - second_order) < 5 * error)
    assert np.all(np.asarray(evidence.jackknife(weights)) > bound) and np.all(exact >= bound)


CONTINUOUS = [("Gaussian", "ReLU", "Binary"), ("Binary", "DReLU", "Spin")]
CONTINUOUS += [("Spin", "TruncatedExponential", "Gaussian")]


@pytest.mark.parametrize("kinds", CONTINUOUS, ids=str)
def test_weights_of_continuous_units_average_to_the_integral(kinds):
    first, middle = pair(*kinds[:2]), KINDS[kinds[1]](2)
    top = Gaussian(2) if kinds[2] == "Gaussian" else {"Binary": Binary, "Spin": Spin}[kinds[2]](2)
    second = random_machine(middle, top, scale=0.3, seed=3)
    v = drawn(first, 4)
    h, log_measure = points(middle)
    rows = tf.repeat(v, len(h), 0), tf.tile(tf.constant(h), (len(v), 1))
    log_p = -energy(first, *rows).numpy().reshape(len(v), len(h))
    log_p += clamped_free_energy(first.transposed, tf.constant(h)).numpy()
    log_prior = -clamped_free_energy(second, tf.constant(h)).numpy() - log_z(second)
    assert np.logaddexp.reduce(log_prior + log_measure) == pytest.approx(0, abs=1e-9)
    exact = np.logaddexp.reduce(log_p + log_prior + log_measure, 1)
    estimate = estimate_log_z(Stack(first, second).log_weights(v, 20_000, seed=0))
    assert np.all(estimate.effective_sample_size > 1000)
    assert np.all(np.abs(estimate.log_z - exact) < 5 * estimate.standard_error)


@pytest.mark.slow
def test_gaussian_layers_all_through_are_a_gaussian():
    precisions = np.array([1.0, 1.5, 2.0]), np.array([1.2, 0.8]), np.array([0.9])
    units = [Gaussian(len(g), g) for g in precisions]
    first = random_machine(units[0], units[1], scale=0.3, seed=4)
    second = random_machine(units[1], units[2], scale=0.3, seed=5)
    w, a, _ = (x.numpy() for x in first.parameters)
    w_2, a_2, b_2 = (x.numpy() for x in second.parameters)
    prior = np.linalg.inv(np.diag(precisions[1]) - w_2 / precisions[2] @ w_2.T)  # of h
    slope = w / precisions[0][:, np.newaxis]  # v = a/g + slope h + noise
    mean = a / precisions[0] + slope @ prior @ (a_2 + w_2 @ (b_2 / precisions[2]))
    covariance = np.diag(1 / precisions[0]) + slope @ prior @ slope.T
    v = np.random.default_rng(0).normal(size=(5, 3))
    away = np.linalg.solve(covariance, (v - mean).T).T * (v - mean)
    exact = -away.sum(1) / 2 - np.linalg.slogdet(2 * np.pi * covariance)[1] / 2
    stack = Stack(first, second)
    estimate = estimate_log_z(stack.log_weights(v, 20_000, seed=0))
    assert np.all(estimate.effective_sample_size > 1000)
    assert np.all(np.abs(estimate.log_z - exact) < 5 * estimate.standard_error)
    draws = stack.sample(20_000, num_steps=60, seed=0).numpy()
    error = np.sqrt(np.diag(covariance) / len(draws))
    assert np.all(np.abs(draws.mean(0) - mean) < 5 * error)
    outer = (draws - mean)[:, :, np.newaxis] * (draws - mean)[:, np.newaxis]
    assert np.all(np.abs(outer.mean(0) - covariance) < 5 * outer.std(0) / np.sqrt(len(draws)))


@pytest.mark.parametrize("tied", [True, False])
def test_slopes_of_the_bound_are_those_of_an_rbm_on_the_hidden_data(tied):
    first = random_machine(Binary(4), Spin(3))
    second = first.transposed if tied else random_machine(Spin(3), Binary(2), 2.0, seed=1)
    v = first.visible.layer_states()[5:7]
    h = first.hidden.layer_states()
    _, _, log_q = enumerated(Stack(first, second))
    q, model = np.exp(log_q[5:7]), moments(second)
    above = second.hidden.mean(second.hidden_bias + h @ second.kernel).numpy()
    slope = np.mean([h.numpy().T @ (p[:, np.newaxis] * above) for p in q], 0) - model.correlation
    direction = np.random.default_rng(2).normal(size=slope.shape)

    def moved(step, name):
        kernel = second.kernel + step * direction
        other = Machine(kernel, *second.parameters[1:], second.visible, second.hidden)
        return np.mean(getattr(Stack(first, other), name)(v))

    exact = np.sum(slope * direction)
    for name in ("bound", "log_likelihood"):
        difference = (moved(1e-4, name) - moved(-1e-4, name)) / 2e-4
        touches = tied or name == "bound"  # where the bound is tight, both have the same slopes
        assert (abs(difference - exact) < 1e-6) == touches


def test_gradients_pass_through_the_weights():
    stack = random_stack()
    v = stack.first.visible.layer_states()
    with tf.GradientTape() as tape:
        tape.watch(stack.second.kernel)
        mean = tf.reduce_mean(stack.log_weights(v, 500, seed=0))
    found = tape.gradient(mean, stack.second.kernel) - moments(stack.second).correlation
    direction = np.random.default_rng(0).normal(size=found.shape)

    def moved(step):
        second = stack.second
        kernel = second.kernel + step * direction
        other = Machine(kernel, *second.parameters[1:], second.visible, second.hidden)
        return np.mean(Stack(stack.first, other).log_weights(v, 500, seed=0))

    difference = (moved(1e-4) - moved(-1e-4)) / 2e-4
    assert difference == pytest.approx(np.sum(found * direction), abs=1e-7)


@pytest.mark.long
@pytest.mark.parametrize("means", [False, True])
def test_training_the_second_machine_raises_the_bound_from_the_likelihood_of_the_first(means):
    first = random_machine(Binary(4), Binary(3), 3.0, seed=1)
    data = first.visible.layer_states().numpy()[[0, 3, 6, 9, 15]]
    before = np.mean(-clamped_free_energy(first, data)) - log_z(first)
    options = {"negative_phase": ExactPhase(), "resample": means, "seed": 0}
    second = turned_around(first, **options)
    h = hidden_data(first, np.tile(data, (80, 1)), means=means, seed=0)
    second.fit(h, batch_size=400, epochs=100, verbose=0)
    stack = Stack(first, second)
    bound, after = np.mean(stack.bound(data)), np.mean(stack.log_likelihood(data))
    assert before + 0.2 < bound < after - 0.05 < np.log(1 / 5)


def test_hidden_data_are_draws_with_the_conditional_means():
    machine = random_machine(Binary(3), Potts(2, 3))
    v = np.tile([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], (10_001, 1))  # three blocks
    exact = machine.hidden.mean(machine.hidden_bias + v[:2] @ machine.kernel.numpy()).numpy()
    means = hidden_data(machine, v, means=True)
    np.testing.assert_allclose(means, np.tile(exact, (10_001, 1)), rtol=0, atol=1e-12)
    draws = hidden_data(machine, v, seed=0)
    machine.hidden.check(draws)
    for row in range(2):
        error = np.sqrt(exact[row] * (1 - exact[row]) / 10_001)
        assert np.all(np.abs(draws[row::2].mean(0) - exact[row]) < 5 * error)
    np.testing.assert_array_equal(draws, hidden_data(machine, v, seed=0))
    assert np.any(draws[:10_000] != draws[10_000:20_000])
    assert np.any(draws != hidden_data(machine, v, seed=1))
    assert hidden_data(BernoulliRBM(3, 2, seed=0), v[:4]).dtype == np.float32


def frequencies(stack, draws):
    states = stack.first.visible.layer_states().numpy()
    place = {tuple(state): number for number, state in enumerate(states)}
    return np.bincount([place[tuple(v)] for v in draws.numpy()], minlength=len(states))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["Gibbs", "tempered", "exact"])
def test_samples_have_the_exact_distribution(way):
    num, stack = 5_000, random_stack()
    if way == "Gibbs":
        draws = stack.sample(num, num_steps=300, seed=0)
    elif way == "exact":
        h = stack.second.visible.layer_states()
        logits = -clamped_free_energy(stack.second, h)[tf.newaxis]
        rows = tf.random.stateless_categorical(logits, num, [1, 2])[0]
        draws = stack.sample_visible(tf.gather(h, rows), seed=0)
    else:
        second = RBM.from_parameters(
            stack.second.visible, stack.second.hidden, *stack.second.parameters, dtype="float64"
        )
        draws = stack.sample_visible(tempered_sample(second, num, num_steps=50, seed=0), seed=1)
    v = stack.first.visible.layer_states()
    p = np.exp(stack.log_likelihood(v))
    error = np.sqrt(p * (1 - p) / num)
    assert np.all(np.abs(frequencies(stack, draws) / num - p) < 5 * error)
    first = np.exp(-clamped_free_energy(stack.first, v) - log_z(stack.first))
    assert np.max(np.abs(first - p) / error) > 10  # which is not that of the first machine


def test_a_seed_fixes_every_draw():
    stack = random_stack()
    h = np.tile(np.eye(3), (20, 1))
    for draw in (
        lambda seed: stack.sample(50, num_steps=3, seed=seed),
        lambda seed: stack.sample_visible(h, seed=seed),
        lambda seed: stack.log_weights(np.eye(4), 50, seed=seed),
    ):
        np.testing.assert_array_equal(draw(1), draw(1))
        assert np.any(draw(1) != draw(2)) and np.any(draw(None) != draw(None))


def test_a_stack_keeps_the_parameters_of_its_time():
    first = BernoulliRBM(4, 3, seed=0)
    second = turned_around(first, seed=1)
    stack, v = Stack(first, second), np.eye(4)
    before = stack.log_likelihood(v).numpy()
    second.kernel.assign_add(np.ones((3, 4)))
    np.testing.assert_array_equal(stack.log_likelihood(v), before)
    assert np.any(Stack(first, second).log_likelihood(v) != before)


def test_log_z_is_as_given_or_exact_or_asked_for():
    first, second = BernoulliRBM(30, 25, seed=0), BernoulliRBM(25, 30, seed=1)
    v = np.eye(30)
    with pytest.raises(ValueError, match=r"Binary\(25\) and Binary\(30\).*log_z=ais"):
        Stack(first, second).log_weights(v, 2)
    given = Stack(first, second, log_z=np.float32(50.0))
    shifted = Stack(first, second, log_z=53.0)
    difference = given.log_weights(v, 3, seed=0) - shifted.log_weights(v, 3, seed=0)
    np.testing.assert_allclose(difference, 3.0, rtol=0, atol=1e-12)
    assert Stack(first, second).sample(2, num_steps=2, seed=0).shape == (2, 30)  # needs none
    small = random_stack()
    assert small.log_z == log_z(small.second)
    for wrong in (np.nan, estimate_log_z([1.0, 2.0]), [1.0, 2.0]):
        with pytest.raises(ValueError, match=r"log_z must be a number.*ais\(second\)\.log_z"):
            Stack(first, second, log_z=wrong)


def test_what_does_not_fit_is_refused_with_the_remedy():
    first = BernoulliRBM(4, 3)
    for second in (BernoulliRBM(4, 3), RBM(Spin(3), Binary(2)), RBM(Potts(1, 3), Binary(2))):
        with pytest.raises(ValueError, match=r"on Binary\(3\).*turned_around"):
            Stack(first, second)
    stack = Stack(first, turned_around(first))
    with pytest.raises(ValueError, match="v"):
        stack.log_weights(np.full((2, 4), 0.5), 3)
    with pytest.raises(ValueError, match="v"):
        stack.log_likelihood(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="h"):
        stack.sample_visible(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="num_samples must be an integer of 1 or more"):
        stack.bound(np.eye(4), num_samples=0)
    with pytest.raises(ValueError, match="v"):
        hidden_data(first, np.full((2, 4), 0.5))
    for middle, number in ((Gaussian(2), "infinitely many"), (Binary(1100), "too many")):
        wide = random_machine(Binary(2), middle, 0.1)
        with pytest.raises(ValueError, match=f"{number}.*log_weights"):
            Stack(wide, wide.transposed).log_likelihood(np.eye(2))


def test_precisions_of_the_layer_in_the_middle_may_differ():
    first = random_machine(Binary(3), Gaussian(1, 2.0), 0.5)
    second = random_machine(Gaussian(1, 0.8), Binary(2), 0.5, seed=1)
    v = first.visible.layer_states()
    estimate = estimate_log_z(Stack(first, second).log_weights(v, 50_000, seed=0))
    h = np.linspace(-12, 12, 4001)[:, np.newaxis]
    log_p = v.numpy() @ (first.visible_bias.numpy() + h @ first.kernel.numpy().T).T
    log_p -= np.logaddexp.reduce(log_p, 0)
    log_prior = -clamped_free_energy(second, tf.constant(h)).numpy() - log_z(second)
    exact = np.logaddexp.reduce(log_p + log_prior + np.log(h[1] - h[0]), 1)
    assert np.all(np.abs(estimate.log_z - exact) < 5 * estimate.standard_error)
