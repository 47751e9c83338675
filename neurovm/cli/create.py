# SPDX-License-Identifier: Apache-2.0
"""`neurovm create`: a folder with manifest, model, samples, a test and a README."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from neurovm import manifest
from neurovm.cli import options, show
from neurovm.cli.exits import CannotCreateError

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
SCHEMA = Path(__file__).resolve().parent.parent / "neurovm.schema.json"
NAMES = ("digits", "plant", "keyword", "vibration")
COMMON = "common"
MARK = "@NAME@"
_TEXTS = (".yaml", ".md", ".py")


def _name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        manifest.check_name(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return value


@click.command()
@click.argument("name", callback=_name)
@click.option(
    "--template",
    type=click.Choice(NAMES),
    default=NAMES[0],
    show_default=True,
    help="digits: images; plant: 64 sensors of a pump; keyword: words of synthetic tones, no "
    "speech; vibration: a simulated machine.",
)
@options.quiet
def create(name: str, template: str, quiet: bool) -> None:
    """Write a new folder NAME with a VM that works: manifest, model, samples, test, README.

    The folder must not exist. Change neurovm.yaml, put your own .tflite in, and build again.

    \b
    Examples:
      neurovm create hello-world
      neurovm create pump1 --template plant && cd pump1 && neurovm build
    """
    target = Path(name)
    if target.exists() or target.is_symlink():
        raise CannotCreateError(f"{target}: exists already; a new folder is needed")
    _write(target, name, template)
    show.remark(f"{name}/ is there; next: cd {name} && neurovm build", quiet=quiet)


def _write(target: Path, name: str, template: str) -> None:
    """The whole folder or none of it."""
    try:
        room = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=target.parent))
    except OSError as error:
        raise CannotCreateError(f"{target}: cannot be created: {error.strerror}") from error
    try:
        room.chmod(0o755)
        for source in sorted((TEMPLATES / template).iterdir()):
            _copy(source, room / source.name, name)
        for source in sorted((TEMPLATES / COMMON).iterdir()):
            _copy(source, room / source.name.removesuffix(".in"), name)
        shutil.copyfile(SCHEMA, room / f".{SCHEMA.name}")
        room.rename(target)
    except BaseException:
        shutil.rmtree(room, ignore_errors=True)
        raise


def _copy(source: Path, target: Path, name: str) -> None:
    if target.suffix in _TEXTS:
        text = source.read_text(encoding="utf-8")
        target.write_text(text.replace(MARK, name), encoding="utf-8")
    elif source.is_file():
        shutil.copyfile(source, target)
