# SPDX-License-Identifier: Apache-2.0
"""A .nir file as plain nodes and edges, read by a child process with a deadline.

NIR files are HDF5. Its library hangs on, or is crashed by, some damaged files, so that it never
runs in this process (`nir_child.py`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovm.errors import ModelError

_CHILD = Path(__file__).with_name("nir_child.py")
_BOOT = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
SIGNATURE = b"\x89HDF\r\n\x1a\n"
TIMEOUT_S = 60.0
BYTES_PER_S = 5e6
"""Slowest rate at which a large file is expected to be read."""

Field = NDArray[Any] | str | None


@dataclass(frozen=True, slots=True)
class RawNode:
    """One node as the file has it. `fields` hold arrays, texts or None (HDF5's empty)."""

    type: str
    fields: dict[str, Field]


@dataclass(frozen=True, slots=True)
class RawGraph:
    """A graph as the file has it; a node may be a graph again."""

    nodes: dict[str, RawNode | RawGraph]
    edges: list[tuple[str, str]]


def is_nir(path: Path) -> bool:
    """Whether the file begins as HDF5 does."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read_file(path: Path, *, timeout_s: float = TIMEOUT_S) -> tuple[RawGraph, str]:
    """The graph in a .nir file and the version of NIR that wrote it ("" where it does not say).

    Raises ModelError where the file is none, is damaged, or `nir` is not installed.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ModelError(
            f"{path}: reading NIR files needs the nir package: pip install 'neurovm[nir]'"
        )
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    if not is_nir(path):
        raise ModelError(f"{path}: not a NIR file: it does not begin as HDF5 does")
    data = _ask(path, timeout_s + size / BYTES_PER_S)
    tree = _parse(path, data)["group"]
    version = _text(tree.get("version"))
    return _graph(tree["node"], "node", str(path)), version or ""


def _ask(path: Path, timeout_s: float) -> bytes:
    command = [
        sys.executable,
        "-c",
        _BOOT,
        json.dumps(sys.path),
        os.fspath(_CHILD),
        os.fspath(path),
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{path}: the HDF5 library did not finish within {timeout_s:.0f} s: a damaged file"
        ) from None
    if done.returncode or len(done.stdout) < 8:
        words = " ".join(done.stderr.decode(errors="replace").split())[-200:]
        raise ModelError(
            f"{path}: the HDF5 library failed (exit code {done.returncode})"
            f"{words and ': ' + words}: a damaged file"
        )
    return done.stdout


def _parse(path: Path, data: bytes) -> Any:
    """The tree with its arrays in place."""
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    if "error" in header:
        raise ModelError(f"{path}: {header['error']}")
    arrays: list[NDArray[Any]] = []
    at = 8 + n
    for info in header["arrays"]:
        count = info["bytes"] // np.dtype(info["dtype"]).itemsize
        array = np.frombuffer(data, info["dtype"], count, at).reshape(info["shape"])
        arrays.append(array)
        at += info["bytes"]
    return _placed(header["tree"], arrays)


def _placed(tree: Any, arrays: list[NDArray[Any]]) -> Any:
    if "group" in tree:
        return {"group": {key: _placed(item, arrays) for key, item in tree["group"].items()}}
    return arrays[tree["array"]] if "array" in tree else tree


def _text(item: Any) -> str | None:
    """The one string that an item holds, or None."""
    if isinstance(item, dict) and len(item.get("text", ())) == 1:
        return str(item["text"][0])
    return None


def _graph(item: Any, where: str, path: str) -> RawGraph:
    node = _node(item, where, path)
    if not isinstance(node, RawGraph):
        raise ModelError(f"{path}: {where} is a {node.type}; a NIRGraph is needed")
    return node


def _node(item: Any, where: str, path: str) -> RawNode | RawGraph:
    fields = item.get("group") if isinstance(item, dict) else None
    kind = _text(fields.get("type")) if fields is not None else None
    if fields is None or kind is None:
        raise ModelError(f"{path}: {where} has no type: not a NIR node")
    if kind != "NIRGraph":
        plain = {key: _field(value) for key, value in fields.items() if key not in _NO_FIELDS}
        return RawNode(kind, plain)
    inner = fields.get("nodes", {}).get("group") if isinstance(fields.get("nodes"), dict) else None
    if inner is None:
        raise ModelError(f"{path}: {where} is a graph without nodes")
    nodes = {key: _node(value, f"{where}/{key}", path) for key, value in inner.items()}
    return RawGraph(nodes, _edges(fields.get("edges"), where, path))


_NO_FIELDS = ("type", "metadata")


def _field(item: Any) -> Field:
    if isinstance(item, dict):
        return _text(item)
    return np.asarray(item)


def _edges(item: Any, where: str, path: str) -> list[tuple[str, str]]:
    if isinstance(item, np.ndarray) and item.size == 0:
        return []
    shape = item.get("shape") if isinstance(item, dict) else None
    if shape is not None and 0 in shape:
        return []
    if shape is None or len(shape) != 2 or shape[1] != 2:
        raise ModelError(
            f"{path}: {where}: edges are {shape or 'missing'}; (n, 2) names are needed"
        )
    names = item["text"]
    return list(zip(names[::2], names[1::2], strict=True))
