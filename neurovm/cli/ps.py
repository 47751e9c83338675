# SPDX-License-Identifier: Apache-2.0
"""`neurovm ps` and `neurovm top`: every VM with its state, rates, weights and watts."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from neurovm.cli import fleet, options, show
from neurovm.cli.fleet import Seen

INTERVAL_S = 0.5
FACTS = (
    *("name", "state", "by", "reason", "pid", "restarts", "connected", "streams"),
    *("messages_per_s", "results_per_s", "spikes_per_s", "sops_per_s", "cpu"),
    *("watts", "watts_source", "box_watts", "box_watts_source", "limits", "control_groups"),
    *("sops", "dropped", "samples", "model", "broker", "socket", "uptime_s"),
)
"""The keys of one VM, null where they cannot be said of it."""
SAMPLES = ("late_events", "duplicates", "reordered", "gaps", "window_shift_misses")
"""What became of events and of samples of windows, counted."""
COLUMNS = ("name", "state", "broker", "in/s", "results/s", "spikes/s", "SOPs/s", "CPU", "W")


@click.command()
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.05, 60),
    default=INTERVAL_S,
    show_default=True,
    metavar="SECONDS",
    help="What the rates are taken over.",
)
@options.output()
@options.quiet
def ps(interval_s: float, form: str, quiet: bool) -> None:
    """Show every VM of this machine: started by `neurovm run`, or served by the service.

    Rates are those of the last half second. W is what the VM's own CPU time draws, and named with
    its source; the limits on memory and CPU are named with what enforces them.

    \b
    Examples:
      neurovm ps
      neurovm ps -o json | jq '.vms[] | {name, state, watts}'
    """
    before, _ = fleet.look()
    if any(seen.status for seen in before):
        time.sleep(interval_s)
    after, trouble = fleet.look()
    result = facts(before, after, trouble)
    if show.data(form, result):
        return
    _print(result)
    for text in trouble:
        show.remark(text, quiet=quiet)


@click.command()
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.1, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after so many looks.")
def top(interval_s: float, count: int | None) -> None:
    """Show what `neurovm ps` shows, again every second, until Ctrl-C.

    \b
    Examples:
      neurovm top
      neurovm top --interval 5 -n 12 > minute.txt
    """
    before, _ = fleet.look()
    shown = 0
    while count is None or shown < count:
        time.sleep(interval_s)
        after, trouble = fleet.look()
        if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            click.clear()
        _print(facts(before, after, trouble))
        for text in trouble:
            click.echo(text)
        sys.stdout.flush()
        before = after
        shown += 1


def facts(before: list[Seen], after: list[Seen], trouble: list[str]) -> dict[str, Any]:
    """What ps prints, as data."""
    known = {(seen.socket, seen.name): seen for seen in before}
    return {
        "vms": [vm_facts(known.get((seen.socket, seen.name)), seen) for seen in after],
        "trouble": trouble,
    }


def vm_facts(before: Seen | None, seen: Seen) -> dict[str, Any]:
    """One VM: its state, the rates between two looks, its draw with source, its limits."""
    status, daemon = seen.status, seen.daemon
    found = dict.fromkeys(FACTS) | {"name": seen.name, "state": seen.state, "by": seen.by}
    if status is None or daemon is None:
        return found
    each = fleet.rates(before, seen)
    power = daemon.get("power") or {}
    return {
        **found,
        "reason": status["reason"],
        "pid": status["pid"],
        "restarts": status["restarts"],
        "connected": status["connected"],
        "streams": status["streams"],
        "messages_per_s": each.messages,
        "results_per_s": each.results,
        "spikes_per_s": each.spikes,
        "sops_per_s": each.sops,
        "cpu": each.cpu,
        "watts": status.get("watts"),
        "watts_source": status.get("watts_source"),
        "box_watts": power.get("watts"),
        "box_watts_source": power.get("source"),
        "limits": status.get("limits", {}),
        "control_groups": daemon.get("control_groups"),
        "sops": status["counters"]["sops"],
        "dropped": {k: v for k, v in status["dropped"].items() if v},
        "samples": {k: status[k] for k in SAMPLES if status.get(k)},
        "model": status["model"],
        "broker": daemon["mqtt"]["server"],
        "socket": str(seen.socket),
        "uptime_s": daemon["uptime_s"],
    }


def _print(result: dict[str, Any]) -> None:
    if not result["vms"]:
        click.echo("no VM; `neurovm run NAME.nvm` starts one")
        return
    names = [vm["name"] for vm in result["vms"]]
    # Of two VMs of one name each is called as the commands take it.
    called = [
        name if names.count(name) == 1 else f"{vm['by']}/{name}"
        for name, vm in zip(names, result["vms"], strict=True)
    ]
    show.table(
        COLUMNS,
        [[name, *_row(vm)] for name, vm in zip(called, result["vms"], strict=True)],
        left=["name", "state", "broker"],
        whole=["name", "state", "broker"],
        fit=True,
    )
    for line in (*_notes(called, result["vms"]), *sorted(_no_groups(result["vms"]))):
        click.echo(line)
    power = _whole_box(result["vms"])
    if power is not None:
        click.echo(f"the whole box draws {power['box_watts']:.3g} W ({power['box_watts_source']})")


def _notes(called: list[str], vms: list[dict[str, Any]]) -> list[str]:
    """What does not fit a column, each text once with the VMs that it is true of."""
    of: dict[str, list[str]] = {}
    for name, vm in zip(called, vms, strict=True):
        for text in _remarks(vm):
            of.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in of.items()]


def _whole_box(vms: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The VM whose daemon says what the box draws. Each daemon looks at a time of its own: the
    service's word counts before that of a box of `run`.
    """
    known = [vm for vm in vms if vm["box_watts"] is not None]
    return min(known, key=lambda vm: vm["by"] != fleet.SERVICE, default=None)


