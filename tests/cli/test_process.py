# SPDX-License-Identifier: Apache-2.0
"""The command as a process: pipes that break, streams that are closed, signals, what it loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neurovm.cli.exits import Exit

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "neurovm"]


def test_a_reader_that_goes_away_is_no_traceback(bundle: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [*COMMAND, "inspect", str(bundle), "-o", "json"],
            cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    assert done.returncode == Exit.IO
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux")
def test_a_full_disk_is_an_error(bundle: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "inspect", str(bundle)],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    assert done.returncode == Exit.IO
    assert done.stderr.startswith(b"neurovm: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("closed", "words"), [("<&-", "standard input is closed"), (">&-", "standard output is closed")]
)
def test_closed_streams(bundle: Path, closed: str, words: str) -> None:
    line = f'exec "$0" -m neurovm predict "$1" - {closed}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, str(bundle)],
        cwd=ROOT, input=b"" if closed == ">&-" else None, stderr=subprocess.PIPE, timeout=60,
    )  # fmt: skip
    assert done.returncode == Exit.IO
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_interrupt_while_waiting_for_samples(bundle: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "predict", str(bundle), "-", "-o", "csv"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write((",".join(["0"] * 64) + "\n").encode())
    process.stdin.flush()
    # The column names leave before the first sample is read.
    assert process.stdout.readline().startswith(b"digit 0")
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert words == b"neurovm: interrupted\n"


def test_an_interruption_while_the_command_is_imported_is_one_line() -> None:
    code = """
import sys
from importlib.abc import MetaPathFinder
from neurovm.cli import main

class Interrupt(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "neurovm.cli.app":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.exit(main(["info"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (Exit.INTERRUPTED, "")
    assert done.stderr == "neurovm: interrupted\n"


def test_answers_are_plain_where_no_terminal_listens(spawn, bundle: Path) -> None:
    done = spawn("inspect", bundle, env={**os.environ, "TERM": "xterm-256color"})
    assert b"\x1b" not in done.stdout + done.stderr
    assert all(line == line.rstrip() for line in done.stdout.decode().splitlines())


def test_light_commands_load_no_numpy_and_no_rich() -> None:
    code = (
        "import sys; from neurovm.cli import main; "
        "main(['--version']); main(['--help']); main(['convert', '--help']); "
        "print([m for m in ('numpy', 'rich', 'tflite', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_bundle_is_inspected_without_numpy(bundle: Path) -> None:
    code = (
        "import sys; from neurovm.cli import main; "
        "main(['inspect', sys.argv[1], '-o', 'json']); print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("command", ["check", "config"])
def test_daemon_commands_are_a_child(spawn, tmp_path: Path, command: str) -> None:
    wrong = tmp_path / "neurovmd.yaml"
    wrong.write_text("prefix: 17\nfrobnicate: true\n")
    done = spawn(command, "--config", wrong)
    assert done.returncode == Exit.CONFIG, done.stderr
    assert b"neurovmd.yaml" in done.stdout + done.stderr
