#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# emulation.sh on|off: let this machine's kernel run programs for arm64 through qemu-user (root), so that a
# root file system of that architecture can be built and booted; `off` undoes it.
#
# Nothing is changed where the kernel runs them already. The processor emulated is QEMU_CPU's: set it to
# cortex-a72, a Raspberry Pi 4's (the default of qemu has instructions that it computes wrongly).
set -euo pipefail

name=neurovm-test-aarch64
misc=/proc/sys/fs/binfmt_misc
qemu=$(command -v qemu-aarch64-static) || { echo "no qemu-aarch64-static; apt-get install qemu-user-static" >&2; exit 1; }
[ -e $misc/register ] || mount -t binfmt_misc binfmt_misc $misc

case ${1:-} in
    on)
        if [ ! -e $misc/$name ] && ! grep -qs '^interpreter.*aarch64' $misc/*; then
            # The head of an ELF file for aarch64, as qemu's own binfmt configuration has it. F: opened now,
            # so that it works inside of other root file systems.
            magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
            mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
            printf ':%s:M::%s:%s:%s:F' "$name" "$magic" "$mask" "$qemu" >$misc/register
        fi
        ;;
    off) if [ -e $misc/$name ]; then echo -1 >$misc/$name; fi ;;
    *) echo "emulation.sh on|off" >&2; exit 64 ;;
esac
