# SPDX-License-Identifier: Apache-2.0
"""The unit's sandbox and its drop-ins in a booted systemd; steps that inside.py goes through."""

import os
import platform
import signal
from pathlib import Path

from booted import (
    UNIT,
    Subscriber,
    exposure,
    journal,
    main_pid,
    processes,
    run,
    say,
    unit,
    wait_for,
)

FOLDER = Path(f"/etc/systemd/system/{UNIT}.d")
PYTHON = "/usr/lib/neurovm/bin/python3 -I"
MOST_AS_SHIPPED = 1.5
MOST_WITH_DROP_INS = 2.2
PASSWORD = Path("/etc/neurovmd/credentials/mqtt.password")
# System calls by number, with arguments that ask and change nothing; what is 1 is refused (EPERM).
NUMBERS = {
    "x86_64": {"landlock_create_ruleset": 444, "seccomp": 317, "reboot": 169, "bpf": 321},
    "aarch64": {"landlock_create_ruleset": 444, "seccomp": 277, "reboot": 142, "bpf": 280},
}
PROBE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name, number, *arguments in {calls!r}:
    ctypes.set_errno(0)
    libc.syscall(number, *arguments)
    print("probe", name, ctypes.get_errno(), flush=True)
"""


def restart() -> None:
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", UNIT)


def lets_a_worker_confine_itself_and_little_more() -> None:
    """Landlock and seccomp are let through, what is in no set of a service is not."""
    numbers = NUMBERS[platform.machine()]
    arguments = {
        "landlock_create_ruleset": (0, 0, 1),  # which version?
        "seccomp": (2, 0, 0),  # is this action there? (a null pointer: EFAULT)
        "reboot": (0, 0, 0, 0),
        "bpf": (0, 0, 0),
    }
    calls = [(name, number, *arguments[name]) for name, number in numbers.items()]
    program = Path("/opt/test/probe.py")
    program.write_text(PROBE.format(calls=calls))
    drop_in = FOLDER / "probe.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\nExecStartPre={PYTHON} {program}\n")
    restart()
    said = {
        line.split("probe ")[1].split()[0]: int(line.split()[-1])
        for line in journal().splitlines()
        if ": probe " in line
    }
    drop_in.unlink()
    assert set(said) == set(numbers), said
    refused = {name for name, number in said.items() if number == 1}
    assert refused == {"reboot", "bpf"}, said
    say(f"     errno of the probes: {said}")


def does_not_retry_a_wrong_configuration() -> None:
    """78 ends in `failed`; a worker's or supervisor's death is what restarts are for."""
    wrong = Path("/etc/neurovmd/conf.d/wrong.yaml")
    wrong.write_text("mqtt: {keepalive_s: soon}\n")
    quick = FOLDER / "quick.conf"
    quick.parent.mkdir(exist_ok=True)
    quick.write_text("[Service]\nRestartSec=100ms\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", UNIT, expect=1)
    found = {name: unit(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")}
    assert found == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}, found
    assert f"{wrong}:1" in journal()
    wrong.unlink()
    run("systemctl", "reset-failed", UNIT)
    run("systemctl", "daemon-reload")
    run("systemctl", "start", UNIT)
    before = main_pid()
    os.kill(before, signal.SIGKILL)
    wait_for("a restart", lambda: unit("NRestarts") == "1" and unit("ActiveState") == "active")
    assert main_pid() != before
    quick.unlink()
    restart()


def keeps_its_exposure_with_limits(client: Subscriber) -> None:
    run("neurovm", "service", "install", "--with", "limits")
    restart()
    assert unit("Delegate") == "yes"
    assert set(unit("DelegateControllers").split()) == {"cpu", "memory", "pids"}
    user = int(run("id", "-u", "neurovmd"))
    groups = [
        group
        for tree in ("unified", "systemd", "")
        if (group := Path("/sys/fs/cgroup", tree, unit("ControlGroup").lstrip("/"))).is_dir()
    ]
    assert groups
    assert all(group.stat().st_uid == user for group in groups), groups
    # Inside of the sandbox: it may make groups in its own, and nowhere else.
    own = f"/proc/{main_pid()}/root{groups[0]}"
    as_daemon = ("setpriv", f"--reuid={user}", "--clear-groups")
    run("nsenter", "-t", str(main_pid()), "-m", *as_daemon, "mkdir", f"{groups[0]}/probe")
    Path(own, "probe").rmdir()
    run("nsenter", "-t", str(main_pid()), "-m", *as_daemon, "mkdir", "/sys/fs/cgroup/x", expect=1)
    wait_for("online", lambda: client.all_online(["digits"]))
    assert exposure() <= MOST_WITH_DROP_INS


def keeps_its_exposure_with_an_accelerator_too(client: Subscriber) -> None:
    """Without such hardware here: that it starts, may use the group, and has no other device."""
    run("neurovm", "service", "install", "--with", "accelerator")
    restart()
    assert unit("PrivateDevices") == "no"
    assert unit("DevicePolicy") == "closed"
    assert "akida0" in unit("DeviceAllow")
    (plugdev,) = (g for g in Path("/etc/group").read_text().splitlines() if "plugdev" in g)
    for pid in processes():
        status = Path(f"/proc/{pid}/status").read_text()
        (groups,) = (line for line in status.splitlines() if line.startswith("Groups:"))
        assert plugdev.split(":")[2] in groups.split(), (pid, groups)
    wait_for("online", lambda: client.all_online(["digits"]))
    assert exposure() <= MOST_WITH_DROP_INS
    for name in ("limits", "accelerator"):
        (FOLDER / f"{name}.conf").unlink()


def takes_the_password_as_a_credential(client: Subscriber) -> None:
    """The broker asks whoever gives a name for one; its file is root's alone."""
    setting = Path("/etc/neurovmd/conf.d/broker.yaml")
    setting.parent.mkdir(exist_ok=True)
    setting.write_text("mqtt: {username: box}\n")
    run("neurovm", "service", "install", "--with", "credentials")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", UNIT, expect=1)
    assert "credential" in journal().lower()
    PASSWORD.parent.mkdir(mode=0o700)
    PASSWORD.touch(mode=0o600)
    PASSWORD.write_text("open barley\n")
    run("systemctl", "reset-failed", UNIT)
    restart()
    wait_for("a refusal", lambda: "the broker refused" in unit("StatusText"))
    PASSWORD.write_text("open sesame\n")
    client.last.clear()
    restart()
    wait_for("online with a password", lambda: client.all_online(["digits"]))
    assert unit("ActiveState") == "active"
    user = run("id", "-u", "neurovmd").strip()
    as_daemon = ("setpriv", f"--reuid={user}", "--clear-groups", "cat")
    run(*as_daemon, str(PASSWORD), expect=1)
    assert "sesame" not in Path(f"/proc/{main_pid()}/environ").read_text()
    assert exposure() <= MOST_AS_SHIPPED
    (FOLDER / "credentials.conf").unlink()
    setting.unlink()
    restart()


