# SPDX-License-Identifier: Apache-2.0
"""Write neurovm/neurovm.schema.json, the JSON Schema of `neurovm.yaml` that editors use.

    python scripts/manifest_schema.py [--check]

What `inputs`, `output` and `time` hold comes from the daemon's schema; the rest is
`neurovm.manifest`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from neurovm.manifest import FILE, VmManifest
from neurovmd.outlets import Actuator, Shown
from neurovmd.schema import Input, Output, Time

TARGET = Path(__file__).resolve().parent.parent / "neurovm" / "neurovm.schema.json"


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    kinds = (VmManifest, Input, Output, Time, Actuator, Shown)
    (root, inputs, output, time, actuator, shown), parts = msgspec.json.schema_components(
        kinds, ref_template="#/$defs/{name}"
    )
    # The daemon takes a payload without a format as JSON.
    for payload in ("Json",):
        parts[payload]["required"] = [k for k in parts[payload]["required"] if k != "format"]
    # Docstrings keep their indentation before Python 3.13 only.
    for part in parts.values():
        if "description" in part:
            part["description"] = inspect.cleandoc(part["description"])
    union = parts["Input"]["properties"]["payload"]
    union.pop("discriminator", None)
    fields = parts["VmManifest"]["properties"]
    fields["inputs"]["anyOf"][0]["items"] = inputs
    fields["output"] = {"anyOf": [output, {"type": "null"}], "default": None}
    fields["actuators"]["anyOf"][0]["items"] = actuator
    fields["home_assistant"] = {"anyOf": [shown, {"type": "null"}], "default": None}
    fields["time"] = {"anyOf": [time, {"type": "null"}], "default": None}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE,
        **root,
        "$defs": parts,
    }


def main() -> int:
    """Write the file, or (--check) say whether it is the one the code gives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it differs")
    text = json.dumps(schema(), indent=2) + "\n"
    if not parser.parse_args().check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    return int(TARGET.read_text(encoding="utf-8") != text)


if __name__ == "__main__":
    sys.exit(main())
