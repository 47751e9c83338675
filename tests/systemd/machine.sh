#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machine.sh, to be sourced after container.sh: a whole machine (qemu) with a kernel of its own, for what a container
# cannot show: nspawn accepts limits on memory and CPU and does not hold them where the host has no cgroup v2.
#
#   need_machine_tools         or ends with the reason
#   boot_machine CMD…          boots a copy of $root with CMD as a unit; its output comes out, its success is the result
#
# The machine is emulated (TCG), which every host can do and where Python is slow; ACCELERATOR=kvm where that works. It has
# one CPU, 1 GiB and no network but loopback. The kernel is Debian's, downloaded once with apt-get, and stays beside the
# root file systems.

kernel_package=linux-image-cloud-amd64

need_machine_tools() {
    local tool
    for tool in qemu-system-x86_64 mke2fs busybox cpio depmod modprobe apt-get; do
        command -v "$tool" >/dev/null ||
            die "no $tool; apt-get install qemu-system-x86 e2fsprogs busybox-static cpio kmod"
    done
}

fetch_kernel() { # sets $kernel: a folder with boot/ and lib/modules/
    local package part
    package=$(apt-cache depends "$kernel_package" | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -1)
    [ -n "$package" ] || die "apt-cache does not know $kernel_package (apt-get update?)"
    kernel=$(dirname "$room")/$package
    [ -d "$kernel" ] && return
    part=$(mktemp -d "$room/kernel.XXXXXX")
    (cd "$part" && apt-get download -q -o APT::Sandbox::User=root "$package" >/dev/null) || die "apt-get download $package failed"
    dpkg -x "$part"/*.deb "$part/tree"
    mv "$part/tree" "$kernel"
}

make_initrd() { # what mounts /dev/vda and goes on to its init
    local initrd=$room/initrd version module options
    version=$(basename "$kernel"/lib/modules/*)
    depmod -b "$kernel" "$version"
    mkdir -p "$initrd"/{bin,dev,proc,new,modules}
    cp "$(command -v busybox)" "$initrd/bin/busybox"
    for module in virtio_pci virtio_blk ext4; do
        # Each with what it needs first; one that is built in has no file.
        modprobe -d "$kernel" -S "$version" --show-depends "$module"
    done | while read -r verb module options; do
        : "$options"
        [ "$verb" = insmod ] && ! [ -e "$initrd/modules/$(basename "$module")" ] || continue
        cp "$module" "$initrd/modules/"
        basename "$module" >>"$initrd/modules/order"
    done
    cat >"$initrd/init" <<'INIT'
#!/bin/busybox sh
set -e
busybox() { /bin/busybox "$@"; }
busybox mount -t devtmpfs none /dev
busybox mount -t proc none /proc
for module in $(busybox cat /modules/order); do busybox insmod "/modules/$module"; done
tries=0
while [ ! -b /dev/vda ] && [ "$tries" -lt 200 ]; do tries=$((tries + 1)); busybox sleep 0.05; done
busybox mount -t ext4 /dev/vda /new
busybox umount /proc
exec busybox switch_root /new /sbin/init
INIT
    chmod +x "$initrd/init"
    (cd "$initrd" && find . | cpio -o -H newc --quiet) | gzip -1 >"$room/initrd.gz"
}

boot_machine() {
    local accelerator=${ACCELERATOR:-tcg} status=1
    fetch_kernel
    make_initrd
    write_test_unit /dev/ttyS1 poweroff-force "$@"
    : >"$root/etc/fstab"
    truncate -s 2G "$room/disk"
    mke2fs -q -F -t ext4 -d "$root" "$room/disk" || die "mke2fs failed"
    : >"$room/log"
    echo "booting a machine ($accelerator, $(basename "$kernel"))"
    timeout -k 10 $((${TEST_TIMEOUT_S:-300} + 120)) qemu-system-x86_64 -machine q35 -accel "$accelerator" -cpu max \
        -m 1024 -nodefaults -display none -no-reboot -kernel "$(echo "$kernel"/boot/vmlinuz-*)" -initrd "$room/initrd.gz" \
        -append 'console=ttyS0 quiet root=/dev/vda rw panic=-1 systemd.show_status=0' \
        -drive "file=$room/disk,if=virtio,format=raw,cache=unsafe" \
        -serial "file:$room/console" -serial "file:$room/log" </dev/null >"$room/qemu" 2>&1 &
    nspawn=$!
    tail -n +1 -f --pid="$nspawn" "$room/log" | sed -u 's/\r$//' &
    wait "$nspawn" || true
    nspawn=
    wait
    if tr -d '\r' <"$room/log" | grep -qx 'test: success'; then status=0; fi
    if [ ! -s "$room/log" ]; then cat "$room/qemu"; tail -30 "$room/console"; fi >&2
    return "$status"
}
