# SPDX-License-Identifier: Apache-2.0
"""verify: the proof that a converted model answers what its source answers, element by element.

Another runtime runs the source in a process of its own, twice: as everybody runs it, and once more
so that every intermediate tensor can be read. Profile `xnnpack` is judged by LiteRT, `tflm` by
TensorFlow Lite Micro. Against it stand, on the same rows,

    predict      dense runs of whole rows
    session      one stream through all rows, each step computing what changed
    events       on the walk of small changes, a second session that never runs densely (on all
                 rows where the network keeps state, or where there is no walk)
    oracle       the NumPy reference
    layers       every operator by itself, in our kernel and in the oracle, on the runtime's own
                 inputs: the first wrong one is named, and its error does not spread

The rows are the caller's, then random ones, then a walk of small changes. The result is a
`Certificate`; `neurovm verify --certify` puts it into the bundle.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET

import neurovm
from neurovm import reference, stimuli
from neurovm.arithmetic import PROFILES
from neurovm.backends.runtime import ARENA_BYTES, TFLITE_RUNTIME_REF, Answer, Runtime
from neurovm.certificate import JUDGES, Certificate, LayerResult, Tally
from neurovm.converters import tflite
from neurovm.converters.tflite_outputs import with_outputs
from neurovm.disputed import is_disputed
from neurovm.errors import BackendError, ModelError, ShapeError
from neurovm.operators import Div
from neurovm.passes import prepare
from neurovm.units import CODES, Unit, flat, followed, units
from neurovm.window_proof import prove_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.graph import Graph, State
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
    python: str | os.PathLike[str] | None = None,
    hops: Sequence[int] = (),
    frames: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Certificate:
    """Compare a converted model with its source in another runtime, layer by layer, step by step.

    source: a .tflite. model: what it was converted to (None: converted here, in `profile`); its
    source must be that very file. inputs: the caller's rows, each an array (n, *row shape) of the
    source's dtype or a dict of them by input name. count: random rows; walk: steps of small
    changes; both from `seed`. timeout_s: for one answer of the runtime. python: another Python
    interpreter in which the runtime is installed, such as one with tflite-runtime 2.14. hops: for
    each of them a window of `frames` frames (None: as the model has them) slides over a random
    stream, every layer beside dense runs; ShapeError or BackendError where the model has none.

    Differences are no error: the certificate holds them. Raises ShapeError where there is no row
    at all, BackendError where the runtime is missing, crashes, refuses the model or hangs,
    ModelError as `convert_tflite` does.
    """
    if not count + walk + sum(_length(item) for item in inputs):
        raise ShapeError("no row to compare: count and walk are 0; accepted: 1 or more, or inputs")
    path = Path(source)
    data = path.read_bytes()
    if model is None:
        model = neurovm.convert_tflite(path, profile=profile, coding=coding)
    check_source(model, data, path)
    windows = [prove_window(model, hop, seed, frames) for hop in hops]
    graph = tflite.read(data, name=path.stem)
    comparison = _Comparison(model, graph, path, seed)
    with Runtime(
        path,
        profile=model.profile,
        wanted=comparison.wanted(),
        copy=lambda tensors: with_outputs(path.name, data, tensors),
        python=None if python is None else os.fspath(python),
        ports=(graph.inputs, graph.outputs),
        arena_bytes=ARENA_BYTES + 8 * sum(t.size for t in graph.tensors if t.data is None),
        timeout_s=timeout_s,
    ) as runtime:
        comparison.meet(runtime)
        comparison.certificate.windows = windows
        return comparison.run(inputs, count, walk, progress)


def check_source(model: Model, data: bytes, path: Path) -> None:
    """ModelError unless `data`, read from `path`, is what the model was converted from."""
    found = hashlib.sha256(data).hexdigest()
    if found != model.manifest.source.sha256:
        if model.manifest.approx is not UNSET and found == model.manifest.approx.source.sha256:
            raise ModelError(
                f"{path}: a float network; the model is exact to the int8 network made of it "
                f"({model.manifest.source.name}): convert with --keep-quantized and verify that"
            )
        raise ModelError(
            f"{path}: sha256 {found[:12]}…, but the model was converted from "
            f"{model.manifest.source.name} with {model.manifest.source.sha256[:12]}…"
        )


class _Comparison:
    """One model, its graph and oracle on one side, another runtime on the other."""

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
        self._heard: NDArray[np.generic] | None = None
        self._oracle = reference.Stream(self.graph, PROFILES[model.profile])
        self._held = {state.read: state.initial[np.newaxis] for state in self.graph.states}
        self._begun = False
        self._dropped = (0, "")
        """Rows for which there is no answer to be equal to, and why."""
        if model.stateful:
            self.certificate.remarks.append(
                "the network keeps state: all rows are consecutive steps of one stream; predict "
                "answers each as a first step, as the runtime does when it starts anew"
            )

    def wanted(self) -> list[int]:
        """The flatbuffer's indices of all tensors that operators produce and that can be read."""
        tensors = self.source_graph.tensors
        added = {state.next for state in self.source_graph.states if state.owner is not None}
        made = [i for op in self.source_graph.operators for i in op.outputs if i not in added]
        outputs = self.source_graph.outputs
        return [i for i in made if tensors[i].dtype in (*CODES, "float32") or i in outputs]

    def meet(self, runtime: Runtime) -> None:
        """Pair the runtime's tensors with operators, layers and the oracle's tensors."""
        self.runtime = runtime
        proof = self.certificate
        proof.runtime, proof.version = runtime.name, runtime.version
        proof.inner = runtime.method
        if not runtime.kept:
            proof.remarks.append(
                f"{runtime.name} {runtime.version} gives no intermediate tensors: outputs only"
            )
        if runtime.name not in JUDGES[self.model.profile]:
            proof.remarks.append(
                f"{runtime.name} rounds 8-bit operators otherwise than profile "
                f"{self.model.profile}; differences of one code are to be expected"
            )
        ours, theirs = self.source_graph, (runtime.inputs, runtime.outputs)
        self.inputs = _places([port.index for port in theirs[0]], ours.inputs)
        self.outputs = _places(ours.outputs, [port.index for port in theirs[1]])
        self._take_apart()

    def _take_apart(self) -> None:
        proof, kept = self.certificate, {port.index: port for port in self.runtime.kept}
        self.units: list[Unit] = []
        self.judged = True
        if not kept:
            return
        self.units = units(self.model.content, self.source_graph, self.graph, kept)
        if not self.units:
            proof.remarks.append(
                f"the program was made by {proof.generator}, which laid out its layers otherwise: "
                f"outputs only"
            )
        if self.runtime.name == TFLITE_RUNTIME_REF:
            self._leave_out_disputed()
        for unit in self.units:
            if self.runtime.delegated is not None:
                unit.result.delegated = unit.tensor in self.runtime.delegated
        proof.layers = [unit.result for unit in self.units]
        self._tell_uncovered()

    def _tell_uncovered(self) -> None:
        """Name the operators that are compared within the whole network alone."""
        covered = {i for unit in self.units for i in unit.result.covers}
        left = [op for op in self.graph.operators if op.index not in covered]
        if left and self.judged and self.units:
            self.certificate.within = tuple(op.index for op in left)
            names = ", ".join(f"{op.source_name} {op.index}" for op in left)
            self.certificate.remarks.append(f"compared within the whole network only: {names}")

    def _leave_out_disputed(self) -> None:
        """Operators for which tflite-runtime's reference kernels do not stand for the profile."""
        disputed = {
            op.index
            for op in self.source_graph.operators
            if is_disputed(op, self.source_graph.tensors)
        }
        if not disputed:
            return
        self.judged = False
        self.units = [u for u in self.units if disputed.isdisjoint(u.result.covers)]
        names = sorted({o.source_name for o in self.source_graph.operators if o.index in disputed})
        self.certificate.remarks.append(
            f"not compared, as {self.runtime.name} answers otherwise than TensorFlow Lite Micro: "
            f"{', '.join(names)}, and the outputs"
        )

    def run(self, inputs: Sequence[Any], count: int, walk: int, progress: Progress) -> Certificate:
        infos = self.model.inputs
        batch = self._batch_rows()
        # What a session remembers depends on every row, so it has to hear them all.
        always = self.model.stateful or not walk
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
                answered = self._batch(rows, by_events=name == "walk" or always)
                done += len(rows[0])
                self.certificate.rows[name] += answered
                progress(done, total)
        return self._conclude()

    def _batch_rows(self) -> int:
        infos = (*self.model.inputs, *self.model.outputs)
        row_bytes = sum(t.size for t in infos) + sum(port.size for port in self.runtime.kept)
        macs = max(1, self.model.manifest.macs)
        return max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes, BATCH_MACS // macs))

    def _batch(self, rows: stimuli.Rows, *, by_events: bool) -> int:
        """Run one batch everywhere and tally what differs; the rows that the runtime answered."""
        given = [rows[i] for i in self.inputs]
        stateful = self.model.stateful
        answer = self.runtime.run(given, anew=stateful and not self._begun)
        self._begun = True
        if answer.refused:
            rows = self._without(rows, answer.refused, answer.words)
        undefined = self._undefined(rows, answer)
        if undefined:
            rows = self._without(rows, undefined, "a division by zero, which has no answer")
            answer = answer.without(undefined)
        given = [rows[i] for i in self.inputs]
        if not len(rows[0]):
            return 0
        theirs = [answer.outputs[i] for i in self.outputs]
        codes = self._codes(rows)
        if self.judged:
            alone = self.runtime.alone(given) if stateful else answer.outputs
            first = [alone[i] for i in self.outputs]
            self._tally_outputs(self.certificate.predict, self._predict(rows), first)
            self._tally_outputs(self.certificate.session, self._steps(codes), theirs)
            if by_events:
                self._tally_outputs(self.certificate.events, self._walk(codes), theirs)
            self._ask_oracle(rows, theirs)
        self._compare_units(rows, codes, answer.kept, "events" if by_events else "auto")
        return len(rows[0])

    def _without(self, rows: stimuli.Rows, dropped: Sequence[int], words: str) -> stimuli.Rows:
        """The rows without those for which there is no answer to be equal to.

        BackendError where the network keeps state, whose further steps depend on them.
        """
        if self.model.stateful:
            raise BackendError(f"{self.runtime.name} has no answer within a stream: {words}")
        self._dropped = (self._dropped[0] + len(dropped), words)
        return [np.delete(block, dropped, axis=0) for block in rows]

    def _undefined(self, rows: stimuli.Rows, answer: Answer) -> list[int]:
        """Rows that divide by the code of zero: LiteRT ends them, others answer anything."""
        values = answer.kept | dict(zip(self.graph.inputs, rows, strict=True))
        found: set[int] = set()
        for operator in self.graph.operators:
            divisor = operator.inputs[1] if isinstance(operator, Div) else -1
            if divisor in values:
                zero = values[divisor] == self.graph.tensors[divisor].zero_point
                found.update(i for i, row in enumerate(zero) if row.any())
        return sorted(found)

    def _compare_units(
        self,
        rows: stimuli.Rows,
        codes: NDArray[np.uint8],
        kept: dict[int, NDArray[Any]],
        way: str,
    ) -> None:
        """Every unit on the runtime's own values."""
        values = kept | dict(zip(self.graph.inputs, rows, strict=True))
        ends = np.cumsum([info.bytes for info in self.model.inputs])[:-1]
        known = dict(zip(self.graph.inputs, np.split(codes, ends, axis=1), strict=True))
        for state in followed(self.graph, kept):
            values[state.read] = self._shifted(state, values)
            known[state.read] = flat(values[state.read])
        known |= {i: flat(x) for i, x in kept.items() if x.dtype.name in CODES}
        for unit in self.units:
            unit.compare(values, known, way)

    def _shifted(self, state: State, values: dict[int, NDArray[Any]]) -> NDArray[Any]:
        """What a state held in each of these rows: what the runtime made of it the row before."""
        count = len(next(iter(values.values())))
        data = self.graph.tensors[state.next].data
        made = values[state.next] if data is None else np.repeat(data[np.newaxis], count, axis=0)
        made = made.reshape(count, *state.initial.shape)
        held = np.concatenate([self._held[state.read], made])
        self._held[state.read] = held[-1:]
        return held[:-1]

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

    def _codes(self, rows: stimuli.Rows) -> NDArray[np.uint8]:
        """(n, bytes of all inputs' codes), by the model's own quantisation."""
        infos = self.model.inputs
        made = [
            self.model.to_codes({t.name: r[i] for t, r in zip(infos, rows, strict=True)})
            for i in range(len(rows[0]))
        ]
        return np.frombuffer(b"".join(made), np.uint8).reshape(len(made), -1)

    def _elements(self, codes: NDArray[np.uint8]) -> NDArray[np.generic]:
        """One code an element: int8, or int16 where an input has such."""
        infos = self.model.inputs
        if not any(info.wide for info in infos):
            return codes.view(np.int8)
        ends = np.cumsum([info.bytes for info in infos])[:-1]
        parts = np.split(codes, ends, axis=1)
        typed = [
            np.ascontiguousarray(part).view(np.int16 if info.wide else np.int8)
            for part, info in zip(parts, infos, strict=True)
        ]
        return np.hstack([part.astype(np.int16) for part in typed])

    def _steps(self, codes: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """One step a row: the outputs."""
        step, values = self._session.step, self.model.from_codes
        return _stacked([self._by_port(values(bytes(step(row.data)))) for row in codes])

    def _walk(self, codes: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """The rows as updates of what changed, on a session that never runs densely."""
        outputs = []
        for raw, row in zip(codes, self._elements(codes), strict=True):
            if self._heard is None:
                out = self._event_session.step(raw.data)
            else:
                places = np.flatnonzero(row != self._heard).astype(np.uint32)
                out = self._event_session.update(places.data, row[places].data)
            self._heard = row
            outputs.append(self._by_port(self.model.from_codes(bytes(out))))
        return _stacked(outputs)

    def _ask_oracle(self, rows: stimuli.Rows, theirs: list[NDArray[Any]]) -> None:
        """The whole network in the oracle; not where its parts give the same answer."""
        tensors = self._oracle.run(rows)
        outputs = [tensors[i] for i in self.graph.outputs]
        self._tally_outputs(self.certificate.oracle, outputs, theirs)

    def _conclude(self) -> Certificate:
        """Add up, and name the first operator that differs."""
        proof = self.certificate
        count, words = self._dropped
        if count and not sum(proof.rows.values()):
            raise BackendError(f"{self.runtime.name} answers no row: {words}")
        if count:
            proof.remarks.append(f"{count} rows without an answer are left out: {words}")
        counters = self._session.counters
        proof.sops, proof.dense_macs = counters.sops, counters.dense_macs
        for result in proof.layers:
            for who, tally in (("kernel", result.kernel), ("oracle", result.oracle)):
                if tally.differing and proof.first_difference is None:
                    proof.first_difference = (
                        f"{_named(result)}, tensor {result.tensor!r}: {who} differs in "
                        f"{tally.differing} of {tally.elements} elements, "
                        f"by up to {tally.max_delta:g}"
                    )
        for what in ("predict", "session", "events", "oracle"):
            tally = getattr(proof, what)
            if tally.differing and proof.first_difference is None:
                why = "no operator by itself differs" if proof.layers else "no layer was compared"
                proof.first_difference = f"the outputs of {what}; {why}"
        for window in proof.windows:
            if window.layers.differing + window.outputs.differing and not proof.first_difference:
                where = window.first_difference or "outputs alone"
                proof.first_difference = f"a window sliding by {window.hop}: {where}"
        proof.identical = proof.first_difference is None
        return proof


def _named(result: LayerResult) -> str:
    """The operator, or the operators that one comparison covers."""
    one = f"operator {result.operator} ({result.source_op})"
    if len(result.covers) < 2:
        return one
    return f"{one}, which covers operators {', '.join(map(str, result.covers))}"


def _places(tensors: Sequence[int], among: Sequence[int]) -> list[int]:
    """For each tensor of the flatbuffer its place among the others; they must be the same ones."""
    if sorted(tensors) != sorted(among):
        raise BackendError(f"inputs or outputs {sorted(tensors)} here are {sorted(among)} there")
    return [list(among).index(i) for i in tensors]


def _stacked(rows: Sequence[Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _length(item: Any) -> int:
    return len(next(iter(item.values()))) if isinstance(item, Mapping) else len(item)
