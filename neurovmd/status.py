# SPDX-License-Identifier: Apache-2.0
"""What the daemon tells of itself: to systemd in a line, to the control socket and MQTT in full."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any

from neurovm.version import GENERATOR, __version__
from neurovmd import models, sandbox
from neurovmd.config import Settings
from neurovmd.control import PROTOCOL
from neurovmd.identity import Standing
from neurovmd.mqtt import Connection
from neurovmd.power import PowerState
from neurovmd.shared import DropReason
from neurovmd.variables import HIDDEN
from neurovmd.vm import Vm, stuck_reason

_PYTHON = platform.python_version()
_COUNTERS = ("steps", "events_in", "events_out", "sops", "dense_macs")


def summary(
    vms: list[Vm], connection: Connection, power: PowerState | None, standing: Standing
) -> str:
    """One line: `1 of 2 VMs ready (mic: …), broker connected, 2.1/5 W (…)`; in brackets what
    fails or troubles a VM.
    """
    ready = sum(vm.state == "ready" for vm in vms)
    told = [vm for vm in vms if vm.reason and vm.state in ("failed", "ready")]
    troubles = "; ".join(f"{vm.name}: {vm.reason}" for vm in told)
    parts = [f"{ready} of {len(vms)} VMs ready" + (f" ({troubles})" if troubles else "")]
    parts.append("broker connected" if connection.connected else f"broker down: {connection.state}")
    if power is not None and power.watts is not None:
        parts.append(str(power))
    if standing.reason:
        parts.append(f"the last good configuration serves: {standing.reason}")
    return ", ".join(parts).replace("\n", " ")[:500]


def info(
    settings: Settings, vms: list[Vm], standing: Standing, restart_required: bool
) -> dict[str, Any]:
    """The retained `…/info`."""
    return {
        "version": __version__,
        "versions": {"neurovm": __version__, "generator": GENERATOR, "python": _PYTHON},
        "node": settings.node,
        "config_hash": standing.config_hash,
        "config_state": standing.state,
        "config_reason": standing.reason,
        "vms": [
            {
                "name": vm.name,
                "state": vm.state,
                "model": vm.deployment.model.name,
                "model_sha256": vm.digest or models.digest(vm.deployment.model),
            }
            for vm in vms
        ],
        "backends": sorted({vm.deployment.vm.backend for vm in vms}),
        "restart_required": restart_required,
    }


def state(vm: Vm) -> dict[str, str]:
    """The retained `…/<vm>/state`."""
    return {"state": vm.state, "reason": vm.reason}


def live(vms: list[Vm], now_ns: int) -> tuple[bool, dict[str, Any]]:
    """Whether every worker makes progress: what feeds systemd's watchdog."""
    stuck = sum(bool(stuck_reason(vm, now_ns)) for vm in vms)
    return stuck == 0, {"vms": len(vms), "stuck": stuck}


def ready(vms: list[Vm], connection: Connection, stopping: bool) -> tuple[bool, dict[str, Any]]:
    """Whether messages are being answered: every VM that is meant to run is ready and subscribed,
    and the broker is there. No reasons are told here: they may name paths.
    """
    wanted = [vm for vm in vms if not vm.held]
    count = sum(vm.state == "ready" and bool(vm.slot.connected) for vm in wanted)
    told = {
        "vms": len(wanted),
        "vms_ready": count,
        "broker": "connected" if connection.connected else "down",
        "stopping": stopping,
    }
    return count == len(wanted) and connection.connected and not stopping, told


def full(
    settings: Settings,
    vms: list[Vm],
    connection: Connection,
    power: PowerState | None,
    now_ns: int,
    uptime_s: float,
    standing: Standing,
    reloads: int,
    changes: dict[str, list[str]] | None,
    no_groups: str,
    requests: dict[str, int] | None,
) -> dict[str, Any]:
    """The answer to `{"op": "status"}`; times in seconds, power in watts. `changes`: what the last
    reload did to each VM (None: it was refused, or there was none). `no_groups`: why the
    kernel holds no limit of a worker (empty: it does). `requests`: how many there were over HTTP
    (None: nothing listens).
    """
    return {
        "version": __version__,
        "node": settings.node,
        "pid": os.getpid(),
        "uptime_s": round(uptime_s, 3),
        "files": [str(path) for path in settings.files],
        "config": {
            "hash": standing.config_hash,
            "state": standing.state,
            "reason": standing.reason,
            "reloads": reloads,
            "changes": changes,
        },
        "mqtt": {
            "server": _discreet(settings.config.mqtt.server, settings),
            "connected": connection.connected,
            "protocol": connection.protocol,
            "state": connection.state,
        },
        "power": None if power is None else _power(power),
        "http": requests,
        "control_groups": {"held": not no_groups, "reason": no_groups},
        "protocol": PROTOCOL,
        "vms": [_vm(vm, vm.number, power, now_ns) for vm in vms],
    }


