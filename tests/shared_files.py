# SPDX-License-Identifier: Apache-2.0
"""Third-party models and recordings beside the checkout; tests that use them skip where there are
none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "shared"

# What every part of a program must do on real models of the field.
MODELS = {
    "kws_ref_model": "mlperf_tiny/kws_ref_model.tflite",
    "pretrainedResnet_quant": "mlperf_tiny/pretrainedResnet_quant.tflite",
    "ad01_int8": "mlperf_tiny/ad01_int8.tflite",
    "str_ww_ref_model": "mlperf_tiny/str_ww_ref_model.tflite",
    "micro_speech_quantized": "tflm/micro_speech_quantized.tflite",
    "hello_world_int8": "tflm/hello_world_int8.tflite",
}

STATEFUL = (
    "microwakeword/okay_nabu.tflite",
    "microwakeword/vad.tflite",
    "tflm/trained_lstm_int8.tflite",
)
"""Those that keep state from step to step."""

needed = pytest.mark.skipif(
    not ROOT.is_dir(),
    reason=f"third-party models are not at hand ({ROOT.name}/ beside the checkout)",
)


def model(name: str) -> Path:
    """The file of one of MODELS."""
    return ROOT / "models" / MODELS[name]
