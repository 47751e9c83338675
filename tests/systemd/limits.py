# SPDX-License-Identifier: Apache-2.0
"""limits.py: what the kernel holds of a VM's limits, in a booted machine; run by limits.sh.

/opt/neurovm is the installed wheel, /opt/test holds this file, expected.json and the models. Each
step prints one line; the first that fails prints why, and the journal, and ends with 1.

`greedy` keeps a session for each stream, for ever: streams beyond counting use its memory up.
`slow` and `free` are given more than they can compute; only `slow` has a share of the CPU.
"""

import itertools
import json
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from booted import UNIT, Subscriber, go_through, journal, main_pid, run, say, unit, wait_for

HERE = Path(__file__).parent
NEUROVM = "/opt/neurovm/bin/neurovm"
NEUROVMD = "/opt/neurovm/bin/neurovmd"
NODE = "box"
VM_DIR = Path("/etc/neurovmd/vm.d")
DROP_IN = Path(f"/etc/systemd/system/{UNIT}.d/limits.conf")
CASE = json.loads((HERE / "expected.json").read_text())["digits_cnn"]
FRAMES = [bytes.fromhex(payload) for payload in CASE["payloads"]]
MEMORY_MI, OTHER_MEMORY_MI = 32, 48
CPU_SHARE = 0.2
# So long two VMs are given more than they can compute.
FLOOD_S = 6.0
STREAMS_AT_ONCE = 200
# The worst that the kernel's periods of 100 ms and the look at the clock may add to a share.
SHARE_SLACK = 1.25

LIMITS = {
    "greedy": f"memory: {MEMORY_MI}Mi\nmax_streams: 65536\n",
    "slow": f"cpu: {CPU_SHARE}\n",
    "free": "",
}


def write_vm(name: str, more: str) -> None:
    (VM_DIR / f"{name}.yaml").write_text(
        f"model: digits_cnn.tflite\n{more}"
        f"inputs: [{{topic: 'digits/{{stream}}/{name}', qos: 0, "
        f"payload: {{format: raw, dtype: {CASE['dtype']}}}}}]\n"
        "output: {on: always, form: {values: codes}}\n"
    )


def vms() -> dict[str, dict[str, Any]]:
    """What the daemon says of each VM; asked here, since a command takes long to start."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30.0)
        client.connect("/run/neurovmd/neurovmd.sock")
        client.sendall(b'{"op": "status"}\n')
        answer = json.loads(client.makefile("rb").readline())
    return {vm["name"]: vm for vm in answer["data"]["vms"]}


def mechanisms(vm: str) -> dict[str, str]:
    limits = vms()[vm]["limits"]
    return {what: limits[what]["by"] for what in ("memory", "cpu") if what in limits}


def group(pid: int) -> Path:
    """The control group of a process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    (path,) = (line[3:] for line in lines if line.startswith("0::"))
    return Path(f"/sys/fs/cgroup{path}")


def figures(pid: int, file: str) -> dict[str, int]:
    """A flat keyed file of a process' group."""
    lines = (group(pid) / file).read_text().splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


def online(client: Subscriber) -> bool:
    return client.all_online(LIMITS) and all(vm["connected"] for vm in vms().values())


def answers(client: Subscriber, vm: str) -> None:
    """One message has its result, equal to the judge's."""
    stream = f"a{time.monotonic_ns()}"
    client.send(f"digits/{stream}/{vm}", FRAMES[0])
    wait_for(f"a result of {vm}", lambda: client.of(vm, stream))
    assert client.of(vm, stream)[-1]["values"] == CASE["codes"][0]


def use_up(client: Subscriber, done: Callable[[], bool]) -> int:
    """Give `greedy` streams until `done`; how many there were."""
    numbers = itertools.count()
    while not done():
        for _ in range(STREAMS_AT_ONCE):
            number = next(numbers)
            client.send(f"digits/g{number}/greedy", FRAMES[number % len(FRAMES)])
    return next(numbers)


def without_the_drop_in_the_daemon_holds_them(client: Subscriber) -> None:
    run(NEUROVM, "service", "install")
    drop_in = Path("/etc/neurovmd/conf.d/node.yaml")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"node: {NODE}\n")
    shutil.copy(HERE / "digits_cnn.tflite", VM_DIR)
    for name, more in LIMITS.items():
        write_vm(name, more)
    run("systemctl", "start", UNIT)
    wait_for("online", lambda: online(client))
    assert mechanisms("greedy") == {"memory": "RLIMIT_DATA"}
    assert mechanisms("slow") == {"cpu": "duty cycle"}
    said = run(NEUROVM, "ps")
    assert "not by the kernel" in said, said
    assert "drop-in `limits`" in said, said
    assert "systemd has not marked it so" in said, said


def a_group_with_others_in_it_is_left_alone(_client: Subscriber) -> None:
    """A daemon in somebody's terminal, root's at that, where systemd has handed the group over."""
    run("systemctl", "stop", UNIT)
    main = HERE / "terminal.yaml"
    main.write_text(
        f"vm_dir: none\nsocket: {HERE}/s\nstate_dir: {HERE}/state\ncache_dir: {HERE}/c\n"
    )
    (HERE / "none").mkdir()
    run(
        "systemd-run",
        "--scope",
        "-p",
        "Delegate=yes",
        "--unit=terminal",
        "--",
        "sh",
        "-c",
        (
            f"{NEUROVMD} --config {main} >{HERE}/said 2>&1 & pid=$!; "
            f"until grep -q daemon.ready {HERE}/said; do sleep 0.1; done; kill $pid; wait $pid"
        ),
    )
    said = (HERE / "said").read_text()
    assert "other processes are in it" in said, said


