# SPDX-License-Identifier: Apache-2.0
"""The .nvm file: one safetensors file with a manifest in its metadata, mapped read-only.

Layout: 8 bytes little-endian header length, the JSON header, then the tensors without gaps. The
metadata has one key, `neurovm`, whose text is the manifest, padded with spaces so that the data
begin at a multiple of 64; every tensor is padded to 64 bytes:

    layers (U8)          128-byte layer records, the only thing the kernel reads besides
    arena (U8)           weights, biases, scales, tables
    golden.{i}.in, .out  (I8) golden vectors

A network of spiking neurons has `populations` and `projections` (U8: 128-byte records) in place of
`layers`.

The header is checked here rather than by the safetensors package, whose reader loads numpy, which
no process of the daemon may (8 to 14 MB each); the rules are the same, and tests hold them to be.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET

from neurovm.description import SPIKING_FORMAT, Manifest, TensorInfo, Way, decode
from neurovm.digest import sha256
from neurovm.errors import BundleError
from neurovm.regular import open_regular

ALIGN = 64
MAX_HEADER_BYTES = 16 << 20
MAX_TENSORS = 3 + 2 * 8
METADATA_KEY = "neurovm"

Check = Literal["golden", "sha256"]
CHECKS: tuple[Check, ...] = ("golden", "sha256")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: Literal["U8", "I8"]
    shape: tuple[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """A program as bytes: `layers` and `arena` are 64-byte aligned, read-only buffers.

    `tensors` holds every tensor of the file by name. Where the bundle was read from a file the
    buffers are views of one shared mapping, which lives as long as any of them.
    """

    manifest: Manifest
    tensors: dict[str, memoryview]

    @property
    def layers(self) -> memoryview:
        return self.tensors["layers"]

    @property
    def populations(self) -> memoryview:
        """Of a spiking network, as `projections`."""
        return self.tensors["populations"]

    @property
    def projections(self) -> memoryview:
        return self.tensors["projections"]

    @property
    def arena(self) -> memoryview:
        return self.tensors["arena"]

    def golden(self) -> list[tuple[memoryview, memoryview, Way]]:
        """Input codes, output codes and way of each golden pair, in the order they are run."""
        n_in, n_out = golden_bytes(self.manifest)
        return [
            (self.tensors[g.input][:n_in], self.tensors[g.output][:n_out], g.way)
            for g in self.manifest.golden
        ]


def golden_bytes(manifest: Manifest) -> tuple[int, int]:
    """Bytes of the input and of the output of a golden pair."""
    if manifest.spiking is not UNSET:
        ticks = manifest.spiking.golden_ticks
        return ticks * manifest.spiking.n_in, ticks * manifest.spiking.n_out * 5
    return sum(t.bytes for t in manifest.inputs), sum(t.bytes for t in manifest.outputs)


def digests(tensors: dict[str, memoryview]) -> dict[str, str]:
    """sha256 (hex) of `layers` (or `populations` and `projections`), `arena`, and of all golden
    tensors in name order.
    """
    expected = sum(memoryview(t).nbytes for t in tensors.values())
    layers, golden = (sha256(expected_bytes=expected) for _ in range(2))
    for name in ("layers", "populations", "projections"):
        layers.update(tensors.get(name, b""))
    for name in sorted(n for n in tensors if n.startswith("golden.")):
        golden.update(tensors[name])
    return {
        "layers": layers.hexdigest(),
        "arena": sha256(tensors["arena"]).hexdigest(),
        "golden": golden.hexdigest(),
    }


def read(path: str | os.PathLike[str]) -> Bundle:
    """Map and check a bundle: header, manifest, sha256 of every part.

    Raises OSError where the file cannot be opened, BundleError for everything wrong inside.
    """
    where = os.fspath(path)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise BundleError(
                f"{where}: {size} bytes are too few for a bundle; the file is truncated"
            )
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (ValueError, OSError) as error:
            raise BundleError(f"{where}: cannot be mapped: {error}") from error
    return parse(memoryview(mapped), where)


def parse(data: memoryview, where: str) -> Bundle:
    """Check a whole file's bytes; see `read`. Views into `data` are kept."""
    header_bytes = int.from_bytes(data[:8], "little")
    if not 2 <= header_bytes <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise BundleError(
            f"{where}: not a neurovm bundle, or truncated: header length {header_bytes}, "
            f"file length {len(data)}"
        )
    manifest_text, entries = _header(bytes(data[8 : 8 + header_bytes]), where)
    body = data[8 + header_bytes :]
    _check_cover(entries, len(body), where)
    if (8 + header_bytes) % ALIGN or any(e.data_offsets[0] % ALIGN for e in entries.values()):
        raise BundleError(f"{where}: data are not aligned to {ALIGN} bytes; the file was rewritten")
    manifest = decode(manifest_text, where)
    tensors = {name: body[slice(*e.data_offsets)].toreadonly() for name, e in entries.items()}
    _check_manifest(manifest, tensors, where)
    found = digests(tensors) | {"manifest": manifest.sealed().sha256.manifest}
    for part, wanted in msgspec.structs.asdict(manifest.sha256).items():
        if found[part] != wanted:
            raise BundleError(
                f"{where}: {part} is damaged: sha256 {found[part]}, manifest {wanted}"
            )
    return Bundle(manifest=manifest, tensors=tensors)


