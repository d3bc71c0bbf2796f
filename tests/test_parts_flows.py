"""Flows against their Jacobians and quadrature; run it with KERAS_BACKEND=jax or torch, too."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from autodiff import jacobian
from keras import ops
from test_parts_latents import log_mean, tensor

from vae_keras import log_weights
from vae_keras.objectives import IWAE, DoublyReparameterizedIWAE
from vae_keras.parts import (
    Autoregressive,
    Bernoulli,
    Coupling,
    Flow,
    FlowStep,
    Gaussian,
    Latents,
    Own,
    SplineCoupling,
    check_part,
)
from vae_keras.parts.autodiff import gradients

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(4)
STEPS = {
    "coupling": lambda **options: Coupling(2, num_hidden=8, seed=0, **options),
    "flipped": lambda **options: Coupling(2, num_hidden=8, seed=1, flip=True, **options),
    "autoregressive": lambda **options: Autoregressive(2, num_hidden=8, seed=2, **options),
    "reversed": lambda **options: Autoregressive(2, num_hidden=8, reverse=True, **options),
    "spline": lambda **options: SplineCoupling(2, num_hidden=8, num_bins=5, seed=3, **options),
}


def disturbed(step, size=0.7, seed=0):
    """The step with random weights in place of those that make it the identity."""
    rng = np.random.default_rng(seed)
    for weight in step.weights:
        weight.assign(size * rng.normal(size=weight.shape))
    return step


def flow(*names, context=False, size=0.7):
    steps = [
        disturbed(STEPS[name](context_dim=3 if context else 0), size, seed)
        for seed, name in enumerate(names)
    ]
    return Flow(Gaussian(), steps, context=context)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("context", [False, True])
def test_a_step_has_the_determinant_of_its_jacobian_and_is_undone_by_its_inverse(name, context):
    step = disturbed(STEPS[name](context_dim=3 if context else 0))
    z = tensor(RNG.normal(size=(7, 2)) * 2)
    given = tensor(np.tile(RNG.normal(size=(1, 3)), (7, 1))) if context else None
    moved, log_det = step(z, given)
    rows = [
        gradients(lambda x, k=k: ops.sum(step.call(x[0], given)[0][:, k]), [z])[0] for k in (0, 1)
    ]
    exact = np.linalg.slogdet(np.stack(rows, 1))[1]  # of the Jacobian of each row
    np.testing.assert_allclose(numpy(log_det), exact, rtol=1e-4, atol=1e-5)
    back, log_inverse = step.inverse(moved, given)
    np.testing.assert_allclose(numpy(back), numpy(z), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(numpy(log_inverse), -exact, rtol=1e-3, atol=1e-4)


def test_the_inverse_of_a_spline_is_exact_to_rounding_beside_steep_knots():
    for seed in range(3):
        step = disturbed(SplineCoupling(2, num_hidden=8, num_bins=5), seed=seed)
        z = tensor(RNG.normal(size=(2000, 2)) * 2)
        moved, log_det = step(z)
        error = np.abs(numpy(step.inverse(moved)[0]) - numpy(z)).max(1)
        # z' is rounded, and slopes below 1 make more of that in z.
        assert np.max(error * np.minimum(1, np.exp(numpy(log_det)))) < 1e-5


class Sinh(FlowStep):
    """z' = sinh(z), which makes Johnson's S_U distribution of a Gaussian."""

    def call(self, z, context=None):
        return ops.sinh(z), ops.sum(ops.log(ops.cosh(z)), -1)

    def inverse(self, z, context=None):
        back = ops.arcsinh(z)
        return back, -ops.sum(ops.log(ops.cosh(back)), -1)


def test_a_flow_has_the_density_of_the_change_of_variables():
    """B46 for a step whose density a table of distributions has."""
    pair = tensor(np.zeros((9, 2))), tensor(np.zeros((9, 2)))
    moved = Flow(Gaussian(), [Sinh()])
    value, log_prob = moved.draw(pair, tensor(RNG.normal(size=(9, 2))))
    exact = scipy.stats.johnsonsu(0, 1).logpdf(numpy(value).astype(float)).sum(-1)
    np.testing.assert_allclose(numpy(log_prob), exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numpy(moved.log_prob(pair, value)), exact, rtol=1e-5, atol=1e-5)


class Leapfrog(FlowStep):
    """One leapfrog step of size 0.5 for (z, r) in the double well (z^2 - 1)^2."""

    def moved(self, z, size):
        place, momentum = z[:, :1], z[:, 1:]
        half = 0.5 * size
        momentum = momentum - half * 4 * place * (place**2 - 1)
        place = place + size * momentum
        momentum = momentum - half * 4 * place * (place**2 - 1)
        return ops.concatenate([place, momentum], -1), ops.zeros_like(z[:, 0])

    def call(self, z, context=None):
        return self.moved(z, 0.5)

    def inverse(self, z, context=None):
        return self.moved(z, -0.5)


@pytest.mark.long
def test_a_leapfrog_step_conserves_volume_and_with_it_entropy():
    """B47: the determinant of its Jacobian is 1 far from small steps, and a flow of it says so."""
    z = tensor(RNG.normal(size=(20, 2)))
    for point in numpy(z):
        exact = jacobian(lambda x: Leapfrog().call(x)[0], point[None])[0, :, 0]
        assert abs(np.linalg.det(exact) - 1) < 1e-4 < abs(exact - np.eye(2)).max()
    np.testing.assert_allclose(
        numpy(Leapfrog().inverse(Leapfrog().call(z)[0])[0]), numpy(z), rtol=1e-4, atol=1e-4
    )
    pair = tensor(np.zeros((20, 2))), tensor(np.zeros((20, 2)))
    value, log_prob = Flow(Gaussian(), [Leapfrog(), Leapfrog()]).draw(pair, z)
    np.testing.assert_allclose(
        numpy(log_prob), scipy.stats.norm.logpdf(numpy(z)).sum(-1), rtol=1e-5
    )
    assert np.abs(numpy(value) - numpy(z)).max() > 0.1


@pytest.mark.parametrize("name", STEPS)
def test_a_step_begins_as_the_identity(name):
    z = tensor(RNG.normal(size=(20, 2)) * 3)
    moved, log_det = STEPS[name]()(z)
    np.testing.assert_allclose(numpy(moved), numpy(z), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numpy(log_det), 0, atol=1e-5)


def test_an_autoregressive_step_of_many_variables_is_triangular_and_inverts():
    step = disturbed(Autoregressive(6, num_hidden=13, context_dim=2), 0.4)
    z, context = RNG.normal(size=(1, 6)).astype("float32"), tensor(RNG.normal(size=(1, 2)))
    exact = jacobian(lambda x: step.call(x, context)[0], z)[0, :, 0]
    assert np.all(exact[np.triu_indices(6, 1)] == 0) and np.all(exact[np.diag_indices(6)] > 0)
    assert np.count_nonzero(exact[np.tril_indices(6, -1)]) > 10
    np.testing.assert_allclose(
        numpy(step.inverse(step.call(tensor(z), context)[0], context)[0]), z, rtol=1e-3, atol=1e-4
    )
    first = step.call(tensor(z), context)[0][0, 0] - step.call(tensor(z), 2 * context)[0][0, 0]
    assert abs(float(numpy(first))) > 1e-3  # the context reaches the first variable as well


@pytest.mark.long
@pytest.mark.parametrize(
    "names", [("coupling", "flipped"), ("autoregressive", "reversed"), ("spline", "flipped")]
)
def test_methods_of_a_flow_agree_with_each_other(names):
    check_part(flow(*names, size=0.4), (2,), rtol=2e-3)


@pytest.mark.slow
def test_methods_of_a_flow_with_context_and_of_a_flow_prior_agree():
    check_part(flow("coupling", "flipped", context=True, size=0.4), (2,), rtol=2e-3)
    check_part(Own(flow("coupling", "flipped", size=0.4), (2,), spread=0.5), (2,), rtol=2e-3)


def decoder_of(kernel):
    def decoder(z):
        return ops.tanh(z) @ tensor(kernel)

    return decoder


def evidence(kernel, x, log_prior=None):
    """ln p(x) of bits with two latent variables, by quadrature."""
    axis = np.linspace(-9, 9, 401)
    z = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    logits = (np.tanh(z) @ kernel)[:, None]
    log_joint = np.sum(x * logits - np.logaddexp(0, logits), -1)
    prior = scipy.stats.norm.logpdf(z).sum(-1) if log_prior is None else log_prior(z)
    return scipy.special.logsumexp(log_joint + prior[:, None], 0) + 2 * np.log(axis[1] - axis[0])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["posterior", "prior"])
def test_flows_as_posterior_and_as_prior_have_the_evidence_of_quadrature(case):
    kernel, x = RNG.normal(size=(2, 5)), RNG.integers(0, 2, size=(3, 5)).astype("float32")
    pair = tensor(RNG.normal(size=(3, 2)) / 3), tensor(np.zeros((3, 2)))
    context = tensor(RNG.normal(size=(3, 3)))
    names = ("coupling", "flipped", "spline", "autoregressive")
    if case == "posterior":
        options = {"posterior": flow(*names, context=True, size=0.3)}
        log_w = log_weights(
            lambda x: (pair, context), decoder_of(kernel), x, 50_000, seed=0, **options
        )
        exact = evidence(kernel, x)
    else:
        prior = Own(flow(*names, size=0.3), (2,))
        log_w = log_weights(lambda x: pair, decoder_of(kernel), x, 50_000, prior=prior, seed=0)
        exact = evidence(kernel, x, lambda z: numpy(prior.log_prob(None, tensor(z))).astype(float))
    estimate, error = log_mean(log_w)
    assert np.all(np.abs(estimate - exact) < 5 * error) and np.all(error < 0.1)


@pytest.mark.long
def test_doubly_reparameterised_gradients_of_a_flow_have_the_mean_of_the_bound_s():
    """Also those of the flow's own weights; a scope that left them out would miss the mean."""
    kernel, x = RNG.normal(size=(2, 5)), RNG.integers(0, 2, size=(1, 5)).astype("float32")
    posterior = flow("coupling", "flipped", context=True, size=0.3)
    rows, k = 400, 4
    pair = tensor(RNG.normal(size=(1, 2)) / 3), tensor(np.zeros((1, 2)))
    context, xs = tensor(RNG.normal(size=(1, 3))), tensor(np.repeat(x, rows, 0))
    variables = posterior.trainable_variables
    values = [ops.convert_to_tensor(numpy(v)) for v in variables]

    def loss(values, objective, seed):
        each = [ops.repeat(a, rows, axis=0) for a in (*pair, context)]
        model = Latents(
            lambda x: ((each[0], each[1]), each[2]),
            decoder_of(kernel),
            posterior=posterior,
            likelihood=Bernoulli(),
        )
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            draws = model.draws(xs, k, seed=seed)
            return ops.mean(objective.call(draws))

    found = {}
    for objective in (IWAE(k), DoublyReparameterizedIWAE(k)):
        each = [
            np.concatenate(
                [g.ravel() for g in gradients(lambda v: loss(v, objective, seed), values)]  # noqa: B023
            )
            for seed in range(24)
        ]
        found[type(objective)] = np.stack(each).astype(float)
    once, doubly = found.values()
    difference = once - doubly  # the same draws
    z = difference.mean(0) / (difference.std(0, ddof=1) / 24**0.5 + 1e-7)
    assert np.sqrt(np.mean(z**2)) < 1.3  # of 23 degrees of freedom: 1.05 on average
    assert np.sum(doubly.var(0)) < np.sum(once.var(0))


