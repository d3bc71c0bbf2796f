import json
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

WORK = """
import signal, sys, time
from rbm_tf.shared import files
from rbm_tf.command_line import interruptions
with interruptions.watched():
    with interruptions.deferred() as signals, files.written_whole(sys.argv[1]) as partial:
        partial.write_text("whole")
        print("ready", flush=True)
        while not signals:
            time.sleep(0.01)
        while sys.argv[2] == "go on":
            print("heard", flush=True)
            time.sleep(1000)
    interruptions.leave(signals[0], "Finished first.")
"""


def listen():
    """A job in the background of a shell would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(code, *arguments):
    """A process that has printed its first line."""
    run = [sys.executable, "-c", code, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(run, **pipes, cwd=ROOT, preexec_fn=listen)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_lets_the_work_be_finished(tmp_path, signum):
    with started(WORK, tmp_path / "file", "finish") as process:
        process.send_signal(signum)
        assert process.communicate(timeout=20) == ("", "\nFinished first.\n")
    assert process.returncode == 128 + signum
    assert (tmp_path / "file").read_text() == "whole"


def test_second_signal_leaves_at_once_and_nothing_half_written(tmp_path):
    (tmp_path / "file").write_text("old")
    with started(WORK, tmp_path / "file", "go on") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "heard\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20) == ("", "\nStopped.\n")
    assert process.returncode == 143
    assert (tmp_path / "file").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


BUSY = """
import hashlib
from rbm_tf.command_line import interruptions
with interruptions.watched():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # one call that ends after many minutes
    print("the call came to its end", flush=True)
"""


def test_signal_is_heard_while_the_main_thread_computes():
    with started(BUSY) as process:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.communicate(timeout=100) == ("", "\nStopped.\n")
        finally:
            process.kill()
    assert process.returncode == 143


IGNORED = """
import os, signal
from rbm_tf.command_line import interruptions
signal.signal(signal.SIGINT, signal.SIG_IGN)
before = signal.getsignal(signal.SIGTERM)
with interruptions.watched():
    os.kill(os.getpid(), signal.SIGINT)
assert signal.getsignal(signal.SIGTERM) is before
print("ready", flush=True)
"""


def test_ignored_signal_stays_ignored_and_handlers_come_back():
    with started(IGNORED) as process:
        assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 0


@pytest.mark.long
def test_training_that_is_killed_between_file_operations_resumes_to_the_last_bit():
    # Of the second backup: before it is written, before it is moved to its place, and after that.
    numbers = [("BernoulliRBM", 2, [10, 13, 14]), ("VAE", 2, [14])]
    code = f"import json, interruptions as i; print(json.dumps([i.aimed(*a) for a in {numbers}]))"
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, capture_output=True, text=True, cwd=ROOT / "benchmarks")
    assert result.returncode == 0, result.stderr
    for row, (name, _, kills) in zip(json.loads(result.stdout), numbers, strict=True):
        assert row["trial"].startswith(name)
        assert row["right"] == row["interruptions"] == len(kills)
