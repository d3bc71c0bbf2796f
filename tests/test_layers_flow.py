import keras
import numpy as np
import pytest
from autodiff import jacobian
from keras import ops
from scipy import stats

from vae_keras.layers import AffineCoupling, FlowPosterior

numpy = ops.convert_to_numpy


def shaken(layer, dim, scale=0.5, seed=0):
    """The layer, built, with random weights in place of those that make it the identity."""
    layer.build((None, dim) if isinstance(layer, AffineCoupling) else [(None, dim)] * 2)
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(scale * rng.normal(size=weight.shape))
    return layer


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("dim", [2, 5])
def test_log_determinant_equals_that_of_the_jacobian_by_autodiff(flip, dim):
    layer = shaken(AffineCoupling(8, flip=flip), dim)
    z = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(1, dim)), "float32")
    matrix = jacobian(lambda x: layer(x)[0], z)[0, :, 0]
    _, expected = np.linalg.slogdet(matrix.astype("float64"))
    assert numpy(layer(z)[1])[0] == pytest.approx(expected, abs=1e-5)
    assert abs(expected) > 0.05
    moved = np.any(np.abs(matrix - np.eye(dim)) > 1e-3, axis=1)
    np.testing.assert_array_equal(moved, (np.arange(dim) < dim // 2) == flip)


@pytest.mark.parametrize("flip", [False, True])
def test_inverse_undoes_the_coupling_and_its_log_determinant(flip):
    layer = shaken(AffineCoupling(8, flip=flip), 5)
    z = np.random.default_rng(1).normal(size=(20, 5)).astype("float32")
    moved, log_det = layer(z)
    back, log_det_of_inverse = layer.inverse(moved)
    np.testing.assert_allclose(numpy(back), z, atol=1e-5)
    np.testing.assert_allclose(numpy(log_det_of_inverse), -numpy(log_det), atol=1e-5)


def test_flow_starts_as_the_mean_field_gaussian():
    pair = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    z, kl = FlowPosterior(seed=0)(tuple(pair))
    log_q = stats.norm.logpdf(numpy(z), pair[0], np.exp(pair[1] / 2)).sum(1)
    expected = log_q - stats.norm.logpdf(numpy(z)).sum(1)
    np.testing.assert_allclose(numpy(kl), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 3), (6, 4, 3)])
def test_kl_is_log_q_minus_log_p_of_a_flow_that_moves(shape):
    layer = shaken(FlowPosterior(num_layers=3, num_hidden=8, seed=0), 3)
    mean, log_var = np.random.default_rng(1).normal(size=(2, *shape)).astype("float32")
    z, kl = layer((mean, log_var))
    start, log_det = z, np.zeros(shape[:-1])
    for coupling in reversed(layer.couplings):
        start, step = coupling.inverse(start)
        log_det = log_det + numpy(step)
    log_q = stats.norm.logpdf(numpy(start), mean, np.exp(log_var / 2)).sum(-1) + log_det
    expected = (log_q - stats.norm.logpdf(numpy(z)).sum(-1)).reshape(6, -1).sum(1)
    np.testing.assert_allclose(numpy(kl), expected, rtol=1e-3, atol=1e-4)


def test_each_vector_of_a_sequence_moves_as_it_would_alone():
    coupling = shaken(AffineCoupling(8), 3)
    z = np.random.default_rng(1).normal(size=(4, 5, 3)).astype("float32")
    moved, log_det = coupling(z)
    for t in range(5):
        alone, log_det_alone = coupling(z[:, t])
        np.testing.assert_allclose(numpy(moved)[:, t], numpy(alone), rtol=1e-6)
        np.testing.assert_allclose(numpy(log_det)[:, t], numpy(log_det_alone), rtol=1e-6)
    np.testing.assert_allclose(numpy(coupling.inverse(moved)[0]), z, atol=1e-5)


