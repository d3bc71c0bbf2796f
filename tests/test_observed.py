"""Missing entries integrate out: against the marginals of a linear Gaussian model, and parts."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from vae_keras import VAE, log_weights, parts
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import FullGaussian, Gaussian, Masked, Mixture, Observed, check_part
from vae_keras.parts.autodiff import gradients

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(5)
DATA = {  # a part, and data that it knows; 0 is not among them, lest it stand for a missing entry
    "gaussian": (Gaussian(), [1.5, -2.0, 0.5]),
    "fixed scale": (Gaussian(scale=0.5), [1.5, -2.0, 0.5]),
    "student": (parts.StudentT(), [1.5, -2.0, 0.5]),
    "bits": (parts.Bernoulli(), [1.0, 1.0, 0.25]),
    "grey levels": (parts.ContinuousBernoulli(), [0.5, 1.0, 0.25]),
    "classes": (parts.Categorical(4), [1, 3, 2]),
    "bins": (parts.Levels(Gaussian(), 5), [0.5, 1.0, 0.25]),
    "logistics": (parts.LogisticMixture(2, num_levels=5), [0.5, 1.0, 0.25]),
    "poisson": (parts.Poisson(), [1, 40, 7]),
    "negative binomial": (parts.NegativeBinomial(), [1, 40, 7]),
    "inflated": (parts.ZeroInflated(parts.Poisson()), [1, 40, 7]),
    "relaxed": (parts.RelaxedBernoulli(0.5), [1.5, -2.0, 0.5]),
}


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


@pytest.mark.parametrize("part", [Gaussian(), parts.Bernoulli(), parts.Poisson()])
def test_methods_of_a_part_with_missing_entries_agree(part):
    check_part(Observed(part))


@pytest.mark.parametrize("name", DATA)
def test_a_missing_entry_adds_nothing_to_the_density_and_to_its_gradient(name):
    part, row = DATA[name]
    observed, whole = Observed(part), np.array([row, row, row[::-1]], "float32")
    x = whole.copy()
    x[0, 1], x[1] = np.nan, np.nan  # of the second example nothing is seen
    shapes = part.shapes((3,))
    statistics = keras.tree.map_shape_structure(lambda s: tensor(RNG.normal(size=(3, *s))), shapes)
    leaves = keras.tree.flatten(statistics)

    def terms(part, leaves, x):
        return part.terms(keras.tree.pack_sequence_as(statistics, leaves), tensor(x))

    seen = tensor(np.isfinite(x))
    exact = numpy(terms(part, leaves, whole) * seen)
    np.testing.assert_allclose(numpy(terms(observed, leaves, x)), exact, rtol=1e-6, atol=1e-6)
    found = gradients(lambda s: ops.sum(terms(observed, s, x)), leaves)
    right = gradients(lambda s: ops.sum(terms(part, s, whole) * seen), leaves)
    for a, b in zip(found, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    observed.check_value(x)
    x[2, 2] = np.inf
    with pytest.raises(ValueError, match=r"Data of \w+ must"):
        observed.check_value(x)


def test_evidence_of_what_is_seen_is_the_marginal_of_a_linear_gaussian_model():
    """6-D data of 3 latents with the exact posterior of the entries seen: ln w is ln p(x seen)."""
    loadings, scale = RNG.normal(size=(6, 3)), 0.7
    x = RNG.normal(size=(5, 6)).astype("float32")
    x[RNG.random((5, 6)) < 0.4] = np.nan
    rows, exact = [], []
    for row in x:
        a, seen = loadings[np.isfinite(row)], row[np.isfinite(row)]
        covariance = np.linalg.inv(np.eye(3) + a.T @ a / scale**2)
        factor = np.linalg.cholesky(covariance)
        mean = covariance @ a.T @ seen / scale**2
        rows.append((mean, np.log(np.diag(factor)), factor[np.tril_indices(3, -1)]))
        model = scipy.stats.multivariate_normal(cov=a @ a.T + scale**2 * np.eye(len(seen)))
        exact.append(model.logpdf(seen))
    statistics = tuple(tensor(s) for s in zip(*rows, strict=True))
    kernel = tensor(loadings.T)
    log_w = log_weights(
        lambda x: statistics,
        lambda z: z @ kernel,
        x,
        20,
        posterior=FullGaussian(),
        likelihood=Observed(Gaussian(scale=scale)),
        seed=0,
    )
    assert 0 < np.isnan(x).sum() < x.size
    assert np.max(np.abs(numpy(log_w) - exact)) < 5e-5


def incomplete_vae():
    """The networks of the docstring, for 3 grey levels."""
    x = keras.Input((3,), name="x")
    both = ops.concatenate([ops.nan_to_num(x), ops.cast(ops.isnan(x), "float32")], axis=1)
    encoder = keras.Model(x, dense_encoder((6,), latent_dim=1)(both))
    decoder = dense_decoder((3,), latent_dim=1)
    return VAE(encoder, decoder, likelihood=Observed(parts.Bernoulli()), seed=0)


@pytest.mark.long
def test_a_vae_learns_from_incomplete_data_and_fills_them_in(tmp_path):
    vae, bits = incomplete_vae(), RNG.integers(2, size=400)
    x = np.repeat(bits[:, None], 3, 1).astype("float32")  # three copies of one bit
    x[np.arange(400), RNG.integers(3, size=400)] = np.nan
    vae.fit(x, epochs=60, batch_size=20, verbose=0)
    filled = numpy(vae.reconstruct(x))
    assert np.mean((filled > 0.5) == bits[:, None]) > 0.95
    assert np.isfinite(vae.evaluate(x, verbose=0)[0])
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(numpy(loaded.reconstruct(x)), filled)
    with pytest.raises(ValueError, match="divide 8-bit images by 255"):
        vae.fit(255 * x, verbose=0)


def test_only_parts_of_independent_entries_are_taken():
    for part in (FullGaussian(), Mixture(Gaussian(), 2), Masked(Gaussian())):
        with pytest.raises(ValueError, match=f"those of {type(part).__name__} are not"):
            Observed(part)
