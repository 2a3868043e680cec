"""Standard streams in real processes: closed, full of odd text, or left by a reader."""

import os
import pathlib
import subprocess
import sys

import pytest

from advjax.runtime import streams

ROOT = pathlib.Path(__file__).parents[2]
BEGIN = "import os, sys\nfrom advjax.runtime import streams\nstreams.settle()\n"


def shell(text, line, **environment):
    return subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, BEGIN + text],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_what_an_encoding_lacks_is_escaped(environment):
    text = "print('\\u2264 \\u00b5', os.fsdecode(b'\\xff'))\n"
    text += "print('\\u2264', file=sys.stderr)"
    done = shell(text, '"$1" -c "$2"', **environment)
    assert done.returncode == 0, done.stderr
    assert b"\\u2264" in done.stdout and b"\\u2264" in done.stderr


MANY = "for n in range(3000):\n    print('a line of many')\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_reader_that_goes_away_is_no_failure(reader, unbuffered):
    text = MANY + "print('note', file=sys.stderr)\nsys.exit(0)"
    line = f'"$1" -c "$2" | {reader}; echo "code ${{PIPESTATUS[0]}}"'
    done = shell(text, line, PYTHONUNBUFFERED=unbuffered)
    assert done.stdout.endswith(b"code 0\n") and done.stderr == b"note\n"


def test_errors_that_nobody_reads_are_no_failure():
    text = "import time; time.sleep(0.2)\n" + MANY.replace(
        "many'", "many', file=sys.stderr"
    )
    done = shell(text, '"$1" -c "$2" 2>&1 >/dev/null | true; echo ${PIPESTATUS[0]}')
    assert done.stdout == b"0\n" and not done.stderr


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_takes_no_file_s_place(tmp_path, closed):
    # The first file that is opened would get the number of a closed stream.
    text = (
        f"file = open({str(tmp_path / 'rows')!r}, 'w')\n"
        "print('out'); print('err', file=sys.stderr); os.write(2, b'compiled code')\n"
        "sys.stdin.read(); file.write('row'); file.close()"
    )
    done = shell(text, f'"$1" -c "$2" {closed} || echo failed $? >{tmp_path}/code')
    assert not (tmp_path / "code").exists(), done.stderr
    assert (tmp_path / "rows").read_text() == "row"


def test_a_full_disk_is_a_failure():
    done = shell("print('x' * 9999); sys.stdout.flush()", '"$1" -c "$2" >/dev/full')
    assert done.returncode != 0 and b"No space left" in done.stderr


def test_streams_that_a_test_put_in_place_stay(capsys):
    before = sys.stdout, sys.stderr
    streams.settle()
    assert (sys.stdout, sys.stderr) == before


def test_lines_of_compiled_code_go_to_another_stream_or_nowhere():
    text = (
        "streams.redirect(1, 2, without=b'[Gloo]')\n"
        "for line in (b'[Gloo] Rank 0\\n', b'kept\\n', b'[Gloo] Rank 1\\n'):\n"
        "    os.write(1, line)\n"
        "os.close(1)\n"
        "import threading\n"
        "for thread in threading.enumerate()[1:]:\n"
        "    thread.join()\n"
    )
    done = shell(text, '"$1" -c "$2"')
    assert (done.stdout, done.stderr) == (b"", b"kept\n")
