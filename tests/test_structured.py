"""Structured models learn, draw, and come back from files; hierarchies agree with what is exact."""

import json

import keras
import numpy as np
import pytest
import scipy.special
from keras import layers, ops
from linear_gaussian import LinearGaussian

from rbm_tf.datasets import load_digits
from vae_keras import evidence
from vae_keras.__main__ import main
from vae_keras.parts import Chain, Gaussian, Own
from vae_keras.structured import draw_vae, flow_prior_vae, ladder_vae, sequence_vae, vq_vae
from vae_keras.vae import VAE

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(0)
TOKENS = np.where(np.arange(7) < RNG.integers(2, 8, (200, 1)), RNG.integers(1, 5, (200, 7)), 0)
SMALL = {
    "ladder": lambda **o: ladder_vae((8, 8), (4, 2), hidden_units=16, seed=0, **o),
    "skip": lambda **o: ladder_vae((8, 8), (4, 2), hidden_units=16, skip=True, seed=0, **o),
    "draw": lambda **o: draw_vae((8, 8), 2, num_steps=3, hidden_units=16, seed=0, **o),
    "flow prior": lambda **o: flow_prior_vae((8, 8), 2, hidden_units=16, seed=0, **o),
    "vq": lambda **o: vq_vae((8, 8), num_positions=2, num_codes=4, hidden_units=16, seed=0, **o),
    "sequence": lambda **o: sequence_vae(5, 7, 2, hidden_units=8, seed=0, **o),
}


@pytest.fixture(scope="module")
def digits():
    (x, _), _ = load_digits("bernoulli", seed=0)
    return x[:200]


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_structured_models_learn_and_come_back_from_files(name, digits, tmp_path):
    data, vae = TOKENS if name == "sequence" else digits, SMALL[name]()
    vae.compile(keras.optimizers.Adam(0.02))
    losses = vae.fit(data, epochs=10, batch_size=50, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - (0.5 if name == "sequence" else 5)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    first, second = (numpy(m.log_weights(data[:3], 5, seed=1)) for m in (vae, loaded))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (5, 3) and np.all(np.isfinite(first))
    assert vae.reconstruct(data[:3]).shape[:2] == data[:3].shape[:2]
    assert vae.sample(3, seed=0)[0].shape == (3, *data.shape[1:])
    assert len(loaded.trainable_variables) == len(vae.trainable_variables)


@pytest.mark.parametrize("name", ["ladder", "draw"])
def test_kl_by_levels_is_that_of_the_draws_and_varies_less(name, digits):
    vae = SMALL[name]()
    draws = vae.latents.draws(ops.convert_to_tensor(digits[:4]), 4000, seed=0)
    ratio = numpy(draws.log_posterior - draws.log_prior).astype(float)
    error = ratio.std(0) / np.sqrt(4000)
    assert np.all(np.abs(numpy(draws.kl) - ratio.mean(0)) < 5 * error + 1e-4)
    q, p = vae.posterior, vae.prior
    rows = (
        draws._rows(draws.statistics),
        p,
        draws._rows(p.resolve(None, 4) if name == "draw" else draws.prior_statistics),
    )
    levels = numpy(ops.sum(q.divergence(*rows, draws.value, draws.log_q), 1)).reshape(4000, 4)
    assert np.all(levels.std(0) < 0.7 * ratio.std(0))


def test_a_ladder_whose_levels_are_alone_is_a_vae_of_one_level(digits):
    ladder = ladder_vae((8, 8), (3,), hidden_units=16, seed=0)
    encoder, q = ladder.encoder, ladder.posterior.networks[0]
    x = keras.Input((8, 8))
    pair = q({"features_z1": encoder(x)["features_z1"]})
    z = keras.Input((3,))
    flat = VAE(keras.Model(x, pair), keras.Model(z, ladder.decoder({"z1": z})), seed=0)
    for seed in (0, 1):
        a, b = (numpy(m.log_weights(digits[:3], 20, seed=seed)) for m in (ladder, flat))
        np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(ladder.draws(digits[:3]).kl, flat.draws(digits[:3]).kl, rtol=1e-4)


class TwoCauses:
    """x = W (z1, z2) + noise whose posterior has the correlation -r."""

    scale, loadings = 0.5, np.array([[1.0, 0.4], [0.0, 0.8], [0.3, 0.3]])

    def __init__(self):
        self.precision = np.eye(2) + self.loadings.T @ self.loadings / self.scale**2
        self.r = self.precision[0, 1] / np.sqrt(np.prod(np.diag(self.precision)))
        covariance = self.loadings @ self.loadings.T + self.scale**2 * np.eye(3)
        self.x = np.random.default_rng(1).multivariate_normal(np.zeros(3), covariance, size=6)
        squares = np.einsum("ni,ij,nj->n", self.x, np.linalg.inv(covariance), self.x)
        self.log_p = -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])

    def vae(self, is_chain):
        covariance = np.linalg.inv(self.precision)
        first_variance = covariance[0, 0] if is_chain else 1 / self.precision[0, 0]
        variances = first_variance, 1 / self.precision[1, 1]
        slope = self.precision[0, 1] / self.precision[1, 1] if is_chain else 0.0

        def first(given):
            return given["mean"][:, :1], 0 * given["mean"][:, :1] + float(np.log(variances[0]))

        def second(given):
            mean = given["mean"][:, 1:] - float(slope) * (given["z1"] - given["mean"][:, :1])
            return mean, 0 * mean + float(np.log(variances[1]))

        to_mean = self.loadings @ covariance / self.scale**2
        x, z = keras.Input((3,)), {name: keras.Input((1,), name=name) for name in ("z1", "z2")}
        mean, back = layers.Dense(2, use_bias=False), layers.Dense(3, use_bias=False)
        encoder = keras.Model(x, {"mean": mean(x)})
        decoder = keras.Model(z, back(layers.Concatenate()([z["z1"], z["z2"]])))
        mean.set_weights([to_mean])
        back.set_weights([self.loadings.T])
        standard = {name: Own(Gaussian(), (1,), trainable=False) for name in z}
        q = Chain({name: Gaussian() for name in z}, {"z1": first, "z2": second})
        likelihood = Gaussian(scale=self.scale)
        return VAE(encoder, decoder, posterior=q, prior=Chain(standard), likelihood=likelihood)


