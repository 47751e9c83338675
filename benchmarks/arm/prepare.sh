#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# prepare.sh DIR: what benchmarks/arm_instructions.py runs, into DIR (Debian 12 on x86_64; network; 700 MB; no
# root but for debootstrap): qemu-user that loads plugins, Debian's python3 and numpy for arm64, LiteRT's wheel
# for aarch64, our counting plugin, and the kernel with steps.c, cross-compiled. A second run is quick, and one
# that was interrupted goes on: what is fetched gets its name when it is whole.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
to=${1:?prepare.sh DIR}
litert=2.1.6
mkdir -p "$to"
to=$(cd "$to" && pwd)
parts=$to/parts # what is not whole yet

say() { printf 'prepare.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
part() { rm -rf "${parts:?}/$1"; mkdir -p "$parts/$1"; }

[ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m); processors are emulated on x86_64"
missing=
for tool in apt-get debootstrap dpkg-deb aarch64-linux-gnu-gcc gcc make; do
    PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] ||
    die "no$missing; Debian: apt-get install debootstrap dpkg gcc make gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
PATH=$PATH:/usr/sbin:/sbin

if ! [ -x "$to/qemu/usr/bin/qemu-aarch64" ]; then # beside qemu-user-static, which it would replace
    say "fetching qemu-user"
    part qemu
    (cd "$parts" && apt-get -qq -o APT::Sandbox::User=root download qemu-user) ||
        die "apt-get download qemu-user failed; apt-get update, perhaps"
    dpkg-deb -x "$parts"/qemu-user_*.deb "$parts/qemu"
    rm -rf "$parts"/qemu-user_*.deb "$to/qemu"
    mv "$parts/qemu" "$to/qemu"
fi

if ! [ -x "$to/root/usr/bin/python3.11" ]; then
    say "fetching Debian's python3 and numpy for arm64 (a minute or two)"
    part bootstrap
    part root
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-numpy,libstdc++6 \
        bookworm "$parts/bootstrap" ${MIRROR:+"$MIRROR"} >"$to/debootstrap.log" 2>&1 ||
        die "debootstrap failed (it needs root); the end of $to/debootstrap.log:
$(tail -3 "$to/debootstrap.log")"
    for package in "$parts"/bootstrap/var/cache/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$parts/root"
    done
    rm -rf "$parts/bootstrap" "$to/root"
    mv "$parts/root" "$to/root"
fi

if [ "$(cat "$to/site/litert-version" 2>/dev/null)" != $litert ]; then
    say "fetching LiteRT $litert for aarch64"
    part site
    "${PYTHON:-python3}" -m pip install -q --target "$parts/site" --no-deps --only-binary=:all: \
        --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 --python-version 311 \
        ai-edge-litert==$litert flatbuffers backports.strenum tqdm typing-extensions protobuf ||
        die "no ai-edge-litert $litert for aarch64 and Python 3.11 from this package index"
    echo $litert >"$parts/site/litert-version"
    rm -rf "$to/site"
    mv "$parts/site" "$to/site"
fi
rm -rf "$parts"

gcc -O2 -shared -fPIC -o "$to/count_plugin.so" "$here/count_plugin.c"
# As the wheel is built, but for code that sees no Python.
say "compiling the kernel for aarch64"
make -s -j"$(nproc)" -C "$here/../../tests/c" BUILD="$to/c" "$to/c/arm/fast/kernel.a"
aarch64-linux-gnu-gcc -std=gnu11 -O2 -static -I"$here/../../core_c/include" -o "$to/steps" \
    "$here/steps.c" "$to/c/arm/fast/kernel.a" -lm
