#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [WHEEL]: install the wheel in a booted systemd and run the service there (root; a minute).
#
# Needs debootstrap, systemd-nspawn, and a Python >= 3.11 with pip and with neurovm ready to use, for
# the wheel and the expected answers: $PYTHON, else .venv/bin/python, else python3. Without WHEEL one
# is built from this checkout. pip runs on this host only, with its configuration; the container has
# no network but loopback.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
die() { echo "tests/systemd/run.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "systemd-nspawn and debootstrap need root: sudo $0"
for tool in debootstrap systemd-nspawn unshare; do
    command -v "$tool" >/dev/null || die "no $tool; apt-get install debootstrap systemd-container"
done
python=${PYTHON:-$top/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3) || die "no python3"

base=$("$here/rootfs.sh")
cache=$(dirname "$base")
room=$(mktemp -d "$cache/run.XXXXXX")
nspawn=
cleanup() {
    if [ -n "$nspawn" ] && kill -0 "$nspawn" 2>/dev/null; then kill "$nspawn"; wait "$nspawn" || true; fi
    mountpoint -q "$room/root" && umount "$room/root"
    rm -rf --one-file-system "$room"
    # With the old hierarchy of control groups nspawn leaves empty ones of its own behind.
    find /sys/fs/cgroup/{unified,systemd}/{payload,supervisor} -depth -type d -exec rmdir {} + 2>/dev/null || true
}
trap cleanup EXIT

# --- the wheel, and wheels of what it needs, for the container's Python 3.11
mkdir -p "$room"/{wheel,wheels,upper,work,root}
if [ $# -gt 0 ]; then
    cp "$1" "$room/wheel/"
else
    "$python" -m pip wheel -qq --no-deps -w "$room/wheel" "$top"
fi
wheel=$(echo "$room"/wheel/*.whl)
case $wheel in
    *-cp311-*|*-py3-*) ;;
    *) die "$(basename "$wheel") is not for the container's Python 3.11: build with Python >= 3.11" ;;
esac
machine=$(uname -m)
"$python" -m pip download -qq -d "$room/wheels" --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none \
    --platform "manylinux_2_28_$machine" --platform "manylinux2014_$machine" \
    --platform "manylinux_2_17_$machine" --platform "linux_$machine" "$wheel"

# --- an overlay over the root file system, with the wheel installed as an administrator would
mount -t overlay overlay -o "lowerdir=$base,upperdir=$room/upper,workdir=$room/work" "$room/root"
mkdir -p "$room/root/opt/test" "$room/root/opt/wheels"
mv "$room"/wheels/*.whl "$room/root/opt/wheels/"
chroot "$room/root" /usr/bin/python3 -m venv /opt/neurovm
chroot "$room/root" /opt/neurovm/bin/pip install -q --no-index --find-links /opt/wheels neurovm
rm -r "$room/root/opt/wheels"

# --- what is asked and what must be answered, computed out here
PYTHONPATH=$top "$python" "$here/expected.py" "$room/root/opt/test"
cp "$here/inside.py" "$room/root/opt/test/"

# --- boot; the test is a unit that ends the container with its own exit code
cat >"$room/root/etc/systemd/system/neurovm-test.service" <<'UNIT'
[Unit]
After=multi-user.target mosquitto.service
SuccessAction=exit-force
FailureAction=exit-force
FailureActionExitStatus=1
SuccessActionExitStatus=0
[Service]
Type=oneshot
TimeoutStartSec=300
ExecStart=/opt/neurovm/bin/python /opt/test/inside.py
StandardOutput=file:/opt/test/log
StandardError=file:/opt/test/log
UNIT
# Not wanted by multi-user.target itself: it would wait for its own end.
mkdir -p "$room/root/etc/systemd/system/timers.target.wants"
cat >"$room/root/etc/systemd/system/neurovm-test.timer" <<'UNIT'
[Timer]
OnBootSec=0
AccuracySec=1ms
UNIT
ln -s ../neurovm-test.timer "$room/root/etc/systemd/system/timers.target.wants/"
: >"$room/root/opt/test/log"
timeout -k 10 420 unshare -m systemd-nspawn -q -D "$room/root" -M "neurovm-test-$$" --boot --register=no --keep-unit \
    --private-network --console=pipe </dev/null >"$room/console" 2>&1 &
nspawn=$!
tail -n +1 -f --pid="$nspawn" "$room/root/opt/test/log" &
status=0
wait "$nspawn" || status=$?
nspawn=
wait
if [ "$status" != 0 ] && [ ! -s "$room/root/opt/test/log" ]; then cat "$room/console" >&2; fi
exit "$status"
