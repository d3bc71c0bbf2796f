"""What the benchmarks share: files of results; sides that run in turns, a table of the medians."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import time

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.command_line.program import table
from rbm_tf.shared.files import write_text

RESULTS = pathlib.Path(__file__).parent / "results"
FORMATS = {
    "side": "",
    "seconds": ".3f",
    "ratio": ".2f",
    "peak GiB": ".2f",
    "ln p(v)": ".2f",
    "ln Z": ".2f",
    "s.e.": ".2f",
}


def measure(sides, rounds):
    """Warm every side up, then run them in turn; rows of medians and their ratio to the first.

    A side that returns a dict adds it to its row.
    """
    results = {name: run() for name, run in sides.items()}
    seconds = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    first = np.median(next(iter(seconds.values())))
    return [
        {
            "side": name,
            "seconds": float(np.median(values)),
            "ratio": float(np.median(values) / first),
            **(results[name] if isinstance(results[name], dict) else {}),
        }
        for name, values in seconds.items()
    ]


def processor():
    """The processor's name where Linux tells it."""
    path = pathlib.Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    vectors = [x for x in ("avx2", "avx512f", "avx512_bf16") if f" {x} " in f"{text} "]
    return " ".join([*(names[:1] or [platform.machine()]), *vectors])


def write(name, **entries):
    """Write entries, and when and where they were obtained, to results/<name>.json."""
    obtained = {
        "date": datetime.date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / f"{name}.json", json.dumps(obtained | entries, indent=2) + "\n")


def read(name):
    """The entries of results/<name>.json."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def report(benchmark, name, section, rounds):
    """Run a section, write its rows and how they were obtained to a file, and print the table."""
    start = time.perf_counter()
    rows = section(rounds)
    write(
        f"{benchmark}_{name}",
        what=section.__doc__,
        command=f"benchmarks/{benchmark}.py --rounds {rounds} --section {name}",
        total_seconds=time.perf_counter() - start,
        rows=rows,
    )
    present = {key for row in rows for key in row}
    formats = {key: form for key, form in FORMATS.items() if key in present}
    print(f"\n{section.__doc__}\n{table(rows, formats)}", flush=True)


def main(benchmark, description, sections):
    """The command line of a benchmark: all of its sections, or those that are named."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--section", nargs="+", choices=sections, default=list(sections))
    options = parser.parse_args()
    for name in filter(options.section.__contains__, sections):  # in the benchmark's own order
        report(benchmark, name, sections[name], options.rounds)
