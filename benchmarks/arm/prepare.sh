#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# prepare.sh DIR: what benchmarks/arm_instructions.py runs, into DIR (Debian 12 on x86_64; network; 700 MB; no
# root but for debootstrap): qemu-user that loads plugins, Debian's python3 and numpy for arm64, LiteRT's wheel
# for aarch64, our counting plugin, and the kernel with steps.c, cross-compiled. A second run is quick.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
to=${1:?prepare.sh DIR}
litert=2.1.6
mkdir -p "$to"
to=$(cd "$to" && pwd)

for tool in debootstrap dpkg-deb aarch64-linux-gnu-gcc gcc make; do
    command -v $tool >/dev/null || { echo "prepare.sh: no $tool" >&2; exit 1; }
done

if ! [ -x "$to/qemu/usr/bin/qemu-aarch64" ]; then # beside qemu-user-static, which it would replace
    (cd "$to" && apt-get -qq download qemu-user && dpkg-deb -x qemu-user_*.deb qemu)
fi

if ! [ -x "$to/root/usr/bin/python3.11" ]; then
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-numpy,libstdc++6 \
        bookworm "$to/bootstrap" >"$to/debootstrap.log"
    mkdir -p "$to/root"
    for package in "$to"/bootstrap/var/cache/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$to/root"
    done
    rm -rf "$to/bootstrap"
fi

if ! [ -d "$to/site/ai_edge_litert" ]; then
    "${PYTHON:-python3}" -m pip install -q --target "$to/site" --no-deps --only-binary=:all: \
        --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 --python-version 311 \
        ai-edge-litert==$litert flatbuffers backports.strenum tqdm typing-extensions protobuf
fi

gcc -O2 -shared -fPIC -o "$to/count_plugin.so" "$here/count_plugin.c"
# As the wheel is built, but for code that sees no Python.
make -s -C "$here/../../tests/c" BUILD="$to/c" "$to/c/arm/kernel.a"
aarch64-linux-gnu-gcc -std=gnu11 -O2 -static -I"$here/../../core_c/include" -o "$to/steps" \
    "$here/steps.c" "$to/c/arm/kernel.a" -lm
