"""What an objective asks of the parts of a model, and refusals where they do not give it."""

from __future__ import annotations

from typing import Any

from vae_keras.parts.latents import Latents
from vae_keras.parts.part import Part

_RELAXED = {"Bernoulli": "RelaxedBernoulli()", "Categorical": "RelaxedCategorical(num_classes)"}


def check_objective(objective: Any, latents: Latents) -> None:
    """Refuse an objective whose gradient would be wrong, or its value undefined, without a word.

    Draws of bits, classes, counts and mixtures have no path: gradients through them would be zero,
    or miss a part. See `Objective` for what an objective declares; one that declares nothing is
    taken to need a path and a density.

    Args:
        objective: a layer of `vae_keras.objectives`, or one of your own.
        latents: the model's parts and networks.

    Raises:
        ValueError: with what is missing, and what to take instead; or if it is no layer.

    Example:
        >>> bits = Latents(lambda x: x, lambda z: z, posterior=Bernoulli())
        >>> check_objective(VIMCO(), bits)
        >>> check_objective(IWAE(), bits)
        Traceback (most recent call last):
        ...
        ValueError: IWAE needs gradients through draws, and those of Bernoulli have none: train it
        with VIMCO() or ThermodynamicObjective(), or take RelaxedBernoulli() in its place.
    """
    if isinstance(objective, type) or not callable(getattr(objective, "call", None)):
        raise ValueError(
            f"The objective must be a layer, such as ELBO() or IWAE(10); got {objective!r}."
        )
    name, q, p = type(objective).__name__, latents.posterior, latents.prior_part
    if getattr(objective, "needs_path", True) and not q.has_path:
        part = type(_lacking(q, "has_path")).__name__
        other = _RELAXED.get(part, "a posterior with a path, such as Gaussian(),")
        raise ValueError(
            f"{name} needs gradients through draws, and those of {part} have none: train it with "
            f"VIMCO() or ThermodynamicObjective(), or take {other} in its place."
        )
    if getattr(objective, "needs_density", True) and not q.has_density:
        part = type(_lacking(q, "has_density")).__name__
        raise ValueError(
            f"{name} needs the density of the posterior, and {part} of temperature 0 has none: "
            "take ELBO() or InfoVAE(), or a temperature above 0."
        )
    if getattr(objective, "needs_factors", False):
        check_factors(q)
    learns = p.trainable_variables or latents.prior_network is not None
    if getattr(objective, "draws_prior", False) and learns and not p.has_path:
        part = type(_lacking(p, "has_path")).__name__
        raise ValueError(
            f"{name} learns from draws of the prior, and those of {part} have no gradient: take a "
            "prior that is fixed, Own(.., trainable=False), or one with a path, or another "
            "objective."
        )


def check_factors(part: Part) -> None:
    """Refuse a part whose entries are not independent, so that they have no densities of their own.

    Args:
        part: the posterior.

    Raises:
        ValueError: with the part's name.

    Example:
        >>> check_factors(Gaussian())
    """
    if not part.is_factorized:
        raise ValueError(
            f"The entries of {type(part).__name__} are not independent given x, or not known to "
            "be: the total correlation needs the density of each, as Gaussian() and "
            "RelaxedBernoulli() have it."
        )


def _lacking(part, flag):
    """The innermost part that is the reason why a part has not what the flag says."""
    inner = [*getattr(part, "parts", []), *([part.part] if hasattr(part, "part") else [])]
    return next((_lacking(each, flag) for each in inner if not getattr(each, flag)), part)
