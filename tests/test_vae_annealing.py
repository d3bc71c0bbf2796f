import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.stats import multivariate_normal

from vae_keras.evidence import annealing, iwae
from vae_keras.evidence.annealing import (
    AnnealedEstimate,
    ais,
    ais_path,
    bracket_verdict,
    reverse_ais,
)
from vae_keras.evidence.paths import latent_path, log_density
from vae_keras.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from vae_keras.parts import Gaussian
from vae_keras.vae import VAE


class LinearModel:
    """Probabilistic PCA x = W z + offset + noise, its exact ln p(x), and a VAE with a shifted q."""

    def __init__(self, num_pixels, latent_dim, scale=0.6, shift=0.0):
        rng = np.random.default_rng(0)
        columns = np.linalg.qr(rng.normal(size=(num_pixels, latent_dim)))[0]
        loadings, offset = columns * np.linspace(0.7, 1.5, latent_dim), rng.normal(size=num_pixels)
        self.offset = offset
        self.covariance = loadings @ loadings.T + scale**2 * np.eye(num_pixels)
        self.precision = 1 + (loadings**2).sum(0) / scale**2
        self.slope = loadings / scale**2 / self.precision
        encoder = dense_encoder((num_pixels,), latent_dim, hidden_units=())
        encoder.get_layer("mean").set_weights([self.slope, shift - offset @ self.slope])
        encoder.get_layer("log_var").set_weights([0 * self.slope, -np.log(self.precision)])
        decoder = dense_decoder((num_pixels,), latent_dim, hidden_units=())
        decoder.layers[1].set_weights([loadings.T, offset])
        self.vae = VAE(encoder, decoder, likelihood=Gaussian(scale=scale))

    def data(self, num):
        rng = np.random.default_rng(1)
        return rng.multivariate_normal(self.offset, self.covariance, size=num).astype("float32")

    def log_p(self, x):
        return multivariate_normal(self.offset, self.covariance).logpdf(x)

    def exact_posterior(self, x, num_chains):
        noise = np.random.default_rng(2).normal(size=(num_chains, len(x), len(self.precision)))
        return (x - self.offset) @ self.slope + noise / np.sqrt(self.precision)


@pytest.fixture(scope="module")
def pca():
    return LinearModel(5, 2, shift=np.array([0.3, -0.4]))


def assert_mean_is_one(relative, largest_error):
    error = relative.std(0, ddof=1) / np.sqrt(len(relative))
    assert np.all(np.abs(relative.mean(0) - 1) < 5 * error)
    assert error.max() < largest_error


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize("base", ["prior", "posterior"])
@pytest.mark.parametrize("num_betas", [2, 3, 20])
def test_mean_weight_is_the_evidence_with_few_temperatures(pca, num_betas, base):
    x = pca.data(3)
    run = ais(pca.vae, x, num_chains=3000, betas=np.linspace(0, 1, num_betas), base=base, seed=0)
    assert_mean_is_one(np.exp(run.log_weights - pca.log_p(x)), 0.06)
    assert run.acceptance.shape == (num_betas - 2, 3)


@pytest.mark.parametrize("base", ["prior", "posterior"])
def test_mean_inverse_weight_of_the_reverse_walk_is_one_over_the_evidence(pca, base):
    x = pca.data(3)
    z = pca.exact_posterior(x, 3000)
    run = reverse_ais(pca.vae, x, z, betas=np.linspace(0, 1, 30), base=base, seed=0)
    assert_mean_is_one(np.exp(pca.log_p(x) - run.log_weights), 0.06)


def test_simulated_data_bring_exact_posterior_samples_for_the_reverse_walk(pca):
    x, z = (np.asarray(a) for a in pca.vae.sample(2000, seed=0))
    run = reverse_ais(pca.vae, x, z, betas=np.linspace(0, 1, 30), seed=0)
    assert_mean_is_one(np.exp(pca.log_p(x) - run.log_weights[0])[:, None], 0.06)


