#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rootfs.sh: print the path of a Debian 12 root file system that systemd-nspawn can boot; build it first if need be.
#
# The tree is built once (1-2 min, about 350 MB) below ${NEUROVM_TEST_CACHE:-${XDG_CACHE_HOME:-~/.cache}/neurovm-tests}
# and never written to by a test: every boot lays an overlay over it. DEBIAN_MIRROR names another mirror.
set -euo pipefail

cache=${NEUROVM_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/neurovm-tests}
mirror=${DEBIAN_MIRROR:-}
packages=systemd,systemd-sysv,dbus,python3,python3-venv,mosquitto,mosquitto-clients,libseccomp2,iproute2,procps
# The name holds the package list, so that another list builds another tree.
root=$cache/bookworm-$(printf '%s' "$packages" | sha256sum | cut -c1-12)

if [ ! -d "$root" ]; then
    mkdir -p "$cache"
    # Beside its final place, renamed when complete: an interrupted run leaves nothing that looks ready.
    part=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf --one-file-system "$part"' EXIT
    echo "building a Debian 12 root file system in $root (once, 1-2 min)" >&2
    debootstrap --variant=minbase --include="$packages" bookworm "$part" ${mirror:+"$mirror"} >"$cache/debootstrap.log" 2>&1 || {
        echo "debootstrap failed; the end of $cache/debootstrap.log:" >&2
        tail -5 "$cache/debootstrap.log" >&2
        exit 1
    }
    rm -rf "$part"/var/cache/apt/archives/*.deb
    chmod 755 "$part"
    mv "$part" "$root"
    trap - EXIT
fi
echo "$root"
