"""Checks that networks and parts fit together, and that data fit them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras import ops, tree

from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.types import ArrayLike, DType, Shape, Tensor


def shapes_of_data(latents: Any) -> dict[str, Shape]:
    """What networks ask for beside latent variables: the shape of one example of each, by name.

    Args:
        latents: the `Latents`, whose encoder is a functional or Sequential `keras.Model`.

    Returns:
        For each name a tuple, without the batch axis, the target first.

    Raises:
        ValueError: if the encoder does not know its input shape, or has no input of the target's
            name beside others.

    Example:
        >>> networks = dense_encoder((8, 8), latent_dim=2), dense_decoder((8, 8), latent_dim=2)
        >>> shapes_of_data(Latents(*networks))
        {'x': (8, 8)}
    """
    target = latents.target
    shapes = _input_shapes(latents.encoder, target)
    if shapes is None:
        raise ValueError(
            "The encoder must know its input shape: make it a functional model, as "
            "vae_keras.networks.dense_encoder does, or call a Sequential one once on data."
        )
    others = _input_shapes(latents.prior_network, "y") or {}
    decoder = _input_shapes(latents.decoder, "z") or {}
    if len(decoder) > 1:
        z = latents.posterior.emit(_value_of_zeros(latents, shapes))
        drawn = set(z) if isinstance(z, Mapping) else {"z"}
        others = {**{k: v for k, v in decoder.items() if k not in drawn}, **others}
    shapes |= {k: v for k, v in others.items() if k not in shapes}
    if target not in shapes:
        raise ValueError(
            f"The target is {target!r}, but the networks take {', '.join(map(repr, shapes))}: name "
            "their inputs, as keras.Input((784,), name='x'), or pass target=."
        )
    return {target: shapes.pop(target), **shapes}


def integer_inputs(latents: Any) -> dict[str, str]:
    """The integer types of what networks take beside target and latents, by name.

    Labels and other numbers above 2^24 are not all float32.

    Args:
        latents: the `Latents`.

    Example:
        >>> integer_inputs(Latents(dense_encoder((8, 8), 2), dense_decoder((8, 8), 2)))
        {}
    """
    networks = latents.decoder, latents.prior_network, latents.encoder  # the last one decides
    inputs = {k: v for network in networks for k, v in (_inputs(network, None) or {}).items()}
    dtypes = {name: keras.backend.standardize_dtype(v.dtype) for name, v in inputs.items()}
    return {k: v for k, v in dtypes.items() if "int" in v and k != latents.target}


def _input_shapes(network, alone):
    """The shape of each input by name, with a name for one that stands alone; None if unknown."""
    inputs = _inputs(network, alone)
    return inputs and {name: tuple(tensor.shape[1:]) for name, tensor in inputs.items()}


def _inputs(network, alone):
    inputs = inputs_of(network)
    if isinstance(inputs, (list, tuple)):
        return {tensor.name: tensor for tensor in inputs}
    return inputs if inputs is None or isinstance(inputs, Mapping) else {alone: inputs}


def inputs_of(network: Any) -> Any:
    """The symbolic inputs of a model, nested as it takes them; None where it does not know them.

    Args:
        network: a Keras model or layer, or a function.

    Example:
        >>> inputs_of(dense_encoder((8, 8), latent_dim=2)).shape
        (None, 8, 8)
    """
    if not isinstance(network, keras.Model):
        return None
    try:
        return network.inputs[0] if isinstance(network, keras.Sequential) else network.input
    except (AttributeError, ValueError):  # a subclassed model, or one that was never built
        return None


def zeros_of(shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """One example of zeros for each name; lengths that vary are 1.

    Args:
        shapes: the shape of one example by name.

    Example:
        >>> tuple(zeros_of({"x": (None, 3)})["x"].shape)
        (1, 1, 3)
    """
    return {k: ops.zeros((1, *(n or 1 for n in shape))) for k, shape in shapes.items()}


def _value_of_zeros(latents, shapes):
    zeros = zeros_of(shapes)
    statistics = latents.encoded(zeros if len(zeros) > 1 else zeros[next(iter(zeros))])
    with _explained("encoder", latents.posterior, lambda: statistics):
        noise = latents.posterior.noise(statistics, 1, keras.random.SeedGenerator(0))
        return latents.posterior.draw(statistics, noise)[0]


@contextlib.contextmanager
def _explained(network: str, part: Any, statistics: Callable[[], Any]) -> Iterator[None]:
    """Where the part fails on statistics nested otherwise than it takes them, say how it does."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        gives = statistics()
        event = tuple(tree.flatten(gives)[0].shape[1:])
        try:
            takes = tree.map_shape_structure(str, part.shapes(event))
        except (NotImplementedError, AttributeError, KeyError, TypeError, ValueError):
            raise error from None  # what it takes is not known
        if takes is None or _nesting(gives) == _nesting(takes):
            raise
        raise ValueError(
            f"The {network} gives {_nesting(gives)}, but {type(part).__name__} takes "
            f"{_nesting(takes)}: let the network return that, or take another part. ({error})"
        ) from error


