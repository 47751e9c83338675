# SPDX-License-Identifier: Apache-2.0
"""inside.py: the package's whole life in a booted systemd; run by run.sh, as root, in a container.

/opt/test holds this file, hardening.py, booted.py, expected.json, one model and two revisions of
the package; paho is on PYTHONPATH, so that this program needs nothing of the package. Each step
prints one line; the first that fails prints why, and the journal, and ends with 1.
"""

import itertools
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import hardening
import paho.mqtt.client as mqtt
from booted import (
    UNIT,
    Subscriber,
    go_through,
    main_pid,
    processes,
    run,
    say,
    unit,
    wait_for,
)

HERE = Path(__file__).parent
NODE = "box"
((MODEL, CASE),) = json.loads((HERE / "expected.json").read_text()).items()
OLD, NEW = sorted(HERE.glob("neurovm_*.deb"))
OWN = ("etc/neurovmd", "usr/lib/neurovm", "var/lib/neurovmd", "var/cache/neurovmd", "run/neurovmd")
# One message every so often while the package is upgraded; each has a stream of its own.
FLOOD_PERIOD_S = 0.004
MAX_STREAMS = 65536
# What changes in any container that runs and installs anything: not the package's.
ELSEWHERE = ("dev", "proc", "run", "sys", "tmp", "opt/test", "var/lib/dpkg", "var/lib/apt")
LOGS = ("var/log", "var/cache/apt", "var/cache/debconf", "var/lib/mosquitto", "var/tmp")


def apt(*words: str) -> str:
    return run("apt-get", "-q", "-y", *words)


def files() -> set[str]:
    """Every path of the root file system that a package could leave behind."""
    found = set()
    for folder, names, here in os.walk("/"):
        below = folder.lstrip("/")
        names[:] = [n for n in names if f"{below}/{n}".lstrip("/") not in ELSEWHERE + LOGS]
        found.update(f"{below}/{name}".lstrip("/") for name in (*names, *here))
    found.update(str(path) for path in Path("/var/lib/dpkg/info").glob("neurovm*"))
    return found


def accounts() -> list[str]:
    return [Path(f"/etc/{name}").read_text() for name in ("passwd", "group", "shadow", "gshadow")]


class Before:
    """What the root file system was."""

    files: set[str]
    accounts: list[str]


def remembers_what_was_there() -> None:
    Before.files, Before.accounts = files(), accounts()
    assert not Before.files & set(OWN)


def installs_and_starts_nothing() -> None:
    said = apt("install", str(OLD))
    begun_s = time.monotonic()
    assert "neurovmd" in run("id", "neurovmd")
    assert "(neurovm)" in run("id", "neurovmd")
    assert unit("LoadState") == "loaded"
    assert unit("ActiveState") == "inactive"
    assert run("systemctl", "is-enabled", UNIT, expect=1).strip() == "disabled"
    assert run("neurovm", "--version").split()[-1] in OLD.name
    run("neurovmd", "check")
    say(f"     {time.monotonic() - begun_s:.1f} s for the checks; apt said {len(said)} characters")
    warnings = run("systemd-analyze", "verify", "--man=no", f"/usr/lib/systemd/system/{UNIT}")
    assert warnings.strip() == "", warnings
    # Compiled at installation: a service on a read-only file system cannot do it.
    compiled = Path("/usr/lib/neurovm").rglob("neurovmd/__pycache__/supervisor.*.pyc")
    assert list(compiled)


def serves_one_model_from_one_file(client: Subscriber) -> None:
    own = Path("/etc/neurovmd/conf.d/box.yaml")
    own.parent.mkdir()
    own.write_text(f"node: {NODE}\n")
    vms = Path("/etc/neurovmd/vm.d")
    shutil.copy(HERE / f"{MODEL}.tflite", vms)
    (vms / "digits.yaml").write_text(
        f"model: {MODEL}.tflite\n"
        f"max_streams: {MAX_STREAMS}\n"
        "inputs: [{topic: 'digits/{stream}', "
        f"payload: {{format: raw, dtype: {CASE['dtype']}}}}}]\n"
        "output: {on: always, form: {values: codes}}\n"
    )
    begun_s = time.monotonic()
    run("systemctl", "enable", "--now", UNIT)
    say(f"     {time.monotonic() - begun_s:.2f} s from `systemctl enable --now` to READY")
    wait_for("online", lambda: client.all_online(["digits"]))
    answers(client)


