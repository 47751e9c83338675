# SPDX-License-Identifier: Apache-2.0
"""Landlock: from here on this process may write to, make and remove files below some folders only.

It needs no privilege, holds for every thread to come and cannot be lifted, not by root either:
without it a process of root's that has no capability left still owns root's files. Files that are
open stay as they are. Where the kernel has no Landlock, which is a normal answer, nothing is
confined and the caller hears why.

Source: landlock(7), the kernel's Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_WRITE_FILE = 1 << 1
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
# MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM
_MAKE = sum(1 << bit for bit in range(6, 13))
_WRITES = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE
# Since versions 2 and 3: moving a file to another folder, and cutting one off.
_REFER, _TRUNCATE = 1 << 13, 1 << 14


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine_writes(folders: Iterable[Path]) -> str:
    """Let this process write below `folders` only (those that are there), for ever.

    Returns why it could not be; empty where it holds. To be called before a second thread starts.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    if version < 1:
        return f"no Landlock: {os.strerror(ctypes.get_errno())}"
    access = _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = _Ruleset(access)
    ruleset = libc.syscall(
        _CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0
    )
    if ruleset < 0:
        return f"landlock_create_ruleset: {os.strerror(ctypes.get_errno())}"
    try:
        for folder in folders:
            reason = _allow(libc, ruleset, folder, access)
            if reason:
                return reason
        libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), 0):
            return f"landlock_restrict_self: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(ruleset)
    return ""


def _allow(libc: ctypes.CDLL, ruleset: int, folder: Path, access: int) -> str:
    """Add one folder; why it could not be."""
    try:
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{folder}: {error.strerror}"
    try:
        rule = _PathBeneath(access, place)
        if libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), _PATH_BENEATH, ctypes.byref(rule), 0):
            return f"landlock_add_rule {folder}: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(place)
    return ""
