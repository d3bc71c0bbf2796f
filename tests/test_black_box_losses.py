import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.shared.seeds import as_seed
from vae_keras.black_box import log_weights, monte_carlo_cumulant_loss
from vae_keras.evidence import cumulant, iwae

tfd = tfp.distributions
ODD = (3, 5, 7)


def trainable(loc=0.5, scale=0.8, dtype="float64"):
    log_scale = tf.Variable(np.log(scale), dtype=dtype)
    return tfd.Normal(tf.Variable(loc, dtype=dtype), tfp.util.DeferredTensor(log_scale, tf.exp))


@pytest.fixture
def target():
    """Skewed, and unnormalised: ln of its integral is 0.7."""
    p = tfd.Gumbel(np.float64(0.2), np.float64(0.6))
    return lambda z: p.log_prob(z) + 0.7


def test_order_one_is_the_loss_of_tensorflow_probability_at_its_draws(target):
    q, seed = trainable(), as_seed(3)
    with tf.GradientTape(persistent=True) as tape:
        theirs = tfp.vi.monte_carlo_variational_loss(target, q, sample_size=50, seed=seed)
        here = tfp.random.split_seed(seed, 2)[0]
        ours = monte_carlo_cumulant_loss(target, q, 50, seed=here)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-12)
    for variable in q.trainable_variables:
        slopes = [float(tape.gradient(loss, variable)) for loss in (ours, theirs)]
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-9)


@pytest.mark.parametrize("order", ODD)
def test_odd_orders_are_the_bound_of_bamler_and_never_above_iwae(target, order):
    for scale in (0.1, 0.8, 3.0):  # the bracket is negative for some
        wide = tfd.Normal(tf.zeros(300, tf.float64), tf.constant(scale, tf.float64))
        loss = monte_carlo_cumulant_loss(target, wide, 20, order=order, seed=4).numpy()
        log_w = log_weights(target, wide, 20, seed=4)
        assert loss.shape == (300,) and np.all(-loss <= iwae(log_w).numpy() + 1e-9)
        mean = log_w.numpy().mean(0)
        powers = [(log_w - mean) ** k / np.prod(np.arange(1.0, k + 1)) for k in range(order + 1)]
        bracket = np.mean(np.sum(powers, 0), 0)
        usual = bracket > 0.1
        formula = -mean[usual] - np.log(bracket[usual])
        np.testing.assert_allclose(loss[usual], formula, rtol=1e-9, atol=1e-9)
        assert np.isfinite(loss).all()


