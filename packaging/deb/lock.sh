#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# lock.sh: write requirements-3.X.txt anew: the newest dependencies that have wheels for both
# architectures, by version and hash. Run by hand before a release, or when one of them has a hole.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
python=${PYTHON:-$top/.venv/bin/python}
[ -x "$python" ] || python=python3
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

"$python" - "$top/pyproject.toml" >"$room/wanted.txt" <<'PY'
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()
print(*re.findall(r'"(.*)"', re.search(r"^dependencies = \[(.*?)^\]", text, re.M | re.S)[1]), sep="\n")
PY

for version in 3.10 3.11 3.12 3.13; do
    wheels=$room/$version
    chosen=(-r "$room/wanted.txt")
    for machine in aarch64 x86_64; do
        options=()
        for platform in manylinux_2_28 manylinux2014 manylinux_2_17; do
            options+=(--platform "${platform}_$machine")
        done
        "$python" -m pip download -q -d "$wheels/$machine" --only-binary=:all: --implementation cp \
            --python-version "$version" --abi "cp${version/./}" --abi abi3 --abi none \
            "${options[@]}" "${chosen[@]}"
        # The second architecture takes what the first one found.
        mapfile -t chosen < <(cd "$wheels/$machine" && for file in *.whl; do
            IFS=- read -r name number _ <<<"$file"
            echo "${name//_/-}==$number"
        done)
    done
    {
        echo "# SPDX-License-Identifier: Apache-2.0"
        echo "# Written by lock.sh: Python $version, amd64 and arm64."
        for pin in "${chosen[@]}"; do
            name=${pin%%==*}
            printf '%s' "$pin"
            find "$wheels" -name "${name//-/_}-${pin##*==}-*.whl" -exec sha256sum {} + | cut -d' ' -f1 |
                sort -u | while read -r hash; do printf ' \\\n    --hash=sha256:%s' "$hash"; done
            echo
        done
    } >"$here/requirements-$version.txt"
    echo "requirements-$version.txt: ${#chosen[@]} packages" >&2
done
