# SPDX-License-Identifier: Apache-2.0
"""inside.py: the service's whole life in a booted systemd; run by run.sh, as root, in a container.

/opt/neurovm is the installed wheel, /opt/test holds this file, expected.json and the models. Each
step prints one line; the first that fails prints why, and the journal, and ends with 1.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from booted import (
    UNIT,
    Subscriber,
    exposure,
    go_through,
    journal,
    main_pid,
    processes,
    run,
    say,
    unit,
    wait_for,
)

HERE = Path(__file__).parent
NEUROVM = "/opt/neurovm/bin/neurovm"
NEUROVMD = "/opt/neurovm/bin/neurovmd"
NODE = "box"
VM_DIR = Path("/etc/neurovmd/vm.d")
CASES = json.loads((HERE / "expected.json").read_text())
# Quicker than the shipped unit, so that the test need not wait for its times.
DROP_IN = "[Service]\nRestartSec=200ms\nWatchdogSec=4s\nTimeoutAbortSec=500ms\n"


def refuses_whoever_is_not_root() -> None:
    as_nobody = ("setpriv", "--reuid=65534", "--clear-groups")
    said = run(*as_nobody, NEUROVM, "service", "install", expect=77)
    assert f"run: sudo {NEUROVM} service install" in said, said


def installs() -> None:
    run(NEUROVM, "service", "install")
    user = run("id", "neurovmd")
    assert "(neurovmd)" in user
    assert "(neurovm)" in user
    assert run(NEUROVM, "service", "install").count("keep    ") == 5
    warnings = run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")
    assert warnings.strip() == "", warnings


def installs_on_an_image() -> None:
    """Also the one place where energy counters can be had here: a tree of files."""
    image = HERE / "image"
    zone = image / "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0"
    secrets = [zone / "energy_uj", zone / "max_energy_range_uj"]
    secrets.append(image / "etc/neurovmd/broker.password")
    for path in secrets:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
        path.chmod(0o400)
    run(NEUROVM, "service", "install", "--root", str(image))
    groups = dict(line.split(":")[::2] for line in (image / "etc/group").read_text().splitlines())
    for path, mode in zip(secrets, (0o440, 0o440, 0o640), strict=True):
        assert (path.stat().st_uid, path.stat().st_gid) == (0, int(groups["neurovmd"])), path
        assert path.stat().st_mode & 0o7777 == mode, path
    run(NEUROVM, "service", "remove", "--root", str(image))
    assert not (image / "etc/systemd/system/neurovmd.service").exists()


def keeps_a_changed_configuration() -> None:
    config = Path("/etc/neurovmd/neurovmd.yaml")
    sample = config.read_text()
    config.write_text(sample.replace("#node: null", f"node: {NODE}"))
    changed = config.read_text()
    assert changed != sample
    run(NEUROVM, "service", "install")
    assert config.read_text() == changed
    assert Path("/etc/neurovmd/neurovmd.yaml.new").read_text() == sample


def does_not_retry_a_wrong_configuration() -> None:
    drop_in = Path(f"/etc/systemd/system/{UNIT}.d/test.conf")
    drop_in.parent.mkdir()
    drop_in.write_text(DROP_IN)
    run("systemctl", "daemon-reload")
    wrong = Path("/etc/neurovmd/conf.d/wrong.yaml")
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text("mqtt: {keepalive_s: soon}\n")
    run("systemctl", "start", UNIT, expect=1)
    assert unit("ExecMainStatus") == "78", unit("ExecMainStatus")
    assert unit("ActiveState") == "failed"
    assert unit("NRestarts") == "0"
    said = journal()
    for part in (str(wrong), "mqtt.keepalive_s", "soon"):
        assert part in said, said
    wrong.unlink()
    run("systemctl", "reset-failed", UNIT)


def starts(client: Subscriber) -> None:
    for name, case in CASES.items():
        shutil.copy(HERE / f"{name}.tflite", VM_DIR)
        (VM_DIR / f"{name}.yaml").write_text(
            f"model: {name}.tflite\n"
            f"inputs: [{{topic: 'digits/{{stream}}/{name}', "
            f"payload: {{format: raw, dtype: {case['dtype']}}}}}]\n"
            "output: {on: always, form: {values: codes}}\n"
        )
    begun_s = time.monotonic()
    run("systemctl", "start", UNIT)
    ready_s = time.monotonic() - begun_s
    say(f"     {ready_s:.2f} s from `systemctl start` to READY, two models converted on the way")
    assert unit("ActiveState") == "active"
    assert unit("SubState") == "running"
    wait_for("online", lambda: client.all_online(CASES))
    say(f"     status: {unit('StatusText')}")


def starts_again_with_converted_models(client: Subscriber) -> None:
    run("systemctl", "stop", UNIT)
    begun_s = time.monotonic()
    run("systemctl", "start", UNIT)
    say(f"     {time.monotonic() - begun_s:.2f} s from `systemctl start` to READY")
    wait_for("online", lambda: client.all_online(CASES))


def answers(client: Subscriber) -> None:
    """Every message has its result, equal to the judge's."""
    for name, case in CASES.items():
        for payload, codes in zip(case["payloads"], case["codes"], strict=True):
            client.results.clear()
            client.send(f"digits/s1/{name}", bytes.fromhex(payload))
            wait_for(f"a result of {name}", lambda name=name: client.of(name, "s1"))
            for result in client.of(name, "s1"):
                assert result["values"] == codes, (name, case["judge"], codes, result)
    judges = {case["judge"] for case in CASES.values()}
    count = sum(len(case["codes"]) for case in CASES.values())
    say(f"     {count} results equal {' and '.join(judges)}, code by code")