def with_the_drop_in_the_kernel_holds_them(client: Subscriber) -> None:
    run(NEUROVM, "service", "install", "--with", "limits")
    assert DROP_IN.exists()
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", UNIT)
    wait_for("online", lambda: online(client))
    assert mechanisms("greedy") == {"memory": "control group"}
    assert mechanisms("slow") == {"cpu": "control group"}
    said = run(NEUROVM, "ps")
    assert "not by the kernel" not in said, said
    assert f"memory {MEMORY_MI} MiB (control group)" in said, said
    own = group(main_pid())
    assert own.name == "supervisor", own
    for name, vm in vms().items():
        assert group(vm["pid"]).parent == own.parent, name
        assert (group(vm["pid"]) / "cgroup.procs").read_text().split() == [str(vm["pid"])]
    greedy = group(vms()["greedy"]["pid"])
    assert (greedy / "memory.max").read_text().strip() == str(MEMORY_MI << 20)
    assert (group(vms()["slow"]["pid"]) / "cpu.max").read_text().split() == ["20000", "100000"]
    assert (group(vms()["free"]["pid"]) / "cpu.max").read_text().split() == ["max", "100000"]
    for name in LIMITS:
        answers(client, name)


def memory_used_up_ends_that_worker_alone(client: Subscriber) -> None:
    before, supervisor = vms(), main_pid()
    used = figures(before["greedy"]["pid"], "memory.events")
    assert used["oom_kill"] == 0, used
    sent = use_up(client, lambda: vms()["greedy"]["restarts"] > 0)
    said = f"memory limit {MEMORY_MI}Mi reached, killed by the kernel"
    wait_for("the reason in the journal", lambda: said in journal())
    say(f"     {said} after about {sent} streams")
    wait_for("greedy again", lambda: vms()["greedy"]["state"] == "ready")
    wait_for("online", lambda: online(client))
    after = vms()
    assert main_pid() == supervisor
    assert unit("NRestarts") == "0"
    assert unit("ActiveState") == "active"
    for name in ("slow", "free"):
        assert (after[name]["pid"], after[name]["restarts"]) == (before[name]["pid"], 0), name
    assert after["greedy"]["pid"] != before["greedy"]["pid"]
    for name in LIMITS:
        answers(client, name)


def a_share_of_the_cpu_is_held(client: Subscriber) -> None:
    """Both are given more than they can compute, on one CPU; who has no share takes the rest."""
    pids = {name: vms()[name]["pid"] for name in ("slow", "free")}
    before = {name: figures(pid, "cpu.stat") for name, pid in pids.items()}
    start_s = time.monotonic()
    for number in itertools.count():
        for name in pids:
            client.send(f"digits/s{number % 8}/{name}", FRAMES[number % len(FRAMES)])
        if time.monotonic() - start_s > FLOOD_S:
            break
    took_us = (time.monotonic() - start_s) * 1e6
    after = {name: figures(pid, "cpu.stat") for name, pid in pids.items()}
    share = {
        name: (after[name]["usage_usec"] - before[name]["usage_usec"]) / took_us for name in pids
    }
    throttled = after["slow"]["nr_throttled"] - before["slow"]["nr_throttled"]
    say(
        f"     slow took {share['slow']:.3f} of the CPU ({throttled} times stopped), "
        f"free {share['free']:.3f}"
    )
    assert share["slow"] <= CPU_SHARE * SHARE_SLACK, share
    assert throttled > 0
    assert after["free"]["nr_throttled"] == 0
    wait_for("slow has caught up", lambda: not vms()["slow"]["queue_depth"])


def a_reload_changes_a_limit(client: Subscriber) -> None:
    before = vms()
    write_vm("greedy", f"memory: {OTHER_MEMORY_MI}Mi\nmax_streams: 65536\n")
    run("systemctl", "reload", UNIT)
    wait_for("another greedy", lambda: vms()["greedy"]["pid"] not in (0, before["greedy"]["pid"]))
    wait_for("online", lambda: online(client))
    after = vms()
    maximum = (group(after["greedy"]["pid"]) / "memory.max").read_text().strip()
    assert maximum == str(OTHER_MEMORY_MI << 20), maximum
    assert after["greedy"]["limits"]["memory"]["limit"] == OTHER_MEMORY_MI << 20
    assert after["free"]["pid"] == before["free"]["pid"]
    groups = sorted(path.name for path in group(main_pid()).parent.glob("vm-*/"))
    assert len(groups) == len(LIMITS), groups


def stops_and_leaves_no_group(_client: Subscriber) -> None:
    tree = group(main_pid()).parent
    run("systemctl", "stop", UNIT)
    assert unit("Result") == "success", unit("Result")
    assert not tree.exists(), list(tree.iterdir())


def main() -> int:
    client = Subscriber(NODE)
    steps: tuple[Callable[..., None], ...] = (
        without_the_drop_in_the_daemon_holds_them,
        a_group_with_others_in_it_is_left_alone,
        with_the_drop_in_the_kernel_holds_them,
        memory_used_up_ends_that_worker_alone,
        a_share_of_the_cpu_is_held,
        a_reload_changes_a_limit,
        stops_and_leaves_no_group,
    )
    return go_through(steps, client)


if __name__ == "__main__":
    sys.exit(main())
