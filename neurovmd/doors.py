# SPDX-License-Identifier: Apache-2.0
"""Which model a request over HTTP is for, and its way to the worker that has it.

The supervisor reads no body and computes nothing: it looks at the head of a request, answers what
it knows itself (`/v2`, `/v2/models`, `…/ready`) and passes the connection, with what was heard of
it, through the worker's door: a socket pair made before the fork. From there on the request is the
worker's (`neurovmd.inference`). A worker that takes no more is a 503.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

from neurovm.version import __version__
from neurovmd.http import Head, RefusedError, response
from neurovmd.vm import Vm

# What may wait in front of a worker that is busy with requests: some ten of them.
WAITING_BYTES = 65536
EXTENSIONS = ["binary_tensor_data", "sequence", "model_repository"]

_MODEL = re.compile(
    rb"/v2/models/([A-Za-z0-9_.-]{1,64})(?:/versions/([A-Za-z0-9]{1,64}))?(/ready|/infer)?\Z"
)
ACCEPTED = (
    "accepted: /v2, /v2/health/live, /v2/health/ready, /v2/models, /v2/models/NAME, "
    "/v2/models/NAME/ready, /v2/models/NAME/infer"
)


def pair() -> tuple[socket.socket, socket.socket]:
    """A door: the supervisor's end, which never waits, and the worker's."""
    kind = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    outside, inside = socket.socketpair(socket.AF_UNIX, kind)
    outside.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WAITING_BYTES)
    return outside, inside


class Doors:
    """Answers or hands over requests for the models that `vms` names."""

    def __init__(self, vms: Callable[[], list[Vm]]) -> None:
        self._vms = vms

    def answer(self, head: Head, heard: bytes, asker: socket.socket) -> bytes | None:
        """What to send; None where a worker has the connection. RefusedError says why not."""
        if head.target in (b"/v2", b"/v2/"):
            _only(head, b"GET", b"HEAD")
            about = {"name": "neurovm", "version": __version__, "extensions": EXTENSIONS}
            return response(200, about, head.method)
        if head.target == b"/v2/models":
            _only(head, b"GET", b"HEAD")
            return response(200, [_listed(vm) for vm in self._vms()], head.method)
        if head.target == b"/v2/repository/index":
            _only(head, b"POST", b"GET")
            return response(200, [_listed(vm) for vm in self._vms()], head.method)
        found = _MODEL.match(head.target)
        if found is None:
            raise RefusedError(404, ACCEPTED)
        vm = self._named(found[1].decode(), found[2])
        if found[3] == b"/ready":
            _only(head, b"GET", b"HEAD")
            is_ready = vm.state == "ready"
            told = {"name": vm.name, "ready": is_ready}
            return response(200 if is_ready else 503, told, head.method)
        _only(head, *((b"POST",) if found[3] else (b"GET", b"HEAD")))
        _hand_over(vm, heard, asker)
        return None

    def _named(self, name: str, version: bytes | None) -> Vm:
        for vm in self._vms():
            if vm.name == name:
                if version is not None and version.decode() != _version(vm):
                    raise RefusedError(404, f"{name} has version {_version(vm)} alone")
                return vm
        names = ", ".join(vm.name for vm in self._vms()) or "none"
        raise RefusedError(404, f"no model is called {name!r}; there are: {names}")


def _only(head: Head, *methods: bytes) -> None:
    if head.method not in methods:
        names = ", ".join(method.decode() for method in methods)
        raise RefusedError(405, f"accepted: {names}", allow=names)


def _version(vm: Vm) -> str:
    """As its results name the model; empty before its worker has said it."""
    return vm.face.model if vm.face is not None else ""


def _listed(vm: Vm) -> dict[str, Any]:
    """A model in the list; no reasons: they may name paths."""
    ready = vm.state == "ready"
    return {
        "name": vm.name,
        "version": _version(vm),
        "state": "READY" if ready else "LOADING" if vm.state == "loading" else "UNAVAILABLE",
        "reason": "" if ready else vm.state,
    }


def _hand_over(vm: Vm, heard: bytes, asker: socket.socket) -> None:
    if vm.state != "ready" or vm.door is None:
        raise RefusedError(503, f"{vm.name} is {vm.state}")
    try:
        socket.send_fds(vm.door, [heard], [asker.fileno()])
    except BlockingIOError:
        raise RefusedError(503, f"{vm.name} has as many requests as it takes") from None
    except OSError:
        raise RefusedError(503, f"{vm.name} is ending") from None
