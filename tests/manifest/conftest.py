# SPDX-License-Identifier: Apache-2.0
"""The manifest that the documentation shows, and a larger one with every key."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCUMENTED = Path(__file__).with_name("documented.yaml")
EVERY_KEY = (
    DOCUMENTED.read_text()
    + """\

source: "model.tflite"
labels: labels.txt
profile: xnnpack
backend: cpu
calibration: {samples: samples.csv, answers: answers.txt, rows: 64}
inputs:
  - topic: plant/{stream}/sensor/{element}
    payload: {format: json, field: value}
    to: {tensor: 0, elements: [flow, pressure]}
output:
  on: change
  form: {top_k: 1}
"""
)


@pytest.fixture
def documented() -> str:
    return DOCUMENTED.read_text()
