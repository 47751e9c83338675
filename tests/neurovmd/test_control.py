# SPDX-License-Identifier: Apache-2.0
"""The control protocol: single VMs stopped and started, and what is told of their limits."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rig import Daemon, free_port, wait_for
from neurovmd import control, sandbox
from neurovmd.control import PROTOCOL, ControlServer, RefusedError

VM = """\
model: {model}
inputs: [{{topic: "plant/{{stream}}/x", payload: {{field: ""}}}}]
"""
LIMITED = """\
memory: 128Mi
cpu: 0.5
power_limit: 500 mW
capabilities: [NET_BIND_SERVICE, SYS_MODULE]
"""


@pytest.fixture
def daemon(tmp_path: Path, bundles: dict[str, Path]) -> Iterator[Daemon]:
    """Two VMs, `a` with limits; the broker is away."""
    text = VM.format(model=bundles["digits_mlp"])
    server = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{free_port()}"}}\n'
    one = Daemon(tmp_path / "d", server, a=text + LIMITED, b=text)
    one.start()
    yield one
    one.stop()


def ask(daemon: Daemon, **request: object) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10.0)
        client.connect(str(daemon.folder / "neurovmd.sock"))
        client.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(client.makefile("rb").readline())


def state(daemon: Daemon, vm: str) -> str:
    return str(daemon.vm(vm)["state"])


def test_one_vm_stops_and_starts_and_the_other_notices_nothing(daemon: Daemon) -> None:
    other = daemon.vm("b")["pid"]
    assert ask(daemon, op="stop", vm="a")["status"] == "ok"
    wait_for(lambda: state(daemon, "a") == "stopped", "a is stopped")
    assert daemon.vm("a")["pid"] == 0
    assert ask(daemon, op="stop", vm="a")["status"] == "ok"  # it is
    assert ask(daemon, op="start", vm="a")["status"] == "ok"
    wait_for(lambda: state(daemon, "a") == "ready", "a is ready")
    assert daemon.vm("a")["restarts"] == 0  # nobody failed
    assert (daemon.vm("b")["pid"], state(daemon, "b")) == (other, "ready")


def test_started_while_it_still_ends_it_comes_back(daemon: Daemon) -> None:
    before = daemon.vm("a")["pid"]
    ask(daemon, op="stop", vm="a")
    ask(daemon, op="start", vm="a")
    wait_for(lambda: daemon.vm("a")["pid"] not in (0, before), "a has a new worker")
    wait_for(lambda: state(daemon, "a") == "ready", "a is ready")
    assert daemon.vm("a")["restarts"] == 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"op":"\xfc"}',
        b'{"op":"\\ud800"}',
        b'{"op":"stop","vm":"\\udc80"}',
        b"\xff\x00",
        b"[" * 4000,
        b'{"op":' + b'{"op":' * 600,
        b'{"op":null,"vm":1e999}',
    ],
)
def test_no_request_ends_the_daemon(line: bytes) -> None:
    """Nor one that an operation, or writing its answer down, fails at."""
    server = object.__new__(ControlServer)
    server._operations = {"stop": _refuse, "fails": _fail, "odd": lambda _: "\udc80"}
    for each in (line, b'{"op":"fails"}', b'{"op":"odd"}'):
        assert json.loads(server._answer(each))["status"] == "error", each


def _refuse(request: dict[str, object]) -> object:
    raise RefusedError(f"found {request.get('vm')}")


def _fail(request: dict[str, object]) -> object:
    raise KeyError(request)


def test_random_bytes_are_answered_or_closed(daemon: Daemon) -> None:
    chance = random.Random(20)
    pid = daemon.status()["pid"]
    for _ in range(200):
        line = bytes(chance.choices(b'{}[]":,\\u\xff\xc3\x00opstau 0e9', k=chance.randint(1, 60)))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10.0)
            client.connect(str(daemon.folder / "neurovmd.sock"))
            client.sendall(line + b"\n")
            for answer in client.makefile("rb").readline().splitlines():
                assert json.loads(answer)["status"] == "error", line
    assert daemon.status()["pid"] == pid


def test_what_a_tap_is_told(daemon: Daemon) -> None:
    told = ask(daemon, op="tap", vm="a")["data"]
    assert (told["node"], told["inputs"]) == ("box", ["plant/{stream}/x"])
    assert told["result"] == "neurovm/box/a/result/{stream}"
    assert told["mqtt"]["server"] == daemon.status()["mqtt"]["server"]
    assert "accepted: a, b" in ask(daemon, op="tap", vm="c")["error"]


def test_wrong_requests_are_answered(daemon: Daemon) -> None:
    unknown = ask(daemon, op="stop", vm="c")
    assert unknown == {"status": "error", "error": "vm: found 'c'; accepted: a, b"}
    assert "found None" in ask(daemon, op="start")["error"]
    version = ask(daemon, op="version")["data"]
    assert version["protocol"] == PROTOCOL == daemon.status()["protocol"]
    assert set(version["operations"]) == {"reload", "status", "start", "stop", "tap", "version"}


def test_limits_are_told_with_what_enforces_them(daemon: Daemon) -> None:
    limits = daemon.vm("a")["limits"]
    assert limits["memory"] == {"limit": 128 * 2**20, "unit": "bytes", "by": "RLIMIT_DATA"}
    assert limits["cpu"] == {"limit": 0.5, "unit": "cpus", "by": "duty cycle"}
    assert limits["power"] == {"limit": 0.5, "unit": "W", "by": "duty cycle"}
    assert set(daemon.vm("b")["limits"]) == {"capabilities"}
    wait_for(lambda: daemon.vm("a")["watts"] is not None, "there is a figure")
    assert daemon.vm("a")["watts"] >= 0
    assert "W a core" in daemon.vm("a")["watts_source"]


def test_the_worker_keeps_what_is_listed_and_held(daemon: Daemon) -> None:
    held = sandbox.held()
    for vm, listed in (("a", {"NET_BIND_SERVICE", "SYS_MODULE"}), ("b", set())):
        status = Path(f"/proc/{daemon.vm(vm)['pid']}/status")
        assert sandbox.held(status) == held & listed
        assert "NoNewPrivs:\t1" in status.read_text()
    missing = {"NET_BIND_SERVICE", "SYS_MODULE"} - held
    assert bool(missing) == bool(daemon.vm("a")["reason"])
    assert all(name in daemon.vm("a")["reason"] for name in missing)
    # Memory: the limit is the kernel's own.
    limits = Path(f"/proc/{daemon.vm('a')['pid']}/limits").read_text()
    assert str(128 * 2**20) in limits


def test_the_group_of_the_socket_is_one_of_the_machine(tmp_path: Path) -> None:
    groups = tmp_path / "group"
    groups.write_text("root:x:0:\nneurovmx:x:7:\nbroken\nneurovm:x:997:ada,bob\nneurovm:x:1:\n")
    assert control._number_of("neurovm", groups) == 997  # what the socket is given to
    with pytest.raises(KeyError):
        control._number_of("broken", groups)  # the same
