#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rootfs.sh [SUITE [ARCHITECTURE]]: print the path of a root file system that systemd-nspawn can boot; build it
# first if need be. SUITE: bookworm (the default), trixie, jammy or noble. Another architecture than this
# machine's needs emulation: see tests/packages/emulation.sh.
#
# The tree is built once (1-2 min, about 350 MB) below ${NEUROVM_TEST_CACHE:-${XDG_CACHE_HOME:-~/.cache}/neurovm-tests}
# and never written to by a test: every boot lays an overlay over it. DEBIAN_MIRROR names another mirror.
set -euo pipefail

suite=${1:-bookworm} architecture=${2:-$(dpkg --print-architecture)}
cache=${NEUROVM_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/neurovm-tests}
mirror=${DEBIAN_MIRROR:-}
packages=systemd,systemd-sysv,dbus,python3,python3-venv,mosquitto,mosquitto-clients,libseccomp2,iproute2,procps
options=() script=()
case $suite in
    jammy | noble)
        keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
        [ -r "$keyring" ] || { echo "no $keyring; apt-get install ubuntu-keyring" >&2; exit 1; }
        options=("--components=main,universe" "--keyring=$keyring")
        mirror=http://archive.ubuntu.com/ubuntu
        # All suites of Ubuntu share one script, and older debootstraps do not know the newer names.
        script=(/usr/share/debootstrap/scripts/jammy)
        ;;
esac
# The name holds the package list, so that another list builds another tree.
root=$cache/$suite-$(printf '%s' "$packages" | sha256sum | cut -c1-12)
[ "$architecture" = "$(dpkg --print-architecture)" ] || root=$root-$architecture

if [ ! -d "$root" ]; then
    mkdir -p "$cache"
    # Beside its final place, renamed when complete: an interrupted run leaves nothing that looks ready.
    part=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf --one-file-system "$part"' EXIT
    echo "building a root file system of $suite in $root (once, 1-2 min)" >&2
    log=$cache/debootstrap-$suite-$architecture.log
    debootstrap --variant=minbase "--arch=$architecture" "${options[@]}" --include="$packages" "$suite" "$part" \
        ${mirror:+"$mirror"} "${script[@]}" >"$log" 2>&1 || {
        echo "debootstrap failed; the end of $log:" >&2
        tail -5 "$log" >&2
        exit 1
    }
    rm -rf "$part"/var/cache/apt/archives/*.deb
    chmod 755 "$part"
    mv "$part" "$root"
    trap - EXIT
fi
echo "$root"
