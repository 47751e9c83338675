# SPDX-License-Identifier: Apache-2.0
"""What an idle daemon costs: memory, wake-ups, and how soon it is ready.

    python benchmarks/daemon_footprint.py [--seconds 30] [--vms 1]

PSS is the sum over the supervisor and all workers of `Pss` in /proc/PID/smaps_rollup; wake-ups are
the voluntary context switches of all their threads while nothing happens; the time to READY is from
the start of the process to READY=1 on its notify socket, with the model already converted.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.rig import ROOT, Client, Daemon, Mosquitto, running, wait_for

VM = f"""\
model: {ROOT / "examples/pump/pump.tflite"}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
    to: {{tensor: 0}}
output: {{on: always, wait_for: any}}
"""


def pss_mb(pid: int) -> float:
    """Proportional set size in MB (10^6 bytes)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def switches(pid: int) -> int:
    """Voluntary context switches of all threads so far."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total


def _connected(daemon: Daemon, number: int) -> bool:
    return bool(daemon.vm(f"pump{number}")["connected"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--vms", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Mosquitto(folder / "broker")
        main_file = f'node: bench\nmqtt: {{server: "mqtt://127.0.0.1:{broker.port}"}}\n'
        vms = {f"pump{number}": VM for number in range(options.vms)}
        daemon = Daemon(folder / "daemon", main_file, **vms)
        with running(broker, daemon):
            converted_s = daemon.ready_s
        with running(broker, daemon):
            client = Client(broker.port)
            client.subscribe("neurovm/bench/+/result/+")
            for number in range(options.vms):
                wait_for(partial(_connected, daemon, number), "the worker connects")
                client.publish("plant/p1/sensor/3", '{"value": 0.5}')
                client.wait(f"neurovm/bench/pump{number}/result/p1", bool)
            time.sleep(8.0)  # until the governor's clock has stopped
            pids = daemon.pids()
            before, start = {pid: switches(pid) for pid in pids}, time.monotonic()
            time.sleep(options.seconds)
            took = time.monotonic() - start
            after = {pid: switches(pid) for pid in pids}
            sizes = {pid: pss_mb(pid) for pid in pids}
            print(f"start to READY: {daemon.ready_s:.2f} s (with conversion: {converted_s:.2f} s)")
            for pid in pids:
                role = "supervisor" if pid == pids[0] else "worker"
                rate = (after[pid] - before[pid]) / took
                print(f"{role:>10}: PSS {sizes[pid]:.1f} MB, {rate:.3f} wake-ups/s idle")
            total = sum(after.values()) - sum(before.values())
            print(
                f"{'sum':>10}: PSS {sum(sizes.values()):.1f} MB, {total / took:.3f} wake-ups/s idle"
            )
            client.close()


if __name__ == "__main__":
    main()