def _discreet(text: str, settings: Settings) -> str:
    for secret in settings.secrets():
        text = text.replace(secret, HIDDEN)
    return text


def lines(answer: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """`full` as log events: one of the daemon, one for each VM."""
    vms = answer["vms"]
    yield "daemon.status", _flat({**answer, "vms": len(vms), "files": len(answer["files"])})
    for vm in vms:
        yield "vm.status", _flat({"vm": vm["name"], **vm})


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by dotted names; None and empty ones left out."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        elif value is not None and value != "":
            flat[f"{prefix}{key}"] = value
    return flat


def _power(power: PowerState) -> dict[str, Any]:
    return {
        "watts": power.watts,
        "source": power.source,
        "limit_w": power.limit_w,
        "duty": power.duty,
        "infeasible": power.infeasible,
    }


def _vm(vm: Vm, number: int, power: PowerState | None, now_ns: int) -> dict[str, Any]:
    slot = vm.slot
    quiet_ns = now_ns - slot.last_message_ns if slot.last_message_ns else None
    return {
        "name": vm.name,
        "state": vm.state,
        "reason": vm.reason,
        "pid": vm.pid,
        "restarts": vm.restarts,
        "model": str(vm.deployment.model),
        "connected": bool(slot.connected),
        "messages_in": slot.messages_in,
        "results_out": slot.results_out,
        "queue_depth": slot.queue_depth,
        "unacknowledged": slot.unacknowledged,
        "dropped": {reason.name.lower(): slot.dropped[reason] for reason in DropReason},
        "late_events": slot.late_events,
        "duplicates": slot.duplicates,
        "reordered": slot.reordered,
        "gaps": slot.gaps,
        "window_shift_misses": slot.window_shift_misses,
        "http": {"answered": slot.http_answered, "refused": slot.http_refused},
        "streams": slot.streams,
        "cpu_s": slot.cpu_ns / 1e9,
        "last_message_s": None if quiet_ns is None else quiet_ns / 1e9,
        **_draw(number, power),
        "limits": _limits(vm),
        "duty": slot.duty_q16 / 65536,
        "paused": bool(slot.paused),
        "counters": dict(zip(_COUNTERS, slot.counters, strict=True)),
    }


def _draw(number: int, power: PowerState | None) -> dict[str, Any]:
    """The watts of one VM with their source; None before there is a figure."""
    if power is None or number >= len(power.vms_w):
        return {"watts": None, "watts_source": None}
    return {"watts": power.vms_w[number], "watts_source": _attribution(power)}


def _attribution(power: PowerState) -> str:
    """How a VM's watts are found: no meter sees a single process."""
    return f"attributed: its CPU time at {power.core_w:.3g} W a core ({power.source})"


def _limits(vm: Vm) -> dict[str, dict[str, Any]]:
    """What the VM may take, and what enforces it."""
    settings = vm.deployment.vm
    limits: dict[str, dict[str, Any]] = {}
    kernel = vm.held_by_kernel
    if settings.memory_bytes is not None:
        by = "control group" if "memory" in kernel else "RLIMIT_DATA"
        limits["memory"] = {"limit": settings.memory_bytes, "unit": "bytes", "by": by}
    if settings.cpu is not None:
        by = "control group" if "cpu" in kernel else "duty cycle"
        limits["cpu"] = {"limit": settings.cpu, "unit": "cpus", "by": by}
    if settings.power_limit_w is not None:
        limits["power"] = {"limit": settings.power_limit_w, "unit": "W", "by": "duty cycle"}
    if settings.sandbox:
        kept = " ".join(sandbox.judge(settings.capabilities, sandbox.held()).kept) or "none"
        limits["capabilities"] = {"limit": kept, "unit": "", "by": "capset"}
    return limits
