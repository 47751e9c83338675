# SPDX-License-Identifier: Apache-2.0
"""Giving up privileges in a worker: all capabilities but those its VM lists, and ways to new ones.

A listed capability is kept where the process holds it; one it does not hold cannot be had, and is
named. Capabilities belong to threads, so this is called before a process starts its second one.
Sources: capabilities(7), capset(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurovm.manifest import CAPABILITIES

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What of the listed capabilities a process has kept, and what it never held."""

    kept: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        """The warning; empty where nothing is missing."""
        if not self.missing:
            return ""
        names = ", ".join(self.missing)
        return f"capabilities {names}: not held by this process, dropped"


def held(status: Path = Path("/proc/self/status")) -> frozenset[str]:
    """The capabilities this process may use, by name without CAP_."""
    for line in status.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "CapPrm":
            mask = int(value, 16)
            return frozenset(c for n, c in enumerate(CAPABILITIES) if mask >> n & 1)
    return frozenset()


def judge(wanted: Sequence[str], have: Collection[str]) -> Kept:
    """What a process that holds `have` would keep of `wanted`."""
    return Kept(
        kept=tuple(name for name in wanted if name in have),
        missing=tuple(name for name in wanted if name not in have),
    )


def enter(wanted: Sequence[str]) -> Kept:
    """Drop everything but `wanted` from this process, for ever; OSError where that fails."""
    found = judge(wanted, held())
    kept = {CAPABILITIES.index(name) for name in found.kept}
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    for number in range(_MOST_CAPABILITIES):
        if number not in kept and libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            # Needs CAP_SETPCAP; without it NO_NEW_PRIVS below makes the bounding set irrelevant.
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _set(libc, sum(1 << number for number in kept))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _error("PR_SET_NO_NEW_PRIVS")
    return found


def _set(libc: ctypes.CDLL, mask: int) -> None:
    """Let exactly the capabilities of `mask` be permitted and effective."""
    header = _Header(_VERSION_3, 0)
    data = (_Data * 2)()
    for part in range(2):
        bits = mask >> (32 * part) & 0xFFFFFFFF
        data[part] = _Data(bits, bits, 0)
    if libc.capset(ctypes.byref(header), data):
        raise _error("capset")


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
