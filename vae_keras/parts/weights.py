"""Log-weights of anybody's model, by one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rbm_tf.shared.types import Tensor
from vae_keras.parts.latents import Latents
from vae_keras.parts.part import Part


def log_weights(
    encoder: Callable[..., Any],
    decoder: Callable[..., Any],
    x: Any,
    num_samples: int,
    *,
    posterior: Part | None = None,
    prior: Part | None = None,
    likelihood: Part | None = None,
    prior_network: Callable[..., Any] | None = None,
    target: str = "x",
    seed: int | None = None,
    relaxed: bool = False,
) -> Tensor:
    """Log importance weights of anybody's model: ln p(x|z) + ln p(z) - ln q(z|x), z ~ q(z|x).

    <w> = p(x): every estimate in `vae_keras.evidence` is a function of these numbers alone (B18,
    B25). Networks may be functions: of a model whose encoder also returns a draw and whose decoder
    ends in a sigmoid they are `lambda x: encoder(x)[:2]` and a function that returns logits.

    Args:
        encoder: maps x to the statistics of the posterior.
        decoder: maps z to the statistics of the likelihood.
        x: data, nested arrays or tensors (batch, ..).
        num_samples: the number of draws for each example.
        posterior: the part q(z|x), by default `Gaussian()`.
        prior: the part p(z), by default the standard member of the posterior's family.
        likelihood: the part p(x|z), by default `Bernoulli()`.
        prior_network: maps conditions to the statistics of the prior, p(z|y).
        target: the name of the entry of x that the likelihood scores, where x is a dict.
        seed: integer that fixes the draws; the same seed gives the same weights.
        relaxed: whether relaxed parts stay relaxed; by default the model is the discrete one.

    Returns:
        (num_samples, batch), float32 or wider, nats.

    Raises:
        ValueError: if num_samples is below 1, or statistics do not fit their parts.

    Example:
        >>> encoder, decoder = dense_encoder((64,), latent_dim=2), dense_decoder((64,), 2)
        >>> tuple(log_weights(encoder, decoder, np.zeros((3, 64)), 10, seed=0).shape)
        (10, 3)
    """
    given = {"posterior": posterior, "prior": prior, "likelihood": likelihood}
    parts = {name: part for name, part in given.items() if part is not None}
    latents = Latents(encoder, decoder, prior_network=prior_network, target=target, **parts)
    return (latents if relaxed else latents.exact).log_weights(x, num_samples, seed=seed)
