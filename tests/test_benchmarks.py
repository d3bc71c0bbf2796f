"""The script for accelerators runs where there is none."""

import json
import subprocess
import sys

import pytest


@pytest.mark.long
def test_the_script_for_accelerators_measures_the_processor_where_there_is_none():
    run = [sys.executable, "benchmarks/gpu.py", "--side", "rbm", "--rows", "1000", "--size", "64"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=300)
    device, *rows = map(json.loads, done.stdout.splitlines())
    assert device["peak"] > 0 and device["device"]
    assert [row["task"].split(",")[0] for row in rows] == ["BernoulliRBM.fit", "ais", "exact ln Z"]
    assert all(row["seconds"] > 0 and row["share of peak"] > 0 for row in rows)
    assert rows[-1]["against CPU"] < 1e-6
