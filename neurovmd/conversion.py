# SPDX-License-Identifier: Apache-2.0
"""Conversion of a .tflite on the box: in a limited child process, and only once.

The child (`python -m neurovmd.conversion`) is the one program of the daemon that loads numpy; it is
limited in memory, CPU time and file size, as a model file is hostile input. Its result stands in
the cache folder under sha256(source, generator, profile, coding, options), written whole or not at
all.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from neurovm.version import GENERATOR
from neurovmd.config import Deployment

MEMORY_BYTES = 4 << 30
CPU_S = 600
FILE_BYTES = 1 << 30
WALL_S = 900.0
MAX_SOURCE_BYTES = 256 << 20
CODING = "graded"
REASON_BYTES = 2000
EXIT_DATA, EXIT_IO = 65, 74


def read_source(model: Path) -> bytes:
    """The model file; ValueError where it is not one to convert."""
    size = model.stat().st_size
    if size > MAX_SOURCE_BYTES:
        raise ValueError(f"{model}: found {size} bytes; accepted: at most {MAX_SOURCE_BYTES}")
    return model.read_bytes()


def cache_key(source: bytes, profile: str) -> str:
    """Where the bundle of `source` stands in the cache."""
    parts = {
        "source": hashlib.sha256(source).hexdigest(),
        "generator": GENERATOR,
        "profile": profile,
        "coding": CODING,
        "options": {},
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def cached_bundle(deployment: Deployment, cache_dir: Path) -> Path:
    """The path of the bundle made (or to be made) from this deployment's .tflite.

    OSError or ValueError where the model cannot be read.
    """
    key = cache_key(read_source(deployment.model), deployment.vm.profile)
    return cache_dir / f"{key}.nvm"


@dataclass(slots=True)
class Conversion:
    """A running child; `stderr` is a pipe to watch, its end means the child is ending."""

    pid: int
    stderr: int
    deadline: float
    bundle: Path
    said: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(cls, deployment: Deployment, bundle: Path) -> Conversion:
        """Start the child; OSError where it cannot be started or the cache cannot be made."""
        bundle.parent.mkdir(parents=True, exist_ok=True)
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        module = [sys.executable, "-m", "neurovmd.conversion"]
        # One thread is enough, and BLAS sizes its buffers by the number of threads.
        environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environ.pop("NOTIFY_SOCKET", None)
        try:
            pid = os.posix_spawn(
                sys.executable,
                [*module, str(deployment.model), str(bundle), deployment.vm.profile],
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, write_end, 2),
                    (os.POSIX_SPAWN_DUP2, write_end, 1),
                ],
                setsigdef=[signal.SIGHUP, signal.SIGPIPE],
            )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return cls(pid, read_end, time.monotonic() + WALL_S, bundle)

    def listen(self) -> None:
        """Take what the child says; the last line is why it failed."""
        try:
            self.said += os.read(self.stderr, 65536)
        except BlockingIOError:
            return
        del self.said[:-REASON_BYTES]

    def overdue(self, now: float) -> bool:
        return now >= self.deadline

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self.stderr >= 0:
            os.close(self.stderr)
            self.stderr = -1

    def failure(self, status: int) -> str:
        """Why the ended child failed; empty when it did not."""
        code = os.waitstatus_to_exitcode(status)
        if code == 0 and self.bundle.exists():
            return ""
        if code < 0:
            limits = f"{MEMORY_BYTES >> 30} GiB, {CPU_S} s of CPU, {WALL_S:.0f} s"
            return f"the conversion was killed (signal {-code}); its limits: {limits}"
        lines = self.said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"the conversion ended with exit code {code}"

    def final(self, status: int) -> bool:
        """Whether the same source would fail again: the model is at fault, or too much work."""
        return os.waitstatus_to_exitcode(status) in (EXIT_DATA, -signal.SIGXCPU)


def _limit() -> None:
    import resource

    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (bound, bound))
    os.nice(10)


def main(arguments: list[str]) -> int:
    """Convert SOURCE into BUNDLE under PROFILE; one line on stderr where that fails."""
    _limit()
    source, bundle, profile = arguments
    import neurovm

    try:
        content = read_source(Path(source))
        with neurovm.convert_tflite(source, profile=profile, coding=CODING) as model:
            same = model.manifest.source.sha256 == hashlib.sha256(content).hexdigest()
            if not same or f"{cache_key(content, profile)}.nvm" != Path(bundle).name:
                raise neurovm.ModelError(f"{source}: it changed while it was being read")
            model.save(bundle)
    except (neurovm.NeurovmError, OSError, ValueError) as error:
        said = str(error)
        where = "" if source in said else f"{source}: "
        print(f"{where}{said}", file=sys.stderr)
        return EXIT_IO if isinstance(error, OSError) else EXIT_DATA
    except MemoryError:
        print(f"{source}: conversion needs more than {MEMORY_BYTES} bytes", file=sys.stderr)
        return EXIT_DATA
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
