"""The ladder VAE: several layers of latent variables, inferred from the top as they generate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from vae_keras.parts import Chain, Gaussian, Own
from vae_keras.structured.networks import gaussian_network, image_decoder
from vae_keras.vae import VAE


def ladder_vae(
    input_shape: tuple[int, ...],
    latent_dims: Sequence[int] = (16, 8),
    *,
    hidden_units: int = 64,
    skip: bool = False,
    **options: Any,
) -> VAE:
    """A hierarchy z_L -> .. -> z_1 -> x, whose posterior runs down the same way.

    p(z) = N(z_L; 0, I) prod_l p(z_l | z_(l+1)), and q(z|x) = q(z_L | d_L) prod_l q(z_l | z_(l+1),
    d_l), where d_1, .., d_L are features of x, each computed from the one below. Each level of the
    KL is in closed form given the level above. A mean-field posterior knows of no z_(l+1).

    Args:
        input_shape: the shape of one example.
        latent_dims: the numbers of latent variables of z_1, .., z_L, from the bottom.
        hidden_units: the number of units in each hidden layer.
        skip: whether the decoder takes all levels, in place of z_1 alone.
        **options: likelihood, objective and seed, as `VAE` takes them.

    Returns:
        `VAE`, whose z is a dict with the keys z1, z2, ..

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther (2016), Ladder variational
    autoencoders; B57.

    Example:
        >>> vae = ladder_vae((8, 8), (4, 2), hidden_units=16, seed=0)
        >>> tuple(vae.log_weights(np.zeros((3, 8, 8)), 10, seed=0).shape)
        (10, 3)
    """
    dims = {f"z{level}": dim for level, dim in enumerate(latent_dims, 1)}
    names = list(dims)
    x = keras.Input(input_shape, name="x")
    hidden, features = layers.Flatten()(x), {}
    for name in names:
        hidden = layers.Dense(hidden_units, "tanh")(hidden)
        features[f"features_{name}"] = hidden
    down: dict[str, Any] = {}  # of the posterior
    generative: dict[str, Any] = {}
    for level, name in enumerate(names):
        above = {n: dims[n] for n in names[level + 1 : level + 2]}
        given = {f"features_{name}": hidden_units, **above}
        down[name] = gaussian_network(given, dims[name], hidden_units=hidden_units)
        if above:
            generative[name] = gaussian_network(above, dims[name], hidden_units=hidden_units)
    top = names[-1]
    prior = {name: Gaussian() for name in reversed(names)}
    prior[top] = Own(Gaussian(), (dims[top],), trainable=False)
    seen = dims if skip else {names[0]: dims[names[0]]}
    return VAE(
        keras.Model(x, features),
        image_decoder(seen, input_shape, hidden_units=hidden_units),
        posterior=Chain({name: Gaussian() for name in reversed(names)}, down),
        prior=Chain(prior, generative),
        **options,
    )
