# SPDX-License-Identifier: Apache-2.0
"""The process in which another runtime runs: a hostile model can corrupt its heap.

Started by `neurovm.backends.child`, which owns the protocol's other end. A request on stdin is one
JSON line, then `bytes` of payload; a reply on (the original) stdout is one JSON line, then its
`bytes`. Requests: open, keep, run, alone, time. The process ends when stdin does.

It may run in an older Python (3.9 or newer) with the runtime and numpy alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

MOST_WORDS = 300
"""Of an error; LiteRT adds each to those before."""

_KINDS = runpy.run_path(str(Path(__file__).with_name("runtime_kinds.py")))


class Network:
    """One model: as everybody runs it, and once more, in ways that let inner tensors be read."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.runtime = _KINDS["find"](request["candidates"], request["arena_bytes"])
        self._path = request["path"]
        self._plain = self.runtime.open(self._path)
        self.inputs = self.runtime.inputs(self._plain)
        self.outputs = self.runtime.outputs(self._plain)
        for ports, indices in zip((self.inputs, self.outputs), request["ports"] or ()):
            for port, index in zip(ports, indices):
                port["index"] = index
        self.kept: list[dict[str, Any]] = []
        self.delegated: list[int] | None = None
        self.refused: list[int] = []
        self.words = ""
        self._keepers: list[tuple[Any, list[dict[str, Any]], Any]] = []
        keeping = self.runtime.open_keeping(self._path) if request["wanted"] else None
        if keeping is not None:
            self._add(keeping, self._readable(keeping, request["wanted"]), None)
            self.delegated = self.runtime.delegated(keeping)

    def _add(self, keeper: Any, ports: list[dict[str, Any]], data: Any) -> None:
        self._keepers.append((keeper, ports, data))
        self.kept += ports

    def keep(self, copies: list[dict[str, Any]]) -> None:
        """Read inner tensors as the outputs of copies of the model, in the order asked for."""
        self._keepers, self.kept = [], []
        for copy in copies:
            keeper = self.runtime.open(copy["path"])
            ports = self.runtime.outputs(keeper)
            named = [{**port, "index": index} for port, index in zip(ports, copy["tensors"])]
            self._add(keeper, named, Path(copy["path"]).read_bytes())

    def _readable(self, keeping: Any, wanted: list[int]) -> list[dict[str, Any]]:
        """Those of the wanted tensors that hold data after a run, in the order asked for."""
        with contextlib.suppress(RuntimeError):  # on zeros; other rows may be answered
            keeping.invoke()
        details = {d["index"]: d for d in keeping.get_tensor_details()}
        kept = []
        for index in wanted:
            try:
                value = keeping.get_tensor(index)
            except (ValueError, KeyError):
                continue
            kept.append({**_KINDS["describe"](details[index]), "shape": list(value.shape)})
        return kept

    def reset(self) -> None:
        """Back to the start of a network that keeps state: everything is opened anew."""
        import tempfile

        self._plain = self.runtime.open(self._path)
        renewed: list[tuple[Any, list[dict[str, Any]], Any]] = []
        for _, ports, data in self._keepers:
            if data is None:
                renewed.append((self.runtime.open_keeping(self._path), ports, None))
                continue
            with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
                file.write(data)
                file.flush()
                renewed.append((self.runtime.open(file.name), ports, data))
        self._keepers = renewed

    def run(
        self, rows: list[list[Any]], anew: bool
    ) -> tuple[list[list[Any]], list[list[Any]], bool]:
        """rows[input][i] -> (outputs[output][i], kept[tensor][i], whether both ways agree).

        Rows that end in an error are left out; `refused` has them, and `words` the first error.
        """
        outputs: list[list[Any]] = [[] for _ in self.outputs]
        kept: list[list[Any]] = [[] for _ in self.kept]
        same = True
        self.refused, self.words = [], ""
        if anew:
            self.reset()
        for number, values in enumerate(zip(*rows)):
            try:
                found = self._invoke(self._plain, values, self.outputs)
            except RuntimeError as error:
                self.refused.append(number)
                self.words = self.words or str(error)[:MOST_WORDS]
                continue
            own = {port["index"]: value for port, value in zip(self.outputs, found)}
            for column, value in zip(outputs, found):
                column.append(value)
            at = 0
            for keeper, ports, data in self._keepers:
                for port, value in zip(ports, self._invoke(keeper, values, ports)):
                    kept[at].append(value)
                    at += 1
                    if data is not None and port["index"] in own:
                        same = same and own[port["index"]].tobytes() == value.tobytes()
        return outputs, kept, same

    def alone(self, rows: list[list[Any]]) -> list[list[Any]]:
        """rows[input][i] -> outputs[output][i], each row in an interpreter of its own."""
        outputs: list[list[Any]] = [[] for _ in self.outputs]
        for values in zip(*rows):
            found = self._invoke(self.runtime.open(self._path), values, self.outputs)
            for column, value in zip(outputs, found):
                column.append(value)
        return outputs

    def time_s(self, rows: list[list[Any]], repeats: int) -> float:
        """Seconds for `repeats` times set, invoke and get, cycling through the rows."""
        samples = list(zip(*rows))
        start_s = time.perf_counter()
        for i in range(repeats):
            self._invoke(self._plain, samples[i % len(samples)], self.outputs)
        return time.perf_counter() - start_s

    def _invoke(self, interpreter: Any, values: Any, ports: list[dict[str, Any]]) -> list[Any]:
        self.runtime.invoke(interpreter, values, self.inputs)
        return [self.runtime.read(interpreter, k, port) for k, port in enumerate(ports)]