def test_a_chain_has_the_correlations_that_mean_field_lacks():
    """B57: ln w of a chain is ln p(x) at every draw; mean field lacks -ln(1 - r^2) / 2."""
    model = TwoCauses()
    chain, mean_field = (
        numpy(model.vae(is_chain).log_weights(model.x, 20_000, seed=0)).astype(float)
        for is_chain in (True, False)
    )
    np.testing.assert_allclose(chain, np.tile(model.log_p, (20_000, 1)), atol=2e-4)
    gap, second = model.log_p - mean_field.mean(0), mean_field.var(0) / 2
    errors = mean_field.std(0) / np.sqrt(20_000)
    assert np.all(np.abs(gap + 0.5 * np.log1p(-(model.r**2))) < 5 * errors)
    spread = (mean_field - mean_field.mean(0)) ** 2
    assert np.all(np.abs(second - model.r**2 / 2) < 5 * spread.std(0) / 2 / np.sqrt(20_000))


def test_drawing_begins_at_the_first_step_and_the_decoder_draws_along():
    vae = SMALL["draw"]()
    z = RNG.normal(size=(4, 3, 2)).astype("float32")
    cell, core = vae.posterior.cell, vae.posterior.cell.core
    states, x = cell.get_initial_state(4), ops.ones((4, 64))
    for t in range(3):
        previous = ops.convert_to_tensor(z[:, t - 1] if t else 0 * z[:, 0])
        _, states = cell({"previous": previous, "statistics": x}, states)
    canvas, _ = core.step(ops.convert_to_tensor(z[:, 2]), states[1:4])
    np.testing.assert_allclose(numpy(canvas), numpy(vae.decoder(z)).reshape(4, 64), rtol=1e-5)


