#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fleet.sh PACKAGE.deb: the example's Ansible role and cloud-init file on a real box (root, network for pip and
# apt; minutes): a booted Debian 12 that `ansible-playbook` provisions twice over a local connection, then with a
# tree that is wrong, and `cloud-init schema`, where that is installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
systemd=$top/tests/systemd fleet=$top/examples/fleet
die() { echo "tests/packages/fleet.sh: $*" >&2; exit 1; }
# shellcheck source=tests/systemd/container.sh
. "$systemd/container.sh"

need_container_tools
package=$(readlink -e "${1:?the package}") || die "no package $1"
python=${PYTHON:-$(command -v python3)}

if command -v cloud-init >/dev/null; then
    cloud-init schema --config-file "$fleet/cloud-init/user-data.yaml" >/dev/null || die "cloud-init has something to say"
    echo "cloud-init schema: valid ($(cloud-init --version 2>&1))"
else
    echo "SKIPPED cloud-init schema: not installed"
fi

open_room "$("$systemd/rootfs.sh")"
# For the container's Python, whatever this one is.
"$python" -m pip install -q --target "$root/opt/ansible" --only-binary=:all: --implementation cp \
    --python-version 3.11 --abi cp311 --abi abi3 --abi none --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux_2_17_x86_64 ansible-core 2>"$room/pip.log" || { cat "$room/pip.log" >&2; die "no ansible-core"; }
# python3-apt, which the role's apt module asks for, where the container has no network.
(cd "$room" && chroot "$root" apt-get -qq update && chroot "$root" apt-get -qq -y --no-install-recommends install python3-apt) \
    >"$room/apt.log" 2>&1 || { cat "$room/apt.log" >&2; die "no python3-apt"; }
cp -rL "$fleet" "$root/opt/test/fleet"
cp "$package" "$root/opt/test/"
cp "$here/fleet_inside.py" "$systemd/booted.py" "$root/opt/test/"
"$python" -m pip download -qq --no-deps --only-binary=:all: -d "$room/paho" 'paho-mqtt>=2'
"$python" -m zipfile -e "$room"/paho/*.whl "$root/opt/test/site"
"$here/broker.sh" "$root"
boot_and_run /usr/bin/env PYTHONPATH=/opt/test/site PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8 HOME=/root \
    /usr/bin/python3 /opt/test/fleet_inside.py