def _rows_of(network: Network, count: int, payload: bytes) -> list[list[Any]]:
    """The payload is one block an input, C order, `count` rows each."""
    import numpy as np

    rows = []
    at = 0
    for info in network.inputs:
        dtype = np.dtype(info["dtype"])
        n = count * int(np.prod(info["shape"], dtype=np.int64))
        block = np.frombuffer(payload, dtype, n, at)
        at += n * dtype.itemsize
        rows.append(list(block.reshape(count, *info["shape"])))
    return rows


def _answer(network: Network | None, request: dict[str, Any], payload: bytes) -> Any:
    """(network, reply, blocks of bytes that follow it)."""
    if request["do"] == "open":
        network = Network(request)
        reply: dict[str, Any] = {
            "runtime": network.runtime.name,
            "version": network.runtime.version,
            "inputs": network.inputs,
            "outputs": network.outputs,
            "kept": network.kept,
            "delegated": network.delegated,
        }
        return network, reply, []
    if network is None:
        raise RuntimeError("open comes first")
    if request["do"] == "keep":
        network.keep(request["copies"])
        return network, {"kept": network.kept}, []
    rows = _rows_of(network, request["rows"], payload)
    if request["do"] == "time":
        return network, {"seconds": network.time_s(rows, request["repeats"])}, []
    if request["do"] == "alone":
        columns, same = network.alone(rows), True
    else:
        outputs, kept, same = network.run(rows, request["anew"])
        columns = [*outputs, *kept]
    reply = {"same": same, "refused": network.refused, "words": network.words}
    return network, reply, [value.tobytes() for column in columns for value in column]


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end. An exception is a reply too: {"error": text}."""
    network: Network | None = None
    while line := requests.readline():
        request = json.loads(line)
        payload = requests.read(request["bytes"])
        try:
            network, reply, blocks = _answer(network, request, payload)
        except Exception as error:  # noqa: BLE001 - whatever the runtime says is the answer
            reply, blocks = {"error": f"{type(error).__name__}: {error}"}, []
        reply["bytes"] = sum(len(block) for block in blocks)
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.writelines(blocks)
        replies.flush()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What the runtime prints must not fall into the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
