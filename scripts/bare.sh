#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/bare.sh [demo|test ...]      (root; debootstrap, systemd-nspawn)
#
# Shows that `make demo` and `make test` each succeed alone on a bare Debian: for each of them a
# new minbase root file system with python3, git, make and ca-certificates, a fresh clone of
# what is committed here, and the one command.
#
# Package access is that of this machine: its trusted certificates, apt sources (where it runs the
# same Debian), pip configuration, PIP_* and proxy variables, and local package folders those name.
#   SUITE=bookworm   DEBIAN_MIRROR= (default: debootstrap's)   NEUROVM_TEST_CACHE=
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suite=${SUITE:-bookworm}
cache=${NEUROVM_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/neurovm-tests}
base=$cache/bare-$suite.tar
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(demo test)

say() { printf 'bare: %s\n' "$*"; }
die() { say "$@" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "debootstrap and systemd-nspawn need root"
for tool in debootstrap systemd-nspawn git; do
    command -v $tool >/dev/null || die "$tool is not installed"
done

room=$(mktemp -d "${TMPDIR:-/var/tmp}/neurovm-bare.XXXXXX")
trap 'rm -rf "$room"' EXIT

make_base() {
    [ ! -f "$base" ] || return 0
    say "making a bare $suite once, into $base"
    mkdir -p "$cache"
    # shellcheck disable=SC2086  # an empty mirror is no argument
    debootstrap --variant=minbase --include=python3,git,make,ca-certificates "$suite" \
        "$room/base" ${DEBIAN_MIRROR:-} >"$room/debootstrap.log" 2>&1 ||
        { tail -20 "$room/debootstrap.log" >&2; die "debootstrap failed"; }
    tar -C "$room/base" -cf "$base.part" .
    mv "$base.part" "$base"
    rm -rf "$room/base"
}

lend_configuration() { # of this machine's package access to the root file system $1
    local root=$1
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    fi
    # shellcheck disable=SC1091
    if [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$suite" ]; then
        rm -f "$root/etc/apt/sources.list"
        cp -rL /etc/apt/sources.list* "$root/etc/apt/"
        cp -rn /usr/share/keyrings/. "$root/usr/share/keyrings/"
    fi
    find /etc/apt/apt.conf.d -name '*proxy*' -exec cp {} "$root/etc/apt/apt.conf.d/" \;
    if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/pip.conf"; fi
    if [ -f "$HOME/.config/pip/pip.conf" ]; then
        install -D -m 600 "$HOME/.config/pip/pip.conf" "$root/root/.config/pip/pip.conf"
    fi
}

package_folders() { # local folders that the pip configuration names
    local path
    { cat /etc/pip.conf "$HOME/.config/pip/pip.conf" 2>/dev/null || true; env | grep '^PIP_' || true
    } | grep -oE '(file://|[ =]|^)/[^ ]+' | sed -E 's,^(file://|[ =]),,' | while read -r path; do
        # An index folder `simple` links to files beside it.
        [ "$(basename "$path")" != simple ] || path=$(dirname "$path")
        if [ -d "$path" ]; then echo "$path"; fi
    done | sort -u
}

run_target() {
    local target=$1 root=$room/root options=() folder name since_s=$SECONDS
    rm -rf "$root"
    mkdir "$root"
    tar -C "$root" -xf "$base"
    lend_configuration "$root"
    git -c safe.directory='*' clone -q --bare "$top" "$root/srv/neurovm.git"
    while read -r folder; do
        options+=("--bind-ro=$folder")
    done < <(package_folders)
    while read -r name; do
        options+=("--setenv=$name")
    done < <(compgen -e | grep -iE '^(PIP_.*|https?_proxy|no_proxy)$' || true)
    say "make $target in a fresh clone on a bare $suite"
    systemd-nspawn -q --register=no --keep-unit --as-pid2 --resolv-conf=copy-host \
        --console=pipe "${options[@]}" -D "$root" /bin/bash -c "
            set -e
            cd /root
            git clone -q /srv/neurovm.git neurovm
            cd neurovm
            make $target
            printf 'bare: the second set-up: '
            time -p scripts/setup.sh $target" </dev/null || die "make $target FAILED"
    say "make $target passed in $((SECONDS - since_s)) s"
}

make_base
for target in "${targets[@]}"; do
    run_target "$target"
done
say "passed: ${targets[*]} at $(git -c safe.directory='*' -C "$top" rev-parse --short HEAD)"
