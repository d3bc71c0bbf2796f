"""The command line: python -m rbm_tf demo | train | evaluate | sample."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rbm_tf.command_line import arguments, kinds
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
    from rbm_tf.units import units_by_name

    kinds.settle(options, options.visible)
    kinds.check_hidden(options)
    x, _ = kinds.load_states(options, options.visible)
    rows = options.chains + 2 * min(options.batch_size, len(x))
    num_columns = options.hidden * units_by_name(options.hidden_units, num=1).size
    _check_memory(num_columns, rows, x.shape[1], "--hidden, --chains or --batch-size")
    rbm = _new_rbm(options, x.shape[1])
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


def _new_rbm(options, num_columns):
    from rbm_tf.rbm import RBM, BernoulliRBM
    from rbm_tf.training import ContrastiveDivergence, PersistentContrastiveDivergence
    from rbm_tf.units import units_by_name

    if options.chains:
        phase = PersistentContrastiveDivergence(
            options.chains, num_steps=options.gibbs_steps, seed=options.seed
        )
    else:
        phase = ContrastiveDivergence(options.gibbs_steps, seed=options.seed)
    if options.visible == options.hidden_units == "binary":
        return BernoulliRBM(num_columns, options.hidden, negative_phase=phase, seed=options.seed)
    visible = units_by_name(options.visible, num_columns=num_columns)
    hidden = units_by_name(options.hidden_units, num=options.hidden)
    return RBM(
        visible, hidden, negative_phase=phase, unit_rate=options.unit_rate, seed=options.seed
    )


def evaluate(options: argparse.Namespace) -> None:
    """Print ln Z and the mean log-likelihood of training and test data."""
    from rbm_tf.evaluation import judged_log_z
    from rbm_tf.rbm import RBM, BernoulliRBM
    from rbm_tf.units import name_of_units

    rbm = command_line.load_model(options.model, RBM, BernoulliRBM)
    kind = kinds.known(options.model, rbm.visible, name_of_units(rbm.visible))
    kinds.settle(options, kind)
    data = dict(zip(("train", "test"), kinds.load_states(options, kind), strict=True))
    states = {"binary": (0, 1), "spin": (-1, 1)}.get(kind)
    for x in data.values():
        command_line.check_data(options, x, (rbm.num_visible,), states)
    judged = judged_log_z(rbm, betas=_long_path(), num_steps=10_000, seed=options.seed)
    rows: list[dict[str, Any]] = [
        {"method": name, "ln Z": estimate.log_z, "s.e.": estimate.standard_error or 0.0}
        for name, estimate in judged.estimates.items()
    ]
    for row in rows:
        for name, x in data.items():
            free_energy = rbm.free_energy(x).numpy().mean(dtype=float)
            row[f"{name} ln p(v)"] = -free_energy - row["ln Z"]
    trusted, message, _ = judged.verdict
    messages = [message] if len(rows) > 1 else []
    results = {"estimates": rows, "trusted": trusted, "verdict": messages}
    tables = [_likelihoods(options, rows, rbm.visible), *messages]
    command_line.show(options, results, tables, "rbm_evaluate")


def _likelihoods(options, rows, visible):
    """The table of estimates, under a line that says what they are of."""
    formats = {"method": "", "ln Z": ".3f", "s.e.": ".3f"}
    formats |= {"train ln p(v)": ".3f", "test ln p(v)": ".3f"}
    what, data, note = "log-likelihood, nats", options.dataset, ""
    if options.dataset in arguments.DATASETS:
        data += f", pixels: {options.binarization}"
    if not visible.is_finite:
        what = "log-density ln p(v), nats per example"
        note = "\nOf a density: it may be above 0, and compares between models of the same columns."
    return f"Mean {what} ({data})\n" + command_line.table(rows, formats) + note


def sample(options: argparse.Namespace) -> None:
    """Draw visible states by Gibbs sampling; write them as rbm_samples.npy, images as .png too."""
    import numpy as np

    from rbm_tf.plotting import save_images
    from rbm_tf.rbm import RBM, BernoulliRBM
    from rbm_tf.shared.files import written_whole

    rbm = command_line.load_model(options.model, RBM, BernoulliRBM)
    _check_memory(rbm.num_hidden, options.num, rbm.num_visible, "--num")
    v = rbm.sample(options.num, num_steps=10_000, seed=options.seed).numpy()
    if not np.all(np.isfinite(v)):
        raise ValueError(
            f"the chains of {options.model} run away, as where Z is infinite: train again, at a "
            "lower rate or with bounded hidden units"
        )
    with written_whole(options.output / "rbm_samples.npy") as partial:
        np.save(partial, v)
    files = [str(options.output / "rbm_samples.npy")]
    images = _images(rbm.visible, v[: command_line.IN_PICTURE])
    if images is not None:
        save_images(options.output / "rbm_samples.png", images, "Samples")
        files.append(str(options.output / "rbm_samples.png"))
    command_line.show(options, {"files": files}, ["Wrote " + ", ".join(files)], "rbm_sample")


def _images(visible, v):
    """States as square images, of Potts units the number of the state; None if there are none."""
    from rbm_tf.units import Mixed, Potts

    if isinstance(visible, Potts):
        v = v.reshape(len(v), visible.num, visible.num_states).argmax(-1)
    side = round(v.shape[1] ** 0.5)
    square = side**2 == v.shape[1] and not isinstance(visible, Mixed)
    return v.reshape(-1, side, side) if square else None


def _long_path():
    import numpy as np

    return np.linspace(0, 1, 10_001)


def _check_memory(num_hidden, num_rows, num_visible, numbers):
    """Weights with gradients and products, and states of both layers with their noise."""
    count = 4 * num_hidden * num_visible + 6 * num_rows * (num_hidden + num_visible)
    what = f"an RBM of {num_visible} x {num_hidden} units with {num_rows} states"
    check_memory(4 * count, what, f"choose a smaller {numbers}")


def _demo_options(parser):
    parser.set_defaults(
        opening="An RBM on 8 x 8 digits, and every road to its ln Z: about a minute. "
        "First TensorFlow starts."
    )


def _train_options(parser):
    parser.add_argument(
        "--visible",
        type=kinds.one_of(kinds.VISIBLE),
        default="binary",
        metavar="KIND",
        help="visible units, which choose the data where you do not: " + ", ".join(kinds.VISIBLE),
    )
    parser.add_argument(
        "--hidden-units",
        type=kinds.one_of(kinds.HIDDEN),
        default="binary",
        metavar="KIND",
        help="hidden units: " + ", ".join(kinds.HIDDEN),
    )
    parser.add_argument("--hidden", type=arguments.at_least(1), default=16, help="hidden units")
    parser.add_argument(
        "--unit-rate",
        type=arguments.positive_or_zero,
        default=0.0,
        help="the step of precisions and thresholds relative to that of weights; 0 leaves them",
    )
    parser.add_argument(
        "--chains", type=arguments.at_least(0), default=100, help="persistent chains; 0: CD"
    )
    parser.add_argument(
        "--gibbs-steps", type=arguments.at_least(1), default=1, help="sweeps per update"
    )
    arguments.add_training_options(parser, epochs=100, batch_size=50, learning_rate=0.1)
    _data_defaults(parser)


def _data_defaults(parser):
    """No data set and no binarisation, which then follow from the visible units."""
    parser.set_defaults(dataset=None, binarization=None)


ACTIONS = {
    "demo": (demo, "train on digits; every approximation to ln Z beside the exact value"),
    "train": (train, "train an RBM and save it"),
    "evaluate": (evaluate, "print ln Z and log-likelihoods of a saved RBM"),
    "sample": (sample, "draw images, or rows, from a saved RBM"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    program = arguments.typed("rbm_tf")
    parser = arguments.build_parser(
        program,
        "Restricted Boltzmann machines.",
        ACTIONS,
        {"demo": _demo_options, "train": _train_options, "evaluate": _data_defaults},
        kinds.ALL_DATASETS,
    )
    command_line.run(parser, argv)


if __name__ == "__main__":
    main()
