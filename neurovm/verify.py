# SPDX-License-Identifier: Apache-2.0
"""verify: the proof that a converted model answers what its source answers, element by element.

LiteRT runs the source in a process of its own, twice: as everybody runs it, and once more keeping
every intermediate tensor. Against it stand, on the same rows,

    predict      dense runs of whole rows
    session      one stream through all rows, each step computing what changed
    layers       the codes of every layer of that session, after every step
    events       on the walk of small changes, a second session that never runs densely
    oracle       the NumPy reference, every tensor

The rows are the caller's, then random ones, then a walk of small changes. The result is a
`Certificate`; `neurovm verify --save` puts it into the bundle.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import neurovm
from neurovm import reference, stimuli
from neurovm.arithmetic import PROFILES
from neurovm.backends.litert import LiteRT, Port
from neurovm.certificate import Certificate, LayerResult, Tally
from neurovm.converters import tflite
from neurovm.errors import BackendError, ModelError
from neurovm.passes import prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.graph import Graph
    from neurovm.model import Model

Progress = Callable[[int, int], None]
"""progress(rows done, rows in all); `in all` is 0 while nobody knows."""

BATCH_BYTES = 8 << 20
BATCH_ROWS = 64
BATCH_MACS = 1_000_000_000
"""No batch holds more than any of these: memory and the wait for an answer stay bounded."""


def verify(
    source: str | os.PathLike[str],
    *,
    profile: str = "xnnpack",
    coding: str = "graded",
    model: Model | None = None,
    inputs: Sequence[Any] = (),
    count: int = 1000,
    walk: int = 500,
    seed: int = 0,
    timeout_s: float = 60.0,
    progress: Progress = lambda _done, _total: None,
) -> Certificate:
    """Compare a converted model with its source in LiteRT, layer by layer and step by step.

    source: a .tflite. model: what it was converted to (None: converted here); its source must be
    that very file. inputs: the caller's rows, each an array (n, *row shape) of the source's dtype
    or a dict of them by input name. count: random rows; walk: steps of small changes; both from
    `seed`. timeout_s: for one answer of LiteRT.

    Differences are no error: the certificate holds them. Raises BackendError where LiteRT is
    missing, crashes, refuses the model or hangs, ModelError as `convert_tflite` does and for
    another profile than xnnpack.
    """
    path = Path(source)
    data = path.read_bytes()
    if model is None:
        model = neurovm.convert_tflite(path, profile=profile, coding=coding)
    if model.profile != "xnnpack":
        raise ModelError(
            f"{path}: converted to profile {model.profile!r}; LiteRT can only judge 'xnnpack' "
            f"(the rounding of TensorFlow Lite Micro differs from it)"
        )
    check_source(model, data, path)
    graph = tflite.read(data, name=path.stem)
    comparison = _Comparison(model, graph, path, seed)
    with LiteRT(path, wanted=comparison.wanted(), timeout_s=timeout_s) as lite:
        comparison.meet(lite)
        return comparison.run(inputs, count, walk, progress)


def check_source(model: Model, data: bytes, path: Path) -> None:
    """ModelError unless `data`, read from `path`, is what the model was converted from."""
    found = hashlib.sha256(data).hexdigest()
    if found != model.manifest.source.sha256:
        raise ModelError(
            f"{path}: sha256 {found[:12]}…, but the model was converted from "
            f"{model.manifest.source.name} with {model.manifest.source.sha256[:12]}…"
        )


class _Comparison:
    """One model, its graph and oracle on one side, LiteRT on the other."""

    def __init__(self, model: Model, graph: Graph, path: Path, seed: int) -> None:
        self.model = model
        self.source_graph = graph
        self.graph = prepare(graph)
        self.rng = np.random.default_rng(seed)
        self.certificate = Certificate(
            source=path.name,
            source_sha256=model.manifest.source.sha256,
            model_sha256=model.sha256,
            profile=model.profile,
            coding=model.coding,
            generator=model.manifest.generator,
            runtime="",
            version="",
            machine=platform.machine(),
            seed=seed,
            rows={},
        )
        self._session = model.session()
        self._event_session = model.session(way="events")
        self._heard: NDArray[np.int8] | None = None
        self._layer_of = _layers_by_operator(model, self.graph)

    def wanted(self) -> list[int]:
        """The flatbuffer's indices of all tensors that operators produce."""
        return [i for op in self.source_graph.operators for i in op.outputs]

    def meet(self, lite: LiteRT) -> None:
        """Pair LiteRT's tensors with operators, layers and the oracle's tensors."""
        self.lite = lite
        self.certificate.runtime, self.certificate.version = lite.runtime, lite.version
        if not lite.kept:
            self.certificate.remarks.append(
                f"{lite.runtime} {lite.version} keeps no intermediate tensors: outputs only"
            )
        if lite.runtime != "ai-edge-litert":
            self.certificate.remarks.append(
                f"{lite.runtime} rounds 8-bit operators otherwise than profile "
                f"{self.model.profile}; differences of one code are to be expected"
            )
        ours, theirs = self.source_graph, (lite.inputs, lite.outputs)
        self.inputs = _places([port.index for port in theirs[0]], ours.inputs)
        self.outputs = _places(ours.outputs, [port.index for port in theirs[1]])
        self._pair_layers()

    def _pair_layers(self) -> None:
        kept = {port.index: port for port in self.lite.kept}
        ours = {op.index: op for op in self.graph.operators}
        self.pairs: list[tuple[LayerResult, Port, int | None]] = []
        for source in self.source_graph.operators:
            port = kept.get(source.outputs[0])
            if port is None or port.dtype not in ("int8", "uint8"):
                continue
            op = ours.get(source.index)
            result = LayerResult(
                operator=source.index,
                source_op=source.source_name,
                tensor=port.name,
                layer=self._layer_of.get(source.index),
            )
            self.pairs.append((result, port, None if op is None else op.outputs[0]))
        self.certificate.layers = [result for result, _, _ in self.pairs]

    def run(self, inputs: Sequence[Any], count: int, walk: int, progress: Progress) -> Certificate:
        infos = self.model.inputs
        batch = self._batch_rows()
        streams = {
            "given": stimuli.given(inputs, infos, batch),
            "random": stimuli.random(infos, count, batch, self.rng),
            "walk": stimuli.walk(infos, walk, batch, self.rng),
        }
        total = count + walk + sum(_length(item) for item in inputs)
        done = 0
        for name, stream in streams.items():
            self.certificate.rows[name] = 0
            for rows in stream:
                self._batch(rows, by_events=name == "walk")
                done += len(rows[0])
                self.certificate.rows[name] += len(rows[0])
                progress(done, total)
        return self._conclude()

    def _batch_rows(self) -> int:
        infos = (*self.model.inputs, *self.model.outputs)
        row_bytes = sum(t.size for t in infos) + sum(port.size for _, port, _ in self.pairs)
        macs = max(1, self.model.manifest.macs)
        return max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes, BATCH_MACS // macs))

    def _batch(self, rows: stimuli.Rows, *, by_events: bool) -> None:
        """Run one batch everywhere and tally what differs."""
        answer = self.lite.run([rows[i] for i in self.inputs])
        theirs = [answer.outputs[i] for i in self.outputs]
        self._tally_outputs(self.certificate.predict, self._predict(rows), theirs)
        codes = self._codes(rows)
        outputs, layers = self._steps(codes)
        self._tally_outputs(self.certificate.session, outputs, theirs)
        for result, port, _ in self.pairs:
            if result.layer is not None:
                result.kernel.add(layers[result.layer], _int8(answer.kept[port.index]))
        if by_events:
            self._tally_outputs(self.certificate.events, self._walk(codes), theirs)
        self._ask_oracle(rows, theirs, answer.kept)

    def _tally_outputs(
        self, tally: Tally, ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]
    ) -> None:
        for info, a, b in zip(self.model.outputs, ours, theirs, strict=True):
            tally.add(a, b, info.scale if info.dtype == "float32" else 1.0)

    def _predict(self, rows: stimuli.Rows) -> list[NDArray[Any]]:
        infos = self.model.inputs
        named = {info.name: r for info, r in zip(infos, rows, strict=True)}
        answer = self.model.predict(rows[0] if len(infos) == 1 else named)
        return self._by_port(answer)

    def _by_port(self, answer: Any) -> list[NDArray[Any]]:
        infos = self.model.outputs
        return [answer] if len(infos) == 1 else [answer[info.name] for info in infos]

    def _codes(self, rows: stimuli.Rows) -> NDArray[np.int8]:
        """(n, codes of all inputs), by the model's own quantisation."""
        infos = self.model.inputs
        made = [
            self.model.to_codes({t.name: r[i] for t, r in zip(infos, rows, strict=True)})
            for i in range(len(rows[0]))
        ]
        return np.frombuffer(b"".join(made), np.int8).reshape(len(made), -1)

    def _steps(
        self, codes: NDArray[np.int8]
    ) -> tuple[list[NDArray[Any]], dict[int, NDArray[np.int8]]]:
        """One step a row: the outputs, and the codes of every paired layer after each step."""
        wanted = {r.layer for r, _, _ in self.pairs if r.layer is not None}
        layers: dict[int, list[bytes]] = {i: [] for i in wanted}
        outputs = []
        for row in codes:
            outputs.append(
                self._by_port(self.model.from_codes(bytes(self._session.step(row.data))))
            )
            for index, column in layers.items():
                column.append(bytes(self._session.layer(index).codes))
        return _stacked(outputs), {
            i: np.frombuffer(b"".join(c), np.int8) for i, c in layers.items()
        }

    def _walk(self, codes: NDArray[np.int8]) -> list[NDArray[Any]]:
        """The rows as updates of what changed, on a session that never runs densely."""
        outputs = []
        for row in codes:
            if self._heard is None:
                out = self._event_session.step(row.data)
            else:
                places = np.flatnonzero(row != self._heard).astype(np.uint32)
                out = self._event_session.update(places.data, row[places].data)
            self._heard = row
            outputs.append(self._by_port(self.model.from_codes(bytes(out))))
        return _stacked(outputs)

    def _ask_oracle(
        self, rows: stimuli.Rows, theirs: list[NDArray[Any]], kept: dict[int, NDArray[Any]]
    ) -> None:
        tensors = reference.run(self.graph, PROFILES[self.model.profile], rows)
        outputs = [tensors[i] for i in self.graph.outputs]
        self._tally_outputs(self.certificate.oracle, outputs, theirs)
        for result, port, tensor in self.pairs:
            if tensor in tensors:
                result.oracle.add(_int8(tensors[tensor]), _int8(kept[port.index]))

    def _conclude(self) -> Certificate:
        """Add up, and name the first operator that differs."""
        proof = self.certificate
        counters = self._session.counters
        proof.sops, proof.dense_macs = counters.sops, counters.dense_macs
        for result in proof.layers:
            for who, tally in (("kernel", result.kernel), ("oracle", result.oracle)):
                if tally.differing and proof.first_difference is None:
                    proof.first_difference = (
                        f"operator {result.operator} ({result.source_op}), tensor "
                        f"{result.tensor!r}: {who} differs in {tally.differing} of "
                        f"{tally.elements} elements, by up to {tally.max_delta:g}"
                    )
        for what in ("predict", "session", "events", "oracle"):
            tally = getattr(proof, what)
            if tally.differing and proof.first_difference is None:
                why = "no operator by itself differs" if proof.layers else "no layer was compared"
                proof.first_difference = f"the outputs of {what}; {why}"
        proof.identical = proof.first_difference is None
        return proof


