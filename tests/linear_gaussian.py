"""Probabilistic PCA as a VAE: the model whose evidence, posterior and gradients are known."""

import keras
import numpy as np

from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import Gaussian
from vae_keras.vae import VAE


class LinearGaussian:
    """x = W z + U y + offset + scale * noise; the columns of W are orthogonal.

    So the posterior has independent factors, of variance 1 / precision.
    """

    def __init__(self, num_conditions=0, seed=0):
        rng = np.random.default_rng(seed)
        self.loadings = np.linalg.qr(rng.normal(size=(5, 2)))[0] * [1.5, 0.7]
        self.offset, self.scale = rng.normal(size=5), 0.6
        self.slope_of_y = rng.normal(size=(5, num_conditions))
        self.covariance = self.loadings @ self.loadings.T + self.scale**2 * np.eye(5)
        self.precision = 1 + (self.loadings**2).sum(0) / self.scale**2
        self.to_mean = self.loadings / self.scale**2 / self.precision  # posterior mean = x @ this
        self.y = rng.normal(size=(30, num_conditions)).astype("float32")
        noise = rng.multivariate_normal(np.zeros(5), self.covariance, size=30)
        self.x = (self.mean(self.y) + noise).astype("float32")

    def mean(self, y):
        return self.offset + y @ self.slope_of_y.T

    def log_p(self):
        """The exact ln p(x|y) of the data, (30,) float64."""
        residual = self.x.astype(float) - self.mean(self.y.astype(float))
        squares = np.einsum("ni,ij,nj->n", residual, np.linalg.inv(self.covariance), residual)
        return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * self.covariance)[1])

    def vae(self, posterior_shift=0.0, **options):
        """The model without conditions as a VAE, its posterior means moved by the shift."""
        encoder = dense_encoder((5,), 2, hidden_units=())
        bias = -self.offset @ self.to_mean + posterior_shift
        encoder.get_layer("mean").set_weights([self.to_mean, bias])
        encoder.get_layer("log_var").set_weights([0 * self.to_mean, -np.log(self.precision)])
        decoder = dense_decoder((5,), 2, hidden_units=())
        decoder.layers[1].set_weights([self.loadings.T, self.offset])
        return VAE(encoder, decoder, likelihood=Gaussian(scale=self.scale, seed=0), **options)

    def conditional_vae(self, **options):
        num = self.slope_of_y.shape[1]
        sizes = {"x": 5, "y": num, "z": 2}
        x, y, z = (keras.Input((size,), name=name) for name, size in sizes.items())
        join = keras.layers.Concatenate()
        dense = dense_encoder((5 + num,), 2, hidden_units=())
        kernel = np.concatenate([self.to_mean, -self.slope_of_y.T @ self.to_mean])
        dense.get_layer("mean").set_weights([kernel, -self.offset @ self.to_mean])
        dense.get_layer("log_var").set_weights([0 * kernel, -np.log(self.precision)])
        output = dense_decoder((5,), 2 + num, hidden_units=())
        output.layers[1].set_weights(
            [np.concatenate([self.loadings.T, self.slope_of_y.T]), self.offset]
        )
        encoder = keras.Model((x, y), dense(join((x, y))))
        decoder = keras.Model((z, y), output(join((z, y))))
        return VAE(encoder, decoder, likelihood=Gaussian(scale=self.scale, seed=0), **options)