def _header(text: bytes, where: str) -> tuple[str, dict[str, _Entry]]:
    try:
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        if len(raw) > MAX_TENSORS + 1:
            raise BundleError(
                f"{where}: {len(raw)} header entries, at most {MAX_TENSORS + 1} are accepted"
            )
        metadata = msgspec.json.decode(raw.pop("__metadata__", b"{}"), type=dict[str, str])
        entries = {name: msgspec.json.decode(part, type=_Entry) for name, part in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{where}: header: {error}") from error
    if METADATA_KEY not in metadata:
        raise BundleError(f"{where}: a safetensors file without a neurovm manifest, not a bundle")
    return metadata[METADATA_KEY], entries


def _check_cover(entries: dict[str, _Entry], length: int, where: str) -> None:
    """Tensors must cover the data exactly: no hole, no overlap, nothing past the end."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if begin != at or end < begin or end > length or entry.shape != (end - begin,):
            raise BundleError(
                f"{where}: tensor {name!r} at {begin}..{end} with shape {list(entry.shape)}: "
                f"expected to begin at {at} and to end by {length}; truncated or damaged"
            )
        at = end
    if at != length:
        raise BundleError(f"{where}: {length - at} bytes follow the last tensor; damaged")


def _check_manifest(manifest: Manifest, tensors: dict[str, memoryview], where: str) -> None:
    spiking = manifest.spiking
    if (spiking is UNSET) != (manifest.format < SPIKING_FORMAT):
        raise BundleError(f"{where}: format {manifest.format} and its manifest do not go together")
    if spiking is not UNSET and (fault := spiking.fault()):
        raise BundleError(f"{where}: {fault}")
    wanted = {"layers"} if spiking is UNSET else {"populations", "projections"}
    wanted.add("arena")
    for pair in manifest.golden:
        wanted |= {pair.input, pair.output}
    if wanted != set(tensors):
        raise BundleError(
            f"{where}: tensors {sorted(tensors)} do not match the manifest's {sorted(wanted)}"
        )
    for info in (*manifest.inputs, *manifest.outputs):
        if not _tables_fit(info):
            raise BundleError(
                f"{where}: {info.name!r} has values or thresholds that its codes do not fit; 256 "
                f"finite values, 255 thresholds of 32 bits, are accepted"
            )
        if min(info.shape, default=1) < 1 or not 0 < info.scale < float("inf"):
            raise BundleError(
                f"{where}: {info.name!r} has shape {info.shape} and scale {info.scale}"
            )
        if not info.limits[0] <= info.zero_point <= info.limits[1]:
            raise BundleError(f"{where}: {info.name!r} has zero point {info.zero_point}")
        if info.dtype != "float32" and info.wide != (info.dtype == "int16"):
            raise BundleError(
                f"{where}: {info.name!r} is {info.dtype}, its codes have another width"
            )
        if info.labels is not None and len(info.labels) != info.size:
            raise BundleError(
                f"{where}: {info.name!r} has {len(info.labels)} labels for {info.size} elements"
            )
    if any(t.dtype in ("int32", "int64", "bool") and t.values is UNSET for t in manifest.outputs):
        raise BundleError(f"{where}: an output of integers or truth values has no values")
    sizes = golden_bytes(manifest)
    for pair in manifest.golden:
        for name, size in zip((pair.input, pair.output), sizes, strict=True):
            if len(tensors[name]) < size:
                raise BundleError(f"{where}: golden tensor {name!r} is too short")


def serialize(manifest: Manifest, tensors: dict[str, memoryview]) -> bytes:
    """The bytes of a .nvm file, its manifest sealed."""
    import numpy as np
    from safetensors.numpy import save

    arrays = {
        name: np.frombuffer(
            data.tobytes() + bytes(-data.nbytes % ALIGN),
            np.int8 if name.startswith("golden.") else np.uint8,
        )
        for name, data in tensors.items()
    }
    text = manifest.sealed().encode().decode()
    data_start = 8 + int.from_bytes(save(arrays, {METADATA_KEY: text})[:8], "little")
    # The writer pads the header to 8 bytes, so adding the missing ones moves the start exactly
    # there.
    text += " " * (-data_start % ALIGN)
    return save(arrays, {METADATA_KEY: text})


def write(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write atomically: temporary file beside, fsync, rename, fsync of the folder."""
    import tempfile  # and shutil and compressors behind it: whoever only reads needs none

    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return target


def _tables_fit(info: TensorInfo) -> bool:
    """Whether what codes stand for, and where they begin, are as many as there are codes."""
    values, steps = info.values, info.thresholds
    fits = values is UNSET or (len(values) == 256 and all(map(isfinite, values)) and not info.wide)
    if steps is not UNSET:
        bits = all(0 <= n < 1 << 32 for n in steps)
        fits = fits and len(steps) == 255 and bits and info.dtype == "float32" and not info.wide
    return fits
