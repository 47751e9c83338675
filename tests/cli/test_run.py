# SPDX-License-Identifier: Apache-2.0
"""A box's whole life: run, ps, top, tap, logs, stop, start, restart, rm, and its own broker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import neurovm
from benchmarks.rig import Client, Daemon, wait_for
from neurovm.cli import boxes, main
from neurovm.cli.exits import Exit

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def box(place: Path) -> boxes.Box:
    """The box, running."""
    found = boxes.box("hello")
    if not found.folder.exists():
        assert main(["run", "-q", "-d", "--node", "here", str(place / "hello/hello.nvm")]) == 0
    elif found.runner() is None:
        assert main(["start", "-q", "hello"]) == Exit.OK
    return found


def client_of(box: boxes.Box) -> Client:
    client = Client(int(box.address.read_text().rsplit(":", 1)[1]))
    client.subscribe("neurovm/#")
    return client


def samples(place: Path) -> list[str]:
    return [f"[{line}]" for line in (place / "hello/samples.csv").read_text().split()]


def ps(run) -> dict:
    ran = run("ps", "-o", "json")
    assert ran.code == Exit.OK, ran.err
    return {vm["name"]: vm for vm in json.loads(ran.out)["vms"]}


def test_a_message_in_a_result_out_as_the_bundle_answers(place: Path, box: boxes.Box) -> None:
    client = client_of(box)
    text = samples(place)[0]
    client.publish("neurovm/here/hello/in/cam", text)
    result = client.wait("neurovm/here/hello/result/cam", bool)
    with neurovm.load(box.bundle) as model:
        info = model.inputs[0]
        codes = bytes(
            max(-128, min(127, round(v / info.scale) + info.zero_point)) & 0xFF
            for v in json.loads(text)
        )
        index, code, _ = model.top_k(model.session().step(codes), 1)[0]
        assert result["model"] == model.sha256[:12]
    assert (result["top"][0]["index"], result["top"][0]["code"]) == (index, code)
    assert (result["coding"], result["approx"]) == ("rate", True)
    client.close()


def test_the_readme_s_own_command_beside_a_subscriber(place: Path, box: boxes.Box) -> None:
    """QoS 0 from a client without an id that is gone at once."""
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not installed")
    client = client_of(box)
    lines = (place / "hello/README.md").read_text().splitlines()
    (command,) = (line.strip() for line in lines if line.strip().startswith("mosquitto_pub"))
    command = command.replace("PORT", box.port.read_text()).replace("NODE", "here")
    for number in range(5):
        text = command.replace("cam1", f"short{number}")
        subprocess.run(["/bin/sh", "-c", text], cwd=place / "hello", check=True, timeout=20)
        assert client.wait(f"neurovm/here/hello/result/short{number}", bool)["top"]
    client.close()


def test_ps_and_top_show_state_and_rates(run, box: boxes.Box) -> None:
    vm = ps(run)["hello"]
    assert (vm["state"], vm["by"], vm["connected"]) == ("ready", "run", True)
    assert vm["broker"] == box.address.read_text()
    assert vm["box_watts_source"]
    assert {"results_per_s", "sops_per_s", "spikes_per_s"} <= set(vm)
    assert {what: limit["by"] for what, limit in vm["limits"].items()} == {
        "memory": "RLIMIT_DATA",
        "cpu": "duty cycle",
        "power": "duty cycle",
        "capabilities": "capset",
    }
    assert 0 <= vm["watts"] <= vm["limits"]["power"]["limit"]
    assert "attributed" in vm["watts_source"]
    for ran in (run("ps"), run("top", "-n", "1", "--interval", "0.1")):
        assert ran.code == Exit.OK
        line = next(line for line in ran.out.splitlines() if line.startswith("hello"))
        assert "ready" in line
        assert "connected" in line


def test_rates_are_those_between_two_looks(run, place: Path, box: boxes.Box) -> None:
    client = client_of(box)
    texts = samples(place)
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.wait(0.005):
            client.publish("neurovm/here/hello/in/cam", texts[number % len(texts)])
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        wait_for(lambda: (ps(run)["hello"]["sops_per_s"] or 0) > 0, "weights are applied")
        vm = ps(run)["hello"]
        assert vm["spikes_per_s"] > 0
        assert vm["messages_per_s"] > 0
    finally:
        stop.set()
        thread.join()
        client.close()


def test_tap_shows_inputs_and_results(place: Path, box: boxes.Box) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "neurovm", "tap", "hello", "-o", "jsonl"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["state"] == "connected"
    client = client_of(box)
    texts = samples(place)
    topics = {f"neurovm/here/hello/{way}/tapped" for way in ("in", "result")}
    heard: dict[str, dict] = {}

    def read() -> None:
        for text in child.stdout:
            line = json.loads(text)
            heard[line.get("topic", "")] = line

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for text in texts:
            client.publish("neurovm/here/hello/in/tapped", text)
        wait_for(lambda: topics <= set(heard), "an input and a result are seen")
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == Exit.INTERRUPTED
        reader.join()
        child.stdout.close()
        client.close()
    assert heard["neurovm/here/hello/in/tapped"]["kind"] == "input"
    assert heard["neurovm/here/hello/result/tapped"]["payload"]["vm"] == "hello"


@pytest.mark.usefixtures("box")
def test_a_running_box_is_not_started_twice_nor_removed(run, place: Path) -> None:
    again = run("run", "-d", place / "hello/hello.nvm")
    assert again.code == Exit.USAGE
    assert "running already" in again.err
    removed = run("rm", "hello")
    assert removed.code == Exit.USAGE
    assert "--force" in removed.err
    assert ps(run)["hello"]["state"] == "ready"


def test_stop_start_restart_logs_and_rm(run, box: boxes.Box) -> None:
    keys = set(ps(run)["hello"])
    assert run("stop", "hello").code == Exit.OK
    stopped = ps(run)["hello"]
    assert {k: v for k, v in stopped.items() if v is not None} == {
        "name": "hello",
        "state": "stopped",
        "by": "run",
    }
    assert set(stopped) == keys
    assert run("stop", "hello").code == Exit.OK  # it is
    tapped = run("tap", "hello")
    assert tapped.code == Exit.USAGE
    assert "not running" in tapped.err
    assert run("start", "hello").code == Exit.OK
    first = ps(run)["hello"]
    assert first["state"] == "ready"
    assert run("restart", "hello").code == Exit.OK
    second = ps(run)["hello"]
    assert (second["state"], first["pid"] != second["pid"]) == ("ready", True)
    logs = run("logs", "hello")
    assert logs.out.count("daemon.ready") >= 2
    assert run("logs", "hello", "-n", "1").out.count("\n") == 1
    assert run("rm", "--force", "hello").code == Exit.OK
    assert ps(run) == {}
    assert not box.folder.exists()


def test_logs_follow_what_is_said(box: boxes.Box) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "neurovm", "logs", "-f", "-n", "0", "hello"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(iter(child.stdout.readline, "")))
    reader.start()

    def say() -> bool:
        with box.log.open("a") as log:  # until it listens
            log.write("something new\n")
        return "something new\n" in heard

    wait_for(say, "the new line is shown")
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == Exit.INTERRUPTED
    reader.join()
    child.stdout.close()


def test_a_box_whose_runner_was_killed_is_stopped_all_the_same(run, box: boxes.Box) -> None:
    runner = box.runner()
    assert runner is not None
    os.kill(runner, signal.SIGKILL)
    wait_for(lambda: box.runner() is None, "the runner is gone")
    wait_for(lambda: ps(run)["hello"]["state"] == "stopped", "its daemon ends too")
    assert run("stop", "hello").code == Exit.OK
    assert run("start", "hello").code == Exit.OK


def test_a_broker_that_dies_is_revived_at_its_port(run, place: Path, box: boxes.Box) -> None:
    address = box.address.read_text()
    (broker,) = (
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"neurovm.broker\0{box.port.read_text()}\0".encode() in path.read_bytes()
    )
    os.kill(broker, signal.SIGKILL)
    wait_for(lambda: not ps(run)["hello"]["connected"], "the broker is gone")
    wait_for(lambda: ps(run)["hello"]["connected"], "the broker is there again", 60.0)
    assert box.address.read_text() == address
    client = client_of(box)
    client.publish("neurovm/here/hello/in/again", samples(place)[0])
    assert client.wait("neurovm/here/hello/result/again", bool)
    client.close()
    assert "broker.ended" in box.log.read_text()


def test_a_box_may_be_run_from_its_own_bundle(run, place: Path) -> None:
    """The new one is whole before the old one goes."""
    assert run("run", "-d", "--name", "own", place / "hello/hello.nvm").code == Exit.OK
    own = boxes.box("own")
    port = own.port.read_text()
    assert run("stop", "own").code == Exit.OK
    before = own.bundle.read_bytes()
    wrong = run("run", "-d", "--name", "own", place / "none.nvm")
    assert wrong.code == Exit.NO_INPUT
    assert own.bundle.read_bytes() == before
    ran = run("run", "-d", "--name", "own", own.bundle)
    assert ran.code == Exit.OK, ran.err
    assert own.bundle.read_bytes() == before
    assert own.port.read_text() == port
    assert run("rm", "-f", "own").code == Exit.OK
    assert not own.folder.exists()


def test_two_runs_of_one_name_do_not_meet() -> None:
    """One of them serves, the others say that it does."""
    command = [sys.executable, "-m", "neurovm", "run", "-d", "-q", "--name", "twin", "--node", "n"]
    children = [
        subprocess.Popen([*command, "hello/hello.nvm"], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [child.communicate(timeout=60)[1] for child in children]
    codes = [child.returncode for child in children]
    assert sorted(codes) == [Exit.OK, Exit.USAGE, Exit.USAGE], said
    assert sum("twin is running already" in text for text in said) == 2
    assert boxes.box("twin").runner() is not None
    assert main(["rm", "-fq", "twin"]) == Exit.OK


def test_ctrl_c_before_it_is_ready_is_an_interruption() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "neurovm", "run", "hello/hello.nvm", "--name", "early"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    early = boxes.box("early")
    wait_for(early.address.exists, "the broker is up, the daemon is not yet")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (Exit.INTERRUPTED, ""), err
    assert "interrupted" in err
    assert early.runner() is None
    assert boxes.daemon_of(early) is None
    assert main(["rm", "-q", "early"]) == Exit.OK


def test_in_the_foreground_it_says_where_it_listens_and_ends_with_ctrl_c() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "neurovm", "run", "hello/hello.nvm", "--name", "fg", "--node", "n"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline().startswith("fg is ready after ")
    said = [child.stdout.readline().split() for _ in range(3)]
    assert said[0][0] == "broker"
    assert said[1] == ["input", "neurovm/n/fg/in/{stream}"]
    assert said[2] == ["results", "neurovm/n/fg/result/{stream}"]
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == Exit.OK
    child.stdout.close()
    assert boxes.box("fg").runner() is None
    assert main(["rm", "-q", "fg"]) == Exit.OK


def test_a_bundle_without_a_manifest_is_heard_as_whole_tensors(run, place: Path) -> None:
    with neurovm.convert_tflite(place / "hello/model.tflite", name="bare net") as model:
        path = model.save(place / "bare.nvm")
    refused = run("run", "-d", path)
    assert refused.code == Exit.USAGE
    assert "--name" in refused.err
    ran = run("run", "-d", "--name", "bare", "--node", "here", path)
    assert ran.code == Exit.OK, ran.err
    client = client_of(boxes.box("bare"))
    client.publish("neurovm/here/bare/in/s", samples(place)[0])
    result = client.wait("neurovm/here/bare/result/s", bool)
    assert (result["coding"], "approx" in result) == ("graded", False)
    client.close()
    assert run("rm", "-f", "bare").code == Exit.OK


def test_one_vm_of_a_service_is_stopped_and_started(
    run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"model: {place / 'hello/hello.nvm'}\ninputs: [{{topic: x, payload: {{field: ''}}}}]\n"
    service = Daemon(tmp_path / "service", "node: box\n", one=text, two=text)
    service.start()
    monkeypatch.setenv("NEUROVM_SOCKET", str(service.folder / "neurovmd.sock"))
    try:
        vms = ps(run)
        assert {vms[name]["by"] for name in ("one", "two")} == {"service"}
        assert run("stop", "one").code == Exit.OK
        vms = ps(run)
        assert (vms["one"]["state"], vms["two"]["state"]) == ("stopped", "ready")
        assert run("stop", "one").code == Exit.OK  # it is
        assert run("restart", "one", "two").code == Exit.OK
        after = ps(run)
        assert (after["one"]["state"], after["two"]["state"]) == ("ready", "ready")
        assert after["two"]["pid"] != vms["two"]["pid"]
        assert run("rm", "one").code == Exit.USAGE  # it is a file below vm.d
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["run", "none.nvm"], Exit.NO_INPUT, "none.nvm"),
        (["run", "hello/model.tflite"], Exit.DATA, "neurovm build"),
        (["run", "hello/samples.csv"], Exit.DATA, "not a neurovm bundle"),
        (["run", "-d", "--broker", "http://x", "hello/hello.nvm"], Exit.USAGE, "mqtt://HOST"),
        (["run", "--broker", "mqtt://u:secret@h", "hello/hello.nvm"], Exit.USAGE, "--username"),
        (["run", "--username", "u", "hello/hello.nvm"], Exit.USAGE, "--broker"),
        (["run", "--limit", "x", "hello/hello.nvm"], Exit.USAGE, "--limit"),
        (["run", "--node", "", "hello/hello.nvm"], Exit.USAGE, "--node"),
        (["run", "--name", "a/b", "hello/hello.nvm"], Exit.USAGE, "--name"),
        (["stop", "nobody"], Exit.USAGE, "no VM 'nobody'"),
        (["logs", "nobody"], Exit.USAGE, "no box 'nobody'"),
        (["rm", "nobody"], Exit.USAGE, "no box 'nobody'"),
        (["tap", "nobody"], Exit.USAGE, "no VM 'nobody'"),
    ],
)
def test_what_is_wrong_is_said(run, args: list[str], code: Exit, said: str) -> None:
    ran = run(*args)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert "secret" not in ran.err
    assert ran.err.count("\n") == 1


def test_a_shell_completes_names(box: boxes.Box) -> None:
    """As bash asks: the words, and which one is being written."""

    def completed(words: str) -> list[str]:
        environ = {
            **os.environ,
            "_NEUROVM_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        command = [sys.executable, "-c", "from neurovm.cli import main; main([])"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        return [line.partition(",")[2] for line in done.stdout.splitlines() if line]

    for command in ("stop", "start", "restart", "rm", "tap", "logs"):
        assert completed(f"neurovm {command} h") == [box.name]
    assert completed("neurovm stop hello h") == []  # it is named already
    assert completed("neurovm stop x") == []
