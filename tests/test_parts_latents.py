"""Draws and log-weights of parts; run it with KERAS_BACKEND=jax or torch, too."""

import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops
from linear_gaussian import LinearGaussian

from vae_keras import log_weights
from vae_keras.objectives import (
    IWAE,
    DoublyReparameterizedIWAE,
    ThermodynamicObjective,
)
from vae_keras.parts import (
    TFP,
    Bernoulli,
    Categorical,
    Gaussian,
    Latents,
    Own,
    RelaxedBernoulli,
    RelaxedCategorical,
    check_part,
)
from vae_keras.parts.autodiff import gradients

numpy = ops.convert_to_numpy
MODEL = LinearGaussian()
CONDITIONAL = LinearGaussian(num_conditions=3)
RNG = np.random.default_rng(1)


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def log_mean(log_w):
    """ln <w> over axis 0, and its standard error."""
    log_w = numpy(log_w).astype(float)
    estimate = scipy.special.logsumexp(log_w, 0) - np.log(len(log_w))
    relative = np.exp(log_w - estimate)
    return estimate, relative.std(0) / len(log_w) ** 0.5


class Bits:
    """x = 3 bits from 4 hidden ones, whose evidence is a sum of 16 terms."""

    loadings, offset = RNG.normal(size=(4, 3)) * 1.5, RNG.normal(size=3)
    prior_logits, x = RNG.normal(size=4), np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1.0]])
    q_logits = RNG.normal(size=(3, 4))
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))

    @classmethod
    def log_bernoulli(cls, logits, x):
        return np.sum(x * logits - np.logaddexp(0, logits), -1)

    @classmethod
    def log_w(cls):
        """ln w of each state, and ln q of it, both (states, batch)."""
        log_likelihood = cls.log_bernoulli(
            (cls.states @ cls.loadings + cls.offset)[:, None], cls.x[None]
        )
        log_prior = cls.log_bernoulli(cls.prior_logits, cls.states)[:, None]
        log_q = cls.log_bernoulli(cls.q_logits[None], cls.states[:, None])
        return log_likelihood + log_prior - log_q, log_q

    @classmethod
    def networks(cls, logits=None):
        logits = tensor(cls.q_logits) if logits is None else logits
        kernel, offset = tensor(cls.loadings), tensor(cls.offset)
        return lambda x: logits, lambda z: z @ kernel + offset

    @classmethod
    def prior(cls, part):
        prior = Own(part, (4,))
        prior.values[0].assign(cls.prior_logits)
        return prior


def linear(model=MODEL, shift=0.0):
    """Encoder and decoder of probabilistic PCA, with the exact posterior where shift is 0."""
    to_mean, loadings, offset = (tensor(a) for a in (model.to_mean, model.loadings.T, model.offset))
    log_var = tensor(-np.log(model.precision))

    def encoder(x):
        mean = (x - offset) @ to_mean + shift
        return mean, ops.zeros_like(mean) + log_var

    return encoder, lambda z: z @ loadings + offset


@pytest.mark.parametrize("part", [RelaxedBernoulli(0.7), RelaxedBernoulli(0.3)])
def test_methods_of_relaxed_bits_agree(part):
    check_part(part, (1,))


@pytest.mark.parametrize("num_classes", [2, 3])
def test_methods_of_relaxed_classes_agree(num_classes):
    check_part(RelaxedCategorical(num_classes, 0.8), (num_classes - 1,))


def test_two_relaxed_classes_are_a_relaxed_bit():
    logits, value = tensor(RNG.normal(size=(5, 2))), tensor(RNG.normal(size=(5, 1)))
    bit = RelaxedBernoulli(0.3).log_prob(logits[:, :1] - logits[:, 1:], value)
    two = RelaxedCategorical(2, 0.3).log_prob(logits, value)
    np.testing.assert_allclose(numpy(two), numpy(bit), rtol=1e-5)


