#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# limits.sh [WHEEL]: the limits of VMs as the kernel holds them, in a booted machine (root, qemu; a minute or two).
#
# Needs what run.sh needs, and what machine.sh names; where that is missing it says so and is no failure.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
die() { echo "tests/systemd/limits.sh: $*" >&2; exit 1; }
# shellcheck source=tests/systemd/container.sh
. "$here/container.sh"
# shellcheck source=tests/systemd/machine.sh
. "$here/machine.sh"

missing=$(die() { echo "$*"; exit 1; }; need_container_tools; need_machine_tools) || {
    echo "tests/systemd/limits.sh: SKIPPED: $missing"
    exit 0
}
python=${PYTHON:-$top/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3) || die "no python3"
open_room "$("$here/rootfs.sh")"
install_wheel "$@"

PYTHONPATH=$top "$python" "$here/expected.py" "$root/opt/test"
cp "$here/limits.py" "$here/booted.py" "$root/opt/test/"

# An emulated machine is slow, and slower still on a busy host.
export TEST_TIMEOUT_S=${TEST_TIMEOUT_S:-1200}
boot_machine /opt/neurovm/bin/python /opt/test/limits.py
