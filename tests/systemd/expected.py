# SPDX-License-Identifier: Apache-2.0
"""expected.py FOLDER [MODEL...]: the messages that inside.py sends and the answers it must get.

Runs outside of the service, on the host. The answers are LiteRT's where it is installed (by
its default, XNNPACK), else the library's `predict`; `judge` in the file says whose.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import neurovm

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MODELS = ("digits_cnn", "digits_dscnn")
MESSAGES = 8


def main(folder: Path, models: Sequence[str]) -> None:
    """Write FOLDER/expected.json and copy the models beside it."""
    digits = np.load(FIXTURES / "digits_x.npy")[: 2 * MESSAGES].astype(np.float32) / 16
    # Two digits over each other: answers in which every class has a code of its own.
    images = (digits[:MESSAGES] + digits[MESSAGES:]) / 2
    cases = {}
    for name in models:
        source = FIXTURES / f"{name}.tflite"
        shutil.copy(source, folder)
        model = neurovm.convert_tflite(source)
        info = model.inputs[0]
        rows = images.reshape(-1, *info.shape[1:])
        if info.dtype == "int8":
            rows = np.clip(np.round(rows / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        judge, answers = litert(source, rows)
        if answers is None:
            judge, answers = "neurovm predict", np.asarray(model.predict(rows))
        out = model.outputs[0]
        codes = answers
        if answers.dtype == np.float32:
            codes = np.round(answers / np.float32(out.scale)).astype(np.int32) + out.zero_point
        cases[name] = {
            "judge": judge,
            "dtype": info.dtype,
            "payloads": [row.tobytes().hex() for row in rows],
            "codes": [row.ravel().tolist() for row in codes],
        }
    (folder / "expected.json").write_text(json.dumps(cases), encoding="utf-8")


def litert(source: Path, rows: np.ndarray) -> tuple[str, np.ndarray | None]:
    """Each row through LiteRT; None where it is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return "", None
    interpreter = Interpreter(model_path=str(source), num_threads=1)
    interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for row in rows:
        interpreter.set_tensor(entry["index"], row[np.newaxis])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(exit_["index"])[0])
    return "LiteRT", np.array(answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or MODELS)
