# SPDX-License-Identifier: Apache-2.0
"""Modules that others import and never use in the daemon: loaded when somebody does.

paho-mqtt imports urllib.request, with the http and email packages behind it, to find a proxy where
PySocks is installed: 1.5 MB of a daemon that has none.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from types import ModuleType
from typing import Any

UNUSED = ("urllib.request",)


class _Later(ModuleType):
    """A module that is executed when something in it is looked for.

    importlib.util.LazyLoader does the same, but before Python 3.12 an import is such a look.
    """

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]  # what it is from here on
        spec.loader.exec_module(self)
        return getattr(self, name)


def put_off() -> None:
    """Let those of UNUSED that are not loaded yet be loaded by the first look at anything in them.

    Where PySocks is there nothing is put off: a worker's sandbox might not let it be loaded later.
    """
    if importlib.util.find_spec("socks") is not None:
        return
    for name in UNUSED:
        if name not in sys.modules:
            _put_off(name)


def _put_off(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    module = _Later(name)
    package, _, short = name.rpartition(".")
    module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
    module.__package__ = package
    sys.modules[name] = module
    if package:
        setattr(sys.modules[package], short, module)


def trim() -> None:
    """Give memory that was freed back to the system, where the C library can (glibc)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
