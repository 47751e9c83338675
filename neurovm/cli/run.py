# SPDX-License-Identifier: Apache-2.0
"""`neurovm run`: a bundle served here, in a daemon of its own."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from msgspec import UNSET

from neurovm import bundle, manifest, quantity
from neurovm.cli import boxes, broker, deployment, fleet, models, options, runner
from neurovm.errors import BackendError, ModelError

if TYPE_CHECKING:
    from neurovm.cli.boxes import Box


@click.command()
@click.argument("model", metavar="NAME.nvm", type=options.FILE)
@click.option(
    "--broker",
    "server",
    metavar="URL",
    callback=options.judged(broker.check_url),
    help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. [default: a broker of its own, on loopback]",
)
@click.option("--username", metavar="NAME", help="Its account there.")
@click.option("--password-file", type=options.FILE, help="A file that holds the password.")
@click.option("--ca-file", type=options.FILE, help="What a mqtts:// broker is checked against.")
@click.option(
    "--name",
    callback=options.judged(manifest.check_name),
    metavar="NAME",
    help="Name of the VM. [default: its own]",
)
@click.option(
    "--node",
    callback=options.judged(manifest.check_level),
    metavar="NAME",
    help="Name of this box in topics. [default: HOST, and HOST-NAME at a broker that is named]",
)
@click.option(
    "--limit",
    callback=options.judged(options.quantity_of(quantity.WATTS)),
    metavar="WATTS",
    help="Most that this machine may draw, such as 5W.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many share the long phases of a step, at most one a processor.",
)
@click.option(
    "--log-level",
    type=click.Choice(["error", "warning", "info", "debug"]),
    default="info",
    show_default=True,
    help="How much the daemon says (`neurovm logs`).",
)
@click.option(
    "-d", "--detach", is_flag=True, help="Return when it is ready; `neurovm stop` ends it."
)
@options.quiet
def run(
    model: Path,
    server: str | None,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    name: str | None,
    node: str | None,
    limit: str | None,
    threads: int,
    log_level: str,
    detach: bool,
    quiet: bool,
) -> None:
    """Serve a bundle here: sensor events in over MQTT, results out over MQTT.

    Starts neurovmd with what the bundle's manifest says, and a broker where none is named. Runs
    until Ctrl-C, or in the background with --detach. Beside it `neurovm ps` shows it, `neurovm tap`
    its messages. A stopped box of the same name is replaced.

    \b
    Examples:
      neurovm run hello-world.nvm
      neurovm run pump.nvm --broker mqtt://192.168.1.10 --detach
    """
    start_s = time.monotonic()
    if models.is_tflite(model):
        raise ModelError(f"{model}: a .tflite; `neurovm build` or `neurovm convert` it first")
    if server is None and (username or password_file or ca_file):
        raise click.UsageError("an account and a CA are for a broker that --broker names")
    sealed = bundle.read(model).manifest
    box = boxes.box(name or _own_name(model))
    if node is None and server is not None:
        node = manifest.level_of(f"{manifest.host_level(socket.gethostname())}-{box.name}")
    settings = boxes.Settings(
        name=box.name,
        source=str(model.absolute()),
        model_sha256=sealed.identity(),
        server=server,
        node=node,
        log_level=log_level,
        limit=limit,
        threads=threads,
        created_s=time.time(),
        username=username,
        password_file=str(password_file.absolute()) if password_file else None,
        ca_file=str(ca_file.absolute()) if ca_file else None,
    )
    with _claimed(box) as lock, claim_node(box.name, settings) as starting:
        prepare(box, model, settings)
        if detach:
            status = spawn(box, lock)
            _say(box, status, start_s, quiet=quiet)
            return

        def ready(status: runner.Status) -> None:
            starting.close()
            _say(box, status, start_s, quiet=quiet)

        code = runner.serve(box, ready)
    click.get_current_context().exit(code)


@contextlib.contextmanager
def _claimed(box: Box) -> Iterator[IO[str]]:
    """The box for us alone; UsageError where it is running."""
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(box.claim())
        except BackendError as error:
            raise click.UsageError(str(error)) from None
        if boxes.daemon_of(box) is not None:  # its runner has died
            raise click.UsageError(f"{box.name} is running already; neurovm stop {box.name}")
        yield lock


def claim_node(name: str, settings: boxes.Settings) -> contextlib.ExitStack:
    """The node for this box alone until it is closed, which is for once its daemon can be seen.

    UsageError where a daemon of this machine is the same node at the same broker, or is about to
    be: they would take each other's connection. Who starts one holds a name in the abstract space
    of sockets (unix(7)), which goes with its process.
    """
    with contextlib.ExitStack() as claims:
        if settings.server is None:
            return claims.pop_all()  # a broker of its own
        node = settings.node or manifest.host_level(socket.gethostname())
        instead = f"the node {node} at {settings.server}; --node gives {name} another"
        place = repr((*fleet.place(settings.server), node))
        held = claims.enter_context(socket.socket(socket.AF_UNIX))
        try:
            held.bind(b"\0neurovm-node-" + hashlib.sha256(place.encode()).digest())
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise click.UsageError(f"another is being started as {instead}") from None
        other = fleet.occupant(settings.server, node)
        if other is not None:
            raise click.UsageError(f"{other.by}/{other.name} is {instead}")
        return claims.pop_all()


def prepare(box: Box, model: Path, settings: boxes.Settings) -> None:
    """Fill the folder of a box that is claimed; what was there stays until the new one is whole.

    `model` may be the box's own bundle.
    """
    fresh = box.folder / "model.new"
    try:
        shutil.copyfile(model, fresh)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    box.clear(fresh, box.port)
    fresh.replace(box.bundle)
    box.save(settings)


def _own_name(model: Path) -> str:
    """The name in a bundle; UsageError where a VM cannot be called so."""
    name = runner.vm_manifest(model).name
    try:
        manifest.check_name(name)
    except ValueError as error:
        raise click.UsageError(f"{model}: {error}; --name gives it another") from None
    return name


def spawn(box: Box, lock: IO[str]) -> dict[str, Any]:
    """Start a claimed box in the background; its status once it is ready, BackendError where it
    fails.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "neurovm.cli.runner", str(box.folder), str(lock.fileno())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=deployment.daemon_environment(),
        pass_fds=[lock.fileno()],
        check=False,
    )
    if ran.returncode:
        raise BackendError(ran.stderr.strip() or f"{box.name} did not start: {runner.last(box)}")
    status: dict[str, Any] = json.loads(ran.stdout)
    return status


