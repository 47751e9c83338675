# SPDX-License-Identifier: Apache-2.0
"""recipe.py CONTAINERFILE DIST ROOT: carry out a container recipe on the root file system ROOT.

There is no container engine here: the few instructions that our recipe uses are done with
systemd-nspawn, in their order, each as its documentation says. FROM is taken to be what ROOT holds
already. Prints the command that an engine would start, with its environment and user, as JSON.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ACCEPTED = ("CMD", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "RUN", "STOPSIGNAL", "USER")


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a recipe: comments away, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, rest in found]


def nspawn(root: Path, *options: str) -> list[str]:
    common = ["--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=copy-host"]
    return ["systemd-nspawn", "-q", *common, *options, "-D", str(root)]


def main(recipe: Path, dist: Path, root: Path) -> None:
    image: dict[str, object] = {"environment": {}, "user": "root", "entry": [], "command": []}
    environment: dict[str, str] = {}
    for word, rest in instructions(recipe.read_text()):
        assert word in ACCEPTED, f"{word}: accepted are {', '.join(ACCEPTED)}"
        if word == "RUN":
            mount = re.match(r"--mount=type=bind,source=dist,target=(\S+)\s+", rest)
            assert mount, f"RUN without the folder dist: {rest}"
            bind = f"--bind-ro={dist}:{mount[1]}"
            command = ["/bin/sh", "-c", rest[mount.end() :]]
            subprocess.run(
                [
                    *nspawn(root, bind, "--as-pid2", "--setenv=DEBIAN_FRONTEND=noninteractive"),
                    *command,
                ],
                check=True,
                stdout=sys.stderr,
                stdin=subprocess.DEVNULL,
            )
        elif word == "ENV":
            environment.update(pair.split("=", 1) for pair in shlex.split(rest))
        elif word in ("USER", "STOPSIGNAL"):
            image[word.lower()] = rest
        elif word == "HEALTHCHECK":
            image["health"] = json.loads(rest.partition("CMD ")[2])
        elif word in ("ENTRYPOINT", "CMD"):
            image["entry" if word == "ENTRYPOINT" else "command"] = json.loads(rest)
    image["environment"] = environment
    sys.stdout.write(json.dumps(image) + "\n")


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]))
