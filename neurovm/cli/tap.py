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
from typing import IO, Any

import click

from neurovm.cli import deployment, fleet
from neurovm.cli.fleet import Seen
from neurovm.cli.ps import one
from neurovm.errors import BackendError

SPIKES_EVERY_S = 1.0
MOST_CHARACTERS = 160


@click.command()
@click.argument("name", shell_complete=fleet.complete)
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after so many messages.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON object a line.",
)
def tap(name: str, count: int | None, form: str) -> None:
    """Show the messages of VM NAME as they come, and its spikes once a second, until Ctrl-C.

    Reads with a client of its own that the VM does not notice: -> is an input, <- a result, ~ the
    spikes of the last second.

    \b
    Examples:
      neurovm tap hello-world
      neurovm tap pump -n 100 -o jsonl > seen.jsonl
    """
    seen = one(name)
    if seen.daemon is None:
        raise click.UsageError(f"{name} is not running; neurovm start {name}")
    left = count
    with _child(seen) as lines:
        for line in _with_spikes(name, seen, lines):
            click.echo(json.dumps(line, ensure_ascii=False) if form == "jsonl" else _text(line))
            sys.stdout.flush()
            if left is not None and line["kind"] in ("input", "result"):
                left -= 1
                if left == 0:
                    return


@contextlib.contextmanager
def _child(seen: Seen) -> Iterator[IO[bytes]]:
    """The lines of `python -m neurovmd.tap` for the VM's daemon."""
    files = (seen.daemon or {}).get("files") or []
    config = next((file for file in files if file.endswith("neurovmd.yaml")), None)
    arguments = [seen.name] if config is None else ["--config", config, seen.name]
    deployment.daemon_command()  # says it where there is no daemon
    child = subprocess.Popen(
        [sys.executable, "-m", "neurovmd.tap", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=deployment.daemon_environment(),
        bufsize=0,
    )
    if child.stdout is None:
        raise BackendError("the tap has no output")
    try:
        yield child.stdout
        if child.poll():
            raise BackendError(f"the tap ended with exit code {child.returncode}")
    finally:
        child.terminate()
        child.wait()
        child.stdout.close()


def _with_spikes(name: str, seen: Seen, lines: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The tap's lines, and once a second the spikes since the last time, where there were any."""
    before, at_s = seen, time.monotonic() + SPIKES_EVERY_S
    pending = bytearray()
    while True:
        if select.select([lines], [], [], max(0.0, at_s - time.monotonic()))[0]:
            block = lines.read(65536)
            if not block:
                return
            pending += block
            *whole, rest = bytes(pending).split(b"\n")
            pending[:] = rest
            yield from (json.loads(line) for line in whole)
        if time.monotonic() >= at_s:
            at_s = time.monotonic() + SPIKES_EVERY_S
            after = one(name)
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
