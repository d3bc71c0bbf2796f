"""Codes in place of numbers: a categorical posterior, whose cold limit is the VQ-VAE."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts import Categorical, OfPart, Part, RelaxedCategorical
from vae_keras.vae import VAE


@keras.saving.register_keras_serializable(package="vae_keras")
class Codes(OfPart):
    """Choices among code vectors, with logits -|point - code|^2 / temperature at given points.

    A value is that of the categorical part; networks see the code vector, of relaxed choices a
    mean of several. Towards temperature 0 the nearest code takes all.

    Args:
        part: `Categorical(num_codes)` or `RelaxedCategorical(num_codes)`.
        code_dim: the length of a code vector.
        temperature: above 0.
        seed: integer that fixes where the codes begin, normal with standard deviation 1.
        codes: the weights, where another `Codes` made them.

    Call arguments:
        statistics: points, (rows, .., code_dim).

    Output: code vectors, (rows, .., code_dim), and the log-probability of the choices, (rows,).

    Raises:
        ValueError: if the temperature is not above 0.

    Reference: van den Oord, Vinyals and Kavukcuoglu (2017), Neural discrete representation
    learning, equation 1 (the limit).

    Example:
        >>> part = Codes(Categorical(2), code_dim=1)
        >>> _ = part.codes.assign(ops.array([[0.0], [1.0]]))
        >>> print(ops.convert_to_numpy(part.resolve(ops.array([[0.5], [2.0]]), 2)))
        [[-0.25 -0.25]
         [-4.   -1.  ]]
    """

    def __init__(
        self,
        part: Part,
        code_dim: int,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        codes: keras.Variable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(part, seed=seed, **kwargs)
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be above 0 and finite; got {temperature}.")
        self.code_dim, self.temperature = code_dim, temperature
        self.space, self.has_path = part.space, part.has_path
        if codes is None:
            begin = keras.initializers.RandomNormal(0.0, 1.0, seed)
            codes = self.add_weight((part.num_classes, code_dim), begin, name="codes")
        self.codes = codes

    def resolve(self, statistics: Any, rows: Any) -> Tensor:
        """The logits of the codes at points, (rows, .., num_codes)."""
        points = super().resolve(statistics, rows)
        difference = points[..., None, :] - ops.cast(self.codes, points.dtype)
        return -ops.sum(ops.square(difference), axis=-1) / self.temperature

    def family(self) -> Part:
        return self.part.family()

    def noise(self, statistics: Tensor, rows: Any, seed: Any) -> Tensor:
        return self.part.noise(statistics, rows, seed)

    def draw(self, statistics: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        return self.part.draw(statistics, noise)

    def terms(self, statistics: Tensor, value: Tensor) -> Tensor:
        return self.part.terms(statistics, value)

    def mean(self, statistics: Tensor) -> Tensor:
        return self._vectors(self.part.mean(statistics))

    def emit(self, value: Tensor) -> Tensor:
        return self._vectors(self.part.emit(value))

    def _vectors(self, weights):
        return ops.matmul(weights, ops.cast(self.codes, weights.dtype))

    def exactly(self) -> Part:
        part = self.part.exactly()
        if part is self.part:
            return self
        return Codes(part, self.code_dim, temperature=self.temperature, codes=self.codes)

    def standard(self) -> Part:
        return self.part.standard()

    def shapes(self, event: Shape) -> Shapes:
        return (*event, self.code_dim)

    def get_config(self) -> dict[str, Any]:
        own = {"code_dim": self.code_dim, "temperature": self.temperature}
        return {**super().get_config(), **own}


def vq_vae(
    input_shape: tuple[int, ...],
    *,
    num_positions: int = 4,
    num_codes: int = 16,
    code_dim: int = 4,
    temperature: float = 1.0,
    relaxation: float | None = 0.5,
    hidden_units: int = 64,
    seed: int | None = None,
    **options: Any,
) -> VAE:
    """Codes k_1, .., k_n with q(k_i = k | x) ~ exp(-|e_i(x) - c_k|^2 / temperature).

    The prior is uniform. As the temperature falls, the nearest code takes all and the KL becomes
    n ln K, a constant: what remains is the reconstruction from nearest codes, a VQ-VAE. In training
    choices are relaxed; `log_weights` and `sample` take the discrete ones.

    Args:
        input_shape: the shape of one example.
        num_positions: the number n of codes for each example.
        num_codes: the number K of codes to choose from.
        code_dim: the length of a code vector.
        temperature: of the posterior's logits.
        relaxation: the temperature of the relaxed draws in training; None for exact choices, which
            need an objective without a path.
        hidden_units: the number of units in each hidden layer.
        seed: integer that fixes the noise in training and where the codes begin.
        **options: likelihood and objective, as `VAE` takes them.

    Returns:
        `VAE`, whose z are integers (batch, num_positions).

    Reference: van den Oord, Vinyals and Kavukcuoglu (2017), Neural discrete representation
    learning; Sonderby, Poole and Mnih (2017), Continuous relaxation training of discrete latent
    variable image models.

    Example:
        >>> vae = vq_vae((8, 8), num_positions=2, num_codes=4, hidden_units=16, seed=0)
        >>> tuple(vae.sample(3, seed=0)[1].shape)
        (3, 2)
    """
    exact = Categorical(num_codes)
    choice = exact if relaxation is None else RelaxedCategorical(num_codes, relaxation)
    x = keras.Input(input_shape, name="x")
    hidden = layers.Dense(hidden_units, "tanh")(layers.Flatten()(x))
    points = layers.Dense(num_positions * code_dim)(hidden)
    z = keras.Input((num_positions, code_dim), name="z")
    hidden = layers.Dense(hidden_units, "tanh")(layers.Flatten()(z))
    pixels = layers.Dense(math.prod(input_shape))(hidden)
    return VAE(
        keras.Model(x, layers.Reshape((num_positions, code_dim))(points)),
        keras.Model(z, layers.Reshape(tuple(input_shape))(pixels)),
        posterior=Codes(choice, code_dim, temperature=temperature, seed=seed),
        seed=seed,
        **options,
    )
