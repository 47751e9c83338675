#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [WHEEL]: build the Debian package twice, judge it, and go through its life in a booted system (root;
# some minutes). Without WHEEL one is built from this checkout.
#
#   DISTRIBUTION=bookworm   or trixie, jammy, noble
#   ARCHITECTURE=amd64      or arm64, emulated where it is not this machine's (much slower)
#   TEST_LIMIT_S=1800       all of it may take so long
#
# Needs what tests/systemd/run.sh needs, binutils with a C compiler, and lintian (without it that part is
# skipped, and said so).
set -euo pipefail

if [ -z "${TEST_LIMITED:-}" ]; then
    # Whatever hangs ends, and its own clean-up runs.
    TEST_LIMITED=1 exec timeout -k 30 "${TEST_LIMIT_S:-1800}" "${BASH_SOURCE[0]}" "$@"
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
systemd=$top/tests/systemd
say() { printf 'package: %s\n' "$*"; }
die() { echo "tests/packages/run.sh: $*" >&2; exit 1; }
# shellcheck source=tests/systemd/container.sh
. "$systemd/container.sh"

need_container_tools
distribution=${DISTRIBUTION:-bookworm}
architecture=${ARCHITECTURE:-$(dpkg --print-architecture)}
python=${PYTHON:-$top/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3) || die "no python3"
# Not what it takes (some two minutes), but what a machine that does ten other things may make of it.
export PYTHON=$python SOURCE_DATE_EPOCH TEST_TIMEOUT_S=${TEST_TIMEOUT_S:-900}
SOURCE_DATE_EPOCH=$(stat -c %Y "$top/CHANGELOG.md")
arguments=()
if [ "$architecture" != "$(dpkg --print-architecture)" ]; then
    "$here/emulation.sh" on
    trap '"$here/emulation.sh" off' EXIT
    # A Raspberry Pi 4's: qemu's own default has instructions that it computes wrongly.
    export QEMU_CPU=cortex-a72 TEST_TIMEOUT_S=1500
    arguments+=(--emulated)
fi
open_room "$("$systemd/rootfs.sh" "$distribution" "$architecture")"
if [ ${#arguments[@]} -gt 0 ]; then trap 'close_room; "$here/emulation.sh" off' EXIT; fi

build() { # revision, folder: the path of the package
    "$top/packaging/deb/build.sh" --distribution "$distribution" --architecture "$architecture" \
        --revision "$1" --output "$room/$2" ${wheel:+--wheel "$wheel"} 2>"$room/build.log" ||
        { cat "$room/build.log" >&2; die "the build failed"; }
}

wheel=''
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
if [ -z "$wheel" ] && [ "$distribution" = bookworm ] && [ ${#arguments[@]} = 0 ]; then
    # The second revision differs in nothing but its number: no need to compile once more.
    "$python" -m pip wheel -qq --no-deps -w "$room/wheel" "$top"
    wheel=$(echo "$room"/wheel/*.whl)
fi
if [ "$distribution" = bookworm ] && [ ${#arguments[@]} = 0 ]; then
    "$here/recipe.sh" "$old"
    "$here/installer.sh" "$old" "$wheel"
fi

new=$(build 2 new | tail -1)
# The older one as it was when its configuration gave every key: dpkg replaces one that nobody changed.
dpkg-deb -R "$old" "$room/every-key"
sed -i -E 's/^#((  )*[a-z_]+:)/\1/' "$room/every-key/etc/neurovmd/neurovmd.yaml"
dpkg-deb --root-owner-group -Znone -b "$room/every-key" "$old" >/dev/null
cp "$old" "$new" "$root/opt/test/"
"$python" -m pip download -qq --no-deps --only-binary=:all: -d "$room/paho" 'paho-mqtt>=2'
"$python" -m zipfile -e "$room"/paho/*.whl "$root/opt/test/site"
PYTHONPATH=$top "$python" "$systemd/expected.py" "$root/opt/test" digits_mlp
cp "$here/inside.py" "$here/hardening.py" "$systemd/booted.py" "$root/opt/test/"
"$here/broker.sh" "$root"
if [ ${#arguments[@]} -gt 0 ]; then
    mkdir -p "$root/etc/systemd/system.conf.d"
    printf '[Manager]\nDefaultEnvironment=QEMU_CPU=%s\n' "$QEMU_CPU" >"$root/etc/systemd/system.conf.d/qemu.conf"
fi
boot_and_run /usr/bin/env PYTHONPATH=/opt/test/site PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 \
    /opt/test/inside.py "${arguments[@]}"