def answers(client: Subscriber) -> None:
    """Every message has its result, equal to the judge's."""
    client.results.clear()
    for number, payload in enumerate(CASE["payloads"]):
        client.send(f"digits/a{number}", bytes.fromhex(payload))
    for number, codes in enumerate(CASE["codes"]):
        stream = f"a{number}"
        wait_for(f"the result of {stream}", lambda stream=stream: client.of("digits", stream))
        assert client.of("digits", stream)[0]["values"] == codes, (CASE["judge"], codes)


def does_what_its_first_page_says() -> None:
    """create, build, run, ps: with nothing but the package."""
    place = Path("/tmp/first")  # of a container
    place.mkdir()
    neurovm = ("env", "-C", str(place), f"NEUROVM_RUN_DIR={place}/boxes", "neurovm")
    begun_s = time.monotonic()
    run(*neurovm, "create", "hello-world")
    run(*neurovm, "build", "hello-world")
    built_s = time.monotonic()
    run(*neurovm, "run", "--detach", "hello-world/hello-world.nvm")
    running_s = time.monotonic()
    vms = json.loads(run(*neurovm, "ps", "-o", "json"))["vms"]
    (vm,) = (each for each in vms if each["name"] == "hello-world")
    assert (vm["name"], vm["state"], vm["connected"]) == ("hello-world", "ready", True), vm
    took_s = (built_s - begun_s, running_s - built_s, time.monotonic() - running_s)
    say("     create and build {:.1f} s, run to READY {:.1f} s, ps {:.1f} s".format(*took_s))
    run(*neurovm, "rm", "--force", "hello-world")


class Flood:
    """QoS 1 messages at a steady pace; `acknowledged()` are those the broker has taken over."""

    def __init__(self) -> None:
        # Written by one thread each: a lock around `publish` would wait for a callback that waits.
        self._numbers: dict[int, int] = {}
        self._acknowledged: set[int] = set()
        self._stop = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_publish = lambda _client, _data, mid, *_: self._acknowledged.add(mid)
        self._client.on_disconnect = lambda *words: say(f"     the flood was cut off: {words[3]}")
        self._client.connect("127.0.0.1")
        self._client.loop_start()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        payloads = [bytes.fromhex(payload) for payload in CASE["payloads"]]
        number = 0
        # A message id is used once: there are 65535.
        while not self._stop.wait(FLOOD_PERIOD_S) and number < MAX_STREAMS - 100:
            sent = self._client.publish(f"digits/f{number}", payloads[number % 8], qos=1)
            self._numbers[sent.mid] = number
            number += 1

    def acknowledged(self) -> set[int]:
        """The numbers of the messages; one being noted down is in the next answer."""
        mids = self._acknowledged.copy()
        return {self._numbers[mid] for mid in mids if mid in self._numbers}

    def end(self) -> None:
        """Stop sending and wait until everything sent is acknowledged."""
        self._stop.set()
        self._thread.join()
        wait_for("the last acknowledgement", lambda: self._acknowledged == set(self._numbers))
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()


def answered(client: Subscriber) -> dict[int, list[object]]:
    """The values of every result of the flood, by the number of the message."""
    found: dict[int, list[object]] = {}
    for result in list(client.results):
        if str(result["stream"]).startswith("f"):
            found.setdefault(int(str(result["stream"])[1:]), []).append(result["values"])
    return found


def is_upgraded_under_load_and_loses_nothing(client: Subscriber) -> None:
    client.results.clear()
    before = main_pid()
    flood = Flood()
    wait_for("results before the upgrade", lambda: len(answered(client)) > 200)
    first = len(flood.acknowledged())
    begun_s = time.monotonic()
    apt("install", str(NEW))
    took_s = time.monotonic() - begun_s
    during = len(flood.acknowledged()) - first
    last = max(flood.acknowledged())
    wait_for("results of what came after the upgrade", lambda: max(answered(client)) > last + 200)
    flood.end()
    try:
        wait_for("every result", lambda: flood.acknowledged() <= set(answered(client)))
    except AssertionError:
        lost = sorted(flood.acknowledged() - set(answered(client)))
        raise AssertionError(
            f"{len(lost)} of {len(flood.acknowledged())} not answered: {lost[0]} to {lost[-1]}, "
            f"apt began at {first} and ended at {last}; {status()}"
        ) from None
    assert main_pid() != before
    assert NEW.name.split("_")[1] in run("dpkg-query", "-W", "neurovm")
    assert during > 100, during
    results = answered(client)
    for number, values in results.items():
        assert all(value == CASE["codes"][number % 8] for value in values), (number, values)
    twice = sum(len(values) > 1 for values in results.values())
    gap_s = longest_silence_s(client)
    say(
        f"     {len(flood.acknowledged())} messages acknowledged, {during} of them in the "
        f"{took_s:.1f} s of apt: every one answered, {twice} twice, all equal {CASE['judge']}; "
        f"longest silence {gap_s:.1f} s"
    )


