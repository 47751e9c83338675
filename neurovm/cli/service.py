# SPDX-License-Identifier: Apache-2.0
"""`neurovm service`: the daemon as a systemd service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from neurovm.cli import placement
from neurovm.errors import BackendError

UNIT = "neurovmd.service"
BOOTED = Path("/run/systemd/system")
NOTIFY_RELOAD_SINCE = 253

_root = click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="Work on the file system below DIR (an image); the running systemd is left alone.",
    metavar="DIR",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, do nothing.")


@click.group()
def service() -> None:
    """Install or remove the daemon as a systemd service.

    \b
    Examples:
      sudo /opt/neurovm/bin/neurovm service install
      sudo systemctl enable --now neurovmd
      sudo /opt/neurovm/bin/neurovm service remove
    """


@service.command()
@_root
@_dry_run
@click.option(
    "--executable",
    type=click.Path(path_type=Path),
    help="The daemon to start, as the service will see it. [default: beside this command]",
)
@click.option(
    "--with",
    "drop_ins",
    multiple=True,
    type=click.Choice(list(placement.DROP_INS)),
    help="Add a drop-in to the unit; may be repeated. limits: hands its control group "
    "over. accelerator: devices. credentials: the broker's password from a file of root's. "
    "notify-reload: `systemctl reload` waits (systemd 253 and later).",
)
def install(
    root: Path | None, dry_run: bool, executable: Path | None, drop_ins: tuple[str, ...]
) -> None:
    """Place unit, user, groups and the sample configuration; safe to repeat.

    Writes the unit, sysusers.d and tmpfiles.d entries below /etc, and /etc/neurovmd with samples of
    every option. A configuration that was changed is kept; the new sample is put beside it as .new.
    Starts nothing. Where a distribution's package has placed the service, only the drop-ins of
    --with are added.
    """
    daemon = executable or placement.find_daemon()
    _require_rights("install", root, dry_run)
    if "notify-reload" in drop_ins and root is None:
        _require_notify_reload()
    if root is None:
        placement.require_readable_by_service(daemon)
    else:
        placement.require_usable_in_image(daemon)
    if placement.is_packaged(root):
        click.echo("the service itself is there already: the package neurovm has placed it")
    for item in placement.items(root, drop_ins):
        target, text = placement.below(root, item.target), item.text(daemon)
        click.echo(placement.describe(placement.judge(item, target, text), target))
        if not dry_run:
            placement.place(item, target, text)
    where = [] if root is None else [f"--root={root}"]
    _run(["systemd-sysusers", *where, "neurovmd.conf"], dry_run)
    _run(["systemd-tmpfiles", *where, "--create", "neurovmd.conf"], dry_run)
    if root is None:
        _run(["systemctl", "daemon-reload"], dry_run)
    click.echo(
        f"Next: describe a model in {placement.VM_DIR}/NAME.yaml (see vm.yaml.sample there), then\n"
        f"  {daemon} check --config {placement.CONFIG}\n"
        f"  sudo systemctl enable --now {UNIT}        (restart, if it is running already)"
    )


@service.command()
@_root
@_dry_run
@click.option("--purge", is_flag=True, help="Also delete configuration, state and cache.")
def remove(root: Path | None, dry_run: bool, purge: bool) -> None:
    """Stop the service and remove what install placed.

    Configuration (/etc/neurovmd), state and cache stay unless --purge is given. The user and the
    groups stay in any case: their numbers may own files elsewhere.
    """
    _require_rights("remove", root, dry_run)
    if placement.is_packaged(root) and not placement.below(root, placement.UNIT_FILE).exists():
        raise BackendError(
            "the service belongs to the package neurovm; remove it with: sudo apt remove neurovm "
            "(purge takes configuration and state too)"
        )
    if placement.below(root, placement.UNIT_FILE).exists():
        if root is None:
            _run(["systemctl", "disable", "--now", UNIT], dry_run)
        else:
            _run(["systemctl", f"--root={root}", "disable", UNIT], dry_run)
    for target in _to_remove(root, purge):
        click.echo(f"remove  {target}")
        if not dry_run:
            _delete(target)
    if root is None:
        _run(["systemctl", "daemon-reload"], dry_run)
        # A unit that failed is remembered by name until it is forgiven.
        _run(["systemctl", "reset-failed", UNIT], dry_run, may_fail=True)


def _to_remove(root: Path | None, purge: bool) -> Iterator[Path]:
    targets = [item.target for item in placement.ITEMS if purge or not item.is_configuration]
    for target in (*targets, *(placement.PURGED if purge else ())):
        path = placement.below(root, target)
        if path.exists() or path.is_symlink():
            yield path


def _delete(target: Path) -> None:
    # Of two that contain each other, the outer one may have taken the inner one along.
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _require_rights(what: str, root: Path | None, dry_run: bool) -> None:
    """Refuse early, before half of the work is done."""
    tools = ["systemd-sysusers", "systemd-tmpfiles"] if what == "install" else ["systemctl"]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing or (root is None and not BOOTED.is_dir() and not dry_run):
        found = f"no {' and no '.join(missing)}" if missing else f"no {BOOTED}"
        raise BackendError(
            f"this system does not run systemd ({found}); let its own supervisor start "
            f"`neurovmd --config FILE`"
        )
    if not dry_run and root is None and os.geteuid() != 0:
        raise PermissionError(
            f"`service {what}` writes below /etc and needs root; run: "
            f"sudo {Path(sys.argv[0]).absolute()} service {what}"
        )


def _require_notify_reload() -> None:
    said = subprocess.run(["systemctl", "--version"], check=False, capture_output=True, text=True)
    found = said.stdout.split()[1:2]  # "systemd 252 (252.39-1)"
    if found and found[0].isdigit() and int(found[0]) < NOTIFY_RELOAD_SINCE:
        raise BackendError(
            f"--with notify-reload: found systemd {found[0]}; accepted: {NOTIFY_RELOAD_SINCE} or "
            f"later (without it `systemctl reload` works too, and does not wait)"
        )


def _run(command: Sequence[str], dry_run: bool, *, may_fail: bool = False) -> None:
    if not may_fail:
        click.echo(f"run     {' '.join(command)}")
    if dry_run:
        return
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode and not may_fail:
        said = (done.stderr or done.stdout).strip() or "it said nothing"
        raise BackendError(f"`{' '.join(command)}` failed with {done.returncode}: {said}")
