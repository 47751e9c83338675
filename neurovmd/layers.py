# SPDX-License-Identifier: Apache-2.0
"""The layers of the configuration, lowest first: which files there are, and which of them hold.

A layer is a folder with `neurovmd.yaml`, `conf.d/*.yaml`, `nodes/NODE.yaml`, `vm.d/*.yaml` and
`nodes/NODE/vm.d/*.yaml`. A later layer wins: its keys over earlier ones; its drop-in or VM file
over one of the same name. A file without content, or a link to /dev/null, takes away the one of its
name.

Links are followed once, when a layer is looked up: a tree that is switched by a link is read whole,
the old one or the new one. `FOLDER/current` is a layer of its own just below FOLDER.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from neurovm.errors import ConfigError
from neurovmd import places

MAIN = "neurovmd.yaml"
CURRENT = "current"


@dataclass(frozen=True, slots=True)
class Layer:
    """One folder, its links followed; `main` is its main file, which may be missing.

    `own`: the layer that `vm_dir` speaks of where no file gives it.
    """

    folder: Path
    main: Path
    own: bool = False

    def conf_dir(self) -> Path:
        return self.folder / "conf.d"

    def vm_dir(self) -> Path:
        return self.folder / "vm.d"

    def node_file(self, node: str) -> Path:
        return self.folder / "nodes" / f"{node}.yaml"

    def node_vm_dir(self, node: str) -> Path:
        return self.folder / "nodes" / node / "vm.d"


@dataclass(frozen=True, slots=True)
class Source:
    """What a configuration is read from. `folders` given: these layers; else `file` (None: the
    usual place) and, where that is the system's, the vendor's and the run-time folder around it.
    """

    file: Path | None = None
    folders: tuple[Path, ...] = ()

    def layers(self, where: places.Places) -> tuple[Layer, ...]:
        """The layers, lowest first; ConfigError where the named file is not there."""
        if self.folders:
            return tuple(_folders(self.folders))
        main = (self.file or where.config_file).absolute()
        vendor, runtime = where.vendor, where.runtime
        if main == places.SYSTEM.config_file:
            vendor, runtime = places.SYSTEM.vendor, places.SYSTEM.runtime
        elif self.file is not None and main != where.config_file.absolute():
            vendor = runtime = None
        # A named file keeps its name: only the folder it stands in is looked through.
        folder = main.parent.resolve()
        own = [*_folders([main.parent])[:-1], Layer(folder, folder / main.name, own=True)]
        found = [*_folders([vendor] if vendor else [])]
        found += [*own, *_folders([runtime] if runtime else [])]
        if self.file is not None and not any(_is_there(layer.main) for layer in found):
            raise ConfigError(str(main), "", "No such file or directory", "a readable file")
        return tuple(found)


def _folders(folders: Iterable[Path]) -> list[Layer]:
    found: list[Layer] = []
    for folder in folders:
        current = folder / CURRENT
        here = [current] if _is_there(current) and current.is_dir() else []
        found += [Layer(path, path / MAIN) for path in (each.resolve() for each in (*here, folder))]
    return found


def _is_there(path: Path) -> bool:
    """Whether something is at `path`; ConfigError where that may not be known: a layer that cannot
    be looked into may say anything.
    """
    try:
        return path.exists()
    except OSError as error:
        raise ConfigError(str(path), "", str(error.strerror), "readable by the daemon") from None


def common_files(layers: Iterable[Layer]) -> list[tuple[Layer, Path]]:
    """The main files and drop-ins in the order they are laid over one another."""
    layers = tuple(layers)
    drop_ins = effective((layer, layer.conf_dir()) for layer in layers)
    found: list[tuple[Layer, Path]] = []
    for layer in layers:
        found += [(layer, layer.main)] if _is_there(layer.main) and not masks(layer.main) else []
        found += [(owner, path) for owner, path in drop_ins if owner is layer]
    return found


def files(layers: Iterable[Layer], node: str) -> list[Path]:
    """As `common_files`, with the overlay of one node last in each layer."""
    layers = tuple(layers)
    common = common_files(layers)
    found: list[Path] = []
    for layer in layers:
        found += [path for owner, path in common if owner is layer]
        overlay = layer.node_file(node)
        found += [overlay] if _is_there(overlay) and not masks(overlay) else []
    return found


def effective(folders: Iterable[tuple[Layer, Path]]) -> list[tuple[Layer, Path]]:
    """The `*.yaml` files that hold: of each name the last, and none where that one masks."""
    held: dict[str, tuple[Layer, Path]] = {}
    for layer, folder in folders:
        for path in _yaml_files(folder):
            held.pop(path.name, None)  # its place is that of the layer it comes from
            held[path.name] = (layer, path)
    return [(layer, path) for layer, path in held.values() if not masks(path)]


def _yaml_files(folder: Path) -> list[Path]:
    """In lexical order; none where there is no such folder."""
    try:
        found = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(str(folder), "", str(error.strerror), "readable by the daemon") from None
    return [path for path in found if path.name.endswith(".yaml")]


def masks(path: Path) -> bool:
    """Whether a file says that there is none: it is empty, or a link to /dev/null."""
    with contextlib.suppress(OSError):
        return path.stat().st_size == 0 and (path.is_file() or path.resolve() == Path(os.devnull))
    return False


def fingerprint(
    layers: Iterable[Layer], others: Iterable[Path] = ()
) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when anything in the layers or `others` does: path, inode, size, time."""
    found: list[tuple[str, int, int, int]] = []
    for path in (*(path for layer in layers for path in _entries(layer)), *others):
        with contextlib.suppress(OSError):
            seen = path.stat()
            found.append((str(path), seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(found)


def _entries(layer: Layer) -> Iterator[Path]:
    yield layer.folder
    yield layer.main
    for folder in ("conf.d", "vm.d", "nodes"):
        yield from sorted((layer.folder / folder).glob("*.yaml"))
    yield from sorted((layer.folder / "nodes").glob("*/vm.d/*.yaml"))
