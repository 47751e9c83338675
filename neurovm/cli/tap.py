# SPDX-License-Identifier: Apache-2.0
"""`neurovm tap`: what goes into a VM, how much it spikes, and what comes out."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import click

from neurovm import quantity
from neurovm.cli import completion, control, deployment, fleet, options
from neurovm.cli.exits import Exit
from neurovm.cli.fleet import Seen, one
from neurovm.errors import BackendError

SPIKES_EVERY_S = 1.0
MOST_CHARACTERS = 160


class _Child(NamedTuple):
    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]


@click.command()
@click.argument("name", shell_complete=completion.vms)
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after so many messages.")
@click.option(
    "--for", "duration", callback=options.duration, metavar="TIME", help="End after so long."
)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON object a line.",
)
def tap(name: str, count: int | None, duration: str | None, form: str) -> None:
    """Show the messages of VM NAME as they come, and its spikes once a second, until Ctrl-C.

    Reads with a client of its own that the VM does not notice: -> is an input, <- a result, ~ the
    spikes of the last second.

    \b
    Examples:
      neurovm tap hello-world
      neurovm tap pump -n 100 -o jsonl > seen.jsonl
      neurovm tap pump --for 1min
    """
    seen = one(name)
    if seen.daemon is None:
        raise click.UsageError(f"{name} is not running; neurovm start {name}")
    left = count
    end_s = None
    if duration is not None:
        end_s = time.monotonic() + quantity.parse(duration, quantity.DURATIONS)
    with _child(seen) as child:
        for line in _with_spikes(seen, child.stdout, end_s):
            click.echo(json.dumps(line, ensure_ascii=False) if form == "jsonl" else _text(line))
            sys.stdout.flush()
            if left is not None and line["kind"] in ("input", "result"):
                left -= 1
                if left == 0:
                    return
        if end_s is None or time.monotonic() < end_s:
            raise _ended(child)


@contextlib.contextmanager
def _child(seen: Seen) -> Iterator[_Child]:
    """A `python -m neurovmd.tap`, told by the VM's daemon what it has to know; its end."""
    deployment.daemon_command()  # says it where there is no daemon
    plan = control.ask(seen.socket, "tap", vm=seen.name)
    process = subprocess.Popen(
        [sys.executable, "-m", "neurovmd.tap"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=deployment.daemon_environment(),
        bufsize=0,
    )
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise BackendError("the tap has no input or output")
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(plan).encode())
        process.stdin.close()
        yield _Child(process, process.stdout, process.stderr)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _ended(child: _Child) -> Exception:
    """Why the tap ended before anybody told it to."""
    said = child.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
    if child.process.wait() == Exit.PERMISSION:
        return PermissionError(" ".join(said))
    return BackendError(f"the tap ended with exit code {child.process.returncode} {' '.join(said)}")


def _with_spikes(seen: Seen, lines: IO[bytes], end_s: float | None) -> Iterator[dict[str, Any]]:
    """The tap's lines, and once a second the spikes since the last time, where there were any;
    until its output or the time ends.
    """
    before, at_s = seen, time.monotonic() + SPIKES_EVERY_S
    pending = bytearray()
    while end_s is None or time.monotonic() < end_s:
        next_s = at_s if end_s is None else min(at_s, end_s)
        if select.select([lines], [], [], max(0.0, next_s - time.monotonic()))[0]:
            block = lines.read(65536)
            if not block:
                return
            pending += block
            *whole, rest = bytes(pending).split(b"\n")
            pending[:] = rest
            yield from (json.loads(line) for line in whole)
        if time.monotonic() >= at_s:
            at_s = time.monotonic() + SPIKES_EVERY_S
            after = one(f"{seen.by}/{seen.name}")
            rates = fleet.rates(before, after)
            before = after
            if rates.spikes:
                yield {
                    "kind": "spikes",
                    "t_us": time.time_ns() // 1000,
                    "spikes_per_s": round(rates.spikes, 1),
                    "sops_per_s": round(rates.sops or 0.0, 1),
                }


def _text(line: dict[str, Any]) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(line["t_us"] / 1e6))
    clock += f".{line['t_us'] // 1000 % 1000:03d}"
    kind = line["kind"]
    if kind == "connection":
        return f"{clock} -- {line['state']}"
    if kind == "spikes":
        return f"{clock}  ~ {line['spikes_per_s']:,.0f} spikes/s, {line['sops_per_s']:,.0f} SOPs/s"
    arrow = "->" if kind == "input" else "<-"
    return f"{clock} {arrow} {line['topic']}  {_short(_content(line))}"


def _content(line: dict[str, Any]) -> str:
    if "payload" not in line:
        return str(line.get("text", f"{line.get('bytes')} bytes"))
    payload = line["payload"]
    if line["kind"] == "result" and isinstance(payload, dict) and payload.get("top"):
        best = payload["top"][0]
        label = best.get("label", f"#{best['index']}")
        approx = " (approximate)" if payload.get("approx") else ""
        return f"{label} {best['value']:.3g}{approx}, {payload.get('sops', 0):,} SOPs"
    return json.dumps(payload, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
