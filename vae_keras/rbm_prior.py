"""A restricted Boltzmann machine as the prior of a VAE: both free energies in one model."""

from __future__ import annotations

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts import Part
from vae_keras.parts.inputs import as_generator, change_of, check_event, check_tensorflow

_MAX_STATES = 2**12  # of the smaller layer, which a step of training sums
_AVERAGES = "visible", "hidden", "correlation"  # the slopes of ln Z


@keras.saving.register_keras_serializable(package="vae_keras")
class RBMPrior(Part):
    """p(z) = exp(-F_c(z)) / Z of the visible units of an RBM, for a VAE with bits as latents.

    F_c(z) = -a.z - sum_j ln(1 + exp(b_j + (z W)_j)) is the clamped free energy, and ln Z the
    equilibrium one with its sign turned. ln p(x) of the model is then a difference of free
    energies twice over (Rolfe's discrete VAE without his smoothing): train it by an objective that
    needs no path, such as `VIMCO` or `ThermodynamicObjective`.

    ln Z and its gradient, <v>, <h> and <v h^T>, are exact as long as the smaller layer has at most
    12 units. Above that they are kept with the parameters that they belong to: `FollowRBM`, which
    a VAE adds to its `fit` by itself, takes the averages from chains after every batch and anneals
    ln Z before validation and after every epoch. Whatever evaluates a model anneals ln Z first, if
    the parameters have moved since. In a graph of your own call `renew` before it.

    Args:
        num_visible: the number of visible units, one for each latent bit.
        num_hidden: the number of hidden units.
        num_chains: the number of chains of `FollowRBM`.
        num_sweeps: the number of Gibbs sweeps that a draw of z takes from random bits.
        seed: integer that fixes the initial kernel, the chains and the draws of the layer's own
            calls; None gives others every time.

    Call arguments:
        statistics: None, to the methods; it has parameters of its own.

    Output: bits as float32, (rows, num_visible), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if Keras does not run on TensorFlow, or a number is below 1.

    Reference: Rolfe (2017), Discrete variational autoencoders; B5 and, in the bound, B58.

    Example:
        >>> prior = RBMPrior(3, 2, seed=0)
        >>> bits = ops.convert_to_tensor(list(np.ndindex(2, 2, 2)), "float32")
        >>> round(float(ops.sum(ops.exp(prior.log_prob(None, bits)))), 5)
        1.0
    """

    space = "discrete"
    has_path = False
    has_mean = False
    is_unconditional = True

    def __init__(
        self,
        num_visible: int,
        num_hidden: int,
        *,
        num_chains: int = 100,
        num_sweeps: int = 100,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        check_counts(num_visible=num_visible, num_hidden=num_hidden)
        check_counts(num_chains=num_chains, num_sweeps=num_sweeps)
        check_tensorflow(self)
        self.num_visible, self.num_hidden = n, m = num_visible, num_hidden
        self.num_chains, self.num_sweeps = num_chains, num_sweeps
        begin = keras.initializers.RandomNormal(0.0, 0.01, self.seed)
        self.kernel = self.add_weight((n, m), begin, name="kernel")
        self.visible_bias = self.add_weight((n,), "zeros", name="visible_bias")
        self.hidden_bias = self.add_weight((m,), "zeros", name="hidden_bias")
        self.is_exact = 2 ** min(n, m) <= _MAX_STATES
        if not self.is_exact:
            averages = {"visible": (n,), "hidden": (m,), "correlation": (n, m)}
            places = {f"at_{name}": shape for name, shape in averages.items()}  # of the parameters
            others = {"chains": (num_chains, m), "moved": (), **places}
            self.kept = {
                name: self.add_weight(shape, "zeros", trainable=False, name=name)
                for name, shape in {"log_z": (), **averages, **others}.items()
            }
            self.follow(num_sweeps, anneal=True)

    @classmethod
    def from_rbm(cls, rbm: Any, **options: Any) -> Self:
        """The prior that a trained machine is.

        Args:
            rbm: a `rbm_tf.BernoulliRBM`, or anything else with its parameters.
            **options: num_chains, num_sweeps and seed.

        Example:
            >>> from rbm_tf import BernoulliRBM
            >>> RBMPrior.from_rbm(BernoulliRBM(3, 2, seed=0)).num_hidden
            2
        """
        from rbm_tf.machine import machine_of

        machine = machine_of(rbm)
        prior = cls(*machine.kernel.shape, **options)
        prior.kernel.assign(machine.kernel)
        prior.visible_bias.assign(machine.visible_bias)
        prior.hidden_bias.assign(machine.hidden_bias)
        prior.follow(prior.num_sweeps, anneal=True)
        return prior

    @property
    def machine(self) -> Any:
        """The `rbm_tf.Machine` of the present parameters, which every function of rbm_tf takes."""
        from rbm_tf.machine import Machine

        parameters = self.kernel, self.visible_bias, self.hidden_bias
        return Machine(*(ops.convert_to_tensor(w) for w in parameters))

    @property
    def _parameters(self):
        """Each in the place of the average that is the slope of ln Z by it."""
        return self.visible_bias, self.hidden_bias, self.kernel

    def _averages(self):
        """ln Z, <v>, <h> and <v h^T>, float32."""
        if not self.is_exact:
            return [ops.convert_to_tensor(w) for w in self.kept.values()][:4]
        from rbm_tf.enumeration import moments_in_graph

        log_z, moments = moments_in_graph(self.machine)
        return [ops.cast(ops.stop_gradient(a), "float32") for a in (log_z, *moments[:3])]

    def _changes(self):
        """How far the parameters are from where the averages belong, which may be nowhere."""
        if self.is_exact:
            return [change_of(ops.convert_to_tensor(w)) for w in self._parameters]
        places = (self.kept[f"at_{name}"] for name in _AVERAGES)
        pairs = zip(self._parameters, places, strict=True)
        return [ops.convert_to_tensor(w) - ops.convert_to_tensor(place) for w, place in pairs]

    def log_z(self) -> Tensor:
        """ln Z, a scalar in nats, with its gradient by the RBM's parameters.

        Of a large machine it is the one kept, which is annealed anew if the parameters are others;
        within a graph, where nothing is annealed, it goes on along its slopes.
        """
        if self._keeps_now() and self._is_elsewhere():
            self.renew()
        value, *slopes = self._averages()
        for slope, change in zip(slopes, self._changes(), strict=True):
            value = value + ops.sum(slope * change)
        return value

    def _keeps_now(self):
        """Whether there are averages to keep, and no graph is being traced."""
        import tensorflow as tf

        return not self.is_exact and tf.executing_eagerly()

    def _is_elsewhere(self):
        return any(np.any(ops.convert_to_numpy(change)) for change in self._changes())

    def renew(self) -> None:
        """Anneal ln Z and renew the averages if the parameters have moved since; else nothing."""
        if self._keeps_now() and (self._is_elsewhere() or float(self.kept["moved"]) > 0):
            self.follow(self.num_sweeps, anneal=True)

    def follow(self, num_sweeps: int = 5, *, anneal: bool = False) -> None:
        """Renew the averages from chains that go on, and on demand ln Z.

        Without annealing ln Z moves by the mean of the old and the new averages times the change
        of the parameters, which is thermodynamic integration from step to step.

        Args:
            num_sweeps: the number of Gibbs sweeps.
            anneal: whether to anneal ln Z anew, with 1,000 temperatures.
        """
        if self.is_exact:
            return
        from rbm_tf.machine import Machine

        kept, before = self.kept, self._averages()[1:]
        changes = [ops.stop_gradient(change) for change in self._changes()]
        visible, hidden, kernel = map(ops.convert_to_numpy, self._parameters)  # no tape watches
        machine = Machine(*map(ops.convert_to_tensor, (kernel, visible, hidden)))
        v, inputs, states = self._swept(machine, kept["chains"].value, num_sweeps, self._seed())
        means = ops.sigmoid(inputs)
        correlation = ops.matmul(ops.transpose(v), means) / self.num_chains
        averages = ops.mean(v, axis=0), ops.mean(means, axis=0), correlation
        triples = zip(before, averages, changes, strict=True)
        move = sum(ops.sum((old + new) / 2 * change) for old, new, change in triples)
        for name, average, w in zip(_AVERAGES, averages, self._parameters, strict=True):
            kept[name].assign(average)
            kept[f"at_{name}"].assign(w)
        kept["chains"].assign(states)
        kept["log_z"].assign_add(move)
        kept["moved"].assign_add(sum(ops.sum(ops.abs(change)) for change in changes))
        if anneal:
            from rbm_tf.annealing import ais

            base = ops.convert_to_numpy(ops.clip(averages[0], 0.05, 0.95))  # of independent bits
            options = {"base": base, "progress": False, "seed": self._seed()}
            kept["log_z"].assign(ais(machine, num_chains=self.num_chains, **options).log_z)
            kept["moved"].assign(0.0)

    def _seed(self):
        return ops.convert_to_tensor(self.seed_generator.next(), "int32")

    def _swept(self, machine, hidden, num_sweeps, seed):
        """Visible states, what hidden units feel of them, and hidden states."""
        from rbm_tf.gibbs import gibbs_chain

        sweeps = ops.convert_to_tensor([0, num_sweeps], "int32")
        return gibbs_chain(machine, hidden, sweeps[0], sweeps[1], seed)

    def noise(self, statistics: Any, rows: Any, seed: Any) -> tuple[Tensor, Tensor]:
        seed = as_generator(seed)
        start = keras.random.uniform((rows, self.num_hidden), dtype="float32", seed=seed)
        return start, keras.random.randint((1, 2), 0, 2**31 - 1, dtype="int32", seed=seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Tensor, Tensor]:
        hidden = ops.cast(noise[0] < 0.5, "float32")
        value = self._swept(self.machine, hidden, self.num_sweeps, noise[1][0])[0]
        return value, self.log_prob(statistics, value)

    def log_prob(self, statistics: Any, value: Tensor) -> Tensor:
        from rbm_tf.machine import clamped_free_energy

        check_event(self, value, (self.num_visible,))
        return -clamped_free_energy(self.machine, ops.cast(value, "float32")) - self.log_z()

    def resolve(self, statistics: Any, rows: Any) -> Any:
        return {}

    def shapes(self, event: Shape) -> Shapes:
        return None

    def get_config(self) -> dict[str, Any]:
        names = ("num_visible", "num_hidden", "num_chains", "num_sweeps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class FollowRBM(keras.callbacks.Callback):
    """Keeps the averages and ln Z of a large `RBMPrior` while a model trains.

    A VAE's `fit` adds it for each large prior that has none, and calls it before other callbacks,
    so that what they save, compare and restore is of one moment.

    Args:
        prior: the `RBMPrior`.
        num_sweeps: the number of Gibbs sweeps after each batch.

    Reference: Tieleman (2008), Training restricted Boltzmann machines using approximations to the
    likelihood gradient (chains that go on).

    Example:
        >>> callback = FollowRBM(RBMPrior(3, 2, seed=0))
    """

    def __init__(self, prior: RBMPrior, *, num_sweeps: int = 5) -> None:
        super().__init__()
        check_counts(num_sweeps=num_sweeps)
        self.prior, self.num_sweeps = prior, num_sweeps

    def on_train_begin(self, logs: Any = None) -> None:
        self.prior.renew()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.prior.follow(self.num_sweeps)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.prior.renew()  # here: other callbacks may bring averaged weights as a test begins

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.prior.renew()
