"""What `test_replicas.py` looks at: RBMs on one device and on two, in a process that has two."""

# ruff: noqa: E402  # there are two devices only if that is said before TensorFlow starts

import json
import sys

import tensorflow as tf

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
import numpy as np

from rbm_tf import enumeration, units
from rbm_tf.annealing import ais, log_z_ratio, reverse_ais
from rbm_tf.machine import hidden_input
from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.shared.replicas import _OWN
from rbm_tf.training.coordinates import Coordinates
from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    ExactPhase,
    MeanFieldPhase,
    ModelStates,
    ParallelTempering,
    PersistentContrastiveDivergence,
)

STRATEGIES = {
    "one": tf.distribute.get_strategy(),
    "two": tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]),
}
RNG = np.random.default_rng(0)
BITS = (RNG.random((29, 6)) < 0.3) * 1.0  # batches of 7: shares of 4 and 3, at last of 1 and none
REALS = RNG.normal([0.0, 1.0, -2.0], [1.0, 0.5, 2.0], (29, 3))
WEIGHTS = RNG.random(29) * 2


class Steps(keras.callbacks.Callback):
    """The weights after every step."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        flat = [np.ravel(w) for w in self.model.get_weights()]
        self.seen.append(np.concatenate(flat).tolist())


def deterministic():
    """Training without draws, step by step."""
    layers = {
        "binary": (units.Binary(6), units.Binary(4)),
        "potts": (units.Potts(2, 3), units.Binary(3)),
        "gaussian": (units.Gaussian(3), units.Gaussian(2)),
    }
    codes = np.eye(3)[RNG.integers(3, size=(29, 2))].reshape(29, 6)
    data = {"binary": BITS, "potts": codes, "gaussian": REALS}
    runs = {
        "exact": ("binary", {"negative_phase": ExactPhase(), "kernel_regularizer": "l2"}),
        "gauge": ("potts", {"negative_phase": ExactPhase(), "gradient": "plain"}),
        "precisions": (
            "gaussian",
            {"negative_phase": ExactPhase(), "gradient": "standardized", "unit_rate": 0.1},
        ),
        "tap": ("binary", {"negative_phase": MeanFieldPhase(num_chains=4, seed=1)}),
    }
    for run, (kind, options) in runs.items():
        for name, strategy in STRATEGIES.items():
            phase = options["negative_phase"]
            phase = type(phase).from_config({**phase.get_config(), "dtype": "float64"})
            with strategy.scope():
                rbm = RBM(
                    *layers[kind], **{**options, "negative_phase": phase}, dtype="float64", seed=0
                )
                rbm.compile(keras.optimizers.SGD(0.1))
            steps = Steps()
            fit = {"batch_size": 7, "epochs": 2, "verbose": 0, "callbacks": [steps]}
            history = rbm.fit(data[kind], sample_weight=WEIGHTS, **fit).history
            evaluated = rbm.evaluate(data[kind], batch_size=8, verbose=0)
            yield f"{run} {name}", [history["loss"], steps.seen, evaluated]


def states_of(phase, machine, hidden, start):
    """What two replicas drew, on one device: the states, each with the draws of its replica."""
    parts = []
    for replica in range(2):
        seed = tf.random.fold_in(tf.constant([phase.seed, 0]), _OWN + replica)
        if start is not None:
            seed, start_seed = tf.unstack(tf.random.split(seed))
            mine = machine.hidden.sample(start[replica], seed=start_seed)
        else:
            mine = hidden[replica * 5 : (replica + 1) * 5]
        parts.append(phase.walk(machine, mine, seed)[0])
    return ModelStates(*(tf.concat(part, 0) for part in zip(*parts, strict=True)))


def sampled():
    """One step of each phase that draws: what it did, and the gradient with the same states."""
    phases = {
        "cd": lambda: ContrastiveDivergence(2, seed=3),
        "pcd": lambda: PersistentContrastiveDivergence(10, num_steps=2, seed=3),
        "tempering": lambda: ParallelTempering(3, num_chains=10, seed=3),
    }
    x = tf.constant(BITS[:7])
    for name, make in phases.items():
        with STRATEGIES["two"].scope():
            rbm = BernoulliRBM(6, 4, negative_phase=make(), dtype="float64", seed=0)
            rbm.compile(keras.optimizers.SGD(1.0))
        phase = rbm.negative_phase
        rbm.adapt(x.numpy())
        before, machine = rbm.get_weights(), rbm.machine
        offsets = rbm.visible_offset.numpy(), rbm.hidden_offset.numpy()
        data = ModelStates.of(machine, x, hidden_input(machine, x))
        if name == "tempering":
            rbm.fit(x, batch_size=7, shuffle=False, verbose=0)
            v = tf.cast(phase.chains.numpy()[-1], "float64")
            model = ModelStates.of(machine, v, hidden_input(machine, v))
        else:
            start = (data.hidden_input[:4], data.hidden_input[4:]) if name == "cd" else None
            hidden = None if name == "cd" else tf.cast(phase.chains.numpy(), "float64")
            model = states_of(phase, machine, hidden, start)
            rbm.fit(x, batch_size=7, shuffle=False, verbose=0)
        with tf.GradientTape() as tape:
            tape.watch(machine)
            coordinates = Coordinates(tuple(map(tf.constant, offsets)))
            gap, _ = free_energy_gap(machine, data, model, coordinates, "float64")
            loss = tf.reduce_mean(gap)
        expected = tape.gradient(loss, machine).parameters
        found = [old - new.numpy() for old, new in zip(before, rbm.trainable_weights, strict=False)]
        mean = (tf.reduce_mean(data.hidden, 0) + tf.reduce_mean(model.hidden, 0)) / 2
        step = 0.01 * (mean - offsets[1])
        found.append(rbm.hidden_offset.numpy() - offsets[1])
        yield name, [[np.ravel(a).tolist() for a in side] for side in (found, [*expected, step])]


def fixed_point():
    """Training towards a machine whose probabilities weigh the data, and a step at its parameters.

    KL(p || model) in the beginning and in the end; what one step of PCD changes where the exact
    gradient is zero, and the chains after it, of which each replica moved a half.
    """
    rng = np.random.default_rng(0)
    goal = rng.normal(size=(4, 2)), rng.normal(size=4), rng.normal(size=2)
    goal = [value.astype("float32") for value in goal]
    x = ((np.arange(16)[:, None] >> np.arange(4)) & 1).astype("float32")
    machine = BernoulliRBM.from_parameters(*goal)
    p = np.exp(-machine.free_energy(x).numpy() - enumeration.log_z(machine))
    fit = {"sample_weight": np.tile(16 * p, 20), "batch_size": 16, "epochs": 10, "verbose": 0}
    yield "goal", [np.asarray(value).tolist() for value in goal]
    for name, strategy in STRATEGIES.items():
        for phase in (ExactPhase(), PersistentContrastiveDivergence(1000, seed=4)):
            with strategy.scope():
                start = goal[0], goal[1] + 1.5, goal[2] - 1.5
                rbm = BernoulliRBM.from_parameters(*start, negative_phase=phase)
                rbm.compile(keras.optimizers.SGD(0.5))

            def divergence(rbm=rbm):
                log_p = -rbm.free_energy(x).numpy() - enumeration.log_z(rbm)
                return float(p @ (np.log(p) - log_p))

            before = divergence()
            rbm.fit(np.tile(x, (20, 1)), **fit)
            yield f"{type(phase).__name__} {name}", [before, divergence()]
    num = 20_000
    with STRATEGIES["two"].scope():
        phase = PersistentContrastiveDivergence(num, seed=5)
        rbm = BernoulliRBM.from_parameters(*goal, negative_phase=phase, gradient="plain")
        rbm.compile(keras.optimizers.SGD(1.0))
    v = x[rng.choice(16, num, p=p / p.sum())]
    phase.chains.assign(rng.random((num, 2)) < machine.hidden_mean(v).numpy())
    rbm.fit(x, sample_weight=16 * p, batch_size=16, verbose=0)
    found = rbm.get_weights()[:3]
    yield "step", [np.asarray(a - b).tolist() for a, b in zip(found, goal, strict=True)]
    yield "chains", phase.chains.numpy().tolist()


def draws():
    """Chains that start alike: what resampling, chains and both directions of annealing draw."""
    with STRATEGIES["two"].scope():
        phase = ParallelTempering(2, num_chains=40, seed=0)
        rbm = BernoulliRBM(6, 4, negative_phase=phase, resample=True, seed=0)
        rbm.kernel.assign(np.random.default_rng(0).normal(size=(6, 4)))
        phase.chains.assign(np.zeros(phase.chains.shape))
        rbm.fit(np.full((40, 6), 0.5), batch_size=40, verbose=0)
        weights = reverse_ais(rbm, np.zeros((40, 6)), betas=[0, 0.5, 1], seed=1).log_weights
    yield "chains", phase.chains.numpy().tolist()
    yield "weights", weights.tolist()


def annealing():
    with STRATEGIES["two"].scope():
        rbm = BernoulliRBM.from_parameters(
            RNG.normal(size=(6, 4)), RNG.normal(size=6), RNG.normal(size=4), dtype="float64"
        )
        other = BernoulliRBM.from_parameters(
            RNG.normal(size=(6, 3)), RNG.normal(size=6), RNG.normal(size=3), dtype="float64"
        )
        samples = rbm.sample(2000, num_steps=100, seed=0)
        betas = np.linspace(0, 1, 20)
        estimates = {
            "ais": ais(rbm, num_chains=2000, betas=betas, seed=1),
            "reverse": reverse_ais(rbm, samples, betas=betas, seed=2),
            "ratio": log_z_ratio(rbm, samples, other, betas=betas, seed=3),
            "one_step": ais(rbm, num_chains=10, betas=[0, 1], seed=4),
        }
        try:
            ais(rbm, num_chains=5, seed=0)
        except ValueError as error:
            yield "error", str(error)
        try:
            BernoulliRBM(6, 4, negative_phase=PersistentContrastiveDivergence(101))
        except ValueError as error:
            yield "error_of_phase", str(error)
    log_z = enumeration.log_z(rbm)
    yield "log_z", [log_z, enumeration.log_z(other)]
    yield "one_step_here", ais(rbm, num_chains=10, betas=[0, 1], seed=4).log_weights.tolist()
    for name, estimate in estimates.items():
        yield name, estimate.log_weights.tolist()


def checkpoint(path):
    """A model that two replicas trained and saved, loaded on one device and on two."""
    with STRATEGIES["two"].scope():
        rbm = BernoulliRBM(6, 4, seed=0)
        rbm.fit(BITS, batch_size=8, epochs=1, verbose=0)
        rbm.save(path)
    loaded = keras.models.load_model(path)
    with STRATEGIES["two"].scope():
        again = keras.models.load_model(path)
    for model in (rbm, again):
        model.fit(BITS, batch_size=8, epochs=1, verbose=0)
    yield "saved", [np.ravel(w).tolist() for w in keras.models.load_model(path).get_weights()]
    yield "loaded", [np.ravel(w).tolist() for w in loaded.get_weights()]
    yield "on", [[np.ravel(w).tolist() for w in model.get_weights()] for model in (rbm, again)]


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    print(json.dumps(dict(globals()[name](*arguments))))
