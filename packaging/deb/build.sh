#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh: a Debian package of this checkout, with all it needs from PyPI in an environment of its own.
#
#   --distribution NAME  bookworm, trixie, jammy or noble (default: the one this runs on, else bookworm)
#   --architecture ARCH  amd64 or arm64 (default: this machine's); arm64 is cross-compiled elsewhere
#   --wheel FILE         the wheel of neurovm (default: built from this checkout)
#   --wheels DIR         take the dependencies' wheels from this folder: no network is used then
#   --revision N         of the package, from 1
#   --output DIR         where the package goes (default: dist)
#
# Needs dpkg-deb, binutils, a C compiler (for ARCH) and $PYTHON (default .venv/bin/python, else python3)
# with pip; for jammy without --wheel a Python 3.10. DEBFULLNAME and DEBEMAIL, Debian's usual variables, name
# who answers for the package; without them it carries an address that RFC 2606 keeps from existing. The dependencies are those of requirements-3.X.txt,
# by version and hash. Every time in the package is SOURCE_DATE_EPOCH (default: of the last commit): the
# same sources and compiler give the same package, byte for byte. The last line is the package's path.
set -euo pipefail
export LC_ALL=C.UTF-8
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
say() { printf 'deb: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

distribution='' architecture=$(dpkg --print-architecture) wheel='' wheels='' revision=1 output=$top/dist
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value"
    case $1 in
        --distribution) distribution=$2 ;;
        --architecture) architecture=$2 ;;
        --wheel) wheel=$(readlink -e "$2") || die "no wheel $2" ;;
        --wheels) wheels=$(readlink -e "$2") || die "no folder $2" ;;
        --revision) revision=$2 ;;
        --output) output=$2 ;;
        *) die "unknown option $1 (see the head of $0)" ;;
    esac
    shift 2
done
if [ -z "$distribution" ]; then
    # shellcheck disable=SC1091
    distribution=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    case $distribution in bookworm | trixie | jammy | noble) ;; *) distribution=bookworm ;; esac
fi
case $distribution in
    bookworm) python_version=3.11 suffix=deb12 ;;
    trixie) python_version=3.13 suffix=deb13 ;;
    jammy) python_version=3.10 suffix=ubuntu22.04 ;;
    noble) python_version=3.12 suffix=ubuntu24.04 ;;
    *) die "no distribution $distribution: bookworm, trixie, jammy, noble" ;;
esac
case $architecture in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) die "no architecture $architecture: amd64, arm64" ;;
esac
maintainer="${DEBFULLNAME:-neurovm maintainers} <${DEBEMAIL:-maintainers@neurovm.invalid}>"
[[ $maintainer =~ ^[^\<\>/\&\\]+\ \<[^\<\>/\&\\\ ]+@[^\<\>/\&\\\ ]+\>$ ]] || die "DEBFULLNAME, DEBEMAIL: found $maintainer"
[[ $revision =~ ^[0-9]+$ ]] || die "--revision: found $revision; accepted: a number"
python=${PYTHON:-$top/.venv/bin/python}
[ -x "$python" ] || python=$(command -v "${PYTHON:-python3}") || die "no python3"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$top/pyproject.toml")
# 1.0rc1 comes before 1.0 in dpkg's order only with a tilde.
deb_version=$(sed -E 's/\.?(a|b|rc|dev)([0-9]+)$/~\1\2/' <<<"$version")-$revision+$suffix
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git -c safe.directory='*' -C "$top" log -1 --format=%ct 2>/dev/null ||
        stat -c %Y "$top/CHANGELOG.md")
fi
export SOURCE_DATE_EPOCH PIP_DISABLE_PIP_VERSION_CHECK=1

for tool in gcc strip; do
    command -v "$machine-linux-gnu-$tool" >/dev/null ||
        die "no $machine-linux-gnu-$tool: apt-get install gcc-${machine//_/-}-linux-gnu"
