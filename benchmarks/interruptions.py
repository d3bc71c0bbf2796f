"""Training, backups and command lines that are killed, stopped or run out of disk, again and again.

    .venv/bin/python benchmarks/interruptions.py [--seed 0] [--signals 50]

Four kinds of trials:

- aimed: `fit` with `BackupAndRestore` is killed (-9) before each of its file operations in turn,
  then resumed; it must end with the state of an undisturbed run, to the last bit;
- random: the same, killed at a random moment, three times in a row before it may finish;
- saving: the command line `train` is killed before a file operation of its own, over a good model,
  which must be there still or be replaced by another good one;
- signals: `train` gets Ctrl-C or SIGTERM at a random moment, on an idle and on a busy machine; it
  must end with code 130 or 143, one line, and a whole model if one epoch was complete.

Results go to benchmarks/results/interruptions.json.
"""

import argparse
import itertools
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # nothing computes before it forks

import keras
import numpy as np
from rounds import write

from rbm_tf.command_line.program import table
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.checkpoints import BackupAndRestore, arrays_of
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

ROOT = pathlib.Path(__file__).parent.parent
EPOCHS, NUM, PIXELS = 4, 40, 6
FILE_OPERATIONS = ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod")


def rbm():
    model = BernoulliRBM(PIXELS, 4, seed=1, resample=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def vae():
    keras.utils.set_random_seed(0)
    return VAE(
        dense_encoder((PIXELS,), 2, hidden_units=(4,)),
        dense_decoder((PIXELS,), 2, hidden_units=(4,)),
        seed=1,
    )


MODELS = {"BernoulliRBM": rbm, "VAE": vae}


def train(make, folder, epochs=EPOCHS):
    """Train with a backup, and keep the last state in folder."""
    x = (np.random.default_rng(0).random((NUM, PIXELS)) < 0.3).astype("float32")
    model = make()
    backup = BackupAndRestore(folder / "backup")
    model.fit(x, batch_size=8, epochs=epochs, verbose=0, callbacks=[backup])
    np.savez(folder / "last.npz", *arrays_of(model))


def kill_before(number, folder):
    """Kill this process before its file operation of this number below folder."""
    count = itertools.count(1)

    def hear(event, arguments):
        if event in FILE_OPERATIONS and str(folder) in str(arguments[0]) and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


def in_child(work):
    """Run work in a forked process; returns its process id."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    return child


def code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def equal(folder, reference):
    with np.load(folder / "last.npz") as one, np.load(reference / "last.npz") as other:
        same = all(np.array_equal(one[name], other[name]) for name in other.files)
        return same and os.listdir(folder) == os.listdir(reference)  # nothing is left behind


def reference_run(name, folder, epochs=EPOCHS):
    start = time.perf_counter()
    assert code_of(in_child(lambda: train(MODELS[name], folder, epochs))) == 0
    return time.perf_counter() - start


def aimed(name, epochs=EPOCHS, numbers=None):
    """Kill before each file operation in turn, or before those of some numbers, and resume."""
    good, kills = 0, 0
    with tempfile.TemporaryDirectory() as reference:
        reference_run(name, pathlib.Path(reference), epochs)
        for number in numbers or itertools.count(1):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)

                def killed(number=number, folder=folder):
                    kill_before(number, folder / "backup")
                    train(MODELS[name], folder, epochs)

                if code_of(in_child(killed)) != -signal.SIGKILL:
                    break  # there are fewer operations
                resumed = code_of(in_child(lambda: train(MODELS[name], folder, epochs)))  # noqa: B023
                kills += 1
                good += resumed == 0 and equal(folder, pathlib.Path(reference))
    return {"trial": f"{name}, aimed", "interruptions": kills, "trials": kills, "right": good}


def at_random(name, rng, trials=10):
    """Kill at random moments, three times in a row, then let it finish."""
    good, kills = 0, 0
    with tempfile.TemporaryDirectory() as reference:
        seconds = reference_run(name, pathlib.Path(reference))
        for _ in range(trials):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                for _ in range(3):
                    child = in_child(lambda: train(MODELS[name], folder))  # noqa: B023
                    time.sleep(rng.uniform(0.3, 1) * seconds)
                    os.kill(child, signal.SIGKILL)
                    kills += code_of(child) == -signal.SIGKILL
                resumed = code_of(in_child(lambda: train(MODELS[name], folder)))  # noqa: B023
                good += resumed == 0 and equal(folder, pathlib.Path(reference))
    return {"trial": f"{name}, random", "interruptions": kills, "trials": trials, "right": good}


def saving(package):
    """Kill `train` before each file operation in its output folder, over a good model."""
    good, kills = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{package[:3]}.keras"
        arguments = ["train", "--hidden", "4", "--epochs", "1", "--output", folder]
        subprocess.run([sys.executable, "-m", package, *arguments], cwd=ROOT, capture_output=True)
        for number in itertools.count(1):

            def killed(number=number):
                sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
                kill_before(number, folder)
                __import__(f"{package}.__main__").__main__.main(arguments)

            if code_of(in_child(killed)) != -signal.SIGKILL:
                break
            kills += 1
            loaded = in_child(lambda: keras.models.load_model(path).predict)
            good += code_of(loaded) == 0
    name = f"python -m {package} train, killed"
    return {"trial": name, "interruptions": kills, "trials": kills, "right": good}


def signals(package, rng, trials, busy):
    """Ctrl-C or SIGTERM at random moments of `train`, while other processes compute or not."""
    burn = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(burn) for _ in range(2 * os.cpu_count() if busy else 0)]
    try:
        good = sum(is_right(package, rng) for _ in range(trials))
    finally:
        for other in others:
            other.kill()
            other.wait()
    name = f"python -m {package} train, signals{', busy' if busy else ''}"
    return {"trial": name, "interruptions": trials, "trials": trials, "right": good}


def is_right(package, rng):
    """Whether one `train` ends as it should after one signal."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-m", package, "train", "--epochs", "1000000", "--output", folder]
        process = subprocess.Popen(run, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        while not catches(process.pid, signal.SIGTERM):
            time.sleep(0.005)
        time.sleep(rng.choice([rng.uniform(0, 3), rng.uniform(0, 25)]))
        signum = rng.choice([signal.SIGINT, signal.SIGTERM])
        process.send_signal(signum)
        errors = process.communicate(timeout=300)[1]
        path = pathlib.Path(folder) / f"{package[:3]}.keras"
        last = errors.strip().splitlines()[-1]
        stopped = last.startswith("Stopped") and "Traceback" not in errors
        right = process.returncode == 128 + signum and stopped
        right &= path.exists() == ("the model so far is in" in last)
        files = [file for file in os.listdir(folder) if file != path.name]
        loads = in_child(lambda: path.exists() and keras.models.load_model(path))
        right &= code_of(loads) == 0 and not files
    if not right:
        print(f"{package}: {signum!r} gave {process.returncode}, {files}: {errors}", flush=True)
    return right


def catches(process_id, signum):
    """Whether a process has a handler of its own for a signal: the command line is up."""
    status = pathlib.Path(f"/proc/{process_id}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (signum - 1) & 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", type=int, default=50, help="signals in all")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # children inherit that it is ignored
    rng, start, rows = random.Random(options.seed), time.perf_counter(), []
    trials = [lambda name=name: aimed(name) for name in MODELS]
    trials += [lambda name=name: at_random(name, rng) for name in MODELS]
    packages = ("rbm_tf", "vae_keras")
    trials += [lambda package=package: saving(package) for package in packages]
    each = -(-options.signals // 4)
    for busy, package in itertools.product((False, True), packages):
        trials.append(lambda b=busy, package=package: signals(package, rng, each, b))
    for trial in trials:
        rows.append(trial())
        print(rows[-1], flush=True)
    write(
        "interruptions",
        command=f"benchmarks/interruptions.py --seed {options.seed} --signals {options.signals}",
        seed=options.seed,
        total_seconds=time.perf_counter() - start,
        rows=rows,
    )
    print(table(rows, {"trial": "", "interruptions": "d", "trials": "d", "right": "d"}))
    return 0 if all(row["right"] == row["trials"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