def test_relaxed_densities_are_finite_where_sigmoids_saturate():
    part, logits = RelaxedBernoulli(0.03), tensor(np.linspace(-20, 20, 41)[:, None])
    noise = part.noise(logits, 41, 0)
    value, log_prob = part.draw(logits, noise)
    assert np.any(numpy(part.emit(value)) == 1) and np.all(np.isfinite(numpy(log_prob)))
    s = numpy(noise).astype(float)[:, 0]
    np.testing.assert_allclose(
        numpy(log_prob), np.log(0.03) + scipy.stats.logistic.logpdf(s), rtol=1e-4
    )


def test_log_weights_are_the_evidence_at_the_exact_posterior():
    log_w = log_weights(*linear(), MODEL.x, 3, likelihood=Gaussian(scale=MODEL.scale), seed=0)
    np.testing.assert_allclose(numpy(log_w), np.tile(MODEL.log_p(), (3, 1)), rtol=1e-4, atol=1e-4)


def test_log_weights_are_those_of_the_vae_for_the_same_seed():
    vae = MODEL.vae(0.3)
    ours = log_weights(
        vae.encoder, vae.decoder, MODEL.x, 7, likelihood=Gaussian(scale=MODEL.scale), seed=5
    )
    theirs = numpy(vae.log_weights(MODEL.x, 7, seed=5))
    np.testing.assert_allclose(numpy(ours), theirs, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("mean", "log_var"), [(3, -20), (30, -24), (300, -24)])
def test_ln_q_has_its_digits_however_far_and_narrow_q_is(mean, log_var):
    """Found again from z, ln q would be wrong by up to 20 nats."""
    statistics = tuple(tensor(np.full((50, 10), a)) for a in (mean, log_var))
    latents = Latents(lambda x: statistics, lambda z: z, likelihood=Gaussian(scale=1.0))
    noise = Gaussian().noise(statistics, 50, 0)
    exact = scipy.stats.norm.logpdf(numpy(noise)).sum(-1) - 10 * log_var / 2
    scale = ops.full((1, 50), 0.5)
    draws = latents.draws(np.zeros((50, 10)), 1, noise=noise)
    for each in (draws, draws.fixed(), draws.along_path(scale)):
        np.testing.assert_allclose(numpy(each.log_posterior)[0], exact, rtol=1e-5)
    if mean == 300:
        naive = numpy(Gaussian().log_prob(statistics, draws.value))
        assert np.max(np.abs(naive - exact)) > 5


@pytest.mark.slow
def test_evidence_of_bits_is_the_enumerated_one():
    log_w, log_q = Bits.log_w()
    exact = scipy.special.logsumexp(log_w + log_q, 0)
    assert Bernoulli().exactly() is not None
    for part in (Bernoulli(), RelaxedBernoulli(0.3)):  # exactly() of both is Bernoulli
        prior = Bits.prior(part)
        log_ws = log_weights(*Bits.networks(), Bits.x, 200_000, posterior=part, prior=prior, seed=0)
        estimate, error = log_mean(log_ws)
        assert np.all(np.abs(estimate - exact) < 5 * error) and np.all(error < 0.01)
    pairs = np.logaddexp(log_w[:, None], log_w[None]) - np.log(2)  # IWAE-2, all 256 pairs
    bound = np.sum(np.exp(log_q[:, None] + log_q[None]) * pairs, (0, 1))
    log_ws = numpy(log_ws).reshape(2, -1, 3)
    each = np.logaddexp(*log_ws) - np.log(2)
    assert np.all(np.abs(each.mean(0) - bound) < 5 * each.std(0) / 100_000**0.5)


