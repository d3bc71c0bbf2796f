"""Whatever a user gets wrong ends, before the work begins, in code 2 and one line that helps."""

import pytest
from bad_files import write_all

import rbm_tf.__main__ as rbm_command
import vae_keras.__main__ as vae_command

COMMANDS = {"rbm_tf": rbm_command.main, "vae_keras": vae_command.main}
MNIST = "train --dataset mnist --data-path"

# Commands for both packages, and what the line must say. {rbm} is the package's own good model, and
# {other} that of the other package; * stands for one empty argument.
BOTH = {
    # which command, and what belongs to it
    "": "required",
    "fly": "invalid choice: 'fly'",
    "*": "invalid choice: ''",
    "--seed 3 train": "COMMAND [options]",
    "--epochs": "COMMAND",
    "train sample": "unrecognized arguments: sample",
    "train --fly": "unrecognized arguments: --fly",
    "train --num 3": "unrecognized arguments: --num 3",
    "train --json yes": "unrecognized arguments: yes",
    "demo --epochs 3": "unrecognized arguments: --epochs 3",
    "demo --dataset digits": "unrecognized arguments: --dataset digits",
    "sample {own} --dataset digits": "unrecognized arguments: --dataset",
    "evaluate {own} --hidden 3": "unrecognized arguments: --hidden 3",
    "evaluate {own} {own}": "unrecognized arguments",
    "evaluate": "required: model",
    "sample": "required: model",
    "train --epochs": "expected one argument",
    "train --dataset": "expected one argument",
    "train --output": "expected one argument",
    "train --epochs 3 --batch-size": "expected one argument",
    # numbers
    "train --epochs 0": "'0' is not an integer from 1 to 1000000000",
    "train --epochs -1": "'-1' is not an integer from 1",
    "train --epochs 1.5": "'1.5' is not an integer",
    "train --epochs 1e3": "'1e3' is not an integer",
    "train --epochs many": "'many' is not an integer",
    "train --epochs *": "'' is not an integer",
    "train --epochs ²": "'²' is not an integer",
    "train --epochs ３": "'３' is not an integer",
    "train --epochs 1_000": "'1_000' is not an integer",
    "train --epochs +-3": "'+-3' is not an integer",
    "train --epochs nan": "'nan' is not an integer",
    "train --epochs 999999999999999999999999999999": "is not an integer from 1",
    f"train --epochs {'9' * 5000}": "is not an integer from 1",
    "train --hidden 0": "'0' is not an integer from 1",
    "train --hidden 10000000000": "is not an integer from 1 to 1000000000",
    "train --hidden 1000000000": "choose a smaller",
    "train --batch-size 0": "'0' is not an integer from 1",
    "train --batch-size 10000000000": "is not an integer from 1",
    "train --learning-rate 0": "'0' is not a number from 1e-37 to 3e38",
    "train --learning-rate -0.1": "'-0.1' is not a number",
    "train --learning-rate nan": "'nan' is not a number",
    "train --learning-rate inf": "'inf' is not a number",
    "train --learning-rate 1e-400": "'1e-400' is not a number",
    "train --learning-rate 1e39": "'1e39' is not a number",
    "train --learning-rate 1_0": "'1_0' is not a number",
    "train --learning-rate ½": "'½' is not a number",
    "train --learning-rate １": "'１' is not a number",
    "train --learning-rate fast": "'fast' is not a number",
    "train --learning-rate *": "'' is not a number",
    "train --seed -1": "'-1' is not an integer from 0 to 2147483647",
    "train --seed 2147483648": "is not an integer from 0 to 2147483647",
    "train --seed 0.5": "'0.5' is not an integer",
    "train --seed *": "'' is not an integer",
    "demo --seed -1": "'-1' is not an integer",
    "evaluate {own} --seed -1": "'-1' is not an integer",
    "sample {own} --seed none": "'none' is not an integer",
    "sample {own} --num 0": "'0' is not an integer from 1",
    "sample {own} --num -5": "'-5' is not an integer",
    "sample {own} --num 10000000000": "is not an integer from 1",
    "sample {own} --num 1000000000": "choose a smaller --num",
    # data sets and their binarisation
    "train --dataset cifar": "invalid choice: 'cifar'",
    "train --dataset *": "invalid choice: ''",
    "train --dataset MNIST": "fashion_mnist",
    "train --binarization round": "invalid choice: 'round'",
    "train --binarization *": "invalid choice: ''",
    "train --data-path {good.npz}": "goes with --dataset mnist or fashion_mnist",
    "train --data-path {nowhere}": "goes with --dataset mnist or fashion_mnist",
    "train --dataset bars_and_stripes --data-path {good.npz}": "goes with --dataset mnist",
    "evaluate {own} --data-path {good.npz}": "goes with --dataset mnist",
    "train --dataset mnist --data-path *": "not the name of a file",
    "evaluate {own} --binarization none": "choose threshold or bernoulli",
    "evaluate {own} --dataset bars_and_stripes": "name the --dataset that the model was trained on",
    "evaluate {own} --dataset mnist --data-path {good.npz}": "takes data of shape",
    # places of data
    f"{MNIST} {{nowhere}}": "does not exist",
    f"{MNIST} {{nowhere_link}}": "does not exist",
    f"{MNIST} {{loop}}": "does not exist",
    f"{MNIST} {{file}}/below": "does not exist",
    f"{MNIST} {{pipe}}": "no regular file",
    f"{MNIST} /dev/null": "no regular file",
    f"{MNIST} /dev/zero": "no regular file",
    f"{MNIST} {{folder}}": "train-images-idx3-ubyte.gz is missing",
    # .npz files
    f"{MNIST} {{empty.npz}}": "must be a .npz file",
    f"{MNIST} {{text.npz}}": "must be a .npz file",
    f"{MNIST} {{one.npy}}": "must be a .npz file",
    f"{MNIST} {{half.npz}}": "must be a .npz file",
    f"{MNIST} {{corrupted.npz}}": "must be a .npz file",
    f"{MNIST} {{wrong_sum.npz}}": "Bad CRC",
    f"{MNIST} {{encrypted.npz}}": "encrypted",
    f"{MNIST} {{no_arrays.npz}}": "there is no x_train.npy in it",
    f"{MNIST} {{one_array.npz}}": "there is no y_train.npy in it, only x_train.npy",
    f"{MNIST} {{flat.npz}}": "found uint8 (6, 24)",
    f"{MNIST} {{float.npz}}": "found float64 (6, 4, 6)",
    f"{MNIST} {{labels.npz}}": "(6, 4, 6) and (5,)",
    f"{MNIST} {{pickled.npz}}": "must be a .npz file",
    f"{MNIST} {{no_rows.npz}}": "must hold images",
    f"{MNIST} {{no_tests.npz}}": "must hold images",
    f"{MNIST} {{no_pixels.npz}}": "must hold images",
    f"{MNIST} {{two_sizes.npz}}": "same height and width",
    f"{MNIST} {{claim.npz}}": "claims (1000000000, 1000000000, 1000000000)",
    f"{MNIST} {{negative.npz}}": "claims (-6, 4, 6)",
    f"{MNIST} {{short.npz}}": "claims (6, 4, 6)",
    f"{MNIST} {{long.npz}}": "claims (6, 4, 6)",
    f"{MNIST} {{nested.npz}}": "must be a .npz file",
    f"{MNIST} {{no_header.npz}}": "must be a .npz file",
    f"{MNIST} {{not_npy.npz}}": "magic",
    f"{MNIST} {{odd_dtype.npz}}": "must be a .npz file",
    # folders of IDX files
    f"{MNIST} {{idx_none}}": "is missing",
    f"{MNIST} {{idx_text}}": "Not a gzipped file",
    f"{MNIST} {{idx_cut}}": "must be a .npz file",
    f"{MNIST} {{idx_rotten}}": "must be a .npz file",
    f"{MNIST} {{idx_hollow}}": "not an IDX file",
    f"{MNIST} {{idx_foreign}}": "not an IDX file",
    f"{MNIST} {{idx_signed}}": "not an IDX file",
    f"{MNIST} {{idx_claim}}": "claims (4294967295, 4294967295, 4294967295)",
    f"{MNIST} {{idx_rank}}": "claims",
    f"{MNIST} {{idx_few}}": "claims (7, 4, 6)",
    f"{MNIST} {{idx_more}}": "claims (6, 4, 6)",
    f"{MNIST} {{idx_nothing}}": "found uint8 (0, 4, 6)",
    f"{MNIST} {{idx_folder}}": "no regular file",
    f"{MNIST} {{idx_pipe}}": "no regular file",
    # models
    "evaluate *": "not the name of a file",
    "sample {nowhere}": "does not exist; make one with train",
    "evaluate {nowhere}": "there is no model file",
    "sample {nowhere_link}": "does not exist",
    "sample {loop}": "make one with train",
    "sample {folder}": "is no regular file",
    "sample {pipe}": "is no regular file",
    "sample /dev/zero": "is no regular file",
    "evaluate {text.keras}": "File is not a zip file",
    "evaluate {empty.keras}": "File is not a zip file",
    "evaluate {half}": "File is not a zip file",
    "sample {half}": "that this command's train saved",
    "sample {encrypted}": "encrypted",
    "sample {model.h5}": "File is not a zip file",
    "sample {good.npz}": "config.json",
    "sample {config_list.keras}": "not a model that Keras can load",
    "sample {config_text.keras}": "not a model that Keras can load",
    "sample {config_deep.keras}": "not a model that Keras can load",
    "sample {config_bare.keras}": "registered_name",
    "evaluate {other}": "that this command's train saved",
    "sample {other}": "that this command's train saved",
    "sample {decoder.keras}": "holds a Functional",
    "evaluate {not_finite}": "not all finite",
    "sample {not_finite}": "train again",
    # places to write to
    "train --output {file}": "cannot write to the output folder",
    "train --output {file}/below": "choose another with --output",
    "train --output {pipe}": "cannot write to the output folder",
    "train --output {loop}": "cannot write to the output folder",
    "train --output /dev/null": "cannot write to the output folder",
    "train --output /proc/here": "cannot write to the output folder",
    f"train --output {'n' * 300}": "cannot write to the output folder",
    "train --output *": "not the name of a file or a folder",
    "demo --output {file}": "cannot write to the output folder",
    "evaluate {own} --output {file}": "cannot write to the output folder",
    "train --output {taken_model}": "choose another folder with --output",
    "evaluate {own} --output {taken_results}": "_evaluate.json is no regular file",
    "sample {own} --output {taken_pipe}": "_samples.npy is no regular file",
    "sample {own} --output {file}": "cannot write to the output folder",
}
RBM = {
    "train --chains -1": "'-1' is not an integer from 0",
    "train --chains 10000000000": "is not an integer from 0",
    "train --chains 1000000000": "choose a smaller --hidden, --chains",
    "train --gibbs-steps 0": "'0' is not an integer from 1",
    "train --gibbs-steps 10000000000": "is not an integer from 1",
    "train --latent 3": "unrecognized arguments: --latent 3",
    # kinds of units, and the data that they take
    "train --visible poisson": "'poisson' is not one of binary, spin",
    "train --visible": "expected one argument",
    "train --visible *": "'' is not one of binary",
    "train --visible relu": "'relu' is not one of binary",
    "train --visible potts": "'potts' is not one of",
    "train --visible potts:q": "'potts:q' is not one of",
    "train --visible potts:1": "of 2 or more",
    "train --visible potts:３": "is not one of",
    "train --visible potts:18": "choose --visible potts:17 or fewer states",
    "train --visible potts:3 --dataset digits": "which are those of digit_levels",
    "train --visible gaussian --dataset digits": "which are those of wine or patches",
    "train --dataset wine": "holds no states of binary units",
    "train --visible spin --dataset digit_levels": "or other --visible units",
    "train --visible gaussian --binarization none": "leave it out",
    "train --visible truncated_exponential --binarization threshold": "leave it out",
    "train --visible gaussian --data-path {good.npz}": "goes with --dataset mnist",
    "train --hidden-units poisson": "potts:q, relu, drelu",
    "train --hidden-units potts:0": "is not one of binary",
    "train --hidden-units drelu": "give --unit-rate 0.1, or --hidden-units gaussian",
    "train --hidden-units potts:1000 --hidden 1000000": "choose a smaller --hidden",
    "train --unit-rate -1": "'-1' is not a number from 1e-37",
    "train --unit-rate nan": "'nan' is not a number",
    "evaluate {rectified.keras}": "ReLU(4), and no data set here is of that kind",
    "evaluate {spin.keras} --binarization none": "choose threshold or bernoulli",
    "evaluate {spin.keras} --dataset wine": "holds no states of spin units",
    "evaluate {spin.keras} --dataset bars_and_stripes": "takes data of shape (64,)",
    "evaluate {own} --visible spin": "unrecognized arguments: --visible spin",
    "sample {no_weights.keras}": "not a model that Keras can load",
    "sample {no_units.keras}": "not a model that Keras can load",
}
VAE = {
    "train --latent 0": "'0' is not an integer from 1",
    "train --latent 10000000000": "is not an integer from 1",
    "train --latent 1000000000": "choose a smaller --latent",
    "train --network conv --latent 1000000000": "choose a smaller --latent",
    "train --network deep": "invalid choice: 'deep'",
    "train --network conv --dataset mnist --data-path {good.npz}": "a dense network",
    "train --chains 3": "unrecognized arguments: --chains 3",
    "evaluate {own} --num 3": "ambiguous option: --num",
    "evaluate {own} --num-samples 9": "'9' is not an integer from 10",
    "evaluate {own} --num-samples 1000000000": "choose a smaller --num-samples",
    "evaluate {own} --num-images 0": "'0' is not an integer from 1",
}
CASES = [
    *((package, line, words) for package in COMMANDS for line, words in BOTH.items()),
    *(("rbm_tf", line, words) for line, words in RBM.items()),
    *(("vae_keras", line, words) for line, words in VAE.items()),
]