def _layers_by_operator(model: Model, graph: Graph) -> dict[int, int]:
    """Source operator -> the layer with its output's codes; folded ones share their input's."""
    holds: dict[int, int] = {}
    made = {op.index: op.layers for op in model.manifest.operators}
    inputs = [layer.index for layer in model.explain() if layer.kind == "INPUT"]
    holds.update(zip(graph.inputs, inputs, strict=True))
    by_operator = {}
    for op in graph.operators:
        layers = made.get(op.index, ())
        layer = layers[-1] if layers else holds.get(op.inputs[0])
        if layer is not None:
            holds[op.outputs[0]] = by_operator[op.index] = layer
    return by_operator


def _places(tensors: Sequence[int], among: Sequence[int]) -> list[int]:
    """For each tensor of the flatbuffer its place among the others; they must be the same ones."""
    if sorted(tensors) != sorted(among):
        raise BackendError(f"inputs or outputs {sorted(tensors)} here are {sorted(among)} there")
    return [list(among).index(i) for i in tensors]


def _int8(values: NDArray[Any]) -> NDArray[np.int8]:
    """Codes as the kernel holds them."""
    if values.dtype == np.uint8:
        values = values ^ np.uint8(0x80)
    return np.asarray(values).view(np.int8)


def _stacked(rows: Sequence[Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _length(item: Any) -> int:
    return len(next(iter(item.values()))) if isinstance(item, Mapping) else len(item)