def test_path_has_the_exact_mean_and_variance_of_v_at_every_lambda(pca):  # B19, B20
    x, lambdas = pca.data(3), np.linspace(0, 1, 11)
    path = ais_path(pca.vae, x, num_chains=4000, lambdas=lambdas, seed=0)
    spread = pca.precision @ np.array([0.3, -0.4]) ** 2  # <<V^2>> at every lambda; V is linear in z
    mean = spread * (0.5 - lambdas)[:, None] - pca.log_p(x)
    weights = np.exp(
        ais(pca.vae, x, num_chains=4000, betas=lambdas, base="posterior", seed=0).log_weights
    )
    effective = np.min(weights.sum(0) ** 2 / (weights**2).sum(0))  # the same chains, at the end
    error = np.sqrt(spread / effective)
    np.testing.assert_allclose(path.lambdas, lambdas, atol=1e-6)
    np.testing.assert_allclose(path.mean, mean, atol=5 * error)
    np.testing.assert_allclose(path.variance, spread, atol=5 * np.sqrt(2) * spread**0.5 * error)
    free_energy = spread * (lambdas - lambdas**2)[:, None] / 2 - lambdas[:, None] * pca.log_p(x)
    np.testing.assert_allclose(path.free_energy, free_energy, atol=5 * error)


def test_path_ends_at_the_elbo_and_at_the_evidence_of_the_same_chains(pca):  # B20, B24
    x, lambdas = pca.data(3), np.linspace(0, 1, 6)
    path = ais_path(pca.vae, x, num_chains=500, lambdas=lambdas, seed=3)
    run = ais(pca.vae, x, num_chains=500, betas=lambdas, base="posterior", seed=3)
    np.testing.assert_allclose(-path.free_energy[-1], iwae(run.log_weights), rtol=1e-9)
    elbo, error = (
        np.asarray(pca.vae.elbo(x, num_samples=5000, seed=0)),
        np.sqrt(path.variance[0] / 500),
    )
    assert np.all(np.abs(-path.mean[0] - elbo) < 5 * error)


def test_forward_is_below_and_reverse_above_the_evidence_on_average(pca):
    x, betas = pca.data(3), np.linspace(0, 1, 5)
    forward = ais(pca.vae, x, num_chains=2000, betas=betas, seed=0).log_weights
    reverse = reverse_ais(pca.vae, x, pca.exact_posterior(x, 2000), betas=betas, seed=0)
    reverse, exact = reverse.log_weights, pca.log_p(x)
    assert np.all(forward.mean(0) + 5 * forward.std(0) / np.sqrt(2000) < exact)
    assert np.all(reverse.mean(0) - 5 * reverse.std(0) / np.sqrt(2000) > exact)


@pytest.fixture(scope="module")
def far():
    """A model of 60 pixels with 4 latent variables and an x whose ln p(x) is -100."""
    model = LinearModel(60, 4)
    deviation = model.data(1)[0] - model.offset
    distance = deviation @ np.linalg.solve(model.covariance, deviation)
    wanted = distance + 2 * (100 + model.log_p(model.offset + deviation))
    x = model.offset + deviation * np.sqrt(wanted / distance)
    assert model.log_p(x) == pytest.approx(-100)
    return model, x[np.newaxis]


@pytest.mark.long
def test_fifty_temperatures_find_an_evidence_of_minus_100_nats(far):
    model, x = far
    run = ais(model.vae, x, num_chains=1000, betas=np.linspace(0, 1, 50), seed=0)
    relative = np.exp(run.log_weights + 100)
    error = float(relative.std() / relative.mean() / np.sqrt(1000))
    assert error < 0.15
    assert abs(iwae(run.log_weights).numpy()[0] + 100) < 5 * error
    assert 0.5 < run.acceptance.mean() < 0.9


@pytest.mark.slow
def test_annealing_of_tensorflow_probability_moves_no_chain_there(far):
    model, x = far
    path = latent_path(model.vae, x, "prior")
    rows = path.repeated(200)

    @tf.function(autograph=False)
    def annealed(z):
        return tfp.mcmc.sample_annealed_importance_chain(
            num_steps=49,
            proposal_log_prob_fn=lambda z: log_density(rows, z, 0.0),
            target_log_prob_fn=lambda z: log_density(rows, z, 1.0),
            current_state=z,
            make_kernel_fn=lambda f: tfp.mcmc.HamiltonianMonteCarlo(f, 0.3, 2),
            seed=(0, 2),
        )[1:]

    log_weights, results = annealed(path.draw(200, (0, 1)))
    results, log_weights = results.inner_results, log_weights.numpy()
    assert np.exp(np.minimum(results.log_accept_ratio, 0)).max() < 1e-6
    ours = ais(model.vae, x, num_chains=200, betas=np.linspace(0, 1, 50), seed=0).log_weights
    assert np.std(log_weights) > 5 * ours.std()