def status() -> str:
    """The daemon's own account, as its control socket gives it."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect("/run/neurovmd/neurovmd.sock")
        asking.sendall(b'{"op": "status"}\n')
        return asking.makefile().readline()


def longest_silence_s(client: Subscriber) -> float:
    times = sorted(int(str(result["t_us"])) for result in client.results)
    return max(after - before for before, after in itertools.pairwise(times)) / 1e6


def has_a_configuration_that_hides_nothing() -> None:
    """The older package's gave every key; nobody changed it, so the upgrade replaced it."""
    said = Path("/etc/neurovmd/neurovmd.yaml").read_text()
    assert "\n#mqtt:" in said
    assert "\nmqtt:" not in said
    vendor = Path("/usr/lib/neurovmd/neurovmd.yaml")
    vendor.parent.mkdir()
    vendor.write_text("power: {window: 20 s}\n")
    origin = run("neurovmd", "config", "show", "--origin")
    vendor.unlink()
    vendor.parent.rmdir()
    assert str(vendor) in origin, origin


def is_reinstalled_and_keeps_what_was_configured(client: Subscriber) -> None:
    file = Path("/etc/neurovmd/neurovmd.yaml")
    config = file.read_text().replace("#log_level: info", "log_level: debug")
    file.write_text(config)
    before = main_pid()
    apt("install", "--reinstall", str(NEW))
    assert "log_level: debug" in file.read_text()
    assert file.read_text() == config
    assert main_pid() not in (0, before)
    wait_for("online", lambda: client.all_online(["digits"]))
    answers(client)


def leaves_a_stopped_service_stopped() -> None:
    run("systemctl", "stop", UNIT)
    apt("install", "--reinstall", str(NEW))
    assert unit("ActiveState") == "inactive"
    run("systemctl", "start", UNIT)


def stops_when_removed(client: Subscriber) -> None:
    before = processes()
    assert before
    apt("remove", "neurovm")
    assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]
    wait_for("offline", lambda: client.availability() == "offline")
    assert unit("LoadState") == "not-found"
    assert not Path("/usr/lib/neurovm").exists()
    assert Path("/etc/neurovmd/vm.d/digits.yaml").exists()


def comes_back_as_it_was(client: Subscriber) -> None:
    apt("install", str(NEW))
    assert run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    run("systemctl", "start", UNIT)
    wait_for("online", lambda: client.all_online(["digits"]))
    answers(client)


def is_purged_and_leaves_nothing() -> None:
    drop_in = Path(f"/etc/systemd/system/{UNIT}.d/own.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nRestartSec=1s\n")
    apt("purge", "neurovm")
    assert not processes()
    assert files() - Before.files == set()
    assert Before.files - files() == set()
    assert accounts() == Before.accounts
    for path in OWN:
        assert not Path("/", path).exists(), path


def main(arguments: Sequence[str]) -> int:
    steps: list[Callable[..., None]] = [
        remembers_what_was_there,
        installs_and_starts_nothing,
        serves_one_model_from_one_file,
        does_what_its_first_page_says,
        is_upgraded_under_load_and_loses_nothing,
        has_a_configuration_that_hides_nothing,
        is_reinstalled_and_keeps_what_was_configured,
        leaves_a_stopped_service_stopped,
        hardening.does_not_retry_a_wrong_configuration,
    ]
    if "--emulated" in arguments:
        say("SKIPPED the sandbox: qemu-user knows neither seccomp filters nor who may see what")
    else:
        steps += [
            hardening.lets_a_worker_confine_itself_and_little_more,
            hardening.is_exposed_as_little_as_shipped,
            hardening.keeps_its_exposure_with_limits,
            hardening.keeps_its_exposure_with_an_accelerator_too,
            hardening.takes_the_password_as_a_credential,
            hardening.takes_over_a_changed_configuration,
            hardening.waits_for_a_reload,
        ]
    steps += [stops_when_removed, comes_back_as_it_was, is_purged_and_leaves_nothing]
    return go_through(steps, Subscriber(NODE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
