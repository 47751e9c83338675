#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [WHEEL]: build the Debian package twice, judge it, and go through its life in a booted Debian 12
# (root; some minutes). Without WHEEL one is built from this checkout.
#
# Needs what tests/systemd/run.sh needs, binutils with a C compiler, and lintian (without it that part is
# skipped, and said so).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
systemd=$top/tests/systemd
say() { printf 'package: %s\n' "$*"; }
die() { echo "tests/packages/run.sh: $*" >&2; exit 1; }
# shellcheck source=tests/systemd/container.sh
. "$systemd/container.sh"

need_container_tools
python=${PYTHON:-$top/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3) || die "no python3"
open_room "$("$systemd/rootfs.sh")"
export PYTHON=$python SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(stat -c %Y "$top/CHANGELOG.md")

build() { # revision, folder: the path of the package
    "$top/packaging/deb/build.sh" --distribution bookworm --revision "$1" --output "$room/$2" \
        ${wheel:+--wheel "$wheel"} ${downloaded:+--wheels "$downloaded"} 2>"$room/build.log" ||
        { cat "$room/build.log" >&2; die "the build failed"; }
}

wheel='' downloaded=''
if [ $# -gt 0 ]; then wheel=$(readlink -e "$1"); fi
old=$(build 1 old | tail -1)
again=$(build 1 again | tail -1)
cmp "$old" "$again" || die "the same sources gave two packages"
say "$(basename "$old"), $(du -h "$old" | cut -f1): built twice, byte for byte the same"

if command -v lintian >/dev/null; then
    said=$(lintian --display-info --fail-on info,warning,error "$old" 2>&1) || {
        printf '%s\n' "$said" >&2
        die "lintian has something to say"
    }
    say "lintian: nothing (overrides with their reasons: packaging/deb/neurovm.lintian-overrides)"
else
    say "SKIPPED lintian: not installed"
fi

if [ -z "$wheel" ]; then
    # The second revision differs in nothing but its number: no need to compile once more.
    "$python" -m pip wheel -qq --no-deps -w "$room/wheel" "$top"
    wheel=$(echo "$room"/wheel/*.whl)
fi
new=$(build 2 new | tail -1)
cp "$old" "$new" "$root/opt/test/"
"$python" -m pip download -qq --no-deps --only-binary=:all: -d "$room/paho" 'paho-mqtt>=2'
"$python" -m zipfile -e "$room"/paho/*.whl "$root/opt/test/site"
PYTHONPATH=$top "$python" "$systemd/expected.py" "$root/opt/test" digits_mlp
cp "$here/inside.py" "$here/hardening.py" "$systemd/booted.py" "$root/opt/test/"
"$here/broker.sh" "$root"
boot_and_run /usr/bin/env PYTHONPATH=/opt/test/site PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 /opt/test/inside.py
