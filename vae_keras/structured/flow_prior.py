"""A VAE whose prior is a normalising flow."""

from __future__ import annotations

from typing import Any

from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import Coupling, Flow, Gaussian, Own
from vae_keras.vae import VAE


def flow_prior_vae(
    input_shape: tuple[int, ...],
    latent_dim: int,
    *,
    num_steps: int = 4,
    hidden_units: int = 256,
    seed: int | None = None,
    **options: Any,
) -> VAE:
    """Gaussian posteriors under a learned prior: affine couplings that move N(0, I).

    The best prior of all is the aggregate posterior <q(z|x)> over the data; a flow comes nearer to
    it than N(0, I). The KL has no closed form: ln q - ln p at the draws takes its place.

    Args:
        input_shape: the shape of one example.
        latent_dim: the number of latent variables, 2 or more.
        num_steps: the number of couplings, of which every second moves the other half.
        hidden_units: the number of units in each hidden layer.
        seed: integer that fixes the noise in training and the couplings' initial weights.
        **options: likelihood and objective, as `VAE` takes them.

    Returns:
        `VAE`.

    Reference: Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP; Chen et
    al. (2017), Variational lossy autoencoder (the prior).

    Example:
        >>> vae = flow_prior_vae((8, 8), 2, hidden_units=16, seed=0)
        >>> tuple(vae.generate(3, seed=0).shape)
        (3, 8, 8)
    """
    begin = 0 if seed is None else seed
    steps = [Coupling(latent_dim, flip=k % 2 == 1, seed=begin + k) for k in range(num_steps)]
    return VAE(
        dense_encoder(input_shape, latent_dim, hidden_units=(hidden_units,)),
        dense_decoder(input_shape, latent_dim, hidden_units=(hidden_units,)),
        prior=Own(Flow(Gaussian(), steps), (latent_dim,)),
        seed=seed,
        **options,
    )
