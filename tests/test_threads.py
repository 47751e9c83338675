# SPDX-License-Identifier: Apache-2.0
"""Several threads a step: the answers are those of one; wrong numbers are named.

That every phase is cut the same bits come out is shown by tests/c/test_threads.c; here phases are
cut where that pays on the machine that runs it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from spiking_networks import drawn_alone

import neurovm
from neurovm import _kernel

FIXTURES = Path(__file__).parent / "fixtures"

FORKED = """
import os, sys
import neurovm
model = neurovm.load(sys.argv[1], threads=2)
session = model.session(way="dense")
rows = [bytes((i * k) % 256 for i in range(sum(t.bytes for t in model.inputs))) for k in range(9)]
wanted = [session.step(row).tobytes() for row in rows * 100]
child = os.fork()
if child == 0:
    found = [session.step(row).tobytes() for row in rows * 100]
    other = neurovm.load(sys.argv[1], threads=2).session(way="dense")
    also = [other.step(row).tobytes() for row in rows * 100]
    del session, other, model
    os._exit(0 if found == also == wanted else 1)
_, status = os.waitpid(child, 0)
again = [session.step(row).tobytes() for row in rows * 100]
sys.exit(0 if status == 0 and again == wanted else 1)
"""


@pytest.mark.parametrize("name", ["digits_resnet", "digits_mlp", "digits_dscnn"])
def test_answers_are_those_of_one_thread(name: str) -> None:
    alone = neurovm.convert_tflite(FIXTURES / f"{name}.tflite")
    shared = alone.with_threads(2)
    rng = np.random.default_rng(1)
    rows = rng.integers(-128, 128, (50, sum(t.bytes for t in alone.inputs)), dtype=np.int8)
    sessions = [(alone.session(way=way), shared.session(way=way)) for way in ("auto", "dense")]
    for row in [*rows, *rows]:
        for one, two in sessions:
            assert one.step(row).tobytes() == two.step(row).tobytes()
    x = rng.integers(0, 128, (50, *alone.inputs[0].shape[1:])).astype(alone.inputs[0].dtype)
    assert np.array_equal(alone.predict(x), shared.predict(x))


def test_threads_end_with_what_they_were_made_for(tmp_path: Path) -> None:
    path = neurovm.convert_tflite(FIXTURES / "digits_cnn.tflite").save(tmp_path / "m.nvm")
    for _ in range(20):
        with neurovm.load(path, threads=2, calibrate=False) as model:
            session = model.session()
        session.reset()
    ran = subprocess.run(
        [sys.executable, "-c", FORKED, path], timeout=120, check=False, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr.decode()


@pytest.mark.parametrize("threads", [0, -1, _kernel.MAX_THREADS + 1])
def test_a_number_of_threads_out_of_range_is_named(threads: int, tmp_path: Path) -> None:
    model = neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite")
    path = model.save(tmp_path / "m.nvm")
    with pytest.raises(ValueError, match=rf"threads {threads}; accepted: 1 to 64"):
        neurovm.load(path, threads=threads)
    with pytest.raises(ValueError, match="accepted: 1 to 64"):
        model.with_threads(threads)


def test_a_description_of_another_deployment_keeps_the_threads() -> None:
    model = neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite").with_threads(2)
    assert model.with_deploy({"a": 1}).threads == 2
    assert model.with_threads(1).threads == 1


def test_a_spiking_network_runs_on_one(tmp_path: Path) -> None:
    model = neurovm.convert_network(drawn_alone())
    assert model.with_threads(1) is model
    with pytest.raises(neurovm.BackendError, match="threads 2: a spiking network runs on one"):
        neurovm.load(model.save(tmp_path / "m.nvm"), threads=2)
