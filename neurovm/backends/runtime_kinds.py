# SPDX-License-Identifier: Apache-2.0
"""The runtimes there are to compare with: how each opens, runs and reads a model.

Loaded by `runtime_child.py` in a process of its own, also in an older Python.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

LAYERS_SINCE = (2, 3)
"""LiteRT keeps every tensor of a delegated network from this version on."""


class LiteRT:
    """LiteRT or tflite-runtime: how models are opened and run. `settings`: of the interpreter."""

    def __init__(self, name: str, kind: Any, **settings: Any) -> None:
        from importlib.metadata import version

        self.name = name
        self.version = version(name.split(maxsplit=1)[0])
        self._kind = kind
        self._settings = settings

    def open(self, path: str) -> Any:
        interpreter = self._kind(model_path=path, num_threads=1, **self._settings)
        interpreter.allocate_tensors()
        return interpreter

    def open_keeping(self, path: str) -> Any:
        """An interpreter that keeps every tensor; None where this runtime has none."""
        release = tuple(int(part) for part in self.version.split(".")[:2])
        if self.name != "ai-edge-litert" or release < LAYERS_SINCE:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            keeping = self._kind(
                model_path=path, num_threads=1, experimental_preserve_all_tensors=True
            )
        keeping.allocate_tensors()
        return keeping

    def inputs(self, interpreter: Any) -> list[dict[str, Any]]:
        return [describe(d) for d in interpreter.get_input_details()]

    def outputs(self, interpreter: Any) -> list[dict[str, Any]]:
        return [describe(d) for d in interpreter.get_output_details()]

    def invoke(
        self, interpreter: Any, values: tuple[Any, ...], ports: list[dict[str, Any]]
    ) -> None:
        for info, value in zip(ports, values):
            interpreter.set_tensor(info["index"], value)
        interpreter.invoke()

    def read(self, interpreter: Any, position: int, port: dict[str, Any]) -> Any:
        del position
        return interpreter.get_tensor(port["index"])

    def delegated(self, keeping: Any) -> list[int] | None:
        """The tensors that delegates make; an interpreter that keeps all has one a node."""
        listed = getattr(keeping, "_get_ops_details", None)
        if listed is None:
            return None
        nodes = [node for node in listed() if node["op_name"] == "DELEGATE"]
        return sorted({int(i) for node in nodes for i in node["outputs"]})


class Micro:
    """TensorFlow Lite Micro. It knows no names and indices, only positions.

    An arena that is too small crashes it, so the caller gives one that is not.
    """

    name = "tflite_micro"

    def __init__(self, arena_bytes: int) -> None:
        from importlib.metadata import version

        from tflite_micro.python.tflite_micro import runtime

        self.version = version(self.name)
        self._kind = runtime.Interpreter
        self._arena_bytes = arena_bytes

    def open(self, path: str) -> Any:
        data = Path(path).read_bytes()
        return self._kind.from_bytes(data, arena_size=self._arena_bytes)

    def open_keeping(self, path: str) -> None:
        del path

    def inputs(self, interpreter: Any) -> list[dict[str, Any]]:
        return self._ports(interpreter.get_input_details)

    def outputs(self, interpreter: Any) -> list[dict[str, Any]]:
        return self._ports(interpreter.get_output_details)

    def _ports(self, details: Any) -> list[dict[str, Any]]:
        ports: list[dict[str, Any]] = []
        while True:
            try:
                detail = details(len(ports))
            except (IndexError, RuntimeError, ValueError):
                return ports
            ports.append(describe({"index": -1, "name": "", **detail}))

    def invoke(
        self, interpreter: Any, values: tuple[Any, ...], ports: list[dict[str, Any]]
    ) -> None:
        del ports
        for position, value in enumerate(values):
            interpreter.set_input(value, position)
        interpreter.invoke()

    def read(self, interpreter: Any, position: int, port: dict[str, Any]) -> Any:
        del port
        return interpreter.get_output(position).copy()


def _ai_edge_litert(_: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return LiteRT("ai-edge-litert", Interpreter)


def _tflite_runtime(_: int) -> Any:
    from tflite_runtime.interpreter import Interpreter

    return LiteRT("tflite-runtime", Interpreter)


def _tflite_runtime_ref(_: int) -> Any:
    from tflite_runtime.interpreter import Interpreter, OpResolverType

    reference = {"experimental_op_resolver_type": OpResolverType.BUILTIN_REF}
    return LiteRT("tflite-runtime BUILTIN_REF", Interpreter, **reference)


_RUNTIMES = {
    "ai-edge-litert": _ai_edge_litert,
    "tflite-runtime": _tflite_runtime,
    "tflite-runtime BUILTIN_REF": _tflite_runtime_ref,
    "tflite_micro": Micro,
}


def find(candidates: list[str], arena_bytes: int) -> Any:
    """The first that can be imported; ImportError names the last that could not."""
    for name in candidates[:-1]:
        try:
            return _RUNTIMES[name](arena_bytes)
        except ImportError:
            continue
    return _RUNTIMES[candidates[-1]](arena_bytes)


def describe(detail: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    return {
        "index": int(detail["index"]),
        "name": str(detail["name"]),
        "shape": [int(n) for n in detail["shape"]],
        "dtype": np.dtype(detail["dtype"]).name,
    }
