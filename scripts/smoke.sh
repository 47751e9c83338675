#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/smoke.sh WHEEL
#
# Installs the wheel into a fresh environment in a temporary folder and uses it there as a new
# user would; nothing of the checkout is importable. The fixtures are copied beside it.
set -euo pipefail

wheel=$(readlink -f "${1:?the wheel to install}")
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

cp "$top"/tests/fixtures/*.tflite "$top/scripts/smoke.py" "$room"
cd "$room"
env -u PYTHONPATH "${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q "$wheel"
# -I: neither the working directory nor the user's packages are on sys.path.
env -u PYTHONPATH PATH="$room/venv/bin:$PATH" venv/bin/python -Iu smoke.py
