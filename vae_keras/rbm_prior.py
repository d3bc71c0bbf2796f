"""A restricted Boltzmann machine as the prior of a VAE: both free energies in one model."""

from __future__ import annotations

from typing import Any, Self

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts import Part
from vae_keras.parts.inputs import as_generator, check_event

_MAX_STATES = 2**12  # of the smaller layer, which a step of training sums


@keras.saving.register_keras_serializable(package="vae_keras")
class RBMPrior(Part):
    """p(z) = exp(-F_c(z)) / Z of the visible units of an RBM, for a VAE with bits as latents.

    F_c(z) = -a.z - sum_j ln(1 + exp(b_j + (z W)_j)) is the clamped free energy, and ln Z the
    equilibrium one with its sign turned. ln p(x) of the model is then a difference of free
    energies twice over (Rolfe's discrete VAE without his smoothing): train it by an objective that
    needs no path, such as `VIMCO` or `ThermodynamicObjective`.

    ln Z and its gradient, <v>, <h> and <v h^T>, are exact as long as the smaller layer has at most
    12 units. Above that `FollowRBM` keeps them: the averages from chains after every batch, ln Z
    by annealing after every epoch.

    Args:
        rbm: a `rbm_tf.BernoulliRBM` with one visible unit for each latent bit.
        num_chains: the number of chains of `FollowRBM`.
        num_sweeps: the number of Gibbs sweeps that a draw of z takes from random bits.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: None, to the methods; it has parameters of its own.

    Output: bits as float32, (rows, num_visible), and their log-probability, (rows,), nats.

    Raises:
        ValueError: if Keras does not run on TensorFlow, or a number is below 1.

    Reference: Rolfe (2017), Discrete variational autoencoders; B5.

    Example:
        >>> from rbm_tf import BernoulliRBM
        >>> prior = RBMPrior(BernoulliRBM(3, 2, seed=0))
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
        rbm: keras.Model,
        *,
        num_chains: int = 100,
        num_sweeps: int = 100,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        check_counts(num_chains=num_chains, num_sweeps=num_sweeps)
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"RBMPrior needs TensorFlow, but Keras runs on {keras.backend.backend()}: set "
                "KERAS_BACKEND=tensorflow before Keras is imported."
            )
        self.rbm, self.num_chains, self.num_sweeps = rbm, num_chains, num_sweeps
        n, m = rbm.kernel.shape
        self.is_exact = 2 ** min(n, m) <= _MAX_STATES
        if not self.is_exact:
            shapes = {"log_z": (), "visible": (n,), "hidden": (m,), "correlation": (n, m)}
            shapes["chains"] = (num_chains, n)
            self.kept = {
                name: self.add_weight(shape, "zeros", trainable=False, name=name)
                for name, shape in shapes.items()
            }
            self.follow(num_sweeps, anneal=True)

    def _averages(self):
        """ln Z, <v>, <h> and <v h^T>, float32."""
        if not self.is_exact:
            return [ops.convert_to_tensor(w) for w in self.kept.values()][:4]
        from rbm_tf.enumeration import moments_in_graph

        log_z, moments = moments_in_graph(self.rbm)
        return [ops.cast(ops.stop_gradient(a), "float32") for a in (log_z, *moments[:3])]

    def log_z(self) -> Tensor:
        """ln Z, a scalar in nats, with its gradient by the RBM's parameters."""
        value, *slopes = self._averages()
        rbm = self.rbm
        for slope, parameter in zip(
            slopes, (rbm.visible_bias, rbm.hidden_bias, rbm.kernel), strict=True
        ):
            parameter = ops.convert_to_tensor(parameter)
            value = value + ops.sum(slope * (parameter - ops.stop_gradient(parameter)))
        return value

    def follow(self, num_sweeps: int = 5, *, anneal: bool = False) -> None:
        """Renew the averages from chains that go on, and on demand ln Z.

        Args:
            num_sweeps: the number of Gibbs sweeps.
            anneal: whether to anneal ln Z anew, with 1,000 temperatures.
        """
        if self.is_exact:
            return
        num, start = self.num_chains, self.kept["chains"]
        seed = _seed(self.seed_generator)
        chains = self.rbm.sample(num, num_sweeps, start=start, progress=False, seed=seed)
        hidden = self.rbm.hidden_mean(chains)
        self.kept["chains"].assign(chains)
        self.kept["visible"].assign(ops.mean(chains, axis=0))
        self.kept["hidden"].assign(ops.mean(hidden, axis=0))
        self.kept["correlation"].assign(ops.matmul(ops.transpose(chains), hidden) / len(chains))
        if anneal:
            import numpy as np

            from rbm_tf.annealing import ais

            betas = np.linspace(0.0, 1.0, 1001)
            seed = _seed(self.seed_generator)
            estimate = ais(self.rbm, num_chains=num, betas=betas, progress=False, seed=seed)
            self.kept["log_z"].assign(estimate.log_z)

    def noise(self, statistics: Any, rows: Any, seed: Any) -> tuple[Tensor, Tensor]:
        seed, num_hidden = as_generator(seed), self.rbm.kernel.shape[1]
        start = keras.random.uniform((rows, num_hidden), dtype="float32", seed=seed)
        return start, keras.random.randint((1, 2), 0, 2**31 - 1, dtype="int32", seed=seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Tensor, Tensor]:
        from rbm_tf.gibbs import gibbs_chain
        from rbm_tf.machine import machine_of

        hidden = ops.cast(noise[0] < 0.5, "float32")
        sweeps = ops.convert_to_tensor([0, self.num_sweeps], "int32")
        value = gibbs_chain(machine_of(self.rbm), hidden, sweeps[0], sweeps[1], noise[1][0])[0]
        return value, self.log_prob(statistics, value)

    def log_prob(self, statistics: Any, value: Tensor) -> Tensor:
        from rbm_tf.machine import clamped_free_energy, machine_of

        check_event(self, value, (self.rbm.kernel.shape[0],))
        return -clamped_free_energy(machine_of(self.rbm), ops.cast(value, "float32")) - self.log_z()

    def resolve(self, statistics: Any, rows: Any) -> Any:
        return {}

    def shapes(self, event: Shape) -> Shapes:
        return None

    def get_config(self) -> dict[str, Any]:
        own = {"rbm": keras.saving.serialize_keras_object(self.rbm)}
        own |= {"num_chains": self.num_chains, "num_sweeps": self.num_sweeps}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "rbm": keras.saving.deserialize_keras_object(config["rbm"])})


class FollowRBM(keras.callbacks.Callback):
    """Keeps the averages and ln Z of a large `RBMPrior` while a VAE trains.

    Args:
        prior: the `RBMPrior`.
        num_sweeps: the number of Gibbs sweeps after each batch.

    Reference: Tieleman (2008), Training restricted Boltzmann machines using approximations to the
    likelihood gradient (chains that go on).

    Example:
        >>> from rbm_tf import BernoulliRBM
        >>> callback = FollowRBM(RBMPrior(BernoulliRBM(3, 2, seed=0)))
    """

    def __init__(self, prior: RBMPrior, *, num_sweeps: int = 5) -> None:
        super().__init__()
        check_counts(num_sweeps=num_sweeps)
        self.prior, self.num_sweeps = prior, num_sweeps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.prior.follow(self.num_sweeps)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.prior.follow(self.num_sweeps, anneal=True)


def _seed(generator):
    return ops.convert_to_numpy(generator.next())
