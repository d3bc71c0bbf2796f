"""The restricted Boltzmann machine with binary units, as a Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.gibbs import gibbs_chain, sample_bernoulli
from rbm_tf.machine import (
    Machine,
    clamped_free_energy,
    energy,
    hidden_input,
    machine_of,
    visible_input,
)
from rbm_tf.shared.arrays import visible_states
from rbm_tf.shared.carriers import is_carrier
from rbm_tf.shared.checked_fit import CheckedFit
from rbm_tf.shared.checkpoints import WholeFiles
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.mean_over_batch import MeanOverBatch
from rbm_tf.shared.progress import in_parts
from rbm_tf.shared.seeds import LIMIT, as_seed, integer_seed
from rbm_tf.shared.types import ArrayLike, Data, Shape
from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.negative_phase import ModelStates, PersistentContrastiveDivergence

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"rbm_tf needs Keras on TensorFlow, and Keras runs on {keras.backend.backend()}. Set the "
        "environment variable KERAS_BACKEND=tensorflow before Python starts."
    )

_HIDDEN_OFFSET_RATE = 0.01  # of the running mean that centres the hidden units
_RESAMPLING = 7  # sets the seed of the data's draw apart from the chains'


@keras.saving.register_keras_serializable(package="rbm_tf")
class BernoulliRBM(CheckedFit, WholeFiles, keras.Model):
    """A restricted Boltzmann machine with units {0, 1} in both layers.

    E(v, h) = -a.v - b.h - v^T W h and p(v, h) = exp(-E(v, h)) / Z (B1, B3). Its parameters exist
    from construction: `kernel` W (num_visible, num_hidden), `visible_bias` a and `hidden_bias` b.
    It is a Keras model: `fit(data)` trains it, `call(v)` returns the hidden units' means (a feature
    layer), and it saves, loads and exports as any other. It comes compiled with plain SGD at a
    learning rate of 0.05; `compile(optimizer)` changes that and takes no loss.

    The loss is the free-energy gap F_c(data) - F_c(samples of the model), whose gradient is that of
    -ln p(v) (B8, B9); its value is not a likelihood. Data are (num, num_visible) in [0, 1].
    The first `fit` calls `adapt`.

    Args:
        num_visible: the number of visible units.
        num_hidden: the number of hidden units.
        negative_phase: a layer of `rbm_tf.training.negative_phase`; the default is persistent
            contrastive divergence with 100 chains.
        centered: whether to subtract offsets from both layers in the gradient, which conditions it
            better and leaves its fixed points alone. It is a direction for SGD, with or without
            momentum; optimizers that rescale each parameter, such as Adam, get the plain gradient.
        resample: whether to draw binary visible states anew from grey levels at every step, in
            place of taking data as they are.
        seed: integer that fixes the initial kernel and the default negative phase.

    Call arguments:
        v: visible states, (batch, num_visible).

    Output: p(h_j = 1 | v), (batch, num_hidden).

    Raises:
        ValueError: if a size is below 1, or at call time if data do not have num_visible columns.

    Reference: Smolensky (1986); Hinton (2012), A practical guide to training RBMs; for the centred
    gradient Melchior, Fischer and Wiskott (2016), JMLR 17(99). Rows B1 to B10.

    Example:
        >>> rbm = BernoulliRBM(64, 16, seed=0)
        >>> history = rbm.fit(np.eye(64), epochs=2, verbose=0)
        >>> rbm.free_energy(np.eye(64)).shape
        TensorShape([64])
    """

    def __init__(
        self,
        num_visible: int,
        num_hidden: int,
        *,
        negative_phase: keras.layers.Layer | None = None,
        centered: bool = True,
        resample: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_visible < 1 or num_hidden < 1:
            raise ValueError(
                "An RBM needs at least one visible and one hidden unit; got "
                f"num_visible={num_visible}, num_hidden={num_hidden}."
            )
        self.num_visible, self.num_hidden = num_visible, num_hidden
        self.centered, self.resample, self.seed = (
            centered,
            resample,
            integer_seed(seed, limit=LIMIT),
        )
        self.negative_phase = negative_phase or PersistentContrastiveDivergence(seed=self.seed)
        self._gap_to_loss = MeanOverBatch(name="mean", dtype=self.variable_dtype)
        self._free_energy_tracker = keras.metrics.Mean(name="free_energy")
        self._add_parameters()
        self(tf.zeros((1, num_visible)))  # export needs a model that has been called
        self.supports_jit = bool(tf.config.list_physical_devices("GPU"))  # XLA is slow on CPUs
        self.compile(optimizer=keras.optimizers.SGD(0.05))
        self.optimizer.build(self.trainable_variables)  # so that an untrained model saves whole

    def _add_parameters(self):
        def add(name, shape, initializer, trainable):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                trainable=trainable,
                autocast=False,  # free energies are sums of thousands of terms
            )

        normal = keras.initializers.RandomNormal(stddev=0.01, seed=self.seed)
        half = keras.initializers.Constant(0.5)
        visible, hidden = (self.num_visible,), (self.num_hidden,)
        self.kernel = add("kernel", visible + hidden, normal, trainable=True)
        self.visible_bias = add("visible_bias", visible, "zeros", trainable=True)
        self.hidden_bias = add("hidden_bias", hidden, "zeros", trainable=True)
        self.visible_offset = add("visible_offset", visible, half, trainable=False)
        self.hidden_offset = add("hidden_offset", hidden, half, trainable=False)
        self._adapted = add("adapted", (), "zeros", trainable=False)
        self._epoch = self.add_weight(
            name="epoch", dtype="int32", initializer="zeros", trainable=False
        )
        if not self.negative_phase.built:  # loading a model builds it first
            self.negative_phase.build((self.num_visible, self.num_hidden))

    @classmethod
    def from_parameters(
        cls, kernel: ArrayLike, visible_bias: ArrayLike, hidden_bias: ArrayLike, **kwargs: Any
    ) -> BernoulliRBM:
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
        parameters = (kernel, visible_bias, hidden_bias)
        lists = (list, tuple)  # whose numbers are float64, and would lose digits as a tensor
        machine = machine_of(
            Machine(*(np.asarray(x) if isinstance(x, lists) else x for x in parameters))
        )
        rbm = cls(machine.num_visible, machine.num_hidden, **kwargs)
        for variable, value in zip(
            (rbm.kernel, rbm.visible_bias, rbm.hidden_bias), machine, strict=True
        ):
            variable.assign(value)
        return rbm

    @property
    def machine(self) -> Machine:
        """The value: the kernel in the compute dtype, the biases in their own."""
        kernel, *biases = (
            tf.convert_to_tensor(x.value)
            for x in (self.kernel, self.visible_bias, self.hidden_bias)
        )
        return Machine(tf.cast(kernel, self.compute_dtype), *biases)

    def energy(self, v: ArrayLike, h: ArrayLike) -> tf.Tensor:
        """E(v, h) = -a.v - b.h - v^T W h (B1).

        Args:
            v: visible states, (batch, num_visible).
            h: hidden states, (batch, num_hidden).

        Returns:
            (batch,), nats.

        Example:
            >>> float(BernoulliRBM(2, 1).energy([[0.0, 0.0]], [[0.0]])[0])
            -0.0
        """
        v = self._states(v, self.num_visible, "v")
        h = self._states(h, self.num_hidden, "h")
        return energy(self.machine, v, h)

    def free_energy(self, v: ArrayLike) -> tf.Tensor:
        """The clamped free energy F_c(v) = -a.v - sum_j softplus(b_j + (v W)_j) (B5).

        Args:
            v: visible states, (batch, num_visible).

        Returns:
            (batch,), nats; ln p(v) = -F_c(v) - ln Z.

        Example:
            >>> float(BernoulliRBM(2, 1).free_energy([[0.0, 0.0]])[0])  # -ln 2
            -0.6931471824645996
        """
        v = self._states(v, self.num_visible, "v")
        return clamped_free_energy(self.machine, v)

    def hidden_mean(self, v: ArrayLike) -> tf.Tensor:
        """p(h_j = 1 | v) = sigmoid(b_j + (v W)_j).

        Args:
            v: visible states, (batch, num_visible).

        Returns:
            (batch, num_hidden).
        """
        return tf.sigmoid(hidden_input(self.machine, self._states(v, self.num_visible, "v")))

    def visible_mean(self, h: ArrayLike) -> tf.Tensor:
        """p(v_i = 1 | h) = sigmoid(a_i + (W h)_i).

        Args:
            h: hidden states, (batch, num_hidden).

        Returns:
            (batch, num_visible).
        """
        return tf.sigmoid(visible_input(self.machine, self._states(h, self.num_hidden, "h")))

    def gibbs_step(self, v: ArrayLike, *, seed: int | tf.Tensor | None = None) -> tf.Tensor:
        """One sweep v -> h -> v' of block Gibbs sampling, which leaves p(v) as it is.

        Args:
            v: visible states, (batch, num_visible).
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            Visible states, (batch, num_visible).
        """
        hidden_seed, visible_seed = tf.unstack(tf.random.split(as_seed(seed)))
        v = self._states(v, self.num_visible, "v")
        h = sample_bernoulli(hidden_input(self.machine, v), hidden_seed)
        return sample_bernoulli(visible_input(self.machine, h), visible_seed)

    def sample(
        self,
        num_samples: int,
        num_steps: int = 1000,
        *,
        progress: bool = True,
        seed: int | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Draw from the model by independent Gibbs chains that start from fair coins.

        The chains need to forget their start: compare two values of num_steps.

        Args:
            num_samples: the number of chains, of which each gives one sample.
            num_steps: the number of sweeps of each chain.
            progress: whether to show a progress bar, which appears after two seconds.
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            Visible states, (num_samples, num_visible).

        Raises:
            ValueError: if one of the numbers is below 1.

        Example:
            >>> BernoulliRBM(64, 16).sample(num_samples=5, num_steps=100, seed=0).shape
            TensorShape([5, 64])
        """
        check_counts(num_samples=num_samples, num_steps=num_steps)
        start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
        start = tf.zeros((num_samples, self.num_hidden), self.variable_dtype)
        hidden = sample_bernoulli(start, start_seed)
        for part in in_parts(num_steps, "sampling", progress):
            v, _, hidden = gibbs_chain(self.machine, hidden, *map(tf.constant, part), chain_seed)
        return v

    def build(self, input_shape: Shape) -> None:
        """Record the input shape; the parameters exist from construction."""

    def call(self, v: ArrayLike) -> tf.Tensor:
        return tf.cast(self.hidden_mean(v), self.compute_dtype)

    def adapt(self, data: Data) -> None:
        """Set what the data alone decide: the visible offset and, while it is 0, the visible bias.

        The offset becomes the mean of each pixel, the bias its log-odds with one 0 and one 1
        added to the data, so that a pixel that never changes stays finite. `fit` calls it once,
        with the data of its first epoch; of a generator it sees the first batch.

        Args:
            data: array (num, num_visible) in [0, 1], or batches of it, which must end: a
                `tf.data.Dataset`, a `keras.utils.PyDataset`, a `DataLoader` or an iterator.

        Raises:
            ValueError: if the data have another width, leave [0, 1] or hold no example.
        """
        batches = data if is_carrier(data) else [(data,)]
        total, count = np.zeros(self.num_visible), 0
        for batch in batches:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            (v,), _ = self._taken(self._inputs(x, y))  # (batch, num_visible)
            total, count = total + v.sum(0, dtype=float), count + len(v)
        if not count:
            raise ValueError("There are no data: the data set holds no batch.")
        self.visible_offset.assign(total / count)
        if not np.any(self.visible_bias):
            self.visible_bias.assign(np.log(total + 1) - np.log(count - total + 1))
        self._adapted.assign(1.0)

    def fit(  # type: ignore[override]  # the other options by keyword
        self,
        x: Data = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train on data, as `keras.Model.fit` and with its arguments; y is not used.

        Raises:
            ValueError: if the data have another width or leave [0, 1], or an option does not fit.
        """
        counter = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self._epoch.assign_add(1)
        )
        callbacks = self._with(counter, callbacks)  # counted before a backup is made
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def _check(self, v):
        visible_states(v, "Data", self.num_visible)

    def _look_at(self, data):
        if not self._adapted.numpy():
            self.adapt(data)

    def _order(self, num, index):
        epoch = tf.cast(self._epoch.value if index is None else index, tf.int64)
        key = tf.stack([tf.cast(self.negative_phase.random_state.value[0], tf.int64), epoch])
        rows = tf.range(num, dtype=tf.int64)
        return tf.random.experimental.index_shuffle(rows, key, num - 1).numpy()

    def compute_loss(
        self,
        x: tf.Tensor = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The mean free-energy gap of a batch, nats; training moves chains and offsets on."""
        v = self._states(x, self.num_visible, "x")
        if self.resample:
            seed = tf.random.fold_in(self.negative_phase.random_state.value, _RESAMPLING)
            v = tf.cast(tf.random.stateless_uniform(tf.shape(v), seed, dtype=v.dtype) < v, v.dtype)
        machine = self.machine
        data = ModelStates.of(v, hidden_input(machine, v))
        model = self.negative_phase(machine, data.hidden_input, training=training)
        gap, free_energy = self._free_energy_gap(data, model)
        self._free_energy_tracker.update_state(free_energy, sample_weight)
        if training:
            hidden = (data.hidden, model.hidden)
            mean = sum(tf.reduce_mean(tf.reshape(h, (-1, self.num_hidden)), 0) for h in hidden) / 2
            step = _HIDDEN_OFFSET_RATE * (mean - self.hidden_offset)
            self.hidden_offset.assign_add(step)
        return self._with_added_losses(self._gap_to_loss(gap, gap, sample_weight))

    def _free_energy_gap(self, data, model):
        machine = Machine(self.kernel.value, self.visible_bias.value, self.hidden_bias.value)
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)  # of mixed_float16
        centered = float(self.centered and isinstance(optimizer, keras.optimizers.SGD))
        offsets = self.visible_offset * centered, self.hidden_offset * centered
        return free_energy_gap(machine, data, model, offsets, self.compute_dtype)

    def _states(self, states, size, name):
        states = tf.cast(states, self.variable_dtype)
        if states.shape.rank != 2 or states.shape[-1] != size:
            raise ValueError(
                f"{name} must have shape (batch, {size}); got {tuple(states.shape)}. Flatten "
                "images with x.reshape(len(x), -1)."
            )
        return states

    def get_config(self) -> dict[str, Any]:
        phase = keras.saving.serialize_keras_object(self.negative_phase)
        return {
            **super().get_config(),
            "num_visible": self.num_visible,
            "num_hidden": self.num_hidden,
            "negative_phase": phase,
            "centered": self.centered,
            "resample": self.resample,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BernoulliRBM:
        phase = keras.saving.deserialize_keras_object(config["negative_phase"])
        return cls(**{**config, "negative_phase": phase})
