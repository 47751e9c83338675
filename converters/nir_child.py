# SPDX-License-Identifier: Apache-2.0
"""The process in which a .nir file is opened: a damaged HDF5 file can hang or crash its library.

Started by `nir_file.py` with the file's path. Writes 8 bytes (length of the header, little-endian),
the header (JSON: the tree of groups with its strings, and where each array lies), then the arrays.
Looks at all names, types and sizes before it reads any data, so that what is absurd is refused for
what it says of itself. Never follows a link out of the file.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MOST_DEPTH = 64
MOST_OBJECTS = 200_000
MOST_TEXT = 4096
"""Bytes of one string."""
MOST_EDGES = 1_000_000
MOST_BYTES = 8 << 30
"""Of all arrays together, unpacked."""
MOST_RATIO = 1100
"""Unpacked bytes a byte of the file: deflate reaches 1032, so more was never written."""
OWN_BYTES = 3 << 30
"""Address space of Python, NumPy and the HDF5 library."""


class _RefusedError(Exception):
    """The file holds what is not read; the text says what and where."""


class _Walk:
    """Collects what a file says of itself; `datasets` are read afterwards, in order."""

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self.objects = 0
        self.bytes = 0
        self.datasets: list[Any] = []

    def group(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        if depth > MOST_DEPTH:
            raise _RefusedError(f"{path}: nested deeper than {MOST_DEPTH}")
        found: dict[str, Any] = {}
        for key in group:
            self.objects += 1
            if self.objects > MOST_OBJECTS:
                raise _RefusedError(f"more than {MOST_OBJECTS} groups and arrays")
            where = f"{path}/{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise _RefusedError(
                    f"{where}: a link elsewhere; only what the file itself holds is read"
                )
            item = group[key]
            if isinstance(item, h5py.Group):
                found[key] = self.group(item, where, depth + 1)
            elif isinstance(item, h5py.Dataset):
                found[key] = self.dataset(item, where)
            else:
                raise _RefusedError(f"{where}: neither a group nor an array")
        return {"group": found}

    def dataset(self, item: Any, where: str) -> dict[str, Any]:
        if item.external or item.is_virtual:
            raise _RefusedError(f"{where}: its data lie in another file")
        if item.shape is None:
            return {"none": True}
        if h5py.check_string_dtype(item.dtype) is not None:
            return self.text(item, where)
        if item.dtype.kind not in "fiub" or item.dtype.itemsize > 8:
            raise _RefusedError(f"{where}: values of type {item.dtype}; numbers are accepted")
        n_bytes = item.dtype.itemsize
        for extent in item.shape:
            n_bytes *= int(extent)
        self.bytes += n_bytes
        if n_bytes > MOST_BYTES or self.bytes > MOST_BYTES:
            raise _RefusedError(
                f"{where}: shape {item.shape}: more than {MOST_BYTES >> 30} GiB of numbers"
            )
        if n_bytes > (1 << 20) + MOST_RATIO * self.file_bytes:
            raise _RefusedError(
                f"{where}: shape {item.shape} says {n_bytes} bytes; a file of {self.file_bytes} "
                f"bytes cannot hold them"
            )
        self.datasets.append(item)
        return {"array": len(self.datasets) - 1}

    def text(self, item: Any, where: str) -> dict[str, Any]:
        if item.size > 2 * MOST_EDGES:
            raise _RefusedError(
                f"{where}: {item.size} strings; at most {2 * MOST_EDGES} are accepted"
            )
        values = np.asarray(item[()], dtype=object)
        texts = [_decoded(value, where) for value in values.reshape(-1)]
        return {"text": texts, "shape": list(item.shape)}


def _decoded(value: Any, where: str) -> str:
    data = value if isinstance(value, bytes) else str(value).encode(errors="replace")
    if len(data) > MOST_TEXT:
        raise _RefusedError(
            f"{where}: a text of {len(data)} bytes; at most {MOST_TEXT} are accepted"
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _RefusedError(f"{where}: a text that is not UTF-8") from None


def _read(path: str) -> tuple[dict[str, Any], list[Any]]:
    """The header and the arrays of the file at path."""
    with h5py.File(path, "r") as file:
        if "node" not in file or not isinstance(file["node"], h5py.Group):
            raise _RefusedError("no group 'node': not a NIR file")
        walk = _Walk(Path(path).stat().st_size)
        tree = walk.group(file, "", 0)
        limit = OWN_BYTES + 3 * walk.bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        # HDF5's own order may be big-endian or half precision: plain little-endian leaves.
        arrays = []
        for item in walk.datasets:
            kind = item.dtype.kind
            wide = {"f": "<f4" if item.dtype.itemsize <= 4 else "<f8", "b": "|b1"}.get(kind, "<i8")
            if kind == "u" and item.dtype.itemsize == 8:
                wide = "<u8"
            arrays.append(np.ascontiguousarray(item[()], dtype=wide))
    where = [
        {"dtype": array.dtype.str, "shape": list(item.shape), "bytes": array.nbytes}
        for array, item in zip(arrays, walk.datasets, strict=True)
    ]
    return {"tree": tree, "arrays": where}, arrays


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (OWN_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    # What the library prints must not fall into the answer.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    arrays: list[Any] = []
    try:
        header, arrays = _read(sys.argv[1])
    except _RefusedError as error:
        header = {"error": str(error)}
    except MemoryError:
        header = {"error": "it needs more memory than a file of its size can"}
    except Exception as error:  # noqa: BLE001 - whatever the library says of a damaged file
        words = " ".join(str(error).split())[:200]
        header = {"error": f"not a readable HDF5 file ({type(error).__name__}: {words})"}
    data = json.dumps(header).encode()
    answer.write(len(data).to_bytes(8, "little") + data)
    for array in arrays:
        answer.write(array.data if array.size else b"")
    answer.flush()


if __name__ == "__main__":
    main()
