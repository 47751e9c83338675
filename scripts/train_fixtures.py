# SPDX-License-Identifier: Apache-2.0
"""Train and export the int8 networks that tests and demo run on (development only).

    python scripts/train_fixtures.py [--only NAME ...]

needs tensorflow and scikit-learn, nothing of neurovm. Data: scikit-learn's digits (8 × 8 pixels,
0..16), the simulated plant of `examples/pump`, the tones and the machine of `template_data.py`.
Everything starts from `SEED`. Writes `tests/fixtures/*.tflite` with sample inputs and the table in
`tests/fixtures/README.md`, `examples/pump/pump.tflite`, and for the templates of `neurovm create`
model, samples, answers and labels in `neurovm/templates/*/`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import fixture_networks
import keras
import numpy as np
import template_data
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from examples.pump import dataset  # noqa: E402  (needs the line above)
from examples.pump.faults import CLASSES  # noqa: E402  (the same)

SEED = 20260101
FIXTURES = ROOT / "tests" / "fixtures"
TEMPLATES = ROOT / "neurovm" / "templates"
TEMPLATE_ROWS = 100
PUMP = ROOT / "examples" / "pump" / "pump.tflite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """x float32 (n, ...) as the network takes it, y int (n,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One network: how it is built and trained, and how it is exported.

    `io` is the exported input and output type; `dynamic_batch` keeps Keras' unknown batch, so
    that Flatten becomes Shape, StridedSlice, Pack and Reshape instead of one Reshape;
    `balanced` weighs classes by the square root of their rarity, so that rare faults count.
    """

    name: str
    path: Path
    data: Callable[[], Data]
    build: Callable[[], keras.Model]
    epochs: int
    io: type
    dynamic_batch: bool = False
    balanced: bool = False
    note: str = ""


# ---- data -------------------------------------------------------------------------------------


def digits() -> Data:
    """1,797 images, pixels 0..16 scaled to 0..1; a quarter is kept for the test."""
    images, labels = load_digits(return_X_y=True)
    x = (images.reshape(-1, 8, 8, 1) / 16.0).astype(np.float32)
    parts = train_test_split(x, labels, test_size=0.25, random_state=SEED, stratify=labels)
    return Data(x_train=parts[0], x_test=parts[1], y_train=parts[2], y_test=parts[3])


def _pump(record: Callable[..., dataset.Rows], train: int, test: int) -> Data:
    x_train, y_train = record(range(train))
    x_test, y_test = record(range(10_000, 10_000 + test))
    return Data(
        x_train=np.asarray(x_train, dtype=np.float32),
        y_train=np.asarray(y_train),
        x_test=np.asarray(x_test, dtype=np.float32),
        y_test=np.asarray(y_test),
    )


def pump_snapshots() -> Data:
    """Readings of all sensors at one moment: (n, 64)."""
    return _pump(dataset.snapshots, 120, 12)


def pump_windows() -> Data:
    """The last 16 readings of all sensors, one each 2 s: (n, 16, 1, 64)."""
    data = _pump(dataset.windows, 40, 8)
    shape = (-1, dataset.WINDOW, 1, 64)
    return Data(
        x_train=data.x_train.reshape(shape),
        y_train=data.y_train,
        x_test=data.x_test.reshape(shape),
        y_test=data.y_test,
    )


def _simulated(make: Callable[[int, int], tuple[np.ndarray, np.ndarray]], each: int) -> Data:
    (x_train, y_train), (x_test, y_test) = make(SEED, each), make(SEED + 1, each // 4)
    return Data(
        x_train=x_train.astype(np.float32),
        y_train=y_train,
        x_test=x_test.astype(np.float32),
        y_test=y_test,
    )


def keyword() -> Data:
    """Spectrograms of words made of tones: (n, 16, 12, 1)."""
    return _simulated(template_data.keyword, 300)


def vibration() -> Data:
    """Amplitudes of 16 orders on 3 axes of a simulated machine: (n, 48)."""
    return _simulated(template_data.vibration, 400)


# ---- the list -----------------------------------------------------------------------------------


FIXTURE_LIST: tuple[Fixture, ...] = (
    Fixture(
        name="pump",
        path=PUMP,
        data=pump_snapshots,
        build=fixture_networks.pump_mlp,
        epochs=30,
        balanced=True,
        io=tf.float32,
        note="the demo; Quantize and Dequantize at the edges",
    ),
    Fixture(
        name="pump_window_dscnn",
        path=FIXTURES / "pump_window_dscnn.tflite",
        data=pump_windows,
        build=fixture_networks.pump_window_dscnn,
        epochs=15,
        io=tf.int8,
        note="16 readings of 64 sensors; VALID along time, RELU6",
    ),
    Fixture(
        name="digits_mlp",
        path=FIXTURES / "digits_mlp.tflite",
        data=digits,
        build=fixture_networks.digits_mlp,
        epochs=40,
        io=tf.int8,
        note="one layer without a bias; logits out",
    ),
    Fixture(
        name="digits_cnn",
        path=FIXTURES / "digits_cnn.tflite",
        data=digits,
        build=fixture_networks.digits_cnn,
        epochs=40,
        io=tf.int8,
        dynamic_batch=True,
        note="dynamic batch: Flatten as Shape, StridedSlice, Pack, Reshape; VALID stride 2",
    ),
    Fixture(
        name="digits_dscnn",
        path=FIXTURES / "digits_dscnn.tflite",
        data=digits,
        build=fixture_networks.digits_dscnn,
        epochs=40,
        io=tf.float32,
        note="RELU6, SAME stride 2; Quantize and Dequantize at the edges",
    ),
    Fixture(
        name="digits_resnet",
        path=FIXTURES / "digits_resnet.tflite",
        data=digits,
        build=fixture_networks.digits_resnet,
        epochs=40,
        io=tf.uint8,
        note="uint8 in and out; ADD, PAD, MAXPOOL, MEAN",
    ),
    Fixture(
        name="keyword",
        path=TEMPLATES / "keyword" / "model.tflite",
        data=keyword,
        build=fixture_networks.keyword_dscnn,
        epochs=60,
        io=tf.float32,
        note="a template: synthetic tones, no speech",
    ),
    Fixture(
        name="vibration",
        path=TEMPLATES / "vibration" / "model.tflite",
        data=vibration,
        build=fixture_networks.vibration_mlp,
        epochs=25,
        io=tf.float32,
        note="a template: a simulated machine",
    ),
)


# ---- training and export ----------------------------------------------------------------------


def train(fixture: Fixture, data: Data) -> keras.Model:
    """A trained network; the same seed, data and TensorFlow give the same weights."""
    keras.utils.set_random_seed(SEED)
    model = fixture.build()
    steps = fixture.epochs * -(-len(data.x_train) // 64)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=not isinstance(model.layers[-1], keras.layers.Softmax)
        ),
    )
    counts = np.bincount(data.y_train)
    weights = dict(enumerate(np.sqrt(counts.max() / counts))) if fixture.balanced else None
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=64,
        epochs=fixture.epochs,
        class_weight=weights,
        verbose=0,
    )
    return model


def export(fixture: Fixture, model: keras.Model, data: Data) -> bytes:
    """Full-integer int8 with per-channel weights; activations calibrated on 300 samples."""
    if not fixture.dynamic_batch:
        one = keras.Input(batch_shape=(1, *data.x_train.shape[1:]))
        model = keras.Model(one, model(one))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    chosen = np.random.default_rng(SEED).choice(len(data.x_train), 300, replace=False)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([data.x_train[i : i + 1]] for i in chosen)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = fixture.io
    converter.inference_output_type = fixture.io
    return bytes(converter.convert())


def run_tflite(content: bytes, x: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Outputs (n, classes) in the model's type, and the operators in execution order."""
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for row in x:
        value = row[None]
        if source["dtype"] is not np.float32:
            scale, zero = source["quantization"]
            limits = np.iinfo(source["dtype"])
            value = np.clip(np.rint(value / scale) + zero, limits.min, limits.max)
        interpreter.set_tensor(source["index"], value.astype(source["dtype"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(sink["index"])[0])
    operators = [op["op_name"] for op in interpreter._get_ops_details()]  # noqa: SLF001 - no other names them
    return np.stack(outputs), [name for name in operators if name != "DELEGATE"]


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose best score is the label's."""
    return float(np.mean(scores.argmax(axis=1) == labels))


def make(fixture: Fixture) -> dict[str, object]:
    """Train, export, measure and write one fixture; the figures for the table."""
    data = fixture.data()
    model = train(fixture, data)
    content = export(fixture, model, data)
    scores, operators = run_tflite(content, data.x_test)
    fixture.path.write_bytes(content)
    figures: dict[str, object] = {
        "name": fixture.name,
        "file": str(fixture.path.relative_to(ROOT)),
        "bytes": len(content),
        "float": round(accuracy(model.predict(data.x_test, verbose=0), data.y_test), 4),
        "int8": round(accuracy(scores, data.y_test), 4),
        "rows": len(data.y_test),
        "io": fixture.io.name,
        "operators": operators,
        "note": fixture.note,
    }
    print(json.dumps(figures), flush=True)
    return figures


# ---- samples and table ------------------------------------------------------------------------


def write_samples() -> None:
    """Test inputs with labels, small: 128 digits and 64 rows of sensor readings."""
    data = digits()
    pixels = np.rint(data.x_test.reshape(-1, 64) * 16.0).astype(np.uint8)
    np.save(FIXTURES / "digits_x.npy", pixels[:128])
    np.save(FIXTURES / "digits_y.npy", data.y_test[:128].astype(np.uint8))
    pump = pump_snapshots()
    chosen = np.random.default_rng(SEED).choice(len(pump.y_test), 64, replace=False)
    table = np.column_stack([pump.x_test[chosen], pump.y_test[chosen]])
    header = ",".join((*dataset.NAMES, "class"))
    formats = ["%.4f"] * 64 + ["%d"]
    np.savetxt(FIXTURES / "pump_rows.csv", table, formats, ",", header=header, comments="")


def write_templates() -> None:
    """What `neurovm create` copies: models, and test rows as real values with their classes."""
    for name, source in (("digits", FIXTURES / "digits_mlp.tflite"), ("plant", PUMP)):
        (TEMPLATES / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, TEMPLATES / name / "model.tflite")
    classes = {
        "digits": (digits(), [str(i) for i in range(10)]),
        "plant": (pump_snapshots(), list(CLASSES)),
        "keyword": (keyword(), list(template_data.WORDS)),
        "vibration": (vibration(), list(template_data.STATES)),
    }
    for name, (data, labels) in classes.items():
        folder = TEMPLATES / name
        chosen = np.random.default_rng(SEED).permutation(len(data.y_test))[:TEMPLATE_ROWS]
        rows = data.x_test[chosen].reshape(len(chosen), -1)
        np.savetxt(folder / "samples.csv", rows, "%.4g", ",")
        np.savetxt(folder / "answers.txt", data.y_test[chosen], "%d")
        (folder / "labels.txt").write_text("\n".join(labels) + "\n")


def write_table(figures: list[dict[str, object]]) -> None:
    """Replace the table between the two markers of the README."""
    lines = [
        "| network | bytes | in, out | float | int8 | test rows | operators | what it is for |"
    ]
    lines.append("| --- " * 8 + "|")
    for row in figures:
        operators = " ".join(sorted(set(map(str, row["operators"]))))
        lines.append(
            f"| `{row['name']}` | {row['bytes']:,} | {row['io']} | {row['float']:.2%} "
            f"| {row['int8']:.2%} | {row['rows']:,} | {operators} | {row['note']} |"
        )
    path = FIXTURES / "README.md"
    before, _, rest = path.read_text().partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end -->")
    path.write_text(f"{before}<!-- table -->\n" + "\n".join(lines) + f"\n<!-- end -->{after}")


def main() -> None:
    """Make all fixtures, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=[f.name for f in FIXTURE_LIST])
    only = parser.parse_args().only
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for f in FIXTURE_LIST:
        f.path.parent.mkdir(parents=True, exist_ok=True)
    figures = [make(f) for f in FIXTURE_LIST if not only or f.name in only]
    if not only:
        write_samples()
        write_table([row for row in figures if "templates" not in str(row["file"])])
    write_templates()


if __name__ == "__main__":
    main()
