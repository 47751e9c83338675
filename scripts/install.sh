#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh [--deb|--pip] [--dry-run] [FILE]
#
# Installs neurovm with its service on Debian 12 and 13, Ubuntu 22.04 and 24.04 and Raspberry Pi OS, and
# starts nothing. May be repeated: a newer version is an upgrade, the same one changes nothing.
#
#   FILE       a package (neurovm_*.deb) or a wheel; default: what fits this box in dist/ of the checkout
#              this script stands in, else what pip finds under the name neurovm
#   --deb      only as a package            --pip      only with pip, into /opt/neurovm
#   --dry-run  say what would be done
#
# A package is upgraded and removed with apt and brings all it needs; pip needs an index, or a folder of
# wheels that its own configuration names (PIP_FIND_LINKS). One box has one of the two.
set -eu

os_release=${OS_RELEASE:-/etc/os-release}
way='' file='' dry_run=''
say() { printf 'install: %s\n' "$*"; }
die() { code=$1; shift; printf 'install: %s\n' "$*" >&2; exit "$code"; }
run() { say "$*"; [ -n "$dry_run" ] || "$@"; }

for word; do
    case $word in
        --deb | --pip) way=${word#--} ;;
        --dry-run) dry_run=yes ;;
        -h | --help) sed -n '3,/^set -eu/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        -*) die 64 "unknown option $word; accepted: --deb, --pip, --dry-run, FILE" ;;
        *) file=$word ;;
    esac
done

system=$(uname -s)
[ "$system" = Linux ] || die 69 "this is $system: the daemon runs on Linux only; the library and the" \
    "command neurovm come with pip install neurovm"
[ -r "$os_release" ] || die 69 "no $os_release: which distribution is this?"

# The name that the package of this distribution carries; empty where there is none.
# shellcheck disable=SC1090
suffix=$(. "$os_release"
    case ${VERSION_CODENAME:-} in
        bookworm) echo deb12 ;;
        trixie) echo deb13 ;;
        jammy) echo ubuntu22.04 ;;
        noble) echo ubuntu24.04 ;;
    esac)
# shellcheck disable=SC1090
distribution=$(. "$os_release" && echo "${PRETTY_NAME:-unknown}")
architecture=$(dpkg --print-architecture 2>/dev/null || uname -m)

find_package() { # the newest one for this box in dist/
    folder=$(cd "$(dirname "$0")/.." && pwd)/dist
    [ -n "$suffix" ] || return 0
    find "$folder" -maxdepth 1 -name "neurovm_*+${suffix}_$architecture.deb" 2>/dev/null | sort -V | tail -1
}

case $file in
    '') [ "$way" = pip ] || file=$(find_package) ;;
    *.deb | *.whl) [ -r "$file" ] || die 66 "no file $file" ;;
    *) die 64 "FILE: found $file; accepted: a .deb or a .whl" ;;
esac
case $way$file in
    deb) die 66 "no package for $distribution on $architecture in dist/; build one with: make deb" ;;
    deb*.whl | pip*.deb) die 64 "--$way does not go with $file" ;;
esac
case $file in
    *.deb)
        way=deb
        case $file in
            *"+${suffix:-none}_$architecture.deb") ;;
            *) die 69 "$(basename "$file") is not for $distribution on $architecture" ;;
        esac
        ;;
    *) way=pip ;;
esac

[ -n "$dry_run" ] || [ "$(id -u)" = 0 ] || die 77 "this needs root; run: sudo sh $0 $*"

say "$distribution on $architecture: by $way"
if [ "$way" = deb ]; then
    [ ! -e /opt/neurovm/bin/neurovm ] || die 73 "neurovm is in /opt/neurovm already, by pip; first:" \
        "/opt/neurovm/bin/neurovm service remove && rm -r /opt/neurovm (configuration and state stay)"
    path=$(cd "$(dirname "$file")" && pwd)/$(basename "$file")
    run apt-get install -y --no-install-recommends "$path"
    command=neurovm
else
    ! dpkg-query -W neurovm >/dev/null 2>&1 || die 73 "the package neurovm is installed; first: apt remove neurovm"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        die 69 "Python 3.10 or later is needed; found: $(python3 --version 2>&1 || true)"
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        run apt-get install -y --no-install-recommends python3-venv
    fi
    [ -x /opt/neurovm/bin/python ] || run python3 -m venv /opt/neurovm
    run /opt/neurovm/bin/python -m pip install -q --upgrade "${file:-neurovm}"
    for name in neurovm neurovmd; do run ln -sf "/opt/neurovm/bin/$name" "/usr/local/bin/$name"; done
    command=/opt/neurovm/bin/neurovm
    if [ -d /run/systemd/system ]; then run $command service install; fi
fi

[ -n "$dry_run" ] || say "$("$command" --version) is installed"
if [ -d /run/systemd/system ]; then
    say "next: describe a model in /etc/neurovmd/vm.d/NAME.yaml, then: systemctl enable --now neurovmd"
else
    say "next: no systemd runs here; let your supervisor start: neurovmd --config FILE"
fi