done

room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
tree=$room/tree
environment=$tree/usr/lib/neurovm
site=$environment/lib/python$python_version/site-packages

build_wheel() { # of neurovm, from a copy: nothing of an earlier build gets in, nothing is left behind
    mkdir -p "$room/source" "$room/wheel"
    tar -C "$top" --exclude=./.git --exclude=./.venv --exclude=./build --exclude=./dist --exclude='*.so' \
        --exclude='*.egg-info' --exclude=__pycache__ --exclude=./core_c/_kernel.c -cf - . |
        tar -C "$room/source" -xf -
    # For another architecture Python's headers of this machine serve: all are 64-bit little-endian, and
    # the limited API lets nothing else of pyconfig.h through.
    local cc=$machine-linux-gnu-gcc
    # The linker is named so that no path of this machine's Python gets into the module (an RPATH).
    CC=$cc LDSHARED="$cc -shared -Wl,-z,relro,-z,now" _PYTHON_HOST_PLATFORM=linux-$machine \
        "$python" -m pip wheel -q --no-deps -w "$room/wheel" "$room/source"
    wheel=$(echo "$room"/wheel/*.whl)
}

check_wheel() { # that the wheel is for this distribution's Python and this architecture
    case $(basename "$wheel") in
        *-cp311-abi3-*"_$machine.whl") [ "$python_version" != 3.10 ] && return ;;
        *-"cp${python_version/./}"-*"_$machine.whl") return ;;
    esac
    die "$(basename "$wheel") is not for Python $python_version on $machine (PYTHON=python$python_version)"
}

fill_environment() {
    local platform options=(install -q --no-deps --no-compile --only-binary=:all: --implementation cp
        --target "$site" --python-version "$python_version"
        --abi "cp${python_version/./}" --abi abi3 --abi none)
    for platform in manylinux_2_28 manylinux2014 manylinux_2_17 linux; do
        options+=(--platform "${platform}_$machine")
    done
    "$python" -m pip "${options[@]}" ${wheels:+--no-index --find-links "$wheels"} --require-hashes \
        -r "$here/requirements-$python_version.txt"
    rm -rf "${site:?}/bin"    # scripts for this machine's Python; ours are written below
    # By its name, not its path, which pip would write down.
    "$python" -m pip "${options[@]}" --no-index --find-links "$(dirname "$wheel")" "neurovm==$version"
    rm -rf "${site:?}/bin" "${site:?}/share"
    # What a running program never opens: tests, types, headers; and what only installation may compile.
    find "$site" -depth -type d \( -name tests -o -name include -o -name __pycache__ \) -exec rm -rf {} +
    find "$site" -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.a' -o -name REQUESTED \) -delete
    find "$site" -depth -type d -empty -delete
    "$machine-linux-gnu-strip" --strip-unneeded -R .comment "$site"/neurovm/_kernel*.so
    # Wheels mark modules and data as programs now and then; only what has a #! line may be one.
    find "$site" -type f -exec chmod 644 {} +

    mkdir -p "$environment/bin" "$tree/usr/bin"
    printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$python_version" \
        >"$environment/pyvenv.cfg"
    ln -s "/usr/bin/python$python_version" "$environment/bin/python3"
    local name
    for name in neurovm:neurovm.cli neurovmd:neurovmd.__main__; do
        # -I: neither the user's packages nor PYTHON* variables reach into the environment.
        printf '#!/usr/lib/neurovm/bin/python3 -I\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' \
            "${name#*:}" >"$environment/bin/${name%:*}"
        chmod 755 "$environment/bin/${name%:*}"
        ln -s "../lib/neurovm/bin/${name%:*}" "$tree/usr/bin/${name%:*}"
    done
}

place() { install -D -m 644 "$1" "$tree/$2"; }

place_service() {
    place "$top/systemd/neurovmd.service" usr/lib/systemd/system/neurovmd.service
    sed -i -e 's,@NEUROVMD@,/usr/bin/neurovmd,' -e 's,^Description=.*,&\nDocumentation=man:neurovmd(8),' \
        "$tree/usr/lib/systemd/system/neurovmd.service"
    place "$top/systemd/neurovmd.sysusers.conf" usr/lib/sysusers.d/neurovmd.conf
    place "$top/systemd/neurovmd.tmpfiles.conf" usr/lib/tmpfiles.d/neurovmd.conf
    place "$top/systemd/neurovmd.yaml" etc/neurovmd/neurovmd.yaml
    place "$top/systemd/vm.yaml.sample" etc/neurovmd/vm.d/vm.yaml.sample
}

place_documents() {
    local doc=usr/share/doc/neurovm page
    place "$here/copyright" "$doc/copyright"
    place "$here/neurovm.lintian-overrides" usr/share/lintian/overrides/neurovm
    place "$top/CHANGELOG.md" "$doc/changelog"
    printf 'neurovm (%s) %s; urgency=medium\n\n  * neurovm %s; what changed stands in changelog.gz.\n\n -- %s  %s\n' \
        "$deb_version" "$distribution" "$version" "$maintainer" \
        "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$tree/$doc/changelog.Debian"
    for page in service.md power.md packages.md; do place "$top/docs/$page" "$doc/$page"; done
    for page in neurovm.1 neurovmd.8; do
        place "$here/$page" "usr/share/man/man${page##*.}/$page"
        gzip -9n "$tree/usr/share/man/man${page##*.}/$page"
    done
    gzip -9n "$tree/$doc/changelog" "$tree/$doc/changelog.Debian"
}

needed_glibc() { # the newest version of its symbols that a module or library here asks for
    find "$site" -name '*.so*' -type f -exec objdump -T {} + 2>/dev/null |
        grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1 | cut -d_ -f2
}

check_libraries() { # that every library asked for is in the package or in what it depends on
    local found
    found=$(find "$site" -name '*.so*' -type f -exec readelf -d {} + 2>/dev/null |
        sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u | while read -r name; do
        case $name in
            libc.so.6 | libm.so.6 | libdl.so.2 | librt.so.1 | libpthread.so.0 | ld-linux*) ;;
            libgcc_s.so.1 | libstdc++.so.6 | libz.so.1) ;;
            *) [ -n "$(find "$site" -name "$name")" ] || printf '%s ' "$name" ;;
        esac
    done)
    [ -z "$found" ] || die "libraries that Depends does not name: $found"
}

write_control() {
    local name
    mkdir -p "$tree/DEBIAN"
    sed -e "s/@MAINTAINER@/$maintainer/" -e "s/@VERSION@/$deb_version/" -e "s/@ARCHITECTURE@/$architecture/" \
        -e "s/@PYTHON@/python$python_version/" -e "s/@GLIBC@/$(needed_glibc)/" \
        -e "s/@INSTALLED_SIZE@/$(du -k -s --apparent-size --exclude=DEBIAN "$tree" | cut -f1)/" \
        "$here/control.in" >"$tree/DEBIAN/control"
    for name in postinst prerm postrm; do
        sed "s/@PYTHON_VERSION@/$python_version/" "$here/$name" >"$tree/DEBIAN/$name"
        chmod 755 "$tree/DEBIAN/$name"
    done
    (cd "$tree" && find etc -type f | sort | sed 's,^,/,') >"$tree/DEBIAN/conffiles"
    (cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
        >"$tree/DEBIAN/md5sums"
}

[ -n "$wheel" ] || build_wheel
check_wheel
fill_environment
place_service
place_documents
check_libraries
write_control
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$output"
package=$(cd "$output" && pwd)/neurovm_${deb_version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz -z6 --build "$tree" "$package" >&2
say "$(du -h "$package" | cut -f1), $(du -sh --exclude=DEBIAN "$tree" | cut -f1) installed"
echo "$package"
