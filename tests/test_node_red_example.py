# SPDX-License-Identifier: Apache-2.0
"""The Node-RED flow: whole, and where the program is there, run between a broker and a VM."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rig import free_port, wait_for
from examples.box import serving

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FLOW = EXAMPLES / "node_red/flow.json"
INTENT = EXAMPLES / "intent"
# Nodes that come with Node-RED.
CORE = {"tab", "mqtt-broker", "mqtt in", "mqtt out", "inject", "function", "switch", "debug"}
CORE |= {"http request"}
Nodes = list[dict[str, Any]]


def flow() -> Nodes:
    nodes: Nodes = json.loads(FLOW.read_text())
    return nodes


def test_every_wire_leads_to_a_node_of_the_program_itself() -> None:
    nodes = {node["id"]: node for node in flow()}
    assert len(nodes) == len(flow())
    assert {node["type"] for node in nodes.values()} <= CORE
    wires = {end for node in nodes.values() for port in node.get("wires", []) for end in port}
    assert wires <= set(nodes)
    sources = {"mqtt in", "inject", "tab", "mqtt-broker"}
    assert wires == {name for name, node in nodes.items() if node["type"] not in sources}
    for node in nodes.values():
        assert nodes[node.get("z", "neurovm-tab")]["type"] == "tab"
        assert nodes[node.get("broker") if "mqtt " in node["type"] else node["id"]]


def test_node_red_runs_it(tmp_path: Path) -> None:
    program = os.environ.get("NEUROVM_NODE_RED")
    if not program:
        pytest.skip("NEUROVM_NODE_RED does not name the program node-red")
    http, own = free_port(), free_port()
    settings = f'http: {{listen: "127.0.0.1:{http}", infer: true}}\n'
    vms, files = {"intent": INTENT / "vm.yaml"}, [INTENT / "intent.tflite"]
    heard_topics = ["house/attic/intent", "seen/models"]
    with serving(vms, files, also=heard_topics, settings=settings) as box:
        nodes = flow()
        for node in nodes:
            if node["type"] == "mqtt-broker":
                node["port"] = str(box.port)
            elif node["type"] == "http request":
                node["url"] = node["url"].replace("8080", str(http))
                node["wires"][0].append("seen")  # what the sidebar shows, on a topic
            elif node["type"] == "inject":
                node["once"] = True  # as if both buttons were pressed
                node["onceDelay"] = 2
        nodes.append(
            {
                **next(node for node in nodes if node["id"] == "act"),
                "id": "seen",
                "topic": "seen/models",
            }
        )
        (tmp_path / "flow.json").write_text(json.dumps(nodes))
        (tmp_path / "settings.js").write_text(
            f"module.exports = {{flowFile: 'flow.json', uiPort: {own}, uiHost: '127.0.0.1'}};\n"
        )
        with (tmp_path / "log").open("wb") as log:
            child = subprocess.Popen(
                [program, "--userDir", str(tmp_path)], stdout=log, stderr=log, cwd=tmp_path
            )
        try:
            found: dict[str, Any] = {}

            def all_heard() -> bool:
                topic, payload = box.heard(60.0)
                found[topic] = json.loads(payload)
                return set(heard_topics) <= set(found)

            wait_for(all_heard, "what the flow says", 90.0)
            intent = found["house/attic/intent"]
            assert (intent["vm"], intent["stream"], intent["label"]) == (
                "intent",
                "attic",
                "close_blinds",
            )
            assert intent["score"] >= 0.8
            (listed,) = found["seen/models"]
            assert (listed["name"], listed["state"]) == ("intent", "READY")
            with urllib.request.urlopen(f"http://127.0.0.1:{own}/flows", timeout=20) as answer:
                assert {node["id"] for node in json.load(answer)} == {n["id"] for n in nodes}
        finally:
            child.terminate()
            child.wait(20)
