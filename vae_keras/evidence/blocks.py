"""Estimates of ln p(x) for many images: block by block, with a progress bar, in bounded memory."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import tree

from rbm_tf.shared.files import written_whole
from rbm_tf.shared.progress import Progress
from rbm_tf.shared.types import PathLike
from vae_keras.evidence.estimators import iwae
from vae_keras.parts import Latents
from vae_keras.shared.nested_data import as_data, examples

_BLOCK = 2**20  # log-weights in memory at once
_IMAGES = 100  # in a block at most


def estimate_in_blocks(
    model: Any,
    x: Any,
    estimators: Mapping[str, Callable[[Any], Any]],
    num_samples: int,
    *,
    path: PathLike | None = None,
    progress: bool = True,
    seed: int | None = None,
) -> dict[str, np.ndarray]:
    """Apply functions of log-weights to many images, whose log-weights need not fit into memory.

    All functions see the same log-weights of an image. Blocks of images and their noise follow
    from the seed and the number of samples alone.

    Args:
        model: the `VAE`, `Latents` of any parts, or another object, of any library, with a method
            log_weights(x, num_samples, seed=) -> (num_samples, num), nats.
        x: data, (num, ..), or a dict or tuple of such arrays.
        estimators: for each name a function that maps log-weights (num_samples, block) to values
            (block,).
        num_samples: the number of log-weights for each image; they are held for one image at least.
        path: a .npz file for the results so far; None keeps nothing. After an interruption the
            same call goes on from it; a complete call removes it. Another call is known by other
            data, weights, settings, or values of the first image.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same numbers.

    Returns:
        For each name its values, (num,), float64.

    Raises:
        ValueError: if x is empty or has a wrong shape, num_samples is below 1, path is given
            without a seed, or the file at path belongs to another call or cannot be read.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> estimators = {"ELBO": elbo, "IWAE-5": lambda log_weights: iwae(log_weights[:5])}
        >>> values = estimate_in_blocks(vae, np.zeros((3, 64)), estimators, num_samples=10, seed=0)
        >>> values["ELBO"].shape
        (3,)
    """
    if path is not None and seed is None:
        raise ValueError("A call that is to be resumed needs a seed: pass an integer.")
    x, num = as_data(x)
    key = None if path is None else _fingerprint(model, x, estimators, num_samples, seed)
    kept = None if path is None else _load(path, key)
    done = np.empty((0, len(estimators))) if kept is None else kept
    for block, block_seed in _blocks((x, num), num_samples, progress, seed, first=len(done)):
        log_weights = model.log_weights(block, num_samples, seed=block_seed)
        values = [np.asarray(estimate(log_weights), float) for estimate in estimators.values()]
        done = np.concatenate([done, np.stack(values, -1)])
        if path is not None:
            _save(path, key, done)
    if path is not None:
        pathlib.Path(path).unlink(missing_ok=True)
    return dict(zip(estimators, done.T, strict=True))


def streamed_iwae(
    model: Any,
    x: Any,
    num_samples: int,
    *,
    progress: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """`evidence.iwae` with any number of samples, as a running log-mean-exp over blocks of them.

    Args:
        model: the `VAE`, or what else `estimate_in_blocks` takes.
        x: data, (num, ..), or a dict or tuple of such arrays.
        num_samples: the number of log-weights for each image; about a million are in memory at
            once.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same numbers.

    Returns:
        (num,) float64, nats.

    Raises:
        ValueError: if x is empty or has a wrong shape, or num_samples is below 1.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> streamed_iwae(vae, np.zeros((3, 64)), num_samples=100, seed=0).shape
        (3,)
    """
    parts = []
    for block, block_seed in _blocks(as_data(x), _BLOCK // _IMAGES, progress, seed):
        log_sum, size = -np.inf, _BLOCK // as_data(block)[1]
        for start in range(0, max(num_samples, 1), size):
            draw_seed = _seeds(block_seed, 1 + start // size)[-1]
            count = min(size, num_samples - start)
            log_weights = model.log_weights(block, count, seed=draw_seed)
            estimate = iwae(log_weights).numpy().astype(float)
            log_sum = np.logaddexp(log_sum, estimate + np.log(count))
        parts.append(log_sum - np.log(num_samples))
    return np.concatenate(parts)


def _blocks(data, num_samples, progress, seed, first=0):
    """Blocks of images from number `first` on with their seeds, behind a progress bar."""
    x, num = data
    size = min(_IMAGES, max(1, _BLOCK // max(1, num_samples)))
    seeds = _seeds(seed, -(-num // size))
    with Progress(num, "log-weights", "image", done=first, shown=progress) as bar:
        for start in range(first, num, size):
            yield examples(x, start, start + size), seeds[start // size]
            bar.update(min(size, num - start))


def _seeds(seed, num):
    """Seeds below 2^32, and below 2^31 on PyTorch, which takes no more."""
    limit = 2**31 if keras.backend.backend() == "torch" else 2**32
    return [int(state) % limit for state in np.random.SeedSequence(seed).generate_state(num)]


def _fingerprint(model, x, estimators, num_samples, seed):
    """What tells calls apart; values of one image stand for functions and the model's options."""
    block_seed = _seeds(seed, 1)[0]
    log_weights = model.log_weights(examples(x, 0, 1), num_samples, seed=block_seed)
    values = [np.asarray(estimate(log_weights), float) for estimate in estimators.values()]
    digest = hashlib.sha256(repr([*estimators, num_samples, block_seed]).encode())
    arrays = map(np.asarray, tree.flatten(x))
    for array in (*_weights(model), *arrays, *values):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _weights(model):
    """The weights of a model, or of the networks and parts that make it, as far as they show."""
    fields = vars(model).values() if isinstance(model, Latents) else [model]
    layers = [field for field in fields if hasattr(field, "get_weights")]
    return [weight for layer in layers for weight in layer.get_weights()]


def _load(path, key):
    """The results kept at path, (images, estimators), or None if there are none."""
    try:
        with open(path, "rb") as file, np.load(file) as kept:
            found, values = str(kept["key"]), kept["values"]
    except FileNotFoundError:
        return None
    except Exception as error:  # NumPy raises many types for a file that is not whole or not .npz
        raise ValueError(
            f"{path} holds no results of an evaluation: delete it or choose another path. {error}"
        ) from error
    if found != key:
        raise ValueError(
            f"{path} holds results of another model, data or call: delete it or choose another "
            "path."
        )
    return values


def _save(path, key, values):
    _load(path, key)  # raises if another process keeps its results there
    with written_whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, key=key, values=values)
