# SPDX-License-Identifier: Apache-2.0
"""The digests of loading are those of hashlib, whoever computes them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from random_models import random_model

import neurovm
from neurovm import digest


@pytest.mark.parametrize(
    "size", [0, 1, 63, 64, 65, 1000, digest.LARGE_BYTES, digest.LARGE_BYTES + 1]
)
def test_every_size_has_the_digest_of_hashlib(size: int) -> None:
    data = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    data = data[:size]
    wanted = hashlib.sha256(data).hexdigest()
    assert digest.sha256(data).hexdigest() == wanted
    for expected in (None, 0, digest.LARGE_BYTES):
        parts = digest.sha256(expected_bytes=expected)
        parts.update(data[: size // 3])
        parts.update(memoryview(data)[size // 3 :])
        assert parts.hexdigest() == wanted
        assert parts.digest().hex() == wanted


def test_a_small_model_is_loaded_without_openssl(tmp_path: Path) -> None:
    path = neurovm.convert_tflite(random_model(1).model).save(tmp_path / "net.nvm")
    code = (
        "import sys, neurovm\n"
        "model = neurovm.load(sys.argv[1])\n"
        "model.session().step(bytes(sum(t.bytes for t in model.inputs)))\n"
        "assert '_hashlib' not in sys.modules, 'OpenSSL was mapped'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
