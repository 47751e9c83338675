# SPDX-License-Identifier: Apache-2.0
"""Networks run by sinabs, spikingjelly, norse and snntorch themselves, where they are installed.

NEUROVM_PEERS_PYTHON names an interpreter that has them (constraints-peers.txt); without it this one
is asked. Each runs in a process of its own: torch never comes into the suite.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurovm
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import LIF
from neurovm.spiking.synapses import Dense

TOP = Path(__file__).parents[1]
PYTHON = os.environ.get("NEUROVM_PEERS_PYTHON") or sys.executable
PEERS = ("sinabs", "spikingjelly", "norse", "snntorch")
DIALECTS = {peer: peer for peer in PEERS} | {"norse": "norse_export"}
"""norse writes time constants that it does not read as it wrote them."""
DELAYED = {"reset_delay": True}
DECISIONS: dict[str, dict[str, Any]] = {
    "Leaky, zero late": DELAYED,
    "Synaptic, zero late": DELAYED,
    "Leaky, subtract late": {"reset": "subtract", **DELAYED},
    "Synaptic, subtract late": {"reset": "subtract", **DELAYED},
    "RSynaptic": DELAYED,
}
"""What a file of snntorch does not say of how it was made; others need nothing but a dialect."""
NETWORKS = {"snntorch": 8, "norse": 3, "sinabs": 2, "spikingjelly": 6}
TIMEOUT_S = 300


@functools.cache
def installed() -> frozenset[str]:
    code = (
        "import importlib.util, sys; print(*[m for m in sys.argv[1:]"
        " if importlib.util.find_spec(m) is not None])"
    )
    done = subprocess.run([PYTHON, "-c", code, *PEERS], capture_output=True, text=True, check=False)
    return frozenset(done.stdout.split())


def need(peer: str) -> None:
    if peer not in installed():
        pytest.skip(f"{peer} is not installed for {PYTHON} (NEUROVM_PEERS_PYTHON names another)")


def layers(reset: str) -> dict[str, Any]:
    """784-512-256-10 LIF, 7.5 % input; weights on a grid of 1/64, so that int8 rows hold them."""
    rng = np.random.default_rng(1)
    sizes = (784, 512, 256, 10)
    net: dict[str, Any] = {"leak": 0.875, "threshold": 1.0, "reset": reset}
    for k in range(3):
        width = 0.4 / np.sqrt(sizes[k] * 0.1)
        drawn = rng.normal(0.1 * width, width, (sizes[k + 1], sizes[k])) * 64
        net[f"weight{k}"] = (np.rint(drawn).clip(-127, 127) / 64).astype(np.float32)
    net["spikes"] = (rng.random((100, 784)) < 0.075).astype(np.uint8)
    return net


def ours(net: dict[str, Any]) -> np.ndarray:
    """(T, 10) counts, by the kernel."""
    built = Network(dt_us=1000.0)
    last = built.input(784, "in")
    for k in range(3):
        weights = net[f"weight{k}"]
        neuron = LIF(tau_us=8000.0, r=8.0, v_threshold=1.0, fires_at=">=", reset=net["reset"])
        node = built.population(len(weights), neuron, f"layer {k}")
        built.project(last, node, Dense(weights))
        last = node
    built.output(last)
    with neurovm.convert_network(built) as model:
        found: np.ndarray = model.predict(net["spikes"].astype(np.int8))
    return found


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("peer", PEERS)
def test_the_same_layers_send_the_same_spikes(peer: str, reset: str, tmp_path: Path) -> None:
    need(peer)
    net = layers(reset)
    np.savez(tmp_path / "net.npz", **net)
    script = TOP / "benchmarks" / "snn_peers" / "torch_feedforward.py"
    command = [PYTHON, str(script), peer, str(tmp_path / "net.npz")]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=TIMEOUT_S
    )
    first = json.loads(done.stdout.splitlines()[0])
    found = ours(net)
    assert found.any()
    if first["equal"]:
        assert np.argwhere(found).tolist() == first["output"]
    else:
        assert np.argwhere(found).tolist() != first["output"]


@pytest.mark.parametrize("peer", PEERS)
def test_files_of_a_framework_run_as_it_runs_them(peer: str, tmp_path: Path) -> None:
    need(peer)
    script = TOP / "tests" / "peer_networks.py"
    command = [PYTHON, str(script), peer, str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT_S)
    files = sorted(tmp_path.glob("*.nir"))
    assert len(files) == NETWORKS[peer]
    for file in files:
        with np.load(file.with_suffix(".npz")) as arrays:
            x, y, dt = arrays["x"], arrays["y"], float(arrays["dt"])
        decided = DECISIONS.get(file.stem, {})
        with neurovm.convert_nir(file, dt=dt, dialect=DIALECTS[peer], **decided) as model:
            found = np.asarray(model.predict(x)).reshape(y.shape)
        assert y.any(), file.stem
        assert (found != y).sum() == 0, file.stem
