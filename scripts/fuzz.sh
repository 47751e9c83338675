#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damages models, bundles and programs: `scripts/fuzz.sh SECONDS` for so long each, once;
# `scripts/fuzz.sh` for ten minutes each, again and again until it is stopped or finds something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

round() { # seconds, first seed
    .venv/bin/python tests/fuzz/run.py read convert survey load --seconds "$1" --seed "$2"
    if command -v clang >/dev/null; then
        make --no-print-directory -C tests/c fuzz FUZZ_S="$1"
    else
        echo "skipped: programs are fuzzed with libFuzzer, and there is no clang"
    fi
}

scripts/setup.sh test
if [ $# -gt 0 ]; then
    round "$1" 0
    exit
fi
while :; do
    round 600 "$(date +%s%N)"
done