@pytest.mark.long
def test_padding_changes_no_log_weight_of_a_sequence():
    vae, longer = (sequence_vae(5, n, 2, hidden_units=8, seed=0) for n in (7, 9))
    longer.set_weights(vae.get_weights())
    tokens = TOKENS[:6]
    padded = np.concatenate([tokens, np.zeros((6, 2), int)], 1)
    a, b = (numpy(m.log_weights(x, 5, seed=0)) for m, x in ((vae, tokens), (longer, padded)))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    with pytest.raises(ValueError, match="not one-hot"):
        vae.fit(TOKENS + 1, verbose=0)


def test_cold_codes_are_the_nearest_ones_and_cost_the_logarithm_of_their_number(digits):
    cold = vq_vae((8, 8), num_positions=2, num_codes=4, hidden_units=16, temperature=1e-6, seed=0)
    chosen = numpy(cold.encode(digits[:20])).argmax(-1)
    points, codes = numpy(cold.encoder(digits[:20])), numpy(cold.posterior.codes)
    nearest = np.sum((points[..., None, :] - codes) ** 2, -1).argmin(-1)
    np.testing.assert_array_equal(chosen, nearest)
    exact = next(cold.blocks_of_draws(digits[:20], 3, seed=0))
    np.testing.assert_array_equal(numpy(exact.value).reshape(3, 20, 2), np.tile(nearest, (3, 1, 1)))
    np.testing.assert_allclose(numpy(exact.kl), 2 * np.log(4), rtol=1e-5)


def test_evidence_of_codes_is_the_sum_over_all_of_them(digits):
    vae, x = SMALL["vq"](temperature=5.0), digits[:3]  # so warm that the draws reach all of them
    states = np.array(list(np.ndindex(4, 4)))
    logits = numpy(vae.decoder(numpy(vae.posterior.codes)[states])).astype(float).reshape(16, 1, 64)
    flat = x.reshape(1, 3, 64)
    log_p = np.sum(flat * logits - np.logaddexp(0, logits), -1) - 2 * np.log(4)  # (16, 3)
    exact = np.logaddexp.reduce(log_p, 0)
    log_w = numpy(vae.log_weights(x, 4000, seed=0)).astype(float)
    w = np.exp(log_w - exact)
    assert np.all(np.abs(w.mean(0) - 1) < 5 * w.std(0) / np.sqrt(4000))
    assert np.all(numpy(evidence.elbo(log_w)) < exact)


@pytest.mark.long
@pytest.mark.parametrize("name", ["ladder", "vq"])
def test_the_command_line_evaluates_a_model_of_parts(name, tmp_path, capsys):
    SMALL[name]().save(tmp_path / "vae.keras")
    few = ["--num-samples", "10", "--num-images", "3", "--json", "--output", str(tmp_path)]
    main(["evaluate", str(tmp_path / "vae.keras"), *few])
    means = {row["estimate"]: row["mean"] for row in json.loads(capsys.readouterr().out)}
    assert -70 < means["ELBO, sampled"] <= means["IWAE-10"] < -20


def test_the_command_line_refuses_a_model_with_conditions(tmp_path, capsys):
    vae = LinearGaussian(num_conditions=3).conditional_vae()
    vae.save(tmp_path / "vae.keras")
    for action in ("evaluate", "sample"):
        with pytest.raises(SystemExit):
            main([action, str(tmp_path / "vae.keras"), "--output", str(tmp_path)])
        assert "also takes y, which no --dataset has" in capsys.readouterr().err


@pytest.mark.long
def test_sequences_are_drawn_without_padding():
    vae = sequence_vae(5, 3, 2, hidden_units=8, seed=0)
    tokens, z = vae.sample(300, seed=0)
    assert numpy(tokens).min() > 0
    log_p = scipy.special.log_softmax(numpy(vae.decoder(z))[..., 1:], -1)  # of the four tokens
    each = np.take_along_axis(log_p, numpy(tokens)[..., None] - 1, -1)
    found = vae.likelihood.log_prob(vae.decoder(z), tokens)
    np.testing.assert_allclose(numpy(found), each.sum((1, 2)), rtol=1e-5)
    vae.fit(numpy(tokens), epochs=3, verbose=0)
    assert numpy(vae.sample(300, seed=0)[0]).min() > 0
