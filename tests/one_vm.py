# SPDX-License-Identifier: Apache-2.0
"""What tests of the whole daemon share: one VM of one model, and how it is started."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.rig import ROOT, Daemon, wait_for

MODEL = ROOT / "tests/fixtures/digits_mlp.tflite"
RESULT = "neurovm/box/digits/result/p"
VM = f"""\
model: {MODEL}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
    to: {{tensor: 0}}
output: {{on: always, wait_for: any, form: {{values: codes}}}}
"""
Start = Callable[..., Daemon]


def connected(daemon: Daemon, vm: str = "digits") -> None:
    def both() -> bool:
        status = daemon.status()
        return status["mqtt"]["connected"] and daemon.vm(vm)["connected"]

    wait_for(both, "the daemon is connected")
