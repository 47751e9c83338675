#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# recipe.sh PACKAGE.deb: carry out packaging/container/Containerfile with this package on a bare Debian 12
# without systemd, and run the result as a container engine would (root, network for apt; a minute).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
die() { echo "tests/packages/recipe.sh: $*" >&2; exit 1; }
# shellcheck source=tests/systemd/container.sh
. "$top/tests/systemd/container.sh"

need_container_tools
package=$(readlink -e "${1:?the package}") || die "no package $1"
python=${PYTHON:-$(command -v python3)}
cache=${NEUROVM_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/neurovm-tests}
base=$cache/slim-bookworm
if [ ! -d "$base" ]; then
    # What debian:12-slim holds, but for the documents left out of it.
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/building.XXXXXX")
    debootstrap --variant=minbase bookworm "$part" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$cache/debootstrap-slim.log" 2>&1 ||
        { rm -rf "$part"; die "debootstrap failed, see $cache/debootstrap-slim.log"; }
    chmod 755 "$part"
    mv "$part" "$base"
fi
open_room "$base"
mkdir "$room/dist"
cp "$package" "$room/dist/"
"$python" "$here/recipe.py" "$top/packaging/container/Containerfile" "$room/dist" "$root" \
    >"$room/image.json" 2>"$room/recipe.log" || { cat "$room/recipe.log" >&2; die "the recipe failed"; }
"$python" "$here/container.py" "$root" "$room/image.json" 2>"$room/daemon.log" ||
    { cat "$room/daemon.log" >&2; die "the container failed"; }
"$here/engine.sh" "$package" "$base"
