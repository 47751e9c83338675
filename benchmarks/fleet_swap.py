# SPDX-License-Identifier: Apache-2.0
"""Many nodes, one tree: a new tree with one bad overlay is taken by all but one, which says why.

    python benchmarks/fleet_swap.py [--nodes 50] [--bad key|model]

Every node is a `neurovmd` with a folder of its own above the shared tree, all on this machine and
one Mosquitto. The tree is switched by renaming a link, then every node gets SIGHUP, as `systemctl
reload` would send it. The clock runs from before the rename until each node has answered a message
in the way of the tree that it should serve: the new one, or, with the bad overlay, the last good.
Then that node loses its power, and must serve the last good one again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import neurovm
from benchmarks.rig import ROOT, Client, Mosquitto, wait_for

MODEL = ROOT / "tests/fixtures/digits_mlp.tflite"
PREFIX = "fleet"
VM = """\
model: sha256:{digest}
inputs:
  - topic: plant/${{node}}/{{stream}}/sensor/{{element}}
    to: {{tensor: 0}}
output: {{on: always, wait_for: any, form: {{{form}}}}}
"""
# What tells the trees apart in a result.
FORMS = {"one": "top_k: 1", "two": "values: codes"}
MARKS = {"one": "top", "two": "values"}
START_S = 240.0
SWAP_S = 60.0


def make_tree(folder: Path, form: str, port: int, bad: str | None, kind: str = "key") -> None:
    """A whole tree: settings, an overlay for some nodes, one VM, its model by content. That of the
    node `bad` has a wrong key, or a model that does not load.
    """
    (folder / "vm.d").mkdir(parents=True)
    (folder / "nodes").mkdir()
    store = folder / "models/sha256"
    store.mkdir(parents=True)
    with neurovm.convert_tflite(MODEL) as model:
        saved = model.save(folder / "model.nvm")
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    saved.rename(store / f"{digest}.nvm")
    whole = (store / f"{digest}.nvm").read_bytes()
    (folder / "vm.d/digits.yaml").write_text(VM.format(digest=digest, form=form))
    (folder / "neurovmd.yaml").write_text(
        f'node: "${{env:BOX}}"\nprefix: {PREFIX}\nmqtt: {{server: "mqtt://127.0.0.1:{port}"}}\n'
        "on_invalid: last_good\n"
    )
    (folder / "nodes/n01.yaml").write_text("log_level: debug\n")
    if bad is not None and kind == "key":
        (folder / "nodes" / f"{bad}.yaml").write_text("mqtt:\n  keepalive: 30\n")
    elif bad is not None:
        cut = whole[: len(whole) // 2]
        digest = hashlib.sha256(cut).hexdigest()
        (store / f"{digest}.nvm").write_bytes(cut)
        own = folder / "nodes" / bad / "vm.d"
        own.mkdir(parents=True)
        (own / "digits.yaml").write_text(VM.format(digest=digest, form=form))


class Nodes:
    """The daemons; `names` are theirs."""

    def __init__(self, folder: Path, tree: Path, count: int) -> None:
        self.names = [f"n{number + 1:02d}" for number in range(count)]
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._folder, self._tree = folder, tree

    def start(self) -> None:
        for name in self.names:
            own = self._folder / name
            own.mkdir()
            (own / "neurovmd.yaml").write_text(
                "cache_dir: cache\nstate_dir: state\nsocket: neurovmd.sock\n"
            )
            self._start(name)

    def _start(self, name: str) -> None:
        own = self._folder / name
        with (own / "log").open("ab") as sink:
            self._children[name] = subprocess.Popen(
                [sys.executable, "-m", "neurovmd", "--layer", self._tree, "--layer", own],
                cwd=own,
                env={**os.environ, "PYTHONPATH": str(ROOT), "BOX": name},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )

    def power_cut(self, name: str) -> None:
        """End one at once, and start it again."""
        self._children[name].kill()
        self._children[name].wait()
        self._start(name)

    def reload(self) -> None:
        for child in self._children.values():
            child.send_signal(signal.SIGHUP)

    def pids(self) -> dict[str, int]:
        """Of those that still run."""
        return {name: child.pid for name, child in self._children.items() if child.poll() is None}

    def stop(self) -> None:
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()
        for child in self._children.values():
            try:
                child.wait(20.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class Fleet:
    """What one client sees of all nodes."""

    def __init__(self, port: int, names: list[str]) -> None:
        self._client = Client(port, mqtt5=True)
        self._client.subscribe(f"{PREFIX}/+/info", f"{PREFIX}/+/digits/result/#")
        self._names = names

    def info(self, name: str) -> dict[str, Any]:
        heard = self._client.on(f"{PREFIX}/{name}/info")
        return heard[-1] if heard else {}

    def infos(self, name: str) -> int:
        """How often a node has told of itself."""
        return len(self._client.on(f"{PREFIX}/{name}/info"))

    def answers(self, name: str, stream: str) -> list[dict[str, Any]]:
        return self._client.on(f"{PREFIX}/{name}/digits/result/{stream}")

    def ask(self, stream: str, names: list[str] | None = None) -> None:
        for name in names or self._names:
            self._client.publish(f"plant/{name}/{stream}/sensor/5", '{"value": 0.5}')

    def ask_all(self, stream: str, names: list[str] | None = None) -> None:
        """Ask until each has answered: a worker that is ready may not have subscribed yet."""
        deadline = time.monotonic() + SWAP_S
        asked = names or self._names
        while silent := [name for name in asked if not self.answers(name, stream)]:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"no answer from {silent}")
            self.ask(stream, silent)
            with contextlib.suppress(TimeoutError):
                wait_for(lambda: all(self.answers(name, stream) for name in silent), "answers", 1.0)

    def wait(self, test: Any, what: str, seconds: float) -> None:
        wait_for(lambda: all(test(name) for name in self._names), what, seconds)

    def close(self) -> None:
        self._client.close()


def swap(link: Path, target: str) -> None:
    """Let a link name another tree, in one step."""
    scratch = link.with_name("next")
    scratch.symlink_to(target)
    scratch.replace(link)


def ready(info: dict[str, Any]) -> bool:
    return bool(info) and [vm["state"] for vm in info["vms"]] == ["ready"]


def measure(folder: Path, count: int, kind: str = "key") -> dict[str, Any]:
    """Start `count` nodes on tree one, switch to tree two, of which one overlay is bad in the way
    of `kind`; the figures.
    """
    broker = Mosquitto(folder / "broker", autosave=False)
    broker.start()
    bad = f"n{(count + 1) // 2:02d}"
    tree = folder / "tree"
    make_tree(tree / "trees/one", FORMS["one"], broker.port, None)
    make_tree(tree / "trees/two", FORMS["two"], broker.port, bad, kind)
    (tree / "current").symlink_to("trees/one")
    nodes = Nodes(folder, tree, count)
    try:
        nodes.start()
        fleet = Fleet(broker.port, nodes.names)
        began = time.monotonic()
        fleet.wait(lambda name: ready(fleet.info(name)), "all nodes are ready", START_S)
        started_s = time.monotonic() - began
        fleet.ask_all("before")
        before = {name: fleet.info(name)["config_hash"] for name in nodes.names}
        # A copy of what serves is written once it does; it is not part of the swap.
        kept = [folder / name / "state/last_good" for name in nodes.names]
        wait_for(lambda: all(path.is_dir() for path in kept), "all keep a copy", SWAP_S)
        pids = nodes.pids()
        figures = follow(fleet, nodes, tree, bad, before)
        figures["supervisors_kept"] = nodes.pids() == pids
        figures["after_power_cut"] = cut_power(fleet, nodes, bad)
        fleet.close()
        return {"nodes": count, "all_ready_s": round(started_s, 2), **figures}
    finally:
        nodes.stop()
        broker.kill()


def follow(
    fleet: Fleet, nodes: Nodes, tree: Path, bad: str, before: dict[str, str]
) -> dict[str, Any]:
    """The swap itself."""

    def decided(name: str) -> bool:
        info = fleet.info(name)
        refused = info["config_state"] == "last_good" and bool(info["config_reason"])
        taken = info["config_hash"] != before[name] and ready(info)
        return refused if name == bad else taken and not refused

    began = time.monotonic()
    swap(tree / "current", "trees/two")
    nodes.reload()
    fleet.wait(decided, "all nodes have decided", SWAP_S)
    decided_s = time.monotonic() - began
    fleet.ask("after")
    fleet.wait(lambda name: fleet.answers(name, "after"), "all answer", SWAP_S)
    served_s = time.monotonic() - began

    marks = {name: fleet.answers(name, "after")[-1] for name in nodes.names}
    return {
        "new_tree": sum(MARKS["two"] in answer for answer in marks.values()),
        "last_good": [name for name, answer in marks.items() if MARKS["one"] in answer],
        "bad_overlay": bad,
        "reason": fleet.info(bad)["config_reason"].rpartition("/")[2],
        "hash_kept": fleet.info(bad)["config_hash"] == before[bad],
        "decided_s": round(decided_s, 2),
        "served_s": round(served_s, 2),
    }


def cut_power(fleet: Fleet, nodes: Nodes, bad: str) -> dict[str, Any]:
    """What the node with the bad overlay serves when it comes back."""
    told = fleet.infos(bad)
    nodes.power_cut(bad)

    def fallen() -> bool:
        info = fleet.info(bad)
        return fleet.infos(bad) > told and info["config_state"] == "last_good" and ready(info)

    wait_for(fallen, "it serves what it served", SWAP_S)
    fleet.ask_all("again", [bad])
    info = fleet.info(bad)
    return {
        "state": info["config_state"],
        "hash": info["config_hash"],
        "reason": info["config_reason"].rpartition("/")[2],
        "tree": next(n for n, mark in MARKS.items() if mark in fleet.answers(bad, "again")[-1]),
    }


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="neurovm-fleet-") as folder:
        yield Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--bad", choices=["key", "model"], default="key")
    options = parser.parse_args()
    with scratch() as folder:
        figures = measure(folder, options.nodes, options.bad)
    print(json.dumps(figures, indent=2))
    expected = figures["nodes"] - 1, [figures["bad_overlay"]]
    right = (figures["new_tree"], figures["last_good"]) == expected and figures["served_s"] <= 10.0
    right = right and figures["after_power_cut"]["tree"] == "one"
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
