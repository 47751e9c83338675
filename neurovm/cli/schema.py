# SPDX-License-Identifier: Apache-2.0
"""`neurovm schema`: the JSON Schema of neurovm.yaml, for editors."""

from __future__ import annotations

import click

from neurovm.cli.create import SCHEMA


@click.command()
def schema() -> None:
    """Print the JSON Schema of neurovm.yaml.

    `neurovm create` puts it beside the manifest, whose first line names it; editors then complete
    and check keys.

    \b
    Examples:
      neurovm schema > .neurovm.schema.json
    """
    click.echo(SCHEMA.read_text(encoding="utf-8"), nl=False)
