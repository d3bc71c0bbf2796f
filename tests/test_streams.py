import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
USE = """
import sys
from rbm_tf.command_line.arguments import fail
from rbm_tf.command_line.streams import standard_output, usable_streams
with usable_streams():
    print("message " * 2000, file=sys.stderr)
    try:
        with standard_output("a remedy"):
            print("result " * 2000)
        print("last message", file=sys.stderr)
    except ValueError as error:
        fail("program", error)
"""


def shell(redirection, code=USE):
    """Run Python with its streams redirected; users have buffers, which fail at the end."""
    line = f'"$0" -c "$1" {redirection}; exit ${{PIPESTATUS[0]}}'
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    run = ["bash", "-c", line, sys.executable, code]
    return subprocess.run(run, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.mark.parametrize(
    ("redirection", "code", "last"),
    [
        ("", 0, "last message"),
        (">&-", 0, "last message"),
        (">&- 2>&- <&-", 0, None),
        ("2>&-", 0, None),
        ("2>/dev/full", 0, None),
        ("| true", 0, "message"),
        ("2>&1 | true", 0, None),
        (">/dev/full", 2, "cannot write to standard output (No space left on device): a remedy"),
        (">/dev/full 2>/dev/full", 2, None),
        (">/dev/full 2>&-", 2, None),
    ],
)
def test_a_program_ends_with_code_0_or_one_line_and_code_2(redirection, code, last):
    result = shell(redirection)
    assert result.returncode == code
    lines = result.stderr.splitlines()
    assert len(lines) <= 2
    if last:
        assert lines[-1].strip().endswith(last)
    else:
        assert not lines


def test_what_is_opened_later_does_not_get_the_place_of_a_closed_stream(tmp_path):
    code = USE + (
        f"    with open({str(tmp_path / 'file')!r}, 'w') as file:\n"
        "        print(file.fileno() > 2, file=file)\n"
        "        print('result', flush=True)\n"
    )
    assert shell("<&- >&- 2>&-", code).returncode == 0
    assert (tmp_path / "file").read_text() == "True\n"


def test_characters_that_the_terminal_lacks_are_escaped():
    code = (
        "from rbm_tf.command_line.streams import usable_streams\n"
        "with usable_streams():\n    print(chr(233), chr(0xDC80))"
    )
    run = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.stdout == "\\xe9 \\udc80\n"