def test_kl_of_a_flow_leaves_out_what_a_mask_hides():
    inputs = keras.Input((3,))
    embedded = keras.layers.Embedding(3, 4, mask_zero=True)(inputs)
    z, kl = FlowPosterior(num_layers=2, seed=0)((embedded, embedded))
    model = keras.Model(inputs, [z, kl])
    z, kl = model(np.array([[1, 0, 0], [1, 2, 1]]))
    np.testing.assert_array_equal(numpy(z._keras_mask), [[1, 0, 0], [1, 1, 1]])
    hidden = model(np.zeros((2, 3)))[1]
    np.testing.assert_array_equal(numpy(hidden), 0)
    assert np.all(numpy(kl) != 0)


def test_density_of_the_flow_is_normalised():
    num = 50_000
    layer = shaken(FlowPosterior(num_layers=2, num_hidden=8, seed=0), 2, scale=0.3)
    pair = ops.zeros((num, 2)), ops.full((num, 2), 1.0)  # wider than the prior: light weights
    weights = np.exp(-numpy(layer(pair)[1]).astype("float64"))  # p(z) / q(z)
    assert weights.std() > 0.1
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(num)


class LinearGaussian(keras.layers.Layer):
    """-ln p(x|z) of x = (kernel) z + noise of variance 0.25, at one given x; takes z."""

    x, kernel, variance = np.array([1.0, -0.5]), np.array([[1.0, 0.8], [0.2, 1.0]]), 0.25

    def call(self, z):
        error = ops.convert_to_tensor(self.x, z.dtype) - z @ ops.convert_to_tensor(
            self.kernel.T, z.dtype
        )
        squares = ops.sum(ops.square(error), axis=-1) / self.variance
        return 0.5 * squares + np.log(2 * np.pi * self.variance)

    def log_evidence(self):
        covariance = self.kernel @ self.kernel.T + self.variance * np.eye(2)
        return stats.multivariate_normal(np.zeros(2), covariance).logpdf(self.x)

    def best_mean_field(self):
        """Mean and log-variance of the best factorised q, and its ELBO, all exact."""
        precision = np.eye(2) + self.kernel.T @ self.kernel / self.variance
        mean = np.linalg.solve(precision, self.kernel.T @ self.x) / self.variance
        gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
        return mean, -np.log(np.diag(precision)), self.log_evidence() - gap


class MeanLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred


@pytest.mark.long
def test_flow_passes_the_best_mean_field_elbo_and_stays_below_the_evidence():  # B14, B29
    likelihood = LinearGaussian()
    mean, log_var, mean_field_elbo = likelihood.best_mean_field()
    pair = tuple(np.tile(x, (10_000, 1)).astype("float32") for x in (mean, log_var))
    inputs = keras.Input((2,)), keras.Input((2,))
    z, kl = FlowPosterior(num_layers=4, num_hidden=16, seed=0)(inputs)
    model = keras.Model(inputs, keras.layers.Add()([likelihood(z), kl]))  # minus ELBO per example

    def elbo():
        values = -model.predict(pair, batch_size=10_000, verbose=0)
        return values.mean(), values.std() / np.sqrt(len(values))

    value, error = elbo()
    assert abs(value - mean_field_elbo) < 5 * error  # the identity at first
    model.compile(keras.optimizers.Adam(0.01), MeanLoss())
    model.fit(pair, np.zeros(10_000), batch_size=100, epochs=2, shuffle=False, verbose=0)
    value, error = elbo()
    evidence = likelihood.log_evidence()
    assert value > mean_field_elbo + 5 * error
    assert value < evidence + 5 * error
    assert evidence - value < 0.2 * (evidence - mean_field_elbo)


def test_shapes_that_a_coupling_cannot_split_are_refused():
    for shape in ((2, 1), (2, 3, 1), (3,)):
        with pytest.raises(ValueError, match="dim 2 or more"):
            AffineCoupling()(ops.zeros(shape))
    with pytest.raises(ValueError, match="dim 2 or more"):
        FlowPosterior()((ops.zeros((2, 1)), ops.zeros((2, 1))))
    with pytest.raises(ValueError, match="takes a pair"):
        FlowPosterior()(ops.zeros((2, 2)))


def test_arguments_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match="num_hidden"):
        AffineCoupling(num_hidden=0)
    with pytest.raises(ValueError, match="num_layers"):
        FlowPosterior(num_layers=0)
    with pytest.raises(ValueError, match="before inverse"):
        AffineCoupling().inverse(ops.zeros((1, 2)))