def _say(box: Box, status: dict[str, Any], start_s: float, *, quiet: bool) -> None:
    """Where it can be spoken to."""
    if quiet:
        return
    own = "" if box.settings().server else " (its own)"
    names = {"prefix": "neurovm", "node": status["node"], "vm": box.name}
    vm = runner.vm_manifest(box.bundle)
    content = bundle.read(box.bundle).manifest
    ports, spiking = len(content.inputs), content.spiking is not UNSET
    settings = manifest.vm_settings(vm, str(box.bundle), ports, spiking=spiking)
    lines = [f"{box.name} is ready after {time.monotonic() - start_s:.1f} s"]
    lines.append(f"  broker   {box.address.read_text()}{own}")
    lines += [f"  input    {fill(source['topic'], names)}" for source in settings["inputs"]]
    output = (settings.get("output") or {}).get("topic", "{prefix}/{node}/{vm}/result/{stream}")
    lines.append(f"  results  {fill(output, names)}")
    if not status["mqtt"]["connected"]:
        lines.append(f"  the broker cannot be reached yet: {status['mqtt']['state']}")
    click.echo("\n".join(lines))
    sys.stdout.flush()


def fill(topic: str, names: dict[str, str]) -> str:
    """A topic with what is known filled in."""
    for key, value in names.items():
        topic = topic.replace(f"{{{key}}}", value)
    return topic
