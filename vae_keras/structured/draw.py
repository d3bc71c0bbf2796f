"""DRAW without attention: an image drawn in steps, each inferred from what is still missing."""

from __future__ import annotations

import math
from typing import Any, Self

import keras
from keras import layers, ops

from rbm_tf.shared.types import Tensor
from vae_keras.parts import Gaussian, Recurrent
from vae_keras.vae import VAE


@keras.saving.register_keras_serializable(package="vae_keras")
class DrawCore(keras.layers.Layer):
    """One step of the drawing: a recurrent cell that takes z_t, and what it adds to the canvas.

    Args:
        latent_dim: the number of latent variables of a step.
        num_pixels: the number of pixels.
        hidden_units: the number of units of the recurrent cell.

    Example:
        >>> core = DrawCore(2, 64, 16)
        >>> canvas, states = core.step(ops.ones((5, 2)), core.begin(5))
        >>> tuple(canvas.shape)
        (5, 64)
    """

    def __init__(self, latent_dim: int, num_pixels: int, hidden_units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.latent_dim, self.num_pixels = latent_dim, num_pixels
        self.hidden_units = hidden_units
        self.cell, self.write = layers.LSTMCell(hidden_units), layers.Dense(num_pixels)
        self.cell.build((None, latent_dim))
        self.write.build((None, hidden_units))
        self.built = True

    def begin(self, rows: Any) -> list[Tensor]:
        """The states before the first step: an empty canvas.

        Args:
            rows: how many.
        """
        return [ops.zeros((rows, n)) for n in (self.num_pixels, *2 * (self.hidden_units,))]

    def step(self, z: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The canvas after a step, and the new states.

        Args:
            z: latent variables of the step, (rows, latent_dim).
            states: the canvas, (rows, num_pixels), and the two states of the cell.
        """
        canvas, *inner = states
        hidden, inner = self.cell(z, inner)
        canvas = canvas + ops.cast(self.write(hidden), canvas.dtype)
        return canvas, [canvas, *inner]

    def get_config(self) -> dict[str, Any]:
        own = {"latent_dim": self.latent_dim, "num_pixels": self.num_pixels}
        return {**super().get_config(), **own, "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(package="vae_keras")
class DrawDecoder(keras.layers.Layer):
    """The canvas after all steps.

    Args:
        core: the `DrawCore`.

    Call arguments:
        z: latent variables of all steps, (rows, num_steps, latent_dim).

    Output: logits, (rows, num_pixels).

    Example:
        >>> tuple(DrawDecoder(DrawCore(2, 64, 16))(ops.ones((5, 3, 2))).shape)
        (5, 64)
    """

    def __init__(self, core: DrawCore, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.core = core

    def call(self, z: Tensor) -> Tensor:
        states = self.core.begin(ops.shape(z)[0])
        for t in range(z.shape[1]):
            states = self.core.step(z[:, t], states)[1]
        return states[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "core": keras.saving.serialize_keras_object(self.core)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "core": keras.saving.deserialize_keras_object(config["core"])})


@keras.saving.register_keras_serializable(package="vae_keras")
class DrawEncoder(keras.layers.Layer):
    """The cell of q(z_t | z_1, .., z_(t-1), x): it draws along, and looks at what is missing.

    A step reads x, the error x - sigmoid(canvas), and the state of the drawing, and returns the
    mean and the log-variance of z_t.

    Args:
        decoder: the model's decoder, with a `DrawDecoder` that is named "drawing".

    Call arguments:
        given: dict of "previous", z_(t-1), and "statistics", x as (rows, num_pixels).
        states: what the step before returned.

    Output: the pair (mean, log_var), each (rows, latent_dim), and the new states.

    Example:
        >>> cell = draw_vae((8, 8), 2, num_steps=3, hidden_units=16).posterior.cell
        >>> given = {"previous": ops.zeros((5, 2)), "statistics": ops.ones((5, 64))}
        >>> (mean, log_var), states = cell(given, cell.get_initial_state(5))
        >>> tuple(mean.shape)
        (5, 2)
    """

    def __init__(self, decoder: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decoder, self.core = decoder, decoder.get_layer("drawing").core
        core, hidden, pixels = self.core, self.core.hidden_units, self.core.num_pixels
        self.cell = layers.LSTMCell(hidden)
        self.mean, self.log_var = (layers.Dense(core.latent_dim) for _ in range(2))
        self.cell.build((None, 2 * pixels + hidden))
        self.mean.build((None, hidden))
        self.log_var.build((None, hidden))
        self.built = True

    def get_initial_state(self, rows: Any) -> list[Tensor]:
        """States before the first step; the first is 0 as long as nothing is drawn."""
        inner = [ops.zeros((rows, self.core.hidden_units)) for _ in range(2)]
        return [ops.zeros((rows, 1)), *self.core.begin(rows), *inner]

    def call(self, given: dict[str, Tensor], states: list[Tensor]) -> Any:
        has_begun, drawing, inner = states[0], states[1:4], states[4:]
        _, drawn = self.core.step(given["previous"], drawing)
        drawing = [ops.where(has_begun > 0, a, b) for a, b in zip(drawn, drawing, strict=True)]
        x = ops.cast(given["statistics"], drawing[0].dtype)
        missing = x - ops.sigmoid(drawing[0])
        hidden, inner = self.cell(ops.concatenate([x, missing, drawing[1]], axis=-1), inner)
        pair = self.mean(hidden), self.log_var(hidden)
        return pair, [ops.ones_like(has_begun), *drawing, *inner]

    def get_config(self) -> dict[str, Any]:
        decoder = keras.saving.serialize_keras_object(self.decoder)
        return {**super().get_config(), "decoder": decoder}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        decoder = keras.saving.deserialize_keras_object(config["decoder"])
        return cls(**{**config, "decoder": decoder})


@keras.saving.register_keras_serializable(package="vae_keras")
def _standard(given, states):
    """The cell of a prior of independent steps, N(0, I)."""
    zeros = ops.zeros_like(given["previous"])
    return (zeros, zeros), states


def draw_vae(
    input_shape: tuple[int, ...],
    latent_dim: int = 4,
    *,
    num_steps: int = 6,
    hidden_units: int = 64,
    **options: Any,
) -> VAE:
    """An image as the sum of num_steps strokes, with z_t ~ N(0, I) for each.

    The posterior of a step knows of all steps before it, through the canvas: it infers what is
    still missing. The KL of each step is in closed form given the steps before it.

    Args:
        input_shape: the shape of one example.
        latent_dim: the number of latent variables of each step.
        num_steps: the number of steps.
        hidden_units: the number of units of both recurrent cells.
        **options: likelihood, objective and seed, as `VAE` takes them.

    Returns:
        `VAE`, whose z are (batch, num_steps, latent_dim).

    Reference: Gregor, Danihelka, Graves, Rezende and Wierstra (2015), DRAW: A recurrent neural
    network for image generation, section 2, without attention; B57.

    Example:
        >>> vae = draw_vae((8, 8), 2, num_steps=3, hidden_units=16, seed=0)
        >>> tuple(vae.log_weights(np.zeros((3, 8, 8)), 10, seed=0).shape)
        (10, 3)
    """
    event, core = (latent_dim,), DrawCore(latent_dim, math.prod(input_shape), hidden_units)
    x = keras.Input(input_shape, name="x")
    z = keras.Input((num_steps, latent_dim), name="z")
    looked_at = layers.RepeatVector(num_steps)(layers.Flatten()(x))
    drawing = DrawDecoder(core, name="drawing")(z)
    decoder = keras.Model(z, layers.Reshape(tuple(input_shape))(drawing))
    return VAE(
        keras.Model(x, looked_at),
        decoder,
        posterior=Recurrent(Gaussian(), DrawEncoder(decoder), num_steps, event),
        prior=Recurrent(Gaussian(), _standard, num_steps, event),
        **options,
    )
