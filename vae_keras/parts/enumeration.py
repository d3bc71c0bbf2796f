"""The exact evidence of discrete latents: a sum over all their states."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from keras import ops, tree

from rbm_tf.shared.types import Tensor
from vae_keras.parts.models import data_of, latents_of
from vae_keras.shared.nested_data import as_data, examples

_STATES = 2**22  # that a sum may take
_BLOCK = 2**22  # entries of x that are decoded at once
_EXAMPLES = 100  # in a block at most


def enumerated(model: Any, x: Any) -> Tensor:
    """ln p(x) = ln sum_z p(x|z) p(z), the sum over all states of discrete latents: no estimate.

    Bits, classes and chains of them have finitely many states; those of several parts are joint.
    Relaxed parts count as the discrete ones they stand for, and the posterior counts for nothing.
    The sum is taken in blocks of bounded memory.

    Args:
        model: a `VAE`, or `Latents`.
        x: data as the model takes them, nested arrays or tensors (batch, ..); arrays are checked.

    Returns:
        (batch,), float32 or wider, nats.

    Raises:
        ValueError: if x is not what the model takes, a latent is continuous or unbounded, there are
            more than 2^22 states, or no example.

    Example:
        >>> bits = Latents(lambda x: 0 * x, lambda z: z, posterior=Bernoulli())
        >>> x = ops.ones((3, 1))  # a pixel with the logit of a bit: p(x) = (1/2 + sigmoid(1)) / 2
        >>> print(round(float(enumerated(bits, x)[0]), 4))
        -0.4853
    """
    latents, (x, num) = latents_of(model).exact, as_data(data_of(model, x))
    latents.renew()
    starts = range(0, num, _EXAMPLES)
    blocks = (examples(x, start, start + _EXAMPLES) for start in starts)
    return ops.concatenate([_log_sum(latents.draws(block, 1, seed=0)) for block in blocks])


def _log_sum(draws):
    """ln sum_z p(x, z) for the examples of draws, whose z tell shapes alone, (batch,)."""
    radices = _radices(draws)
    num_states, batch = math.prod(radices), draws.log_q.shape[0]
    size = max(1, _BLOCK // math.prod(draws.latents.scored_part(draws.x).shape))
    sums = []
    for start in range(0, num_states, size):
        states = np.arange(start, min(start + size, num_states))
        value = _values(states, radices, draws.value, batch)
        at_states = dataclasses.replace(draws, value=value, num_samples=len(states))
        sums.append(ops.logsumexp(at_states.log_joint, axis=0))
    return ops.logsumexp(ops.stack(sums), axis=0)


def _radices(draws):
    """How many values each entry of z has, a list of integers."""
    numbers, values = draws.latents.posterior.num_values, tree.flatten(draws.value)
    if None in tree.flatten(numbers):
        raise ValueError(
            "All latents must have finitely many values, as bits and classes do: average "
            "log-weights, as evidence.iwae does, or of real-valued latents take evidence.ais."
        )
    pairs = zip(tree.flatten(numbers), values, strict=True)
    radices = [number for number, a in pairs for _ in range(math.prod(a.shape[1:]))]
    if math.prod(radices) > _STATES:
        exponent = math.log2(math.prod(radices))
        raise ValueError(
            f"{len(radices)} latents have 2^{exponent:.4g} states, and a sum takes 2^22 at most: "
            "average log-weights, as evidence.iwae does."
        )
    return radices


def _values(states, radices, like, batch):
    """The values that states are the numbers of, each for all examples, (states * batch, ..)."""
    digits = np.stack(np.unravel_index(states, radices), -1)  # (states, entries)
    leaves, values, first = tree.flatten(like), [], 0
    for leaf in leaves:
        event = tuple(leaf.shape[1:])
        part = digits[:, first : first + math.prod(event)].reshape(-1, *event)
        values.append(ops.cast(ops.repeat(ops.convert_to_tensor(part), batch, axis=0), leaf.dtype))
        first += math.prod(event)
    return tree.pack_sequence_as(like, values)