def is_exposed_as_little_as_shipped() -> None:
    restart()
    assert exposure() <= MOST_AS_SHIPPED


def takes_over_a_changed_configuration(client: Subscriber) -> None:
    """`systemctl reload`: a VM more, then a wrong one; what runs is not touched."""
    vms = Path("/etc/neurovmd/vm.d")
    before = processes()
    assert len(before) == 2
    text = (vms / "digits.yaml").read_text()
    (vms / "second.yaml").write_text(text.replace("digits/{stream}", "second/{stream}"))
    run("systemctl", "reload", UNIT)
    wait_for("the second VM", lambda: client.all_online(["digits", "second"]))
    assert set(before) < set(processes()), (before, processes())
    (vms / "wrong.yaml").write_text("model: nowhere.tflite\nimputs: []\n")
    run("systemctl", "reload", UNIT, expect=1)
    assert "imputs" in journal()
    (vms / "wrong.yaml").unlink()
    (vms / "second.yaml").unlink()
    run("systemctl", "reload", UNIT)
    wait_for("the first VM alone", lambda: processes() == before)
    assert unit("ActiveState") == "active"


def waits_for_a_reload(client: Subscriber) -> None:
    """With notify-reload, where systemd knows it; else the command says which systemd it needs."""
    version = int(run("systemctl", "--version").split()[1])
    if version < 253:
        said = run("neurovm", "service", "install", "--with", "notify-reload", expect=69)
        assert f"found systemd {version}; accepted: 253 or later" in said
        say(f"     SKIPPED the drop-in: systemd {version}")
        return
    run("neurovm", "service", "install", "--with", "notify-reload")
    restart()
    assert unit("Type") == "notify-reload"
    wait_for("online", lambda: client.all_online(["digits"]))
    before = processes()
    vms = Path("/etc/neurovmd/vm.d")
    text = (vms / "digits.yaml").read_text()
    (vms / "second.yaml").write_text(text.replace("digits/{stream}", "second/{stream}"))
    run("systemctl", "reload", UNIT)
    # No waiting here: that the worker is there is what the reload waited for.
    assert set(before) < set(processes()), (before, processes())
    (vms / "second.yaml").unlink()
    run("systemctl", "reload", UNIT)
    wait_for("the first VM alone", lambda: processes() == before)
    assert exposure() <= MOST_AS_SHIPPED
    (FOLDER / "notify-reload.conf").unlink()
    restart()
