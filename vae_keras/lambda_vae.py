"""The variational autoencoder of the blog post, line by line, in today's Keras.

A dense encoder, a Lambda layer that samples, a dense decoder, and the reconstruction loss plus the
analytic KL. `vae_keras.vae.VAE` is the same model in reusable form.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from rbm_tf.shared.seeds import seed_of_keras
from rbm_tf.shared.types import Tensor
from vae_keras.layers import AddKL, xla_draws_fast
from vae_keras.losses import NegativeLogLikelihood
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import Bernoulli


@keras.saving.register_keras_serializable(package="vae_keras")
def sample_gaussian(
    mean_and_log_var: tuple[Tensor, Tensor], seed: keras.random.SeedGenerator
) -> Tensor:
    """z = mean + exp(log_var / 2) * eps, eps ~ N(0, I): the body of the Lambda layer (B31).

    A registered function: a model that holds it in a Lambda layer loads in Keras's safe mode.

    Args:
        mean_and_log_var: pair of tensors, each (batch, latent_dim).
        seed: the `keras.random.SeedGenerator` that the noise comes from.

    Returns:
        z, (batch, latent_dim).

    Example:
        >>> pair = ops.zeros((3, 2)), ops.zeros((3, 2))
        >>> tuple(sample_gaussian(pair, keras.random.SeedGenerator(0)).shape)
        (3, 2)
    """
    mean, log_var = mean_and_log_var
    eps = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seed)
    return mean + ops.exp(log_var / 2) * eps


def build_lambda_vae(
    input_shape: tuple[int, ...] = (784,),
    *,
    latent_dim: int = 2,
    intermediate_dim: int = 256,
    seed: int | None = None,
) -> keras.Model:
    """Build and compile the post's model.

    Its loss is the variational free energy -ELBO (B32): the cross-entropy summed over pixels, plus
    the KL that the layer `add_kl` puts in. Train it to reproduce its input: `model.fit(x, x)`.

    Args:
        input_shape: the shape of one example.
        latent_dim: the number of latent variables.
        intermediate_dim: the number of units in the hidden layer of encoder and decoder.
        seed: integer that fixes the noise of the Lambda layer.

    Returns:
        A functional `keras.Model`: x (batch, *input_shape) -> logits, the same shape, with the
        submodels `encoder` and `decoder` as layers of these names.

    Reference: Chollet (2016), Building autoencoders in Keras; Kingma and Welling (2014); rows B29
    to B32.

    Example:
        >>> model = build_lambda_vae((64,))
        >>> history = model.fit(ops.zeros((100, 64)), ops.zeros((100, 64)), verbose=0)
        >>> list(history.history)
        ['loss']
    """
    encoder = dense_encoder(input_shape, latent_dim, hidden_units=(intermediate_dim,))
    decoder = dense_decoder(input_shape, latent_dim, hidden_units=(intermediate_dim,))
    generator = keras.random.SeedGenerator(seed_of_keras(seed))

    x = keras.Input(input_shape)
    mean, log_var = AddKL(name="add_kl")(encoder(x))
    sampling = layers.Lambda(
        sample_gaussian, output_shape=(latent_dim,), arguments={"seed": generator}, name="sampling"
    )
    sampling.supports_jit = xla_draws_fast()
    z = sampling((mean, log_var))
    model = keras.Model(x, decoder(z), name="lambda_vae")
    model.compile(optimizer="adam", loss=NegativeLogLikelihood(Bernoulli()))
    return model
