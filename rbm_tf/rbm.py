"""The restricted Boltzmann machine as a Keras model: of any units, and of binary ones."""

from __future__ import annotations

from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.conditional.sampling import chains_of
from rbm_tf.gibbs import gibbs_sample
from rbm_tf.machine import clamped_free_energy, energy, hidden_input, visible_input
from rbm_tf.shared.checkpoints import WholeFiles
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.mean_over_batch import MeanOverBatch
from rbm_tf.shared.seeds import LIMIT, as_seed, integer_seed
from rbm_tf.shared.types import ArrayLike, Shape
from rbm_tf.training.coordinates import GRADIENTS
from rbm_tf.training.negative_phase import PersistentContrastiveDivergence
from rbm_tf.training.rbm_fit import RBMFit
from rbm_tf.training.rbm_variables import RBMVariables
from rbm_tf.units import Binary, Unit

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"rbm_tf needs Keras on TensorFlow, and Keras runs on {keras.backend.backend()}. Set the "
        "environment variable KERAS_BACKEND=tensorflow before Python starts."
    )


@keras.saving.register_keras_serializable(package="rbm_tf")
class RBM(RBMFit, RBMVariables, WholeFiles, keras.Model):
    """A restricted Boltzmann machine of any two kinds of units, an exponential-family harmonium.

    E(v, h) = sum_i U(v_i) + sum_j U(h_j) - a.v - b.h - v^T W h and p(v, h) = exp(-E(v, h)) / Z
    (B1, B3), where U is what `rbm_tf.units` say. Its parameters exist from construction: `kernel`
    W (visible.size, hidden.size), `visible_bias` a, `hidden_bias` b, and those of the units.
    It is a Keras model: `fit(data)` trains it, `call(v)` returns the hidden units' means (a feature
    layer), and it saves, loads and exports as any other. It comes compiled with plain SGD at a
    learning rate of 0.05; `compile(optimizer)` changes that and takes no loss.

    The loss is the free-energy gap F_c(data) - F_c(samples of the model), whose gradient is that of
    -ln p(v) (B8, B9); its value is not a likelihood. Data are states of the visible units,
    (num, visible.size), or means of them, such as grey levels for `Binary`. The first `fit` calls
    `adapt`. Made in the scope of a `tf.distribute` strategy, it trains on all replicas, which share
    out batch and chains.

    Args:
        visible: the visible units, such as `units.Gaussian(784)`.
        hidden: the hidden units.
        negative_phase: a layer of `rbm_tf.training.negative_phase`; the default is persistent
            contrastive divergence with 100 chains.
        gradient: "centered" subtracts offsets from both layers in the gradient, which conditions it
            better and leaves its fixed points alone; "standardized" also divides by standard
            deviations, for columns of different scale, and wants lower learning rates where they
            are small; "plain" does neither. See `rbm_tf.training.Coordinates`. It is a direction
            for SGD, with or without momentum; optimizers that rescale each parameter, such as
            Adam, get the plain gradient. `keras.optimizers.SGD(0.05, global_clipnorm=1.0)` clips
            its norm.
        resample: whether to draw visible states anew from means, such as grey levels, at every
            step, in place of taking data as they are; for binary, spin and Potts units.
        unit_rate: the step of the units' own parameters, such as ln precision, relative to that of
            the kernel with SGD; 0 leaves them as they are. The precision of hidden `Gaussian` and
            `ReLU` units stays: g/c^2, W/c and b/c are the same p(v) for all c.
        kernel_regularizer: a penalty on the kernel, nats: of `keras.regularizers`, such as
            "l2" or L1(1e-4), or `rbm_tf.training.SquaredL1`.
        max_coupling: the largest `rbm_tf.stability.largest_coupling` of two layers of unbounded
            units, such as `Gaussian` and `ReLU`: the kernel is scaled down after each step that
            exceeds it, since above 1 Z may be infinite. None sets no limit.
        seed: integer that fixes the initial kernel and the default negative phase.
        **kwargs: missing_steps and discriminative of `rbm_tf.training.RBMFit`, for data with
            missing values and for labels; arguments of `keras.Model`.

    Call arguments:
        v: visible states, (batch, visible.size).

    Output: the means of the hidden units given v, (batch, hidden.size).

    Raises:
        ValueError: if a layer is no `Unit`, gradient is another word, unit_rate is below 0, or
            max_coupling is not above 0; at call time if data do not have visible.size columns; in
            `fit` if two layers of unbounded units begin with a coupling of 1 or more.

    Reference: Welling, Rosen-Zvi and Hinton (2004), Exponential family harmoniums with an
    application to information retrieval; Hinton (2012), A practical guide to training RBMs; for
    the centred gradient Melchior, Fischer and Wiskott (2016), JMLR 17(99). Rows B1 to B10.

    Example:
        >>> rbm = RBM(units.Gaussian(3), units.Binary(2), seed=0)
        >>> history = rbm.fit(np.random.default_rng(0).normal(size=(100, 3)), verbose=0)
        >>> rbm.free_energy(np.zeros((5, 3))).shape
        TensorShape([5])
    """

    def __init__(
        self,
        visible: Unit,
        hidden: Unit,
        *,
        negative_phase: keras.layers.Layer | None = None,
        gradient: str = "centered",
        resample: bool = False,
        unit_rate: float = 0.0,
        kernel_regularizer: Any = None,
        max_coupling: float | None = 0.95,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not (isinstance(visible, Unit) and isinstance(hidden, Unit)):
            raise ValueError(
                "An RBM has two layers of units, such as RBM(units.Gaussian(784), units.Binary(64))"
                f"; got {visible!r} and {hidden!r}. Import rbm_tf.units."
            )
        if not unit_rate >= 0:
            raise ValueError(f"unit_rate must be 0 or more; got {unit_rate!r}.")
        if max_coupling is not None and not max_coupling > 0:
            raise ValueError(f"max_coupling must be above 0, or None; got {max_coupling!r}.")
        if gradient not in GRADIENTS:
            raise ValueError(f"gradient must be one of {', '.join(GRADIENTS)}; got {gradient!r}.")
        self.gradient, self.resample, self.unit_rate = gradient, resample, float(unit_rate)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.max_coupling = max_coupling
        self.seed = integer_seed(seed, limit=LIMIT)
        self.negative_phase = negative_phase or PersistentContrastiveDivergence(seed=self.seed)
        self._gap_to_loss = MeanOverBatch(name="mean", dtype=self.variable_dtype)
        self._free_energy_tracker = keras.metrics.Mean(name="free_energy")
        self._add_variables(visible, hidden)
        self(tf.zeros((1, self.num_visible)))  # export needs a model that has been called
        self.supports_jit = bool(tf.config.list_physical_devices("GPU"))  # XLA is slow on CPUs
        self.compile(optimizer=keras.optimizers.SGD(0.05))
        self.optimizer.build(self.trainable_variables)  # so that an untrained model saves whole

    @classmethod
    def from_parameters(
        cls,
        visible: Unit,
        hidden: Unit,
        kernel: ArrayLike,
        visible_bias: ArrayLike,
        hidden_bias: ArrayLike,
        **kwargs: Any,
    ) -> Self:
        """A model with given parameters; precisions belong to the units.

        Args:
            visible: the visible units.
            hidden: the hidden units.
            kernel: the kernel W, (visible.size, hidden.size).
            visible_bias: the visible bias a, (visible.size,).
            hidden_bias: the hidden bias b, (hidden.size,).
            **kwargs: further arguments of the class.

        Returns:
            `RBM`.

        Raises:
            ValueError: if the shapes do not fit.

        Example:
            >>> layers = units.Spin(3), units.Gaussian(2, precision=4.0)
            >>> rbm = RBM.from_parameters(*layers, np.ones((3, 2)), np.zeros(3), np.zeros(2))
            >>> rbm.hidden_mean([[1.0, 1.0, -1.0]]).numpy()
            array([[0.25, 0.25]], dtype=float32)
        """
        rbm = cls(visible, hidden, **kwargs)
        rbm._assign(kernel, visible_bias, hidden_bias)
        return rbm

    def energy(self, v: ArrayLike, h: ArrayLike) -> tf.Tensor:
        """E(v, h) = sum_i U(v_i) + sum_j U(h_j) - a.v - b.h - v^T W h (B1).

        Args:
            v: visible states, (batch, num_visible).
            h: hidden states, (batch, num_hidden).

        Returns:
            (batch,), nats.

        Example:
            >>> float(BernoulliRBM(2, 1).energy([[0.0, 0.0]], [[0.0]])[0])
            0.0
        """
        v = self._states(v, "visible", "v")
        h = self._states(h, "hidden", "h")
        return energy(self.machine, v, h)

    def free_energy(self, v: ArrayLike) -> tf.Tensor:
        """The clamped free energy F_c(v) = sum_i U(v_i) - a.v - sum_j Gamma_j(b_j + (v W)_j) (B5).

        Gamma is softplus for binary hidden units, and U is 0 for binary visible ones.

        Args:
            v: visible states, (batch, num_visible). Arrays are checked, tensors are taken as they
                are.

        Returns:
            (batch,), nats; ln p(v) = -F_c(v) - ln Z of states, and of no means such as grey levels.

        Raises:
            ValueError: if v is neither states of the visible units nor means of them.

        Example:
            >>> float(BernoulliRBM(2, 1).free_energy([[0.0, 0.0]])[0])  # -ln 2
            -0.6931471824645996
        """
        v = self._states(v, "visible", "v")
        return clamped_free_energy(self.machine, v)

    def hidden_mean(self, v: ArrayLike) -> tf.Tensor:
        """<h_j> given v, kappa_1 of b_j + (v W)_j: for binary units sigmoid.

        Args:
            v: visible states, (batch, num_visible).

        Returns:
            (batch, num_hidden).
        """
        machine = self.machine
        return machine.hidden.mean(hidden_input(machine, self._states(v, "visible", "v")))

    def visible_mean(self, h: ArrayLike) -> tf.Tensor:
        """<v_i> given h, kappa_1 of a_i + (W h)_i: for binary units sigmoid.

        Args:
            h: hidden states, (batch, num_hidden).

        Returns:
            (batch, num_visible).
        """
        machine = self.machine
        return machine.visible.mean(visible_input(machine, self._states(h, "hidden", "h")))

    def gibbs_step(self, v: ArrayLike, *, seed: int | tf.Tensor | None = None) -> tf.Tensor:
        """One sweep v -> h -> v' of block Gibbs sampling, which leaves p(v) as it is.

        Args:
            v: visible states, (batch, num_visible).
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            Visible states, (batch, num_visible).
        """
        hidden_seed, visible_seed = tf.unstack(tf.random.split(as_seed(seed)))
        v = self._states(v, "visible", "v")
        machine = self.machine
        h = machine.hidden.sample(hidden_input(machine, v), seed=hidden_seed)
        return machine.visible.sample(visible_input(machine, h), seed=visible_seed)

    def sample(
        self,
        num_samples: int,
        num_steps: int = 1000,
        *,
        start: ArrayLike | None = None,
        clamped: ArrayLike | None = None,
        progress: bool = True,
        seed: int | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Draw from the model by independent Gibbs chains, or given some of its visible units.

        They start from hidden units without fields, fair coins if binary, and need to forget
        that: compare two values of num_steps.

        Args:
            num_samples: the number of chains, of which each gives one sample.
            num_steps: the number of sweeps of each chain.
            start: visible states that the chains begin with, (num_samples, num_visible).
            clamped: visible states that the chains keep, NaN where units are free, for all
                chains, (num_visible,), or for each, (num_samples, num_visible). Without a start
                the free ones begin with the means of the training data.
            progress: whether to show a progress bar, which appears after two seconds.
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            Visible states, (num_samples, num_visible).

        Raises:
            ValueError: if one of the numbers is below 1, or start or clamped are no states of as
                many chains.

        Example:
            >>> BernoulliRBM(64, 16).sample(num_samples=5, num_steps=100, seed=0).shape
            TensorShape([5, 64])
        """
        check_counts(num_samples=num_samples)
        machine, fields = chains_of(self, num_samples, start, clamped)
        return gibbs_sample(machine, fields, num_steps, progress=progress, seed=seed)

    def build(self, input_shape: Shape) -> None:
        """Record the input shape; the parameters exist from construction."""

    def call(self, v: ArrayLike) -> tf.Tensor:
        return tf.cast(self.hidden_mean(v), self.compute_dtype)

    def _states(self, states, layer, name):
        """States of a layer, or means, as a tensor; of tensors the shape alone is checked."""
        size = self._kinds[layer].size
        if not tf.is_tensor(states) and not isinstance(states, keras.KerasTensor):
            states = self._kinds[layer].check(states, name=name, means=True)
        states = tf.cast(states, self.variable_dtype)
        if states.shape.rank != 2 or states.shape[-1] != size:
            raise ValueError(
                f"{name} must have shape (batch, {size}); got {tuple(states.shape)}. Flatten "
                "images with x.reshape(len(x), -1)."
            )
        return states

    def get_config(self) -> dict[str, Any]:
        serialized = keras.saving.serialize_keras_object
        # Keras takes objects for one by their addresses, which units made for this may share.
        return {
            **super().get_config(),
            "visible": serialized(self._kinds["visible"]),
            "hidden": serialized(self._kinds["hidden"]),
            "negative_phase": serialized(self.negative_phase),
            "gradient": self.gradient,
            "resample": self.resample,
            "unit_rate": self.unit_rate,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "max_coupling": self.max_coupling,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        parts = ("visible", "hidden", "negative_phase")
        objects = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in parts
            if key in config
        }
        return cls(**{**config, **objects})


@keras.saving.register_keras_serializable(package="rbm_tf")
class BernoulliRBM(RBM):
    """An RBM with units {0, 1} in both layers: E(v, h) = -a.v - b.h - v^T W h (B1).

    Data are (num, num_visible) in [0, 1]. All else is that of `RBM`.

    Args:
        num_visible: the number of visible units.
        num_hidden: the number of hidden units.
        **kwargs: further arguments of `RBM`, by keyword.

    Call arguments:
        v: visible states, (batch, num_visible).

    Output: p(h_j = 1 | v), (batch, num_hidden).

    Raises:
        ValueError: if a size is below 1, or at call time if data do not have num_visible columns.

    Reference: Smolensky (1986), Information processing in dynamical systems; B1 to B10.

    Example:
        >>> rbm = BernoulliRBM(64, 16, seed=0)
        >>> history = rbm.fit(np.eye(64), epochs=2, verbose=0)
        >>> rbm.free_energy(np.eye(64)).shape
        TensorShape([64])
    """

    def __init__(self, num_visible: int, num_hidden: int, **kwargs: Any) -> None:
        if num_visible < 1 or num_hidden < 1:
            raise ValueError(
                "An RBM needs at least one visible and one hidden unit; got "
                f"num_visible={num_visible}, num_hidden={num_hidden}."
            )
        super().__init__(Binary(num_visible), Binary(num_hidden), **kwargs)

    @classmethod
    def from_parameters(  # type: ignore[override]  # whose units are known
        cls, kernel: ArrayLike, visible_bias: ArrayLike, hidden_bias: ArrayLike, **kwargs: Any
    ) -> Self:
        """A model with given parameters.

        Args:
            kernel: the kernel W, (num_visible, num_hidden).
            visible_bias: the visible bias a, (num_visible,).
            hidden_bias: the hidden bias b, (num_hidden,).
            **kwargs: arguments of the class other than the sizes.

        Returns:
            `BernoulliRBM`.

        Raises:
            ValueError: if the shapes do not fit.

        Example:
            >>> rbm = BernoulliRBM.from_parameters(np.ones((3, 2)), np.zeros(3), np.zeros(2))
            >>> rbm.num_visible, rbm.num_hidden
            (3, 2)
        """
        shape = np.shape(kernel)
        if len(shape) != 2:
            raise ValueError(f"kernel must have shape (num_visible, num_hidden); got {shape}.")
        rbm = cls(*shape, **kwargs)
        rbm._assign(kernel, visible_bias, hidden_bias)
        return rbm

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["visible"], config["hidden"]
        return {**config, "num_visible": self.num_visible, "num_hidden": self.num_hidden}
