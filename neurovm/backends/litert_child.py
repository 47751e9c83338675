# SPDX-License-Identifier: Apache-2.0
"""The process in which LiteRT runs: a hostile model can corrupt its heap, so it never runs in ours.

Started by `neurovm.backends.litert`, which owns the protocol's other end. A request on stdin is one
JSON line, then `bytes` of payload; a reply on (the original) stdout is one JSON line, then its
`bytes`. Requests: open, run, time. The process ends when stdin does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from typing import Any, BinaryIO

LAYERS_SINCE = (2, 3)
"""LiteRT keeps every tensor of a delegated network from this version on."""


class Runtime:
    """One model in two interpreters: as everybody runs it, and one that keeps every tensor."""

    def __init__(self, path: str, wanted: list[int]) -> None:
        self.name, self.version, self._interpreter_class = _find_runtime()
        self._plain = self._interpreter_class(model_path=path, num_threads=1)
        self._plain.allocate_tensors()
        self.inputs = [_describe(d) for d in self._plain.get_input_details()]
        self.outputs = [_describe(d) for d in self._plain.get_output_details()]
        self._keeping = self._open_keeping(path) if wanted else None
        self.kept = self._readable(wanted)

    def _open_keeping(self, path: str) -> Any:
        release = tuple(int(part) for part in self.version.split(".")[:2])
        if self.name != "ai-edge-litert" or release < LAYERS_SINCE:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            keeping = self._interpreter_class(
                model_path=path, num_threads=1, experimental_preserve_all_tensors=True
            )
        keeping.allocate_tensors()
        return keeping

    def _readable(self, wanted: list[int]) -> list[dict[str, Any]]:
        """Those of the wanted tensors that hold data after a run, in the order asked for."""
        if self._keeping is None:
            return []
        self._keeping.invoke()
        details = {d["index"]: d for d in self._keeping.get_tensor_details()}
        kept = []
        for index in wanted:
            try:
                value = self._keeping.get_tensor(index)
            except (ValueError, KeyError):
                continue
            kept.append({**_describe(details[index]), "shape": list(value.shape)})
        return kept

    def run(self, rows: list[list[Any]]) -> tuple[list[list[Any]], list[list[Any]]]:
        """rows[input][i] -> (outputs[output][i], kept[tensor][i])."""
        outputs: list[list[Any]] = [[] for _ in self.outputs]
        kept: list[list[Any]] = [[] for _ in self.kept]
        for values in zip(*rows, strict=True):
            self._invoke(self._plain, values)
            for column, info in zip(outputs, self.outputs, strict=True):
                column.append(self._plain.get_tensor(info["index"]))
            if self._keeping is not None:
                self._invoke(self._keeping, values)
                for column, info in zip(kept, self.kept, strict=True):
                    column.append(self._keeping.get_tensor(info["index"]))
        return outputs, kept

    def time_s(self, rows: list[list[Any]], repeats: int) -> float:
        """Seconds for `repeats` times set, invoke and get, cycling through the rows."""
        samples = list(zip(*rows, strict=True))
        start_s = time.perf_counter()
        for i in range(repeats):
            self._invoke(self._plain, samples[i % len(samples)])
            for info in self.outputs:
                self._plain.get_tensor(info["index"])
        return time.perf_counter() - start_s

    def _invoke(self, interpreter: Any, values: tuple[Any, ...]) -> None:
        for info, value in zip(self.inputs, values, strict=True):
            interpreter.set_tensor(info["index"], value)
        interpreter.invoke()


def _find_runtime() -> tuple[str, str, Any]:
    from importlib.metadata import version

    try:
        from ai_edge_litert.interpreter import Interpreter

        return "ai-edge-litert", version("ai-edge-litert"), Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

        return "tflite-runtime", version("tflite-runtime"), Interpreter


def _describe(detail: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    return {
        "index": int(detail["index"]),
        "name": str(detail["name"]),
        "shape": [int(n) for n in detail["shape"]],
        "dtype": np.dtype(detail["dtype"]).name,
    }


def _rows_of(runtime: Runtime, count: int, payload: bytes) -> list[list[Any]]:
    """The payload is one block an input, C order, `count` rows each."""
    import numpy as np

    rows = []
    at = 0
    for info in runtime.inputs:
        dtype = np.dtype(info["dtype"])
        n = count * int(np.prod(info["shape"], dtype=np.int64))
        block = np.frombuffer(payload, dtype, n, at)
        at += n * dtype.itemsize
        rows.append(list(block.reshape(count, *info["shape"])))
    return rows


def _answer(runtime: Runtime | None, request: dict[str, Any], payload: bytes) -> Any:
    """(runtime, reply, blocks of bytes that follow it)."""
    if request["do"] == "open":
        runtime = Runtime(request["path"], request["wanted"])
        reply: dict[str, Any] = {
            "runtime": runtime.name,
            "version": runtime.version,
            "inputs": runtime.inputs,
            "outputs": runtime.outputs,
            "kept": runtime.kept,
        }
        return runtime, reply, []
    if runtime is None:
        raise RuntimeError("open comes first")
    rows = _rows_of(runtime, request["rows"], payload)
    if request["do"] == "time":
        return runtime, {"seconds": runtime.time_s(rows, request["repeats"])}, []
    outputs, kept = runtime.run(rows)
    return runtime, {}, [value.tobytes() for column in (*outputs, *kept) for value in column]


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end. An exception is a reply too: {"error": text}."""
    runtime: Runtime | None = None
    while line := requests.readline():
        request = json.loads(line)
        payload = requests.read(request["bytes"])
        try:
            runtime, reply, blocks = _answer(runtime, request, payload)
        except Exception as error:  # noqa: BLE001 - whatever LiteRT says is the answer
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
