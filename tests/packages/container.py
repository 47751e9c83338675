# SPDX-License-Identifier: Apache-2.0
"""container.py ROOT IMAGE: start what recipe.py made as an engine would, and stop it again.

The daemon is the container's first process, without systemd, as the recipe's user, with the options
that the recipe's head names: no capabilities, no new privileges, a read-only root. It has to get
ready without a broker, answer on its control socket, be healthy as the recipe's own check says when
a broker comes, and end with 0 on SIGTERM.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
BROKER_PORT = 1884
CONFIG = f"node: box\nmqtt: {{server: 'mqtt://127.0.0.1:{BROKER_PORT}'}}\n"
VM = "model: digits_mlp.tflite\ninputs: [{topic: 'digits/{stream}', payload: {format: raw}}]\n"


def folders(room: Path, uid: int) -> list[str]:
    """The volumes of the documented command, as options of nspawn."""
    box = room / "box"
    (box / "vm.d").mkdir(parents=True)
    (box / "neurovmd.yaml").write_text(CONFIG)
    (box / "vm.d" / "digits.yaml").write_text(VM)
    shutil.copy(TOP / "tests/fixtures/digits_mlp.tflite", box / "vm.d")
    options = [f"--bind-ro={box}:/etc/neurovmd"]
    for name, target in (("state", "var/lib"), ("cache", "var/cache"), ("run", "run")):
        (room / name).mkdir()
        os.chown(room / name, uid, uid)
        options.append(f"--bind={room / name}:/{target}/neurovmd")
    return options


def status(path: Path) -> dict[str, object]:
    """What the daemon says on its control socket; empty while it does not listen."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            # A long path does not fit into the address of a socket: from its folder it does.
            descriptor = os.open(path.parent, os.O_RDONLY)
            client.connect(f"/proc/self/fd/{descriptor}/{path.name}")
            os.close(descriptor)
            client.sendall(b'{"op": "status"}\n')
            return dict(json.loads(client.makefile().readline()))
    except (ConnectionError, FileNotFoundError):
        return {}


def main(root: Path, image: dict[str, object]) -> None:
    user = str(image["user"])
    entries = (line.split(":") for line in (root / "etc/passwd").read_text().splitlines())
    uid = next(int(entry[2]) for entry in entries if entry[0] == user)
    room = root.parent / "volumes"
    room.mkdir()
    environment = image["environment"]
    assert isinstance(environment, dict)
    assert isinstance(image["entry"], list)
    assert isinstance(image["command"], list)
    command = [
        *("systemd-nspawn", "-q", "--register=no", "--keep-unit", "--console=pipe"),
        *("--read-only", "--no-new-privileges=yes", "--drop-capability=all", f"--user={user}"),
        *(f"--setenv={name}={value}" for name, value in environment.items()),
        *folders(room, uid),
        *("-D", str(root), "--kill-signal=SIGTERM", "--private-network"),
        *(*image["entry"], *image["command"]),
    ]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as engine:
        try:
            end_s = time.monotonic() + DEADLINE_S
            answer: dict[str, object] = {}
            while "'state': 'ready'" not in str(answer):
                assert engine.poll() is None, f"ended with {engine.returncode}"
                assert time.monotonic() < end_s, f"not ready: {answer}"
                time.sleep(0.05)  # between two looks at another process
                answer = status(room / "run" / "neurovmd.sock")
            first = daemon_of(engine.pid)
            fields = Path(f"/proc/{first}/status").read_text()
            assert "NSpid:\t" in fields
            assert fields.split("NSpid:\t")[1].split("\n")[0].split()[-1] == "1", fields
            assert f"Uid:\t{uid}\t" in fields
            assert "CapEff:\t0000000000000000" in fields
            health = health_of(image, first)
            assert health() != 0, "healthy without a broker"
            becomes_healthy(first, health)
            os.kill(first, signal.SIGTERM)
            code = engine.wait(DEADLINE_S)
        finally:
            if engine.poll() is None:
                engine.kill()
    assert code == 0, f"neurovmd ended with {code}"
    assert not (room / "run" / "neurovmd.sock").exists()
    sys.stdout.write("container: ready as the first process, without systemd; ended by SIGTERM\n")


def health_of(image: dict[str, object], first: int) -> Callable[[], int]:
    """The recipe's own check, run inside the container with its environment."""
    environment, check = image["environment"], image["health"]
    assert isinstance(environment, dict)
    assert isinstance(check, list)
    inside = ["nsenter", "-t", str(first), "-m", "-n", "env", "-i"]
    command = [*inside, *(f"{name}={value}" for name, value in environment.items()), *check]
    return lambda: subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def becomes_healthy(first: int, health: Callable[[], int]) -> None:
    """A broker on the container's loopback, where there is one to be started."""
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if mosquitto is None:
        sys.stdout.write("container: SKIPPED health with a broker: no mosquitto\n")
        return
    with subprocess.Popen(
        ["nsenter", "-t", str(first), "-n", mosquitto, "-p", str(BROKER_PORT)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as broker:
        try:
            end_s = time.monotonic() + DEADLINE_S
            while health() != 0:
                assert time.monotonic() < end_s, "not healthy with a broker"
                time.sleep(0.05)  # between two looks at another process
        finally:
            broker.terminate()
    sys.stdout.write("container: not healthy without a broker, healthy with one\n")


def daemon_of(engine: int) -> int:
    """The container's first process: the child of nspawn's child that is PID 1 inside."""
    found = [engine]
    while found:
        pid = found.pop()
        line = Path(f"/proc/{pid}/status").read_text().split("NSpid:\t")[1].split("\n")[0].split()
        if (
            len(line) > 1
            and line[-1] == "1"
            and b"neurovmd" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ):
            return pid
        found += [
            int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    raise AssertionError("no first process")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