def _no_groups(vms: list[dict[str, Any]]) -> set[str]:
    """Why the kernel does not hold what VMs are limited to; nothing where none is."""
    held = {"memory", "cpu"}
    return {
        f"limits are held by the daemon, not by the kernel: {groups['reason']}"
        for vm in vms
        if (groups := vm.get("control_groups")) and groups["reason"]
        if held & set(vm["limits"])
    }


def _row(vm: dict[str, Any]) -> list[object]:
    if vm["state"] == fleet.STOPPED:
        return [vm["state"], *["-"] * (len(COLUMNS) - 2)]
    cpu = vm["cpu"]
    return [
        vm["state"],
        "connected" if vm["connected"] else "down",
        *(_rounded(vm[key]) for key in ("messages_per_s", "results_per_s", "spikes_per_s")),
        _rounded(vm["sops_per_s"]),
        "-" if cpu is None else f"{cpu:.1%}",
        "-" if vm["watts"] is None else f"{vm['watts']:.3f}",
    ]


def _rounded(value: float | None) -> object:
    if value is None:
        return None
    return round(value) if value >= 10 else round(value, 1)


def _remarks(vm: dict[str, Any]) -> list[str]:
    """What does not fit a column: reasons, limits with what enforces them, losses."""
    remarks = [str(vm["reason"])] if vm.get("reason") else []
    limits = [_limit(what, limit) for what, limit in (vm.get("limits") or {}).items()]
    remarks += [f"limits: {', '.join(limits)}"] if limits else []
    if vm.get("watts_source"):
        remarks.append(f"watts: {vm['watts_source']}")
    if vm.get("dropped"):
        remarks.append("dropped: " + ", ".join(f"{k} {v}" for k, v in vm["dropped"].items()))
    if vm.get("samples"):
        found = (f"{k.replace('_', ' ')} {v}" for k, v in vm["samples"].items())
        remarks.append("samples: " + ", ".join(found))
    return remarks


def _limit(what: str, limit: dict[str, Any]) -> str:
    """One limit with what enforces it: `memory 128 MiB (RLIMIT_DATA)`."""
    value, unit = limit["limit"], limit["unit"]
    if unit == "bytes":
        value, unit = f"{value / 2**20:g}", "MiB"
    if isinstance(value, float):
        value = f"{value:g}"
    return f"{what} {value}{f' {unit}' if unit else ''} ({limit['by']})"
