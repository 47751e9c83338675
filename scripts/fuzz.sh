#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damages models, bundles, programs and messages.
#
#   scripts/fuzz.sh          from new seeds, ten minutes each, again and again until it is stopped or
#                            finds something
#   scripts/fuzz.sh SECONDS  from new seeds, so long each, once
#   scripts/fuzz.sh fixed    the same executions every time, half a minute each on two idle cores:
#                            what .ci/run runs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

payloads=(payload_{json,cbor,senml,sparkplug_b,raw,pcm,image,text,aer,window})

damage() { # target..., options
    .venv/bin/python tests/fuzz/run.py "$@"
}

programs() { # target of tests/c/Makefile, its settings
    if command -v clang >/dev/null; then
        make --no-print-directory -C tests/c "$@"
    else
        echo "skipped: programs are fuzzed with libFuzzer, and there is no clang"
    fi
}

round() { # seconds
    local seed
    seed=$(date +%s%N)
    echo "first seed $seed"
    damage read convert survey load --seconds "$1" --seed "$seed"
    damage "${payloads[@]}" --seconds "$(($1 / 4 + 1))" --seed "$seed"
    programs fuzz FUZZ_S="$1"
}

fixed() {
    damage read --seed 0 --runs 200000
    damage convert --seed 0 --runs 120000
    damage survey --seed 0 --runs 110000
    damage load --seed 0 --runs 75000
    damage "${payloads[@]}" --seed 0 --runs 20000
    programs fuzz-fixed
}

scripts/setup.sh test
case "${1:-}" in
"") while :; do round 600; done ;;
fixed) fixed ;;
*) round "$1" ;;
esac
