# SPDX-License-Identifier: Apache-2.0
"""fill.py OUT --homepage URL --sdist FILE --sdist-url URL [--zip FILE --zip-url URL]

Writes the Homebrew formula, the Chocolatey package and the winget manifest of this version to OUT
from the templates beside this file. Without --zip there is no winget manifest. Needs the standard
library only.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BLANK = re.compile(r"@([A-Z0-9_]+)@")


def fill(text: str, values: dict[str, str]) -> str:
    """`text` with every @NAME@ replaced; KeyError names one without a value."""
    return BLANK.sub(lambda found: values[found[1]], text)


def version() -> str:
    text = (HERE.parent / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    if found is None:
        sys.exit("pyproject.toml: no version")
    return found[1]


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1] if __doc__ else "")
    parser.add_argument("out", type=Path)
    for name in ("--homepage", "--sdist-url"):
        parser.add_argument(name, required=True)
    parser.add_argument("--sdist", type=Path, required=True)
    parser.add_argument("--zip", type=Path)
    parser.add_argument("--zip-url")
    options = parser.parse_args(arguments)
    if (options.zip is None) != (options.zip_url is None):
        parser.error("--zip and --zip-url go together")
    values = {
        "VERSION": version(),
        "HOMEPAGE": options.homepage,
        "SDIST_URL": options.sdist_url,
        "SDIST_SHA256": sha256(options.sdist),
    }
    if options.zip is not None:
        values |= {"ZIP_URL": options.zip_url, "ZIP_SHA256": sha256(options.zip).upper()}
    for folder in ("brew", "windows/choco", "windows/winget"):
        if folder.endswith("winget") and options.zip is None:
            continue
        for source in sorted((HERE / folder).rglob("*")):
            if source.is_dir():
                continue
            target = options.out / source.relative_to(HERE)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".in":
                filled = fill(source.read_text(encoding="utf-8"), values)
                target.with_suffix("").write_text(filled, encoding="utf-8")
            else:
                shutil.copy(source, target)


if __name__ == "__main__":
    main()