def test_gradients_along_the_path_read_the_weights_of_the_scope_that_a_step_runs_in():
    """As on JAX, whose steps hand weights over in a scope: those that are stored do not matter."""
    posterior = flow("coupling", "flipped", size=0.5)
    pair = tensor(RNG.normal(size=(4, 2))), tensor(RNG.normal(size=(4, 2)))
    noise, variables = tensor(RNG.normal(size=(12, 2))), posterior.trainable_variables
    model = Latents(lambda x: pair, lambda z: z, posterior=posterior)

    def loss(values):
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            draws = model.draws(np.zeros((4, 2)), 3, noise=noise)
            return ops.sum(draws.along_path(ops.ones((3, 4))).log_weights)

    new = [tensor(0.5 * RNG.normal(size=v.shape)) for v in variables]
    elsewhere = gradients(loss, new)
    for variable, value in zip(variables, new, strict=True):
        variable.assign(value)
    for found, expected in zip(elsewhere, gradients(loss, new), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_step_under_mixed_precision_is_computed_in_float32():
    class Moves(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.step = disturbed(Coupling(2, num_hidden=8, dtype=self.dtype_policy))

        def call(self, x):
            return self.step.call(ops.cast(x, "float32"))[0]

    z = tensor(RNG.normal(size=(5, 2)).astype("float16"))
    half, full = (numpy(Moves(dtype=policy)(z)) for policy in ("mixed_float16", "float32"))
    np.testing.assert_array_equal(half, full)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Flow(Gaussian(), []), "one step or more"),
        (lambda: Flow(Bernoulli(), [Coupling(2)]), "real vectors"),
        (lambda: Coupling(1), "dim must be"),
        (lambda: Coupling(2)(ops.zeros((1, 3))), "takes z of shape"),
        (lambda: Coupling(2, context_dim=3)(ops.zeros((1, 2))), "got no context"),
        (lambda: Coupling(2)(ops.zeros((1, 2)), ops.zeros((1, 3))), "got a context"),
        (lambda: SplineCoupling(2, num_bins=1), "num_bins"),
        (lambda: SplineCoupling(2, bound=0.0), "bound must be above 0"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_step_of_ones_own_is_told_what_it_lacks():
    with pytest.raises(NotImplementedError, match="does not write inverse"):
        FlowStep().inverse(ops.zeros((1, 2)))
