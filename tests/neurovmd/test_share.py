# SPDX-License-Identifier: Apache-2.0
"""A share of the CPU that the daemon holds itself, under more messages than it can compute."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.rig import Client, Daemon, Mosquitto, wait_for

SHARE = 0.1
FLOOD_S = 4.0
MESSAGES_EACH_S = 1500
# Of a share: waits end late on a busy machine, and what is not worth a wait is owed for later.
SLACK = 1.3
TICKS_S = 2 / os.sysconf("SC_CLK_TCK")

VM = """\
model: {model}
cpu: {share}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
    qos: {qos}
    to: {{tensor: 0}}
output: {{on: always, wait_for: any}}
"""


def cpu_s(pid: int) -> float:
    """What the kernel says that a process took of the CPU."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("qos", [0, 1])
def test_a_flood_stays_within_the_share_of_the_cpu_and_is_answered(
    broker: Mosquitto, tmp_path: Path, bundles: dict[str, Path], qos: int
) -> None:
    text = VM.format(model=bundles["digits_mlp"], share=SHARE, qos=qos)
    server = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{broker.port}"}}\n'
    daemon = Daemon(tmp_path / "d", server, digits=text)
    daemon.start()
    client = Client(broker.port)
    try:
        wait_for(lambda: daemon.vm("digits")["connected"], "the worker connects")
        pid = daemon.vm("digits")["pid"]
        before_s, start_s, sent = cpu_s(pid), time.monotonic(), 0
        while (took_s := time.monotonic() - start_s) < FLOOD_S:
            for _ in range(int(took_s * MESSAGES_EACH_S) - sent):
                client.publish(f"plant/p/sensor/{sent % 64}", f'{{"value": {sent % 7}}}', qos=qos)
                sent += 1
        used_s = cpu_s(pid) - before_s
        assert used_s <= SHARE * (time.monotonic() - start_s) * SLACK + TICKS_S
        vm = daemon.vm("digits")
        assert vm["pid"] == pid
        assert vm["results_out"] > 0
        assert abs(vm["cpu_s"] - cpu_s(pid)) <= SHARE * SLACK + TICKS_S  # as of a second ago
    finally:
        client.close()
        daemon.stop()