def _nesting(x):
    """How tensors are nested, as text."""
    if isinstance(x, Mapping):
        names = ", ".join(f"{k!r}: {_nesting(v)}" for k, v in sorted(x.items()))
        return "{" + names + "}"
    if isinstance(x, (list, tuple)):
        return f"({', '.join(map(_nesting, x))})"
    return "nothing" if x is None else "a tensor"


def check_networks(latents: Any, zeros: Any) -> tuple[Any, Any]:
    """Call networks and parts on zeros, and see that they fit together.

    Args:
        latents: the `Latents`.
        zeros: a batch of one, as the latents take x.

    Returns:
        The statistics of the posterior, and the nested shapes of one z as the decoder takes it.

    Raises:
        ValueError: if they do not fit, or weights are float16.

    Example:
        >>> networks = dense_encoder((8, 8), latent_dim=2), dense_decoder((8, 8), latent_dim=2)
        >>> check_networks(Latents(*networks), ops.zeros((1, 8, 8)))[1]
        (2,)
    """
    for model in (latents.encoder, latents.decoder):
        if any(w.dtype == "float16" for w in getattr(model, "trainable_weights", [])):
            raise ValueError(
                "Weights in float16 end at 65,504, and their gradients overflow: build the "
                "networks under the policy 'mixed_float16', which keeps weights in float32."
            )
    with _explained("encoder", latents.posterior, lambda: latents.encoded(zeros)):
        draws = latents.draws(zeros, 1, seed=0)
    z = latents.posterior.emit(draws.value)
    taken = getattr(latents.decoder, "input_shape", None)
    if not isinstance(z, Mapping) and isinstance(taken, tuple) and taken[1:] != tuple(z.shape[1:]):
        raise ValueError(
            f"The encoder gives latent variables of shape {tuple(z.shape[1:])}, but the decoder "
            f"takes {taken[1:]}: build both with the same latent_dim."
        )
    with _explained("decoder", latents.likelihood, lambda: latents.decoded(z, zeros)):
        _ = draws.log_likelihood
    _ = draws.kl  # parts raise what does not fit
    return draws.statistics, tree.map_structure(lambda a: tuple(a.shape[1:]), z)


def array_or_tensor(x: Any, dtype: DType | None, name: str) -> Any:
    """A tensor as it is, since it may be symbolic; what else holds numbers as a NumPy array.

    Args:
        x: array-like, table, sparse matrix or tensor, of any shape.
        dtype: the dtype of the array, None to keep that of the data.
        name: what the error message calls it.

    Raises:
        ValueError: if it holds no real numbers, or comes in batches.

    Example:
        >>> array_or_tensor([[0, 1]], "float32", "x")
        array([[0., 1.]], dtype=float32)
    """
    is_dense = not (hasattr(x, "dense_shape") or hasattr(x, "row_lengths"))
    if ops.is_tensor(x) and is_dense and "complex" not in str(x.dtype):
        return x
    return as_array(x, dtype, name)


def checked_array(x: ArrayLike, shape: Shape, name: str, dtype: DType | None = None) -> Tensor:
    """The array as a tensor, refused unless its examples have the shape.

    Args:
        x: array or tensor, (batch, *shape).
        shape: the shape that one example must have.
        name: what the error message calls the array.
        dtype: the dtype of the tensor, None to keep that of x.

    Returns:
        Tensor (batch, *shape).

    Raises:
        ValueError: for another shape, or no example.

    Example:
        >>> tuple(checked_array(np.zeros((3, 4)), (4,), "x").shape)
        (3, 4)
    """
    x = ops.convert_to_tensor(x, dtype=dtype)
    check_shape(x, shape, name)
    return x


def check_shape(x: Tensor, shape: Shape, name: str) -> None:
    """Refuse an array or tensor whose examples have another shape, or that has none.

    Args:
        x: array or tensor, (batch, *shape).
        shape: the shape that one example must have.
        name: what the error message calls the array.

    Raises:
        ValueError: with what was received.

    Example:
        >>> check_shape(np.zeros((3, 4)), (4,), "x")
    """
    given = tuple(x.shape[1:])
    fits = len(given) == len(shape) and all(
        b is None or a == b for a, b in zip(given, shape, strict=True)
    )
    if not fits or not tuple(x.shape) or x.shape[0] == 0:
        raise ValueError(
            f"{name} must have shape (batch, {', '.join(map(str, shape))}) with a batch of 1 or "
            f"more; got {tuple(x.shape)}."
        )
