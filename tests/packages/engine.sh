#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# engine.sh PACKAGE.deb ROOT: build packaging/container/Containerfile with podman and run it as its head says
# (root, network for apt). ROOT, a bare Debian 12, stands in for the image debian:12-slim. A store of its own is
# used and removed; skipped, and said so, where podman cannot start a container.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
die() { echo "tests/packages/engine.sh: $*" >&2; exit 1; }
skip() { echo "container engine: SKIPPED: $*"; exit 0; }

package=$(readlink -e "${1:?the package}") base=$(readlink -e "${2:?the root file system}")
command -v podman >/dev/null || skip "no podman"
room=$(mktemp -d)
broker='' name=neurovm-test-$$
# Where this process' own limits are low, no container may ask for more.
limits=(--ulimit "nofile=1024:1024" --ulimit "nproc=1024:1024")
engine() { podman --root "$room/store" --runroot "$room/run" "${runtime[@]}" "$@"; }
close() {
    engine rm -f "$name" >/dev/null 2>&1 || true
    [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
    engine unmount --all >/dev/null 2>&1 || true
    umount -R "$room/store/overlay" 2>/dev/null || true
    rm -rf --one-file-system "$room"
}
trap close EXIT

runtime=()
tar -C "$base" -cf "$room/base.tar" .
engine import -q "$room/base.tar" docker.io/library/debian:12-slim >/dev/null 2>"$room/log" ||
    skip "podman import: $(tail -1 "$room/log")"
for found in "" runc crun; do
    runtime=(${found:+--runtime "$found"})
    if engine run --rm --network=host "${limits[@]}" debian:12-slim true >"$room/log" 2>&1; then break; fi
    [ "$found" != crun ] || skip "no container starts: $(tail -1 "$room/log")"
done

mkdir -p "$room/context/dist" "$room/box/vm.d"
cp "$package" "$room/context/dist/"
engine build --format docker --network=host "${limits[@]}" -t neurovm -f "$top/packaging/container/Containerfile" \
    "$room/context" >"$room/log" 2>&1 || { cat "$room/log" >&2; die "the build failed"; }

port=$("${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
health=$("${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'node: box\nmqtt: {server: "mqtt://127.0.0.1:%s"}\n' "$port" >"$room/box/neurovmd.yaml"
cp "$top/tests/fixtures/digits_mlp.tflite" "$room/box/vm.d/"
printf 'model: digits_mlp.tflite\ninputs: [{topic: "digits/{stream}", payload: {format: raw}}]\n' >"$room/box/vm.d/digits.yaml"
chmod -R a+rX "$room" "$room/box"

# The command of the recipe's head, and the limits above; the port of the health check is free here.
engine run -d --name "$name" --network=host --read-only --tmpfs=/run/neurovmd:mode=1777 \
    --cap-drop=all --security-opt=no-new-privileges "${limits[@]}" -e "NEUROVMD__HTTP__LISTEN=127.0.0.1:$health" \
    -v "$room/box:/etc/neurovmd:ro" -v neurovm-state:/var/lib/neurovmd -v neurovm-cache:/var/cache/neurovmd \
    neurovm >/dev/null 2>"$room/log" || { cat "$room/log" >&2; die "it does not start"; }

healthy() { engine healthcheck run "$name" >/dev/null 2>&1; }
within() { # seconds, what, command...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || { engine logs "$name" >&2; die "$what"; }
        sleep 0.2 # between two looks at another process
    done
}
ready() { engine logs "$name" 2>&1 | grep -q daemon.ready; }
within 60 "it does not get ready" ready
if healthy; then die "healthy without a broker"; fi
mosquitto=$(PATH=$PATH:/usr/sbin command -v mosquitto) || skip "no mosquitto"
"$mosquitto" -p "$port" >/dev/null 2>&1 &
broker=$!
within 60 "not healthy with a broker" healthy
engine stop -t 15 "$name" >/dev/null 2>&1
code=$(engine inspect "$name" --format '{{.State.ExitCode}}' 2>/dev/null)
[ "$code" = 0 ] || { engine logs "$name" >&2; die "ended with $code"; }
echo "container engine: $(podman --version) ${runtime[*]}: built, ready, healthy with a broker, ended by SIGTERM"
