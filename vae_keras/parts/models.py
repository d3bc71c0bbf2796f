"""One door for whatever takes a model and data: the latents, and the data as they take them."""

from __future__ import annotations

from typing import Any

from vae_keras.parts.latents import Latents


def data_of(model: Any, x: Any) -> Any:
    """Data as a model's latents take them, checked by the model if it knows their shapes.

    Args:
        model: what `latents_of` takes.
        x: data as the model takes them, (batch, ..).

    Returns:
        Nested tensors, (batch, ..).

    Raises:
        ValueError: if they are not what the model takes.

    Example:
        >>> tuple(data_of(Latents(lambda x: (x, 0 * x), lambda z: z), [[0, 1]]).shape)
        (1, 2)
    """
    checked = getattr(model, "_checked", None)
    return latents_of(model).taken(x) if checked is None else checked(x)


def latents_of(model: Any) -> Latents:
    """The `Latents` of a model as evaluation takes them.

    Args:
        model: a `VAE` or another object with an attribute `latents`, whose relaxed parts become
            discrete ones; or a `Latents`, which stays as it is.

    Returns:
        `Latents`.

    Raises:
        ValueError: if it is neither.

    Example:
        >>> latents = Latents(lambda x: (x, 0 * x), lambda z: z)
        >>> latents_of(latents) is latents
        True
    """
    if isinstance(model, Latents):
        return model
    found = getattr(model, "latents", None)
    if not isinstance(found, Latents):
        raise ValueError(
            f"A VAE or Latents is needed, networks with their parts; got {type(model).__name__}."
        )
    return found.exact