def test_there_are_enough_bad_inputs():
    assert len(BOTH) + len(RBM) + len(VAE) >= 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    write_all(folder)
    return folder


@pytest.fixture
def no_work(monkeypatch):
    """Fail where the long work would begin."""

    def begun(*args, **kwargs):
        raise AssertionError("the work began")

    for name in (
        "rbm_tf.demo.compare",  # the demos first: what they import is not patched yet
        "vae_keras.demo.estimate_rows",
        "rbm_tf.command_line.training.fit",
        "rbm_tf.evaluation.judged_log_z",
        "rbm_tf.rbm.RBM.sample",
        "vae_keras.vae.VAE.generate",
    ):
        monkeypatch.setattr(name, begun)


def arguments(line, package, folder):
    """The arguments of a line of the table."""
    own, other = ("rbm", "vae") if package == "rbm_tf" else ("vae", "rbm")
    names = {
        "own": f"{own}.keras",
        "other": f"{other}.keras",
        "half": f"half_{own}.keras",
        "encrypted": f"encrypted_{own}.keras",
        "not_finite": "nan_rbm.keras" if own == "rbm" else "inf_vae.keras",
    }
    for word in line.split():
        if word.startswith("{"):
            name, _, rest = word[1:].partition("}")
            yield str(folder / names.get(name, name)) + rest
        else:
            yield "" if word == "*" else word


@pytest.mark.grid
@pytest.mark.parametrize(
    ("package", "line", "words"), CASES, ids=[f"{p} {line[:60]}" for p, line, _ in CASES]
)
def test_bad_input_ends_in_one_line_before_the_work(
    package, line, words, folder, no_work, capfd, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        COMMANDS[package](list(arguments(line, package, folder)))
    out, err = capfd.readouterr()
    assert stop.value.code == 2
    assert not out
    assert err.count("\n") == 1, err
    assert err.startswith(f"python -m {package}")
    assert ": error: " in err
    assert words in err
    assert len(err) < 1000
