# SPDX-License-Identifier: Apache-2.0
"""`neurovm record` and `neurovm replay`: messages kept in a file, and used again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from neurovm import quantity
from neurovm.cli import broker, child, options
from neurovm.errors import RecordingError
from neurovm.recording import ExpiredError
from neurovm.recording import read as read_recording

F = TypeVar("F", bound=Callable[..., Any])


def broker_options(command: F) -> F:
    """How to reach a broker that no configuration names."""
    for option in (
        click.option(
            "--protocol",
            type=click.Choice(["auto", "5", "3.1.1"]),
            default="auto",
            help="Of MQTT; 3.1.1 spares a wait of 5 s where 5 is met with silence.",
        ),
        click.option("--ca-file", metavar="FILE", help="Certificates that mqtts:// trusts."),
        click.option("--password-file", metavar="FILE", help="Its first line is the password."),
        click.option("--username", metavar="NAME", help="The name to connect with."),
    ):
        command = option(command)
    return command


def broker_arguments(
    server: str,
    username: str | None,
    password_file: str | None,
    ca_file: str | None,
    protocol: str,
) -> list[str]:
    """The same for `neurovmd`."""
    given = {
        "--server": server,
        "--protocol": protocol,
        "--username": username,
        "--password-file": password_file,
        "--ca-file": ca_file,
    }
    return [part for key, value in given.items() if value is not None for part in (key, value)]


@click.command()
@click.option("--config", metavar="FILE", help="Record what the VMs of this configuration hear.")
@click.option(
    "--listen",
    "server",
    callback=options.judged(broker.check_url),
    metavar="URL",
    help="Or all of a broker: mqtt://HOST[:PORT].",
)
@broker_options
@click.option("--topic", "topics", multiple=True, metavar="FILTER", help="Only this MQTT filter.")
@click.option("--vm", metavar="NAME", help="Only what this VM of the configuration hears.")
@click.option(
    "--for",
    "duration",
    callback=options.duration,
    default="30s",
    show_default=True,
    metavar="TIME",
    help="For so long.",
)
@click.option(
    "--max-bytes",
    callback=options.judged(options.quantity_of(quantity.BYTES)),
    default="10MB",
    show_default=True,
    metavar="SIZE",
    help="At most so much.",
)
@click.option(
    "--expire",
    callback=options.duration,
    default="7d",
    show_default=True,
    metavar="TIME",
    help="Afterwards nothing reads the file, and the next recording beside it removes it.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("-o", "--output", "file", required=True, metavar="FILE", help="Where it goes.")
@click.pass_context
def record(
    ctx: click.Context,
    config: str | None,
    server: str | None,
    username: str | None,
    password_file: str | None,
    ca_file: str | None,
    protocol: str,
    topics: tuple[str, ...],
    vm: str | None,
    duration: str,
    max_bytes: str,
    expire: str,
    file: str,
    *,
    force: bool,
) -> None:
    """Record messages into FILE, a JSON object a line, until time or size is used up or Ctrl-C.

    Nothing is ever recorded unless this command runs. The file appears whole at the end, readable
    by you alone. Begin before the first message of a stream, and `neurovm replay` answers as the
    daemon did. TIME takes s, min, h and d; SIZE takes kB, MB, KiB and MiB.

    \b
    Examples:
      neurovm record --listen mqtt://broker --topic 'plant/#' --for 10min -o plant.jsonl
      neurovm record --config ./neurovmd.yaml --max-bytes 1MB --expire 1h -o seen.jsonl
    """
    if (config is None) == (server is None):
        raise click.UsageError("one of --config and --listen is needed")
    if server is None:
        where = ["--config", str(config)]
    else:
        where = broker_arguments(server, username, password_file, ca_file, protocol)
    where += [part for topic in topics for part in ("--topic", topic)]
    where += ["--vm", vm] if vm else []
    where += ["--force"] if force else []
    bounds = ["--for", duration, "--max-bytes", max_bytes, "--expire", expire]
    ctx.exit(child.run("listen", *where, *bounds, "--output", file))


@click.command()
@click.argument("file", metavar="FILE", type=options.FILE)
@click.option("--config", metavar="FILE", help="Replay through the VMs of this configuration.")
@click.option("--vm", metavar="NAME", help="Through this VM alone.")
@click.option(
    "--to",
    "server",
    callback=options.judged(broker.check_url),
    metavar="URL",
    help="Publish to mqtt://HOST[:PORT] instead.",
)
@broker_options
@click.option(
    "--speed",
    type=click.FloatRange(min=0.0),
    metavar="X",
    help="With --to: so many times as fast as it was, 0 as fast as it goes. [default: 1]",
)
@click.pass_context
def replay(
    ctx: click.Context,
    file: Path,
    config: str | None,
    vm: str | None,
    server: str | None,
    username: str | None,
    password_file: str | None,
    ca_file: str | None,
    protocol: str,
    speed: float | None,
) -> None:
    """Use the recording FILE again: through VMs without a broker, or published to one.

    Without --to the results are printed, a JSON object a line, as `neurovmd once` does: the same as
    those of the daemon that heard the messages, wherever this runs (its times apart). With --to the
    messages go to a broker (QoS 1, not retained). A recording that has expired is deleted instead.

    \b
    Examples:
      neurovm replay seen.jsonl --config ./neurovmd.yaml > results.jsonl
      neurovm replay seen.jsonl --to mqtt://127.0.0.1 --speed 10
    """
    _delete_if_expired(file)
    if server is None:
        if speed is not None:
            raise click.UsageError("--speed goes with --to; VMs compute as fast as they can")
        arguments = [
            "once",
            *(["--config", config] if config else []),
            *(["--vm", vm] if vm else []),
        ]
    else:
        if config is not None or vm is not None:
            raise click.UsageError("--to goes without --config and --vm")
        where = broker_arguments(server, username, password_file, ca_file, protocol)
        arguments = ["send", *where, "--speed", str(1.0 if speed is None else speed)]
    ctx.exit(child.run(*arguments, "--", str(file)))


def _delete_if_expired(file: Path) -> None:
    """Delete a recording whose time is over, and say so; other faults are named by its reader."""
    with file.open("rb") as stream:
        try:
            next(read_recording(stream, str(file)), None)
        except ExpiredError:
            file.unlink()
            raise
        except RecordingError:
            pass
