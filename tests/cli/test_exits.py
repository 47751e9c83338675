# SPDX-License-Identifier: Apache-2.0
"""Every exception becomes its exit code and one line of text."""

from __future__ import annotations

import errno

import click
import pytest

from neurovm import errors
from neurovm.cli import app
from neurovm.cli.exits import CannotCreateError, Exit, ReadError, code_of, text_of

CASES = [
    (click.UsageError("x"), 64),
    (errors.ModelError("x"), 65),
    (errors.UnsupportedOperatorError("m.tflite", "LSTM", 3, "a rule"), 65),
    (errors.BundleError("x"), 65),
    (errors.ShapeError("x"), 65),
    (errors.EventError("x"), 65),
    (errors.RecordingError("seen.jsonl", 3, "x", "y"), 65),
    (FileNotFoundError(errno.ENOENT, "No such file", "x"), 66),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), 66),
    (errors.BackendError("x"), 69),
    (RuntimeError("x"), 70),
    (MemoryError("x"), 70),
    (CannotCreateError("x"), 73),
    (OSError(errno.ENOSPC, "No space left on device", "x"), 74),
    (ReadError("x"), 74),
    (PermissionError(errno.EACCES, "Permission denied", "x"), 77),
    (errors.ConfigError("f.yaml", "mqtt.server", "17", "a URL"), 78),
    (errors.StepError("alpha", "7", "above 0 to 1"), 78),
    (TimeoutError("x"), 124),
    (click.Abort(), 130),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), CASES, ids=lambda v: type(v).__name__)
def test_code_and_text(error: BaseException, code: int) -> None:
    assert code_of(error) == code
    assert text_of(error)
    assert "\n" not in text_of(error)


def test_every_error_of_the_package_has_a_code() -> None:
    own = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.NeurovmError)
        and kind is not errors.NeurovmError
    ]
    covered = {type(error) for error, _ in CASES}
    assert set(own) <= covered


def test_unforeseen_errors_say_how_to_see_more(run, monkeypatch, mlp) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr("neurovm.convert_tflite", broken)
    ran = run("inspect", mlp)
    assert ran.code == Exit.INTERNAL
    assert "ZeroDivisionError: first second" in ran.err
    assert "NEUROVM_DEBUG=1" in ran.err
    assert "Traceback" not in ran.err
    monkeypatch.setenv("NEUROVM_DEBUG", "1")
    assert "Traceback" in run("inspect", mlp).err


def test_interrupt(run, monkeypatch, mlp) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neurovm.convert_tflite", interrupted)
    ran = run("inspect", mlp)
    assert ran.code == Exit.INTERRUPTED
    assert ran.err == "neurovm: interrupted\n" or ran.err.endswith("neurovm: interrupted\n")


def test_closed_stdout_is_said(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert app.run(["info"]) == Exit.IO
    assert "standard output is closed" in capsys.readouterr().err
