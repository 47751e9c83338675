# SPDX-License-Identifier: Apache-2.0
"""`neurovm run`: a bundle served here, in a daemon of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm import bundle, manifest
from neurovm.cli import boxes, broker, deployment, models, options, runner
from neurovm.errors import BackendError, ModelError

if TYPE_CHECKING:
    from neurovm.cli.boxes import Box


def _name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            manifest.check_name(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return value


@click.command()
@click.argument("model", metavar="NAME.nvm", type=options.FILE)
@click.option(
    "--broker",
    "server",
    metavar="URL",
    help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. [default: a broker of its own, on loopback]",
)
@click.option("--name", callback=_name, metavar="NAME", help="Name of the VM. [default: its own]")
@click.option("--node", metavar="NAME", help="Name of this box in topics. [default: the host's]")
@click.option("--limit", metavar="WATTS", help="Most that this machine may draw, such as 5W.")
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
    name: str | None,
    node: str | None,
    limit: str | None,
    log_level: str,
    detach: bool,
    quiet: bool,
) -> None:
    """Serve a bundle here: sensor events in over MQTT, results out over MQTT.

    Starts neurovmd with what the bundle's manifest says, and a broker where none is named (pip
    install 'neurovm[demo]'). Runs until Ctrl-C, or in the background with --detach. Beside it
    `neurovm ps` shows it, `neurovm tap` its messages. A stopped box of the same name is replaced.

    \b
    Examples:
      neurovm run hello-world.nvm
      neurovm run pump.nvm --broker mqtt://192.168.1.10 --detach
    """
    start_s = time.monotonic()
    if models.is_tflite(model):
        raise ModelError(f"{model}: a .tflite; `neurovm build` or `neurovm convert` it first")
    if server is None:
        broker.require()
    box = prepare(model, name, server, node, limit, log_level)
    if detach:
        status = spawn(box)
        _say(box, status, start_s, quiet=quiet)
        return
    code = runner.serve(box, lambda status: _say(box, status, start_s, quiet=quiet))
    click.get_current_context().exit(code)


def prepare(
    model: Path,
    name: str | None,
    server: str | None,
    node: str | None,
    limit: str | None,
    log_level: str,
) -> Box:
    """A fresh folder for the bundle; UsageError where a box of that name is running."""
    sealed = bundle.read(model).manifest
    box = boxes.box(name or _own_name(model))
    if box.runner() is not None or boxes.daemon_of(box) is not None:
        raise click.UsageError(f"{box.name} is running already; neurovm stop {box.name}")
    box.remove()
    box.folder.mkdir(parents=True, mode=0o700)
    shutil.copyfile(model, box.bundle)
    box.save(
        boxes.Settings(
            name=box.name,
            source=str(model.absolute()),
            model_sha256=sealed.identity(),
            server=server,
            node=node,
            log_level=log_level,
            limit=limit,
            created_s=time.time(),
        )
    )
    return box


def _own_name(model: Path) -> str:
    """The name in a bundle; UsageError where a VM cannot be called so."""
    name = runner.vm_manifest(model).name
    try:
        manifest.check_name(name)
    except ValueError as error:
        raise click.UsageError(f"{model}: {error}; --name gives it another") from None
    return name


def spawn(box: Box) -> dict[str, Any]:
    """Start the box in the background; its status once it is ready, BackendError where it fails."""
    ran = subprocess.run(
        [sys.executable, "-m", "neurovm.cli.runner", str(box.folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=deployment.daemon_environment(),
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
    ports = len(bundle.read(box.bundle).manifest.inputs)
    settings = manifest.vm_settings(vm, str(box.bundle), ports)
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
