#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [WHEEL]: install the wheel in a booted systemd and run the service there (root; a minute).
#
# Needs debootstrap, systemd-nspawn, and a Python >= 3.11 with pip and with neurovm ready to use, for
# the wheel and the expected answers: $PYTHON, else .venv/bin/python, else python3. Without WHEEL one
# is built from this checkout.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
die() { echo "tests/systemd/run.sh: $*" >&2; exit 1; }
# shellcheck source=tests/systemd/container.sh
. "$here/container.sh"

need_container_tools
python=${PYTHON:-$top/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3) || die "no python3"
open_room "$("$here/rootfs.sh")"

install_wheel "$@"

# --- what is asked and what must be answered, computed out here
PYTHONPATH=$top "$python" "$here/expected.py" "$root/opt/test"
cp "$here/inside.py" "$here/booted.py" "$root/opt/test/"

boot_and_run /opt/neurovm/bin/python /opt/test/inside.py
