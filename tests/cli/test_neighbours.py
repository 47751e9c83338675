# SPDX-License-Identifier: Apache-2.0
"""Boxes beside each other and beside a service: names, nodes, layers, what a shell completes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from benchmarks.rig import ROOT, Client, Daemon, free_port, wait_for
from neurovm.cli import boxes, broker, main
from neurovm.cli.app import COMPLETION
from neurovm.cli.exits import Exit
from neurovm.cli.run import claim_node

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A broker that several share."""
    with (tmp_path_factory.mktemp("broker") / "log").open("wb") as log:
        child, number = broker.start(log)
        yield number
        broker.end(child)


@pytest.fixture
def service(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A service with a VM `hello` and a VM `other`; its broker is away."""
    text = f"model: {place / 'hello/hello.nvm'}\ninputs: [{{topic: x, payload: {{field: ''}}}}]\n"
    server = f"node: box\nmqtt: {{server: 'mqtt://127.0.0.1:{free_port()}'}}\n"
    daemon = Daemon(tmp_path / "service", server, hello=text, other=text)
    daemon.start()
    monkeypatch.setenv("NEUROVM_SOCKET", str(daemon.folder / "neurovmd.sock"))
    yield daemon
    daemon.stop()


def lines_of(process: subprocess.Popen[str]) -> Iterator[dict]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def test_two_boxes_share_a_broker_as_nodes_of_their_own(run, place: Path, port: int) -> None:
    watcher = Client(port)
    watcher.subscribe("neurovm/+/availability")
    server = f"mqtt://localhost:{port}"
    names = ("one", "two")
    for name in names:
        ran = run("run", "-d", "--name", name, "--broker", server, place / "hello/hello.nvm")
        assert ran.code == Exit.OK, ran.err
    host = socket.gethostname().split(".")[0]
    topics = {f"neurovm/{host}-{name}/availability" for name in names}
    wait_for(lambda: topics <= {topic for topic, _ in watcher.messages}, "both are there")
    found = {vm["name"]: vm for vm in json.loads(run("ps", "-o", "json").out)["vms"]}
    assert {found[name]["connected"] for name in names} == {True}
    again = run(
        "run", "-d", "--name", "three", "--node", f"{host}-one",
        "--broker", f"mqtt://127.0.0.1:{port}", place / "hello/hello.nvm",
    )  # fmt: skip
    assert again.code == Exit.USAGE
    assert f"run/one is the node {host}-one" in again.err
    assert not boxes.box("three").folder.exists()
    said = [payload for topic, payload in watcher.messages if topic in topics]
    assert said.count(b"offline") == 0  # nobody took a connection from the other
    watcher.close()
    assert run("rm", "-f", *names).code == Exit.OK


def test_of_two_that_start_at_once_as_one_node_one_is_refused(run, place: Path, port: int) -> None:
    bundle = place / "hello/hello.nvm"
    server = f"mqtt://127.0.0.1:{port}"
    command = [sys.executable, "-m", "neurovm", "run", "-d", "--node", "twin", "--broker", server]
    both = {
        name: subprocess.Popen(
            [*command, "--name", name, bundle], stderr=subprocess.PIPE, text=True
        )
        for name in ("left", "right")
    }
    said = {name: child.communicate(timeout=120)[1] for name, child in both.items()}
    assert sorted(child.returncode for child in both.values()) == [Exit.OK, Exit.USAGE]
    refused = next(name for name, child in both.items() if child.returncode)
    assert re.search(
        rf"(another is being started as|is) the node twin at {server}; --node gives {refused} anot",
        said[refused],
    )
    assert not boxes.box(refused).folder.exists()
    assert run("rm", "-f", *(both.keys() - {refused})).code == Exit.OK


def test_a_node_is_held_until_its_daemon_can_be_seen(port: int) -> None:
    def settings(host: str, node: str) -> boxes.Settings:
        return boxes.Settings(
            name="a", source="", model_sha256="", server=f"mqtt://{host}:{port}", node=node,
            log_level="info", limit=None, created_s=0.0,
        )  # fmt: skip

    with claim_node("a", settings("localhost", "twin")):
        with pytest.raises(click.UsageError, match="another is being started as the node twin at"):
            claim_node("b", settings("127.0.0.1", "twin"))
        claim_node("b", settings("127.0.0.1", "other")).close()
    claim_node("b", settings("127.0.0.1", "twin")).close()


def test_a_box_that_would_be_the_node_of_the_service_is_refused(
    run, place: Path, service: Daemon
) -> None:
    server = service.status()["mqtt"]["server"]
    bundle = place / "hello/hello.nvm"
    ran = run("run", "-d", "--name", "same", "--node", "box", "--broker", server, bundle)
    assert ran.code == Exit.USAGE
    assert "service/hello is the node box" in ran.err


def test_of_two_vms_of_one_name_it_is_asked_which(run, place: Path, service: Daemon) -> None:
    assert run("run", "-d", "-q", place / "hello/hello.nvm").code == Exit.OK
    shown = run("ps").out
    assert "run/hello" in shown
    assert "service/hello" in shown
    assert "service/other" not in shown
    for command in ("stop", "start", "restart", "tap"):
        ran = run(command, "hello")
        assert ran.code == Exit.USAGE
        assert "run/hello and service/hello" in ran.err
    assert run("stop", "service/hello").code == Exit.OK
    assert service.vm("hello")["state"] == "stopped"
    assert boxes.box("hello").runner() is not None
    assert run("stop", "run/hello").code == Exit.OK
    assert boxes.box("hello").runner() is None
    assert run("start", "service/hello", "run/hello").code == Exit.OK
    assert service.vm("hello")["state"] == "ready"
    assert run("rm", "service/hello").code == Exit.USAGE
    assert run("logs", "run/hello").code == Exit.OK
    assert run("rm", "-f", "run/hello").code == Exit.OK
    assert service.vm("hello")["state"] == "ready"


@pytest.mark.usefixtures("service")
def test_ps_and_top_say_everything_once_and_in_narrow_terminals(run) -> None:
    text = run("ps").out
    assert text.count("the whole box draws") == 1
    assert text.count("watts: ") == 1
    assert "hello, other: watts: " in text
    narrow = on_terminal(20, "xterm", "top", "-n", "1", "--interval", "0.1")
    assert "\x1b[2J" in narrow
    assert any(line.split() == ["name", "state", "broker"] for line in plain(narrow))
    assert any(line.split() == ["hello", "ready", "down"] for line in plain(narrow))
    assert "not shown here: in/s, results/s" in narrow
    assert "\x1b[2J" not in on_terminal(200, "dumb", "top", "-n", "1", "--interval", "0.1")


def on_terminal(columns: int, kind: str, *args: str) -> str:
    """What the command prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    child = subprocess.Popen(
        [sys.executable, "-m", "neurovm", *args],
        env={**environ, "TERM": kind},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while block := os.read(ours, 65536):
            said += block
    os.close(ours)
    assert child.wait(30) == Exit.OK
    return said.decode()


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).splitlines()


@pytest.mark.usefixtures("service")
def test_a_shell_completes_the_names_of_vms(place: Path) -> None:
    def completed(words: str) -> set[str]:
        ran = subprocess.run(
            [sys.executable, "-m", "neurovm"],
            env={
                **os.environ,
                COMPLETION: "bash_complete",
                "COMP_WORDS": f"neurovm {words}",
                "COMP_CWORD": str(len(words.split(" "))),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.stderr == ""
        return {line.partition(",")[2] for line in ran.stdout.splitlines()}

    assert main(["run", "-d", "-q", "--name", "mine", str(place / "hello/hello.nvm")]) == Exit.OK
    for command in ("stop", "start", "restart", "tap"):
        assert completed(f"{command} ") == {"hello", "mine", "other"}
    assert completed("stop m") == {"mine"}
    assert completed("stop mine ") == {"hello", "other"}
    assert completed("rm ") == completed("logs ") == {"mine"}
    assert main(["rm", "-fq", "mine"]) == Exit.OK


def test_tap_of_a_service_made_of_layers(
    run, place: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the daemon has taken from layers, variables and its environment, the tap is told."""
    low, high = tmp_path / "low", tmp_path / "high"
    for folder in (low, high / "conf.d", high / "vm.d"):
        folder.mkdir(parents=True)
    path = tmp_path / "d.sock"
    (low / "neurovmd.yaml").write_text(
        "mqtt: {server: 'mqtt://127.0.0.1:1'}\nnode: box\n"
        f"socket: {path}\ncache_dir: {tmp_path}/cache\nstate_dir: {tmp_path}/state\n"
    )
    (high / "conf.d/broker.yaml").write_text(
        f"mqtt: {{server: 'mqtt://127.0.0.1:{port}', username: u, password_file: {tmp_path}/word}}"
    )
    (tmp_path / "word").write_text("secret")
    (high / "vm.d/pump.yaml").write_text(
        f"model: {place / 'hello/hello.nvm'}\n"
        "inputs: [{topic: 'x/${env:PLANT}/{stream}', payload: {field: ''}}]\n"
        "output: {topic: 'out/{stream}'}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "neurovmd", "--layer", low, "--layer", high],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PLANT": "p7"},
            stdout=log,
            stderr=log,
        )
    monkeypatch.setenv("NEUROVM_SOCKET", str(path))
    client = Client(port)
    try:
        wait_for(path.exists, "the daemon listens")
        wait_for(lambda: '"ready"' in run("ps", "-o", "json").out, "the VM is ready")
        command = [sys.executable, "-m", "neurovm", "tap", "pump", "-o", "jsonl", "-n", "1"]
        tap = subprocess.Popen([*command, "--for", "1min"], stdout=subprocess.PIPE, text=True)
        seen = lines_of(tap)
        while next(seen)["state"] != "connected":  # first MQTT 5, which this broker refuses
            pass
        client.publish("x/p7/a", (place / "hello/samples.csv").read_text().split()[0].join("[]"))
        assert next(seen)["topic"] == "x/p7/a"
        assert tap.wait(20) == Exit.OK
        assert tap.stdout is not None
        tap.stdout.close()
        assert run("tap", "pump", "--for", "1ms").code == Exit.OK
        (tmp_path / "word").unlink()
        ran = run("tap", "pump")
        assert ran.code == Exit.PERMISSION
        assert f"{tmp_path}/word" in ran.err
    finally:
        client.close()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)
