# SPDX-License-Identifier: Apache-2.0
"""Output steps and alert rules through the whole daemon and a real broker."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

from one_vm import MODEL, RESULT, Start, connected

from benchmarks.rig import Client, Mosquitto

EVENT = "neurovm/box/digits/event/p"
VM = f"""\
model: {MODEL}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
output:
  on: change
  wait_for: any
  retain: true
  steps:
    - {{kind: median, n: 3}}
    - {{kind: classify, score: false}}
  alerts:
    - {{name: seven, when: {{label: 7, above: 2, release: 1}}}}
"""


def test_classes_and_events_reach_the_broker(
    broker: Mosquitto, client: Client, start: Start, bundles: dict[str, Path]
) -> None:
    daemon = start(broker.port, digits=VM.replace(str(MODEL), str(bundles["digits_mlp"])))
    connected(daemon)
    source = random.Random(8)
    for _ in range(400):
        element, value = source.randrange(64), source.choice([0.0, 0.5, 1.0])
        client.publish(f"plant/p/sensor/{element}", json.dumps({"value": value}))
    end = client.wait(EVENT, lambda said: said["type"] == "end")
    assert (end["alert"], end["vm"], end["stream"]) == ("seven", "digits", "p")
    new = next(each for each in client.on(EVENT) if each["id"] == end["id"])
    assert (new["type"], new["before"], new["after"]) == ("new", None, end["before"])
    client.wait(RESULT, lambda said: said["seq"] > 100)
    told = [each["class"] for each in client.on(RESULT)]
    assert all(a != b for a, b in itertools.pairwise(told))
    late = Client(broker.port)
    late.subscribe("neurovm/#")
    assert "class" in late.wait(RESULT, bool)  # the last one is kept, events are not
    assert late.on(EVENT) == []
    late.close()
    assert daemon.stop() == 0