@pytest.mark.slow
def test_evidence_of_the_relaxed_model_is_another_and_tends_to_that_of_bits():
    """One relaxed bit: the integral over its logistic noise by quadrature."""
    noise = (np.arange(50_000) + 0.5) / 1000 - 25
    weights = scipy.stats.logistic.pdf(noise) / 1000
    kernel, offset, x = Bits.loadings[:1], Bits.offset, Bits.x
    networks = (
        Bits.networks(tensor(Bits.q_logits[:, :1]))[0],
        lambda z: z @ tensor(kernel) + tensor(offset),
    )
    exact = {}
    for t in (1.0, 0.3, 0.03):
        part = RelaxedBernoulli(t)
        z = scipy.special.expit(noise / t)[:, None, None]
        exact[t] = np.log(weights @ np.exp(Bits.log_bernoulli(z * kernel + offset, x)))
        log_w = log_weights(*networks, x, 100_000, posterior=part, relaxed=True, seed=1)
        estimate, error = log_mean(log_w)
        assert np.all(np.abs(estimate - exact[t]) < 5 * error + 1e-4)
    bits = np.log(0.5 * sum(np.exp(Bits.log_bernoulli(b * kernel + offset, x)) for b in (0, 1)))
    errors = [np.max(np.abs(exact[t] - bits)) for t in (1.0, 0.3, 0.03)]
    assert 0.03 < errors[0] > 2 * errors[1] > 4 * errors[2]


def test_score_function_gradients_of_bits_are_enumerated_ones_and_paths_are_refused():
    log_joint = np.sum(Bits.log_w(), axis=0)  # ln w + ln q, (states, batch)
    prior = Bits.prior(Bernoulli())

    def latents(logits):
        return Latents(*Bits.networks(logits), posterior=Bernoulli(), prior=prior)

    def exact(logits):  # the ELBO of the first example
        log_q = Bits.log_bernoulli(logits, Bits.states)
        return np.exp(log_q) @ (log_joint[:, 0] - log_q)

    rows = 20_000
    x = np.repeat(Bits.x[:1], rows, 0)
    logits = ops.repeat(tensor(Bits.q_logits[:1]), rows, axis=0)

    def objective(leaves, seed, fixed):
        draws = latents(leaves[0]).draws(x, 1, seed=seed)
        if not fixed:
            return ops.sum(draws.log_weights)  # the naive way
        log_ws = draws.log_weights
        draws = draws.fixed()
        return ops.sum(
            draws.log_weights
            + ops.stop_gradient(log_ws)
            * (draws.log_posterior - ops.stop_gradient(draws.log_posterior))
        )

    steps = np.eye(4) * 1e-5
    q = Bits.q_logits[0]
    expected = np.array([(exact(q + d) - exact(q - d)) / 2e-5 for d in steps])
    for fixed in (True, False):
        found = gradients(lambda s, fixed=fixed: objective(s, 0, fixed), [logits])[0]
        error = found.std(0) / rows**0.5 + 1e-6
        agree = np.abs(found.mean(0) - expected) < 5 * error
        assert np.all(agree) if fixed else not np.any(agree)
    with pytest.raises(ValueError, match="Bernoulli have no gradient"):
        latents(logits).draws(x, 1, seed=0).along_path(ops.ones((1, rows)))


@pytest.mark.long
def test_thermodynamic_objective_trains_exact_bits_to_a_higher_elbo():
    logits = keras.Variable(np.zeros((3, 4)), dtype="float32")
    latents = Latents(*Bits.networks(logits), posterior=Bernoulli(), prior=Bits.prior(Bernoulli()))
    log_w, log_q = Bits.log_w()
    log_p = scipy.special.logsumexp(log_w + log_q, 0)

    def elbo():
        log_q = Bits.log_bernoulli(numpy(logits)[None], Bits.states[:, None])
        return np.sum(np.exp(log_q) * (log_w + Bits.log_w()[1] - log_q), 0)

    before, objective = elbo(), ThermodynamicObjective(50, num_partitions=1)
    x = ops.convert_to_tensor(Bits.x.astype("float32"))

    class Step(keras.Model):
        def __init__(self):
            super().__init__()
            self.logits, self.built = self.add_weight(shape=(3, 4), initializer="zeros"), True
            self.model = Latents(
                lambda x: ops.convert_to_tensor(self.logits),
                latents.decoder,
                posterior=Bernoulli(),
                prior=latents.prior,
            )
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, x):
            return x

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(objective.call(self.model.draws(x, 50, seed=self.seeds)))

    step = Step()
    step.compile(keras.optimizers.Adam(0.1), jit_compile=False)
    step.fit(x, batch_size=3, epochs=60, verbose=0, shuffle=False)
    logits.assign(step.logits)
    assert np.all(elbo() > before + 0.05) and np.all(elbo() < log_p)


