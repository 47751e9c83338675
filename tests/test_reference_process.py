# SPDX-License-Identifier: Apache-2.0
"""LiteRT in its own process: what it answers, and every way in which it can fail to.

The failures come from stand-ins for the runtime, packages that crash, hang or refuse, put before
the real one on the child's path.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from neurovm.backends.runtime import Runtime
from neurovm.errors import BackendError

MODEL = Path(__file__).parent / "fixtures" / "digits_mlp.tflite"
needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)
INTERPRETER = """
import os, time
class Interpreter:
    def __init__(self, model_path, num_threads): {init}
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [dict(index=0, name="x", shape=[1, 2], dtype="int8")]
    def get_output_details(self):
        return [dict(index=1, name="y", shape=[1, 2], dtype="int8")]
    def set_tensor(self, index, value): self.x = value
    def get_tensor(self, index): return self.x
    def invoke(self): {invoke}
"""


def stand_in(
    folder: Path, *, name: str = "ai_edge_litert", version: str = "9.0", **code: str
) -> None:
    """A runtime package; `init` and `invoke` are statements."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").touch()
    text = INTERPRETER.format(**{"init": "pass", "invoke": "pass", **code})
    (package / "interpreter.py").write_text(text)
    distribution(folder, name, version)


def distribution(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    dashed = name.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dashed}\nVersion: {version}\n")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on the child's module path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


ROWS = [np.array([[1, 2], [3, 4]], np.int8)]


@needs_litert
def test_rows_in_answers_out() -> None:
    rows = np.random.default_rng(1).integers(-128, 128, (5, 64)).astype(np.int8)
    with Runtime(MODEL, wanted=range(12)) as lite:
        assert lite.name == "ai-edge-litert"
        whole = lite.run([rows.reshape(5, *lite.inputs[0].row_shape)])
        single = [lite.run([rows[i : i + 1]]).outputs[0] for i in range(5)]
        assert whole.outputs[0].shape == (5, 10)
        assert np.array_equal(whole.outputs[0], np.concatenate(single))
        kept = whole.kept[lite.outputs[0].index]
        assert np.array_equal(kept, whole.outputs[0])
        assert lite.time_s([rows], 10) > 0


@needs_litert
def test_rows_of_the_wrong_kind_are_refused_here() -> None:
    with Runtime(MODEL) as lite:
        for rows in (np.zeros((1, 63), np.int8), np.zeros((1, 64), np.float32)):
            with pytest.raises(BackendError, match="takes int8"):
                lite.run([rows])
        with pytest.raises(BackendError, match="2 arrays for 1 inputs"):
            lite.run([np.zeros((1, 64), np.int8)] * 2)


@needs_litert
def test_a_file_it_refuses(tmp_path: Path) -> None:
    wrong = tmp_path / "text.tflite"
    wrong.write_text("this is no model")
    with pytest.raises(BackendError, match=r"failed while opening text\.tflite"):
        Runtime(wrong)


@needs_litert
def test_older_releases_answer_outputs_only(path: Path) -> None:
    distribution(path, "ai_edge_litert", "2.1.6")
    with Runtime(MODEL, wanted=range(12)) as lite:
        assert lite.version == "2.1.6"
        assert lite.kept == ()


def test_the_stand_in_answers(path: Path) -> None:
    stand_in(path)
    with Runtime(MODEL) as lite:
        assert np.array_equal(lite.run(ROWS).outputs[0], ROWS[0])


def test_a_crash_while_running(path: Path) -> None:
    stand_in(path, invoke="os.write(2, b'free(): invalid pointer'); os.abort()")
    with (
        Runtime(MODEL) as lite,
        pytest.raises(BackendError, match=r"9\.0 crashed \(SIGABRT\).*invalid pointer"),
    ):
        lite.run(ROWS)


def test_a_crash_while_opening(path: Path) -> None:
    stand_in(path, init="os.kill(os.getpid(), 11)")
    with pytest.raises(BackendError, match=r"crashed \(SIGSEGV\) while opening digits_mlp"):
        Runtime(MODEL)


def test_an_exit(path: Path) -> None:
    stand_in(path, invoke="os._exit(3)")
    with Runtime(MODEL) as lite, pytest.raises(BackendError, match="exit code 3"):
        lite.run(ROWS)


def test_a_hang_is_ended(path: Path) -> None:
    stand_in(path, invoke="time.sleep(3600)")
    lite = Runtime(MODEL)
    lite._child.timeout_s = 0.2
    with pytest.raises(BackendError, match=r"did not answer within 0\.2 s"):
        lite.run(ROWS)
    process = lite._child.process
    lite.close()
    assert process.returncode is not None


def test_an_exception_is_an_answer_and_no_end(path: Path) -> None:
    """Rows on which the runtime raises are left out; the others are answered."""
    stand_in(path, invoke="exec('if self.x[0, 0] == 3: raise RuntimeError(\"no more memory\")')")
    with Runtime(MODEL) as lite:
        for _ in range(2):
            answer = lite.run(ROWS)
            assert answer.refused == (1,)
            assert answer.words == "no more memory"
            assert np.array_equal(answer.outputs[0], ROWS[0][:1])
        with pytest.raises(BackendError, match="no more memory"):
            lite.time_s(ROWS, 2)


def test_chatter_does_not_disturb_the_answers(path: Path) -> None:
    stand_in(path, init="print('INFO: hello'); os.write(1, b'more')", invoke="print('x' * 10000)")
    with Runtime(MODEL) as lite:
        assert np.array_equal(lite.run(ROWS).outputs[0], ROWS[0])


def test_tflite_runtime_is_the_second_choice(path: Path) -> None:
    (path / "ai_edge_litert.py").write_text("raise ImportError('not here')")
    stand_in(path, name="tflite_runtime", version="2.14.0")
    with Runtime(MODEL, wanted=[0]) as lite:
        assert (lite.name, lite.version) == ("tflite-runtime", "2.14.0")
        assert lite.kept == ()


def test_neither_is_installed(path: Path) -> None:
    (path / "ai_edge_litert.py").write_text("raise ImportError('not here')")
    (path / "tflite_runtime.py").write_text("raise ImportError('nor here')")
    with pytest.raises(BackendError, match=r"pip install 'neurovm\[litert\]'"):
        Runtime(MODEL)


def test_closing_twice(path: Path) -> None:
    stand_in(path)
    lite = Runtime(MODEL)
    lite.close()
    lite.close()
    with pytest.raises((BackendError, ValueError)):
        lite.run(ROWS)