def test_more_temperatures_tighten_the_bracket_and_the_verdict_says_so(pca):
    x = pca.data(20)
    z = pca.exact_posterior(x, 1)
    walks = [
        (
            ais(pca.vae, x, num_chains=5, betas=betas, seed=0),
            reverse_ais(pca.vae, x, z[0], betas=betas, seed=1),
        )
        for betas in (np.linspace(0, 1, 2), np.linspace(0, 1, 300))
    ]
    judged = [bracket_verdict(*pair) for pair in walks]
    assert judged[1].trusted
    assert abs(judged[1].signs["gap"]) < 0.2 < judged[0].signs["gap"]
    for estimate in walks[1]:
        difference = estimate.log_z - pca.log_p(x)
        assert abs(difference.mean()) < 5 * difference.std() / np.sqrt(20)
        assert difference.std() < 0.5


def test_verdict_names_what_is_wrong():
    forward = AnnealedEstimate(np.zeros(10))
    for reverse, words in ((2.0, "more temperatures"), (-0.5, "is z that of x")):
        judged = bracket_verdict(forward, AnnealedEstimate(np.full(10, reverse)))
        assert not judged.trusted
        assert words in judged.message


@pytest.mark.long
def test_pilot_steers_the_acceptance_whatever_the_scale_of_the_posterior():
    for scale in (0.02, 5.0):
        model = LinearModel(5, 2, scale=scale)
        run = ais(model.vae, model.data(3), num_chains=20, betas=np.linspace(0, 1, 200), seed=0)
        assert np.all((run.acceptance[50:].mean(0) > 0.5) & (run.acceptance[50:].mean(0) < 0.8))


@pytest.mark.long
def test_any_decoder_and_likelihood_agree_with_many_importance_samples():
    vae = VAE(conv_encoder((8, 8), 2, filters=(4,)), conv_decoder((8, 8), 2, filters=(4,)))
    x = (np.random.default_rng(0).random((3, 8, 8)) < 0.3).astype("float32")
    run = ais(vae, x, num_chains=50, betas=np.linspace(0, 1, 30), seed=0)
    relative = np.exp(run.log_weights - iwae(run.log_weights).numpy())
    log_weights = np.asarray(vae.log_weights(x, 5000, seed=0), float)
    others = np.exp(log_weights - iwae(log_weights).numpy())
    error = np.hypot(relative.std(0) / np.sqrt(50), others.std(0) / np.sqrt(5000))
    difference = iwae(run.log_weights).numpy() - iwae(log_weights).numpy()
    assert np.all(np.abs(difference) < 5 * error + 1e-3)
    assert error.max() < 0.1


@pytest.mark.long
def test_same_seed_gives_the_same_weights_in_blocks_too(pca, monkeypatch):
    x, betas = pca.data(4), np.linspace(0, 1, 5)
    first, again, other = (
        ais(pca.vae, x, num_chains=3, betas=betas, seed=s).log_weights for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)
    monkeypatch.setattr(annealing, "_BLOCK", 2 * 3 * 5)  # two images
    blocks = ais(pca.vae, x, num_chains=3, betas=betas, seed=1).log_weights
    assert blocks.shape == (3, 4)
    assert np.all(blocks[:, 2:] != first[:, 2:])
    z = pca.exact_posterior(x, 3)
    assert reverse_ais(pca.vae, x, z, betas=betas, seed=1).log_weights.shape == (3, 4)


def test_wrong_calls_are_refused(pca):
    x = pca.data(2)
    for betas in ([0.0], [0.1, 1.0], [0.0, 0.5, 0.5, 1.0]):
        with pytest.raises(ValueError, match="betas must"):
            ais(pca.vae, x, betas=betas)
    with pytest.raises(ValueError, match="prior, posterior; got 'uniform'"):
        ais(pca.vae, x, betas=[0, 1], base="uniform")
    with pytest.raises(ValueError, match="num_chains must be an integer of 1 or more"):
        ais(pca.vae, x, num_chains=0)
    with pytest.raises(ValueError, match=r"z must have shape \(2, 2\)"):
        reverse_ais(pca.vae, x, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="x must have shape"):
        ais(pca.vae, x[:, :4])
    with pytest.raises(ValueError, match="same images"):
        bracket_verdict(*(AnnealedEstimate(np.zeros(num)) for num in (2, 3)))