def test_gradients_along_the_path_hold_the_weights_of_q_also_within_another_scope():
    """In a scope of its own Keras would read q's weights as they are stored, on JAX's steps too."""
    q = Own(Gaussian(), (2,))
    latents = Latents(lambda x: None, linear()[1], posterior=q, prior=Own(Gaussian(), (2,)))
    latents = Latents(
        lambda x: None,
        linear()[1],
        posterior=q,
        likelihood=Gaussian(scale=0.6),
        prior=latents.prior,
    )
    x, noise = tensor(MODEL.x[:4]), tensor(RNG.normal(size=(12, 2)))
    new = [tensor(RNG.normal(size=2)) for _ in range(2)]

    def loss(values):
        with keras.StatelessScope(list(zip(q.values, values, strict=True))):
            draws = latents.draws(x, 3, noise=noise).along_path(ops.ones((3, 4)))
            return ops.sum(draws.log_weights)

    def expected(values):
        stopped = [ops.stop_gradient(v) for v in values]
        mean, log_var = values
        z = mean + ops.exp(0.5 * log_var) * noise
        pair = [ops.broadcast_to(v[None], (12, 2)) for v in stopped]
        log_q = Gaussian().log_prob(tuple(pair), z)
        xs = ops.concatenate([x] * 3)
        log_p = Gaussian(scale=0.6).log_prob(latents.decoder(z), xs)
        return ops.sum(log_p - 0.5 * ops.sum(z**2, -1) - log_q)

    for a, b in zip(gradients(loss, new), gradients(expected, new), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    path = gradients(lambda v: ops.sum(latents_weights(latents, q, v, x, noise)), new)
    assert any(np.max(np.abs(a - b)) > 0.1 for a, b in zip(path, gradients(loss, new), strict=True))


def latents_weights(latents, q, values, x, noise):
    with keras.StatelessScope(list(zip(q.values, values, strict=True))):
        return latents.draws(x, 3, noise=noise).log_weights


def test_doubly_reparameterised_gradient_vanishes_at_the_exact_posterior():
    encoder, decoder = linear()
    x, noise = tensor(MODEL.x[:5]), tensor(RNG.normal(size=(20, 2)))
    pair = [ops.convert_to_tensor(numpy(a)) for a in encoder(x)]

    def loss(pair, objective):
        model = Latents(lambda x: pair, decoder, likelihood=Gaussian(scale=MODEL.scale))
        return ops.sum(objective.call(model.draws(x, 4, noise=noise)))

    doubly, once = (
        gradients(lambda p, o=objective: loss(p, o), pair)
        for objective in (DoublyReparameterizedIWAE(4), IWAE(4))
    )
    assert max(np.max(np.abs(g)) for g in doubly) < 1e-5
    assert max(np.max(np.abs(g)) for g in once) > 0.1


def conditional_networks(named=True):
    """p(x|z, y) and the exact q(z|x, y), whose input "y" comes after "x" and "condition" before."""
    model = CONDITIONAL
    name = "y" if named else "condition"
    x, y, z = (keras.Input((n,), name=key) for n, key in ((5, "x"), (3, name), (2, "z")))
    to_mean = np.concatenate([model.to_mean, -model.slope_of_y.T @ model.to_mean])
    join = keras.layers.Concatenate()
    mean = keras.layers.Dense(2)
    log_var = keras.layers.Dense(2)
    output = keras.layers.Dense(5)
    encoder = keras.Model({"x": x, name: y}, (mean(join((x, y))), log_var(join((x, y)))))
    decoder = keras.Model({name: y, "z": z}, output(join((z, y))))
    mean.set_weights([to_mean, -model.offset @ model.to_mean])
    log_var.set_weights([0 * to_mean, -np.log(model.precision)])
    output.set_weights([np.concatenate([model.loadings.T, model.slope_of_y.T]), model.offset])
    return encoder, decoder


@pytest.mark.parametrize("name", ["y", "condition"])
def test_conditions_go_to_networks_by_name(name):
    """By place "condition" would come before "x", as Keras sorts a dict."""
    data = {"x": CONDITIONAL.x, name: CONDITIONAL.y}
    log_w = log_weights(
        *conditional_networks(name == "y"), data, 3, likelihood=Gaussian(scale=0.6), seed=0
    )
    expected = np.tile(CONDITIONAL.log_p(), (3, 1))
    np.testing.assert_allclose(numpy(log_w), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"asks for .*'(condition|y)'"):
        log_weights(*conditional_networks(name != "y"), data, 3, likelihood=Gaussian(scale=0.6))


def test_a_prior_network_gives_the_prior_of_each_condition():
    """p(z|y) = N(y, 1) with p(x|z) = N(z, 1): p(x|y) = N(y, 2), q the posterior N((x+y)/2, 1/2)."""
    x, y = RNG.normal(size=(2, 6, 1)).astype("float32")
    log_var = tensor(np.full((6, 1), np.log(0.5)))
    log_w = log_weights(
        lambda data: ((data["x"] + data["y"]) / 2, log_var),
        lambda given: given["z"],
        {"x": x, "y": y},
        4,
        prior=Gaussian(scale=1.0),
        prior_network=lambda y: y,
        likelihood=Gaussian(scale=1.0),
        seed=0,
    )
    expected = scipy.stats.norm(y, 2**0.5).logpdf(x)[:, 0]
    np.testing.assert_allclose(numpy(log_w), np.tile(expected, (4, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_learned_variance_of_each_pixel_has_the_evidence_of_quadrature():
    """A decoder with two heads: Keras's compile would want a loss for each."""
    kernel = RNG.normal(size=(2, 1, 3))
    x = RNG.normal(size=(2, 3)).astype("float32")

    def decoder(z):
        return tuple(ops.tanh(z @ tensor(k)) for k in kernel)

    z = np.linspace(-9, 9, 20_001)[:, None, None]
    mean, log_var = (np.tanh(z * k[None]) for k in kernel)
    log_joint = scipy.stats.norm(mean, np.exp(log_var / 2)).logpdf(x).sum(-1)
    log_joint += scipy.stats.norm.logpdf(z[:, :, 0])
    exact = scipy.special.logsumexp(log_joint, 0) + np.log(18 / 20_000)
    pair = tensor(np.zeros((2, 1))), tensor(np.full((2, 1), 0.2))
    log_w = log_weights(lambda x: pair, decoder, x, 200_000, likelihood=Gaussian(), seed=0)
    estimate, error = log_mean(log_w)
    assert np.all(np.abs(estimate - exact) < 5 * error) and np.all(error < 0.01)


def test_kl_terms_are_closed_forms_or_the_ratio_of_densities():
    latents = Latents(*linear(shift=0.4), likelihood=Gaussian(scale=0.6))
    draws = latents.draws(MODEL.x, 5, seed=0)
    mean, log_var = (numpy(a) for a in latents.encoded(tensor(MODEL.x)))
    np.testing.assert_allclose(
        numpy(draws.kl_terms), (mean**2 + np.exp(log_var) - 1 - log_var) / 2, rtol=1e-5, atol=1e-6
    )
    bits = Latents(
        *Bits.networks(), posterior=RelaxedBernoulli(), prior=Bits.prior(RelaxedBernoulli())
    )
    draws = bits.draws(Bits.x, 5, seed=0)
    ratio = numpy(draws.log_posterior - draws.log_prior).mean(0)
    np.testing.assert_allclose(numpy(draws.kl), ratio, rtol=1e-4, atol=1e-5)
    assert draws.kl_terms.shape == (3, 1)
    np.testing.assert_allclose(
        numpy(bits.exact.draws(Bits.x, 2, seed=0).kl),
        np.sum(
            np.exp(Bits.log_w()[1])
            * (Bits.log_w()[1] - Bits.log_bernoulli(Bits.prior_logits, Bits.states)[:, None]),
            0,
        ),
        rtol=1e-4,
    )


def test_classes_are_decoded_one_hot():
    logits = tensor(RNG.normal(size=(3, 2, 4)))
    kernel = RNG.normal(size=(2, 4, 3))
    latents = Latents(
        lambda x: logits,
        lambda z: ops.sum(z[..., None] * tensor(kernel), axis=(1, 2)),
        posterior=Categorical(4),
    )
    log_w = numpy(latents.log_weights(Bits.x, 2000, seed=0)).astype(float)
    pairs = list(itertools.product(range(4), repeat=2))
    p = sum(np.exp(Bits.log_bernoulli(kernel[0, a] + kernel[1, b], Bits.x)) for a, b in pairs) / 16
    estimate, error = log_mean(log_w)
    assert np.all(np.abs(estimate - np.log(p)) < 5 * error)


def test_the_noise_of_log_weights_comes_in_blocks_of_bounded_memory(monkeypatch):
    from vae_keras.parts import latents as module

    whole = numpy(log_weights(*linear(), MODEL.x, 7, likelihood=Gaussian(scale=0.6), seed=0))
    monkeypatch.setattr(module, "_BLOCK", 2 * MODEL.x.size)
    sizes = []
    model = Latents(*linear(), likelihood=Gaussian(scale=0.6))
    for block in model.blocks_of_draws(MODEL.x, 7, seed=0):
        sizes.append(block.num_samples)
    assert sizes == [2, 2, 2, 1]
    np.testing.assert_allclose(
        numpy(model.log_weights(MODEL.x, 7, seed=0)), whole, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Latents(*linear(), prior_network=lambda y: y), "pass the part that reads them"),
        (lambda: Latents(*linear()).draws(MODEL.x, 0), "num_samples must be"),
        (lambda: log_weights(*linear(), MODEL.x, 0), "num_samples must be"),
        (lambda: log_weights(*linear(), {"y": MODEL.x}, 1), "target is 'x', but x has 'y'"),
        (
            lambda: log_weights(*linear(), MODEL.x, 1, posterior=Gaussian(temperature=0.0)),
            "temperature 0 has no density",
        ),
        (lambda: RelaxedBernoulli(0.0), "temperature must be above 0"),
        (lambda: RelaxedCategorical(1), "num_classes"),
        (lambda: Own(Gaussian(), (2,)).resolve((1, 2), 3), "takes None"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_likelihood_that_is_not_one_number_a_row_is_refused():
    class PerPixel(Gaussian):
        def log_prob(self, statistics, value):
            return self.terms(statistics, value)

    with pytest.raises(ValueError, match=r"must have shape \(rows,\); got \((30|None), 5\)"):
        log_weights(*linear(), MODEL.x, 1, likelihood=PerPixel(scale=1.0))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TFP needs TensorFlow")
def test_the_elbo_is_the_average_of_its_draws_however_the_noise_is_shaped():
    from tensorflow_probability import distributions as tfd

    def make(statistics):
        return tfd.Normal(statistics[0], ops.exp(0.5 * statistics[1]))

    q, prior = TFP(make, has_path=True), Own(Gaussian(), (2,))
    parts = {"posterior": q, "prior": prior, "likelihood": Gaussian(scale=0.6)}
    model = Latents(*linear(), **parts)
    (draws,) = model.blocks_of_draws(MODEL.x, 7, seed=0)
    expected = numpy(ops.mean(draws.log_likelihood, axis=0) - draws.kl)
    elbo = numpy(model.elbo(MODEL.x, num_samples=7, seed=0))
    np.testing.assert_allclose(elbo, expected, rtol=1e-4)
