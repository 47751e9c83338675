# SPDX-License-Identifier: Apache-2.0
"""The networks that `bench.py` measures, and the streams of each."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import bench_streams
import bench_work
import numpy as np
from bench_streams import Stream

import neurovm
from neurovm.packing import pack

ROOT = Path(__file__).resolve().parents[1]
OWN = (*sorted((ROOT / "tests/fixtures").glob("*.tflite")), ROOT / "examples/pump/pump.tflite")
JUDGED = ("kws_ref_model", "pretrainedResnet_quant", "ad01_int8", "str_ww_ref_model",
          "micro_speech_quantized", "okay_nabu", "vad", "hello_world_int8")  # fmt: skip
"""Public networks whose geometric mean, everything changed, is a figure of its own."""
KNOWN = (*JUDGED, "trained_lstm_int8")
FAST = "50 kMAC"
"""A network made here: fully connected, small enough for a million inferences a second."""
WIDTHS = (256, 160, 56, 10)
BATCH = 1000
BATCHED_MACS = 20_000_000
"""A batch of larger networks lasts too long for a turn."""


@dataclass
class Network:
    name: str
    path: Path
    model: neurovm.Model
    streams: list[Stream]
    _work: dict[str, bench_work.Work] = field(default_factory=dict)

    def values(self, stream: Stream) -> np.ndarray:
        """The stream's rows as the .tflite takes them: its own dtype, (n, *shape)."""
        info = self.model.inputs[0]
        codes = stream.rows.reshape(-1, *info.shape[1:])
        if info.dtype == "float32":
            return ((codes - info.zero_point) * info.scale).astype(np.float32)
        return (codes + (128 if info.dtype == "uint8" else 0)).astype(info.dtype)

    def work(self, stream: Stream) -> bench_work.Work:
        if stream.name not in self._work:
            rows = pack(self.model.inputs, [stream.rows])
            self._work[stream.name] = bench_work.work(self.model, [row.tobytes() for row in rows])
        return self._work[stream.name]


def find(options: argparse.Namespace, folder: Path) -> tuple[list[Network], list[str]]:
    """The networks asked for, and what was left out and why. folder: for what is made here."""
    paths = OWN if options.models is None else sorted(options.models.rglob("*.tflite"))
    if options.only:
        paths = [path for path in paths if path.stem in options.only]
        lost = sorted(set(options.only) - {path.stem for path in paths})
        left_out = [f"{name}: there is no {name}.tflite" for name in lost]
    else:
        known = [path for path in paths if path.stem in KNOWN]
        left_out = [
            f"{path.stem}: name it (--only)" for path in paths if known and path not in known
        ]
        paths = known or paths
    paths = sorted(paths, key=lambda path: (*KNOWN, path.stem).index(path.stem))
    networks = []
    for path in paths:
        try:
            network, missing = opened(path, options)
            networks.append(network)
            left_out += missing
        except (neurovm.NeurovmError, ValueError) as error:
            left_out.append(f"{path.stem}: {' '.join(str(error).split())[:160]}")
    if not options.quick and not options.only:
        path = folder / f"{FAST}.tflite"
        path.write_bytes(fully_connected(WIDTHS, options.seed))
        networks.append(opened(path, options)[0])
    return networks, left_out


def fully_connected(widths: tuple[int, ...], seed: int) -> bytes:
    """A .tflite of int8 layers with random weights, ReLU between them."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tflite_writer import ModelWriter

    rng = np.random.default_rng(seed)
    writer = ModelWriter()
    first = at = writer.tensor("x", (1, widths[0]), scale=0.02)
    for number, (n_in, n_out) in enumerate(pairwise(widths)):
        weights = rng.integers(-127, 128, (n_out, n_in)).astype(np.int8)
        scale, out = 0.3 / (60 * n_in**0.5), 0.02
        kernel = writer.constant(f"w{number}", weights, scale=scale)
        bias = rng.integers(-500, 500, n_out).astype(np.int32)
        bias_at = writer.constant(f"b{number}", bias, scale=0.02 * scale)
        last = number == len(widths) - 2
        to = writer.tensor(f"y{number}", (1, n_out), scale=out, zero_point=0 if last else -128)
        writer.operator("FULLY_CONNECTED", [at, kernel, bias_at], [to],
                        FusedActivationFunction="NONE" if last else "RELU")  # fmt: skip
        at = to
    return writer.model(inputs=[first], outputs=[at])


def opened(path: Path, options: argparse.Namespace) -> tuple[Network, list[str]]:
    model = neurovm.convert_tflite(path)
    if len(model.inputs) != 1 or model.inputs[0].wide:
        raise ValueError("one input of 8-bit codes is measured")
    info = model.inputs[0]
    streams = bench_streams.drawn(info.shape[1:], info.limits, options.seed)
    missing: list[str] = []
    if options.data is not None:
        from bench_real import real

        found, missing = real(path.stem, options.data, info)
        streams += [Stream(name, "real", rows) for name, rows in found.items()]
    if not model.stateful and not options.quick and model.manifest.macs <= BATCHED_MACS:
        rng = np.random.default_rng(options.seed)
        rows = rng.integers(info.limits[0], info.limits[1] + 1, (BATCH, info.size))
        streams.append(Stream(f"{BATCH:,} rows", "batch", rows))
    return Network(path.stem, path, model, streams), missing
