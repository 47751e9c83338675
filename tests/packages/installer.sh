#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# installer.sh PACKAGE.deb WHEEL: run scripts/install.sh twice each way in a Debian 12 without network (root).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
die() { echo "tests/packages/installer.sh: $*" >&2; exit 1; }
# shellcheck source=tests/systemd/container.sh
. "$top/tests/systemd/container.sh"

need_container_tools
package=$(readlink -e "${1:?the package}") wheel=$(readlink -e "${2:?the wheel}")
python=${PYTHON:-$(command -v python3)}
open_room "$("$top/tests/systemd/rootfs.sh")"
download_wheels "$wheel"
mkdir -p "$root/opt/test/scripts" "$root/opt/test/dist"
cp "$top/scripts/install.sh" "$root/opt/test/scripts/"
cp "$package" "$root/opt/test/dist/"
mv "$room/wheels" "$root/opt/test/wheels"

inside() { # a command without network: its output, and its exit code in $code
    code=0
    said=$(systemd-nspawn -q --register=no --keep-unit --as-pid2 --private-network --console=pipe -D "$root" \
        --setenv=PIP_NO_INDEX=1 --setenv=PIP_FIND_LINKS=/opt/test/wheels "$@" </dev/null 2>&1) || code=$?
}

expect() { # exit code, a part of what it says
    if [ "$code" != "$1" ] || [[ $said != *"$2"* ]]; then die "expected $1 and '$2', found $code and: $said"; fi
}

script=/opt/test/scripts/install.sh
inside $script && expect 0 "by deb"
inside $script && expect 0 "is installed"
inside $script --pip && expect 73 "first: apt remove neurovm"
inside apt-get -q -y purge neurovm && expect 0 ""
inside $script --pip && expect 0 "by pip"
inside $script --pip && expect 0 "is installed"
inside neurovmd --version && expect 0 neurovmd
inside $script --deb && expect 73 "by pip; first:"
echo "install.sh: by package and by pip, each twice; neither over the other"
