"""The command line: python -m rbm_tf demo | train | evaluate | sample."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rbm_tf.command_line import arguments
from rbm_tf.command_line import program as command_line
from rbm_tf.shared.memory import check_memory


def demo(options: argparse.Namespace) -> None:
    """Train an RBM on digits, and print every approximation to its ln Z beside the exact value."""
    from rbm_tf.demo import run_demo

    run_demo(options)


def train(options: argparse.Namespace) -> None:
    """Train an RBM and save it as rbm.keras."""
    import keras

    from rbm_tf.command_line.training import fit
    from rbm_tf.rbm import BernoulliRBM
    from rbm_tf.training.negative_phase import (
        ContrastiveDivergence,
        PersistentContrastiveDivergence,
    )

    (x, _), _ = command_line.load_data(options)
    x = x.reshape(len(x), -1)
    rows = options.chains + 2 * min(options.batch_size, len(x))
    _check_memory(options.hidden, rows, x.shape[1], "--hidden, --chains or --batch-size")
    if options.chains:
        phase = PersistentContrastiveDivergence(
            options.chains, num_steps=options.gibbs_steps, seed=options.seed
        )
    else:
        phase = ContrastiveDivergence(options.gibbs_steps, seed=options.seed)
    rbm = BernoulliRBM(x.shape[1], options.hidden, negative_phase=phase, seed=options.seed)
    num_batches = -(-len(x) // options.batch_size)
    schedule = keras.optimizers.schedules.PolynomialDecay(
        options.learning_rate, options.epochs * num_batches, 0.0
    )
    rbm.compile(keras.optimizers.SGD(schedule), steps_per_execution=min(num_batches, 100))
    path = options.output / "rbm.keras"
    fit(rbm, path, options.epochs, x=x, batch_size=options.batch_size)
    results = {"model": str(path), "free_energy": float(rbm.free_energy(x[:1000]).numpy().mean())}
    text = f"Saved {path}. Its log-likelihood: python -m rbm_tf evaluate {path}"
    command_line.show(options, results, [text], "rbm_train")


def evaluate(options: argparse.Namespace) -> None:
    """Print ln Z and the mean log-likelihood of training and test data."""
    from rbm_tf.annealing import ais, reverse_ais
    from rbm_tf.enumeration import log_z
    from rbm_tf.estimates import verdict
    from rbm_tf.rbm import BernoulliRBM
    from rbm_tf.state_sums import is_quick

    rbm, judgement = command_line.load_model(options.model, BernoulliRBM), []
    (x_train, _), (x_test, _) = command_line.load_data(options)
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    for x in (x_train, x_test):
        command_line.check_data(options, x, (rbm.num_visible,), binary=True)
    if is_quick(rbm):
        rows, trusted = [{"method": "exact", "ln Z": log_z(rbm), "s.e.": 0.0}], True
    else:
        samples = rbm.sample(100, 10_000, seed=options.seed)
        forward = ais(rbm, betas=_long_path(), seed=options.seed)
        backward = reverse_ais(rbm, samples, betas=_long_path(), seed=options.seed)
        other = ais(rbm, betas=_long_path(), seed=options.seed + 1, base="uniform")
        estimates = {
            "AIS forward": forward,
            "AIS reverse": backward,
            "AIS forward, uniform base": other,
        }
        rows = [
            {"method": name, "ln Z": estimate.log_z, "s.e.": estimate.standard_error}
            for name, estimate in estimates.items()
        ]
        trusted, message, _ = verdict(*estimates.values())
        judgement = [message]
    for row in rows:
        for name, x in (("train", x_train), ("test", x_test)):
            free_energy = rbm.free_energy(x).numpy().mean(dtype=float)
            row[f"{name} ln p(v)"] = -free_energy - row["ln Z"]
    formats = {"method": "", "ln Z": ".3f", "s.e.": ".3f"}
    formats |= {"train ln p(v)": ".3f", "test ln p(v)": ".3f"}
    title = f"Mean log-likelihood, nats ({options.dataset}, pixels: {options.binarization})\n"
    tables = [title + command_line.table(rows, formats), *judgement]
    results = {"estimates": rows, "trusted": trusted, "verdict": judgement}
    command_line.show(options, results, tables, "rbm_evaluate")


def sample(options: argparse.Namespace) -> None:
    """Draw images by Gibbs sampling; write them as rbm_samples.npy and .png."""
    import numpy as np

    from rbm_tf.plotting import save_images
    from rbm_tf.rbm import BernoulliRBM
    from rbm_tf.shared.files import written_whole

    rbm = command_line.load_model(options.model, BernoulliRBM)
    _check_memory(rbm.num_hidden, options.num, rbm.num_visible, "--num")
    v = rbm.sample(options.num, num_steps=10_000, seed=options.seed).numpy()
    with written_whole(options.output / "rbm_samples.npy") as partial:
        np.save(partial, v)
    files = [str(options.output / "rbm_samples.npy")]
    side = round(rbm.num_visible**0.5)
    if side**2 == rbm.num_visible:
        images = v[: command_line.IN_PICTURE].reshape(-1, side, side)
        save_images(options.output / "rbm_samples.png", images, "Samples")
        files.append(str(options.output / "rbm_samples.png"))
    command_line.show(options, {"files": files}, ["Wrote " + ", ".join(files)], "rbm_sample")


def _long_path():
    import numpy as np

    return np.linspace(0, 1, 10_001)


def _check_memory(num_hidden, num_rows, num_visible, numbers):
    """Weights with gradients and products, and states of both layers with their noise."""
    count = 4 * num_hidden * num_visible + 6 * num_rows * (num_hidden + num_visible)
    what = f"an RBM of {num_visible} x {num_hidden} units with {num_rows} states"
    check_memory(4 * count, what, f"choose a smaller {numbers}")


def _train_options(parser):
    parser.add_argument("--hidden", type=arguments.at_least(1), default=16, help="hidden units")
    parser.add_argument(
        "--chains", type=arguments.at_least(0), default=100, help="persistent chains; 0: CD"
    )
    parser.add_argument(
        "--gibbs-steps", type=arguments.at_least(1), default=1, help="sweeps per update"
    )
    arguments.add_training_options(parser, epochs=100, batch_size=50, learning_rate=0.1)


ACTIONS = {
    "demo": (demo, "train on digits; every approximation to ln Z beside the exact value"),
    "train": (train, "train an RBM and save it"),
    "evaluate": (evaluate, "print ln Z and log-likelihoods of a saved RBM"),
    "sample": (sample, "draw images from a saved RBM"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    program = arguments.typed("rbm_tf")
    parser = arguments.build_parser(
        program, "Restricted Boltzmann machines.", ACTIONS, {"train": _train_options}
    )
    command_line.run(parser, argv)


if __name__ == "__main__":
    main()