def runs_as_nobody_in_particular() -> None:
    for pid in processes():
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        user = run("id", "-u", "neurovmd").strip()
        assert fields["Uid"].split() == [user] * 4, fields["Uid"]
        assert fields["CapEff"].strip("0") == "", fields["CapEff"]
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
    assert exposure() <= 1.5


def restarts_a_killed_worker(client: Subscriber) -> None:
    supervisor, before = main_pid(), processes()
    assert len(before) == 1 + len(CASES), before
    os.kill(before[-1], signal.SIGKILL)
    wait_for("another worker", lambda: len(processes()) == len(before) and processes() != before)
    assert main_pid() == supervisor
    wait_for("online again", lambda: client.all_online(CASES))
    answers(client)


def restarts_after_its_own_death(client: Subscriber) -> None:
    before = processes()
    os.kill(main_pid(), signal.SIGKILL)
    wait_for("a restart", lambda: unit("NRestarts") == "1" and unit("ActiveState") == "active")
    wait_for("new processes", lambda: len(processes()) == len(before))
    assert not set(processes()) & set(before), "a process outlived its supervisor"
    wait_for("online again", lambda: client.all_online(CASES))
    answers(client)


def is_restarted_when_it_hangs(client: Subscriber) -> None:
    before = processes()
    os.kill(main_pid(), signal.SIGSTOP)
    wait_for("a restart", lambda: unit("NRestarts") == "2" and unit("ActiveState") == "active")
    assert "Watchdog timeout" in journal()
    assert not set(processes()) & set(before), "a process outlived its supervisor"
    wait_for("online again", lambda: client.all_online(CASES))
    answers(client)


def outlives_its_broker(client: Subscriber) -> None:
    before = processes()
    run("systemctl", "restart", "mosquitto.service")
    client.last.clear()
    wait_for("online again", lambda: client.all_online(CASES))
    assert processes() == before
    answers(client)


def holds_a_power_limit(client: Subscriber) -> None:
    """A box at its limit with no model computing pauses and says so; a message is still answered
    when the service stops.
    """
    limit = Path("/etc/neurovmd/conf.d/power.yaml")
    limit.write_text("power: {limit: 100 mW, window: 5 s}\n")
    run("systemctl", "restart", UNIT)
    wait_for("online again", lambda: client.all_online(CASES))
    name, case = next(iter(CASES.items()))
    frame, codes = bytes.fromhex(case["payloads"][0]), case["codes"][0]
    client.send(f"digits/s2/{name}", frame)
    wait_for("the reason in STATUS", lambda: "paused" in unit("StatusText"))
    say(f"     status: {unit('StatusText')}")
    # The first one may have come through before there was a figure; this one finds the pause.
    client.results.clear()
    client.send(f"digits/s3/{name}", frame)
    limit.write_text("power: {limit: 1 kW, window: 5 s}\n")
    run("systemctl", "restart", UNIT)
    wait_for("the result", lambda: client.of(name, "s3"))
    assert client.of(name, "s3")[-1]["values"] == codes
    answers(client)
    wait_for("watts in STATUS", lambda: "/1000 W (" in unit("StatusText"))
    say(f"     status: {unit('StatusText')}")
    limit.unlink()


def stops(client: Subscriber) -> None:
    before = processes()
    run("systemctl", "stop", UNIT)
    assert unit("Result") == "success", unit("Result")
    assert unit("ExecMainStatus") == "0"
    assert unit("ActiveState") == "inactive"
    assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]
    for of in ("", *(f"{vm}/" for vm in CASES)):
        wait_for(f"offline {of}", lambda of=of: client.availability(of) == "offline")
    late = Subscriber(NODE)
    wait_for("offline, retained", lambda: late.availability() == "offline")


def is_removed() -> None:
    run("systemctl", "start", UNIT)
    run(NEUROVM, "service", "remove")
    assert unit("LoadState") == "not-found"
    assert not processes()
    assert Path("/etc/neurovmd/vm.d/digits_cnn.yaml").exists()
    assert Path("/var/lib/neurovmd").exists()
    run(NEUROVM, "service", "remove", "--purge")
    for path in ("/etc/neurovmd", "/var/lib/neurovmd", "/var/cache/neurovmd"):
        assert not Path(path).exists(), path


def main() -> int:
    client = Subscriber(NODE)
    steps: tuple[Callable[..., None], ...] = (
        refuses_whoever_is_not_root,
        installs,
        installs_on_an_image,
        keeps_a_changed_configuration,
        does_not_retry_a_wrong_configuration,
        starts,
        starts_again_with_converted_models,
        answers,
        runs_as_nobody_in_particular,
        restarts_a_killed_worker,
        restarts_after_its_own_death,
        is_restarted_when_it_hangs,
        outlives_its_broker,
        holds_a_power_limit,
        stops,
        is_removed,
    )
    return go_through(steps, client)


if __name__ == "__main__":
    sys.exit(main())
