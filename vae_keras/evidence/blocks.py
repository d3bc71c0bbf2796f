"""Estimates of ln p(x) for many images: block by block, with a progress bar, in bounded memory."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import tree

from rbm_tf.cumulants import StreamingCumulants
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.files import written_whole
from rbm_tf.shared.seeds import keras_limit, seed_of_numpy
from rbm_tf.shared.types import PathLike
from rbm_tf.shared.workers import in_order
from vae_keras.evidence.estimators import iwae
from vae_keras.parts import Latents
from vae_keras.shared.nested_data import as_data, examples

_BLOCK = 2**20  # log-weights in memory at once
_IMAGES = 100  # in a block at most
_BAR: dict[str, Any] = {"description": "log-weights"}


def estimate_in_blocks(
    model: Any,
    x: Any,
    estimators: Mapping[str, Callable[[Any], Any]],
    num_samples: int,
    *,
    path: PathLike | None = None,
    client: Any = None,
    progress: bool = True,
    seed: int | None = None,
) -> dict[str, np.ndarray]:
    """Apply functions of log-weights to many images, whose log-weights need not fit into memory.

    All functions see the same log-weights of an image. Blocks of images and their noise follow
    from the seed and the number of samples alone: workers give the numbers of one process, however
    many they are, in whatever order they work, and if some of them die.

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
        client: a `distributed.Client` of Dask, or the address of its scheduler, whose workers take
            the blocks; None computes here. Workers have this package, and one thread each is best.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same numbers.

    Returns:
        For each name its values, (num,), float64.

    Raises:
        ValueError: if x is empty or not what the model takes, num_samples is below 1, seed is no
            integer of 0 or above, path is given without a seed, or the file at path belongs to
            another call or cannot be read.
        ImportError: if there is a client and no Dask.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> estimators = {"ELBO": elbo, "IWAE-5": lambda log_weights: iwae(log_weights[:5])}
        >>> values = estimate_in_blocks(vae, np.zeros((3, 64)), estimators, num_samples=10, seed=0)
        >>> values["ELBO"].shape
        (3,)
    """
    if path is not None and seed is None:
        raise ValueError("A call that is to be resumed needs a seed: pass an integer.")
    x, _ = as_data(x)
    key = None if path is None else _fingerprint(model, x, estimators, num_samples, seed)
    kept = None if path is None else _load(path, key)
    done = np.empty((0, len(estimators))) if kept is None else kept
    blocks = _Blocks(x, num_samples, seed, first=len(done))
    estimate = functools.partial(_estimates, model, tuple(estimators.values()), num_samples)
    options = {"unit": "image", "client": client, "progress": progress, **_BAR}
    for values in in_order(estimate, blocks, sizes=blocks.sizes, done=len(done), **options):
        done = np.concatenate([done, values])
        if path is not None:
            _save(path, key, done)
    if path is not None:
        pathlib.Path(path).unlink(missing_ok=True)
    return dict(zip(estimators, done.T, strict=True))


def _estimates(model, estimators, num_samples, block, seed):
    """The values of a block of images, (block, estimators)."""
    log_weights = model.log_weights(block, num_samples, seed=seed)
    return np.stack([np.asarray(estimate(log_weights), float) for estimate in estimators], -1)


def streamed_iwae(
    model: Any,
    x: Any,
    num_samples: int,
    *,
    client: Any = None,
    progress: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """`evidence.iwae` with any number of samples, as a running log-mean-exp over blocks of them.

    Args:
        model: the `VAE`, or what else `estimate_in_blocks` takes.
        x: data, (num, ..), or a dict or tuple of such arrays.
        num_samples: the number of log-weights for each image; about a million are in memory at
            once.
        client: a client of Dask or an address, as `estimate_in_blocks` takes it: workers take
            blocks of images and of samples.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same numbers.

    Returns:
        (num,) float64, nats.

    Raises:
        ValueError: if x is empty or has a wrong shape, or num_samples is below 1.
        ImportError: if there is a client and no Dask.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> streamed_iwae(vae, np.zeros((3, 64)), num_samples=100, seed=0).shape
        (3,)
    """
    sums = _streamed(_log_sum, np.logaddexp, model, x, num_samples, client, progress, seed)
    return np.concatenate(sums) - np.log(num_samples)


def _log_sum(model, block, num_samples, seed):
    """ln of the sum of weights, (block,)."""
    estimate = iwae(model.log_weights(block, num_samples, seed=seed))
    return estimate.numpy().astype(float) + np.log(num_samples)


def streamed_cumulants(
    model: Any,
    x: Any,
    num_samples: int,
    *,
    max_order: int = 4,
    client: Any = None,
    progress: bool = True,
    seed: int | None = None,
) -> StreamingCumulants:
    """The k-statistics of ln w of each image, from any number of samples in bounded memory.

    The series of ln p(x) to an order n is `log_expectation(result.cumulants()[:n])` (B25).

    Args:
        model: the `VAE`, or what else `estimate_in_blocks` takes.
        x: data, (num, ..), or a dict or tuple of such arrays.
        num_samples: the number of log-weights for each image, max_order or more.
        max_order: the highest order of the cumulants, 1 to 6.
        client: a client of Dask or an address, as `estimate_in_blocks` takes it: workers take
            blocks of images and of samples.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same numbers.

    Returns:
        `rbm_tf.cumulants.StreamingCumulants` of shape (num,), which merges with that of further
        samples, under another seed.

    Raises:
        ValueError: if x is empty or has a wrong shape, num_samples is below 1, or max_order is not
            1 to 6.
        ImportError: if there is a client and no Dask.

    Reference: B22, B25.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> streamed_cumulants(vae, np.zeros((3, 64)), 100, seed=0).cumulants().shape
        (4, 3)
    """
    StreamingCumulants.empty(max_order)  # or it says which orders there are
    of_block = functools.partial(_cumulants, max_order)
    merge = StreamingCumulants.merge
    parts = _streamed(of_block, merge, model, x, num_samples, client, progress, seed)
    mean, sums = (
        np.concatenate([getattr(part, name) for part in parts], -1) for name in ("mean", "sums")
    )
    return StreamingCumulants(num_samples, mean, sums)


def _cumulants(max_order, model, block, num_samples, seed):
    log_weights = np.asarray(model.log_weights(block, num_samples, seed=seed), float)
    return StreamingCumulants.empty(max_order, shape=log_weights.shape[1:]).update(log_weights)


def _streamed(of_draws, merge, model, x, num_samples, client, progress, seed):
    """For each block of images what its blocks of draws are together, merged in their order."""
    check_counts(num_samples=num_samples)
    blocks = _Blocks(x, _BLOCK // _IMAGES, seed)
    draws = [_parts(num_samples, _BLOCK // size) for size in blocks.sizes]

    def pieces():
        for (block, block_seed), counts in zip(blocks, draws, strict=True):
            yield from zip(itertools.repeat(block), counts, _seeds(block_seed, len(counts)))

    sizes = [size * n for size, counts in zip(blocks.sizes, draws, strict=True) for n in counts]
    options = {"unit": "weight", "client": client, "progress": progress, **_BAR}
    function = functools.partial(of_draws, model)
    with contextlib.closing(in_order(function, pieces(), sizes=sizes, **options)) as results:
        return [functools.reduce(merge, itertools.islice(results, len(part))) for part in draws]


class _Blocks:
    """Blocks of images from number `first` on with their seeds, and the sizes of the blocks."""

    def __init__(self, x: Any, num_samples: int, seed: int | None, first: int = 0) -> None:
        self.x, num = as_data(x)
        self.size = min(_IMAGES, max(1, _BLOCK // max(1, num_samples)))
        self.sizes, self.first = _parts(num - first, self.size), first
        self.seeds = _seeds(seed, -(-num // self.size))[-(-first // self.size) :]

    def __iter__(self):
        starts = range(self.first, self.first + sum(self.sizes), self.size)
        for start, seed in zip(starts, self.seeds, strict=True):
            yield examples(self.x, start, start + self.size), seed


def _parts(num, size):
    """num cut into parts of a size, of which the last may be smaller."""
    return [min(size, num - start) for start in range(0, num, size)]


def _seeds(seed, num):
    """Seeds as Keras takes them."""
    states = np.random.SeedSequence(seed_of_numpy(seed)).generate_state(num)
    return [int(state) % keras_limit() for state in states]


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
