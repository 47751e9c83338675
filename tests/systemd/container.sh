#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# container.sh, to be sourced: a root file system under an overlay, booted for one test program.
#
#   open_room BASE       sets $room (a temporary folder) and $root (an overlay over BASE, mounted)
#   download_wheels F    the wheel F and its dependencies for the container's Python 3.11, to $room/wheels
#   install_wheel [F]    the wheel F, or one of the checkout $top, into /opt/neurovm of $root
#   boot_and_run CMD…    boots $root with CMD as a unit; its output comes out, its success is the result
#
# The container has no network but loopback; TEST_TIMEOUT_S=300 bounds the program. The caller has set -euo pipefail, $python and a function die.

need_container_tools() {
    local tool
    [ "$(id -u)" = 0 ] || die "systemd-nspawn and debootstrap need root: sudo $0"
    for tool in debootstrap systemd-nspawn unshare; do
        command -v "$tool" >/dev/null || die "no $tool; apt-get install debootstrap systemd-container"
    done
}

landlock='landlock_create_ruleset landlock_add_rule landlock_restrict_self'
nspawn=
close_room() {
    if [ -n "$nspawn" ] && kill -0 "$nspawn" 2>/dev/null; then kill "$nspawn"; wait "$nspawn" || true; fi
    if mountpoint -q "$room/root"; then umount "$room/root"; fi
    rm -rf --one-file-system "$room"
    # With the old hierarchy of control groups nspawn leaves empty ones of its own behind.
    find /sys/fs/cgroup/{unified,systemd}/{payload,supervisor} -depth -type d -exec rmdir {} + 2>/dev/null || true
}

open_room() {
    local base=$1
    room=$(mktemp -d "$(dirname "$base")/run.XXXXXX")
    root=$room/root
    trap close_room EXIT
    mkdir -p "$room"/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$room/upper,workdir=$room/work" "$root"
    mkdir -p "$root/opt/test"
}

download_wheels() { # pip runs on this host only, with its configuration
    local machine
    machine=$(uname -m)
    case $1 in
        *-cp311-*|*-py3-*) ;;
        *) die "$(basename "$1") is not for the container's Python 3.11: build with Python >= 3.11" ;;
    esac
    "${python:?}" -m pip download -qq -d "$room/wheels" --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none \
        --platform "manylinux_2_28_$machine" --platform "manylinux2014_$machine" \
        --platform "manylinux_2_17_$machine" --platform "linux_$machine" "$1"
}

install_wheel() { # [WHEEL]: installed as an administrator would; built from the checkout $top where none is named
    local wheel=${1:-}
    if [ -z "$wheel" ]; then
        "$python" -m pip wheel -qq --no-deps -w "$room/wheel" "${top:?}"
        wheel=$(echo "$room"/wheel/*.whl)
    fi
    download_wheels "$wheel"
    mv "$room/wheels" "$root/opt/wheels"
    chroot "$root" /usr/bin/python3 -m venv /opt/neurovm
    chroot "$root" /opt/neurovm/bin/pip install -q --no-index --find-links /opt/wheels neurovm
    rm -r "$root/opt/wheels"
}

write_test_unit() { # LOG SYSTEM-ACTION CMD…: the program as a unit whose end is the system's
    local log=$1 action=$2
    shift 2
    cat >"$root/etc/systemd/system/neurovm-test.service" <<UNIT
[Unit]
After=multi-user.target mosquitto.service
SuccessAction=$action
FailureAction=$action
FailureActionExitStatus=1
SuccessActionExitStatus=0
[Service]
Type=oneshot
TimeoutStartSec=${TEST_TIMEOUT_S:-300}
ExecStart=$*
# For a machine, which has no exit code.
ExecStopPost=/bin/sh -c 'echo "test: \$\$SERVICE_RESULT"'
StandardOutput=file:$log
StandardError=file:$log
UNIT
    # Not wanted by multi-user.target itself: it would wait for its own end.
    mkdir -p "$root/etc/systemd/system/timers.target.wants"
    cat >"$root/etc/systemd/system/neurovm-test.timer" <<'UNIT'
[Timer]
OnBootSec=0
AccuracySec=1ms
UNIT
    ln -sf ../neurovm-test.timer "$root/etc/systemd/system/timers.target.wants/"
}

boot_and_run() { # the program is a unit that ends the container with its own exit code
    local status=0
    write_test_unit /opt/test/log exit-force "$@"
    : >"$root/opt/test/log"
    # systemd-nspawn 252 itself refuses Landlock, which a service may use.
    timeout -k 10 $((${TEST_TIMEOUT_S:-300} + 120)) unshare -m systemd-nspawn -q -D "$root" -M "neurovm-test-$$" --boot --register=no \
        --keep-unit --private-network --console=pipe --system-call-filter="$landlock" </dev/null >"$room/console" 2>&1 &
    nspawn=$!
    tail -n +1 -f --pid="$nspawn" "$root/opt/test/log" &
    wait "$nspawn" || status=$?
    nspawn=
    wait
    if [ "$status" != 0 ] && [ ! -s "$root/opt/test/log" ]; then cat "$room/console" >&2; fi
    return "$status"
}