def test_odd_orders_bound_ln_p_on_average_and_order_two_does_not(target):
    for order in (1, 3, 5):
        q = tfd.Normal(np.full(2000, 0.4), 0.45)
        value = -monte_carlo_cumulant_loss(target, q, 20, order=order, seed=5).numpy()
        assert value.mean() < 0.7 - 5 * value.std() / np.sqrt(2000)
    # q = N(0, 2), p = N(0, 1): order 2 is (3/2)^2 above the ELBO, which is 0.81 below
    p, broad = tfd.Normal(np.float64(0), np.float64(1)), tfd.Normal(np.zeros(2000), 2.0)
    value = -monte_carlo_cumulant_loss(p.log_prob, broad, 20, order=2, seed=5).numpy()
    exact = (np.log(4) - 3) / 2 + 1.5**2
    assert abs(value.mean() - exact) < 5 * value.std() / np.sqrt(2000) and exact > 1
    series = cumulant(log_weights(p.log_prob, broad, 20, seed=5), order=2)
    np.testing.assert_allclose(value, series, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("at", [(0.5, 0.5), (0.5, 0.8)])  # near, and where the bracket is negative
def test_gradient_is_that_of_finite_differences(target, order, at):
    draws = tf.constant(np.random.default_rng(6).normal(size=40))

    def log_w(loc, scale):  # at draws that move with q
        z = loc + scale * draws
        return (target(z) - tfd.Normal(np.float64(loc), np.float64(scale)).log_prob(z)).numpy()

    reference = log_w(*at).mean()  # -V_0, held fixed

    def loss(*parameters):
        w = log_w(*parameters)
        if order <= 2:
            return -w.mean() - (order == 2) * w.var(ddof=1) / 2
        powers = [(w - reference) ** k / np.prod(np.arange(1.0, k + 1)) for k in range(order + 1)]
        bracket = np.mean(np.sum(powers, 0))
        assert (bracket > 0.1) == (at[1] == 0.5)
        return -reference - (np.log(bracket) if bracket > 0.1 else np.log(0.1) + bracket / 0.1 - 1)

    class Given(tfd.Normal):
        """A Normal whose noise is given."""

        def experimental_sample_and_log_prob(self, sample_shape=(), seed=None, name=None):
            z = self.loc + self.scale * draws
            return z, self.log_prob(z)

    loc, scale = (tf.Variable(value, dtype=tf.float64) for value in at)
    with tf.GradientTape() as tape:
        value = monte_carlo_cumulant_loss(target, Given(loc, scale), 40, order=order)
    assert float(value) == pytest.approx(loss(*at), rel=1e-12)
    step = 1e-5
    for i, slope in enumerate(tape.gradient(value, [loc, scale])):
        ends = [loss(*(np.array(at) + sign * step * np.eye(2)[i])) for sign in (1, -1)]
        assert float(slope) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def train(target, q, order, num_steps=150, **kwargs):
    return tfp.math.minimize(
        lambda: monte_carlo_cumulant_loss(target, q, 20, order=order, **kwargs),
        num_steps=num_steps,
        optimizer=keras.optimizers.Adam(0.1),
    ).numpy()


@pytest.mark.long
def test_order_two_runs_away_where_order_three_stays():
    # posterior N(3, 1/2), q from N(0, 1): the wider q, the larger the variance of ln w
    keras.utils.set_random_seed(0)
    p = tfd.Normal(3.0, 0.5)
    q = trainable(0.0, 1.0, "float32")
    losses = train(p.log_prob, q, order=2, num_steps=50)
    assert losses[-1] < -1e4  # minus ln p = 0 is where a bound would end
    assert float(tfd.kl_divergence(q, p)) > 1e3
    q = trainable(0.0, 1.0, "float32")
    train(p.log_prob, q, order=1)
    for order in (1, 3):
        losses = train(p.log_prob, q, order=order)
        assert float(tfd.kl_divergence(q, p)) < 0.02
    assert np.mean(losses[50:]) > -5 * np.std(losses[50:]) / 10  # a bound on average


def test_a_loop_draws_anew_with_no_seed_and_the_same_with_one(target):
    q = trainable()

    @tf.function
    def traced(seed):
        return monte_carlo_cumulant_loss(target, q, 20, seed=seed)

    assert float(traced(None)) != float(traced(None))
    seeded = {float(traced(seed)) for seed in (7, 7, np.int64(7), tf.constant(7), as_seed(7))}
    assert seeded == {float(traced(7))} and float(traced(8)) not in seeded
    assert float(monte_carlo_cumulant_loss(target, q, 20, seed=7)) == pytest.approx(*seeded)
    tf.random.set_seed(0)
    first = float(monte_carlo_cumulant_loss(target, q, 20))
    tf.random.set_seed(0)
    assert float(monte_carlo_cumulant_loss(target, q, 20)) == first


def test_impossible_losses_are_refused(target):
    q = trainable()
    for order in (0, 4, 6, 31, 1.5):
        with pytest.raises(ValueError, match="order must be"):
            monte_carlo_cumulant_loss(target, q, 10, order=order)
    for order in (2, 3):
        with pytest.raises(ValueError, match="sample_size must be an integer of 2 or more"):
            monte_carlo_cumulant_loss(target, q, 1, order=order)
    coins = tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0), tfd.Bernoulli(0.0)])
    mixed = tfd.MixtureSameFamily(tfd.Categorical([0.0, 0.0]), tfd.Normal([-1.0, 1.0], 1.0))
    for surrogate in (coins, tfd.Poisson(1.0), mixed):
        with pytest.raises(ValueError, match="not reparameterised"):
            monte_carlo_cumulant_loss(surrogate.log_prob, surrogate, 10)
    smooth = mixed.copy(reparameterize=True)
    assert float(monte_carlo_cumulant_loss(smooth.log_prob, smooth, 10)) == 0
