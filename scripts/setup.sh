#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/setup.sh demo|check|test
#
# Makes .venv ready for `make demo`, `make check` or `make test` on a Debian, Ubuntu or
# Raspberry Pi OS that has python3 and nothing else, and returns at once when it already is.
# Missing system packages are installed when we are root or sudo asks for no password; otherwise
# the one line to run is printed and the exit code is 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

purpose=${1:?demo, check or test}
venv=.venv
ready=$venv/.neurovm-ready    # two lines: what was installed (demo or dev), and for which sources

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

find_python() {
    local named=${PYTHON:-python3}
    # The interpreter itself, also when the shell has an environment (ours, perhaps) activated.
    python=$("$named" -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null) ||
        die "no Python under the name '$named'; sudo apt-get install python3, or set PYTHON="
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$python is Python $version; 3.10 or later is needed (set PYTHON=)"
}

compiles() { # whether the compiler that would build the extension takes the C text in $1
    local cc
    cc=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}
    # shellcheck disable=SC2086  # CC may hold options
    printf '%s\n' "$1" | $cc -x c "-I$include" -o /dev/null - 2>/dev/null
}

find_missing() {
    missing=()
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    if ! compiles $'#include <stdio.h>\nint main(void) { return puts(""); }'; then
        missing+=("a C compiler with libc's headers")
    elif ! compiles $'#include <Python.h>\nint main(void) { return 0; }'; then
        missing+=("Python.h for $python ($include)")
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("the venv module of $python")
    if [ "$purpose" = test ] && [ ! -x /usr/sbin/mosquitto ] && ! command -v mosquitto >/dev/null
    then missing+=("mosquitto"); fi
}

name_packages() {
    local name=python3
    [ "$(readlink -f /usr/bin/python3)" = "$python" ] || name=python$version
    packages=("$name-dev" "$name-venv" gcc libc6-dev)
    [ "$purpose" != test ] || packages+=(mosquitto)
}

apt_install() { # as root, or with the sudo prefix in "$@"
    local lists=(/var/lib/apt/lists/*_Packages*)
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y
        --no-install-recommends "${packages[@]}")
    if [ -e "${lists[0]}" ]; then
        "$@" "${install[@]}" && return
        say "once more with fresh package lists"
    fi
    "$@" apt-get -qq update
    "$@" "${install[@]}"
}

join() { local IFS=';'; local text="$*"; printf '%s' "${text//;/, }"; }

install_missing() {
    local needed
    needed="needed and not there: $(join "${missing[@]}")"
    command -v apt-get >/dev/null || die "$needed (no apt-get here: install them your way)"
    name_packages
    if [ "$(id -u)" = 0 ]; then
        say "$needed; installing ${packages[*]}"
        apt_install >&2
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        say "$needed; installing ${packages[*]} with sudo"
        apt_install sudo -n >&2
    else
        say "$needed. Run this once, then again what you ran:"
        printf '  sudo apt-get update && sudo apt-get install -y %s\n' "${packages[*]}" >&2
        exit 1
    fi
    find_missing
    [ ${#missing[@]} = 0 ] || die "still not there: $(join "${missing[@]}")"
}

sources_state() { # changes with everything that an installation depends on
    {
        printf '%s\n' "$python" "$version" "$PWD"
        find pyproject.toml setup.py scripts/setup.sh core_c -type f ! -name _kernel.c -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d' ' -f1
}

build_venv() {
    local extras
    case $level in dev) extras=dev ;; demo) extras=demo,plot ;; esac
    if [ "$(readlink -f $venv/bin/python 2>/dev/null)" != "$python" ]; then
        say "making $venv from $python"
        "$python" -m venv --clear $venv
    fi
    say "building neurovm with its dependencies into $venv (some minutes on a small box)"
    local quiet=()
    [ -t 2 ] || quiet=(-q)
    PIP_DISABLE_PIP_VERSION_CHECK=1 $venv/bin/python -m pip install "${quiet[@]}" \
        -e ".[$extras]" >&2
    [ "$level" != dev ] || PIP_DISABLE_PIP_VERSION_CHECK=1 $venv/bin/python -m pip install \
        "${quiet[@]}" --no-deps pysparkplug==0.6.1 tahu==0.1.2 >&2
}

find_python
case $purpose in
    demo) level=demo ;;
    check | test) level=dev ;;
    *) die "'$purpose' is not one of: demo, check, test" ;;
esac
installed='' built_for=''
if [ -f $ready ]; then { read -r installed; read -r built_for; } <$ready; fi
[ "$installed" != dev ] || level=dev    # an environment only ever grows
state=$(sources_state)
kernel=(neurovm/_kernel*.so)
if [ "$installed" = "$level" ] && [ "$built_for" = "$state" ] && [ -e "${kernel[0]}" ] &&
    { [ "$purpose" != test ] || [ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null; }
then exit 0; fi

find_missing
[ ${#missing[@]} = 0 ] || install_missing
build_venv
printf '%s\n%s\n' "$level" "$state" >$ready
say "ready"
