"""A VAE of sequences of tokens, of different lengths."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from vae_keras.parts import Categorical, Masked
from vae_keras.vae import VAE

_NEVER = -1e4  # a logit, also in float16, whose probability and gradient are 0


def sequence_vae(
    num_tokens: int,
    num_steps: int,
    latent_dim: int,
    *,
    hidden_units: int = 64,
    **options: Any,
) -> VAE:
    """One z for a whole sequence: a recurrent encoder, and a recurrent decoder of all tokens.

    Token 0 is padding. The encoder passes over it, by Keras's mask, and the likelihood does not
    score it: ln p(x|z) is that of the tokens, and padding changes nothing. The decoder begins, and
    stays, at a probability of 0 for it: draws are sequences of num_steps tokens without padding,
    and the z that they came from is an exact draw from p(z|x).

    Args:
        num_tokens: the number of tokens, padding among them.
        num_steps: the length of the longest sequence.
        latent_dim: the number of latent variables.
        hidden_units: the number of units of the embedding and of the recurrent layers.
        **options: objective and seed, as `VAE` takes them.

    Returns:
        `VAE` of integers (batch, num_steps), from 0 to num_tokens - 1.

    Reference: Bowman, Vilnis, Vinyals, Dai, Jozefowicz and Bengio (2016), Generating sentences from
    a continuous space.

    Example:
        >>> vae = sequence_vae(5, 7, latent_dim=2, hidden_units=8, seed=0)
        >>> tokens = np.array([[1, 2, 3, 0, 0, 0, 0], [4, 4, 1, 2, 0, 0, 0]])
        >>> tuple(vae.log_weights(tokens, 10, seed=0).shape)
        (10, 2)
    """
    x, z = keras.Input((num_steps,), name="x"), keras.Input((latent_dim,), name="z")
    embedded = layers.Embedding(num_tokens, hidden_units, mask_zero=True)(x)
    state = layers.GRU(hidden_units)(embedded)
    pair = layers.Dense(latent_dim)(state), layers.Dense(latent_dim)(state)
    steps = layers.GRU(hidden_units, return_sequences=True)(layers.RepeatVector(num_steps)(z))
    no_padding = keras.initializers.Constant([_NEVER, *(0.0,) * (num_tokens - 1)])
    return VAE(
        keras.Model(x, pair),
        keras.Model(z, layers.Dense(num_tokens, bias_initializer=no_padding)(steps)),
        likelihood=Masked(Categorical(num_tokens)),
        **options,
    )
