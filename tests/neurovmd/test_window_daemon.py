# SPDX-License-Identifier: Apache-2.0
"""Windows through the whole daemon and a real broker: rows, and words from packets of sound."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import shared_files
from one_vm import Start, connected

import neurovm
from benchmarks.rig import ROOT, Client, Daemon, Mosquitto, wait_for
from examples.keywords.features import clip, mfcc

PUMP = ROOT / "tests/fixtures/pump_window_dscnn.tflite"
SIZE, FRAME, HOP = 16, 64, 4
VM = """\
model: {model}
inputs:
  - topic: pump/{{stream}}/rows
    payload: {{format: raw, dtype: float32}}
    to: {{elements: [{names}]}}
    front_end: {front_end}
    window: {{hop: 4}}
output: {{on: always, form: {{values: codes}}}}
"""


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with neurovm.convert_tflite(PUMP) as model:
        return model.save(tmp_path_factory.mktemp("pump") / "pump.nvm")


def vm(pump: Path, front_end: str = "[]") -> str:
    names = ", ".join(f"c{i}" for i in range(FRAME))
    return VM.format(model=pump, names=names, front_end=front_end)


def worker_maps(daemon: Daemon) -> str:
    pid = daemon.vm("pump")["pid"]
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize(
    ("front_end", "factor"), [("[]", 1.0), ("[{kind: scale, scale: 0.5}]", 0.5)]
)
def test_rows_in_and_a_result_a_hop(
    broker: Mosquitto, client: Client, start: Start, pump: Path, front_end: str, factor: float
) -> None:
    daemon = start(broker.port, pump=vm(pump, front_end))
    connected(daemon, "pump")
    rows = np.random.default_rng(2).uniform(0, 1, (SIZE + 3 * HOP, FRAME)).astype("<f4")
    for row in rows:
        client.publish("pump/p/rows", row.tobytes())
    topic, ends = "neurovm/box/pump/result/p", range(SIZE, len(rows) + 1, HOP)
    wait_for(lambda: len(client.on(topic)) >= len(ends), "a result for every hop", 20.0)
    with neurovm.load(pump) as model:
        info = model.inputs[0]
        real = rows.astype(np.float64) * factor
        codes = np.clip(np.rint(real / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        windows = np.stack([codes[e - SIZE : e] for e in ends])
        wanted = np.asarray(model.predict(windows.reshape(-1, *info.shape[1:])))
    found = client.on(topic)
    assert [r["values"] for r in found] == wanted.reshape(len(ends), -1).tolist()
    assert [r["seq"] for r in found] == list(ends)
    assert ("numpy" in worker_maps(daemon)) == (factor != 1.0)
    status = daemon.vm("pump")
    assert (status["late_events"], status["gaps"], status["window_shift_misses"]) == (0, 0, 0)
    assert status["streams"] == 1


WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes",
         "_silence_", "_unknown_")  # fmt: skip
KEYWORDS = """\
model: {model}
inputs:
  - topic: mic/{{stream}}/wav
    payload: {{format: pcm, rate_hz: 16000, header: wav}}
    window:
      by: time
      size: 1 s
      hop: 1 s
      normalize: peak
      front_end:
        - {{kind: mfcc, frame_length: 480, frame_step: 320, n_fft: 512, power: 1, n_mels: 40,
           fmin: 20, fmax: 4000, n_mfcc: 10}}
output: {{on: always, form: {{values: codes}}}}
"""


def packets(folder: Path, file: Path, most: int = 4000) -> list[bytes]:
    """The second of a clip, padded with silence, as WAV files of a quarter of a second."""
    with wave.open(str(file)) as sound:
        samples = np.frombuffer(sound.readframes(16000), "<i2")
    samples = np.pad(samples, (0, 16000 - len(samples)))
    found = []
    for at in range(0, len(samples), most):
        path = folder / "packet.wav"
        with wave.open(str(path), "wb") as part:
            part.setnchannels(1)
            part.setsampwidth(2)
            part.setframerate(16000)
            part.writeframes(samples[at : at + most].tobytes())
        found.append(path.read_bytes())
    return found


@shared_files.needed
def test_words_from_packets_of_sound(
    broker: Mosquitto, client: Client, start: Start, tmp_path: Path
) -> None:
    """One clip of each word; the features it is compared with are the example's own."""
    model = neurovm.convert_tflite(shared_files.model("kws_ref_model"))
    bundle = model.save(tmp_path / "keywords.nvm")
    daemon = start(broker.port, keywords=KEYWORDS.format(model=bundle))
    connected(daemon, "keywords")
    clips = [
        min((shared_files.ROOT / "data/speech_commands_test" / word).glob("*.wav"))
        for word in WORDS
    ]
    info = model.inputs[0]
    for number, file in enumerate(clips):
        for packet in packets(tmp_path, file):
            client.publish(f"mic/m{number}/wav", packet)
    for number, file in enumerate(clips):
        result = client.wait(f"neurovm/box/keywords/result/m{number}", bool, 30.0)
        codes = np.clip(np.rint(mfcc(clip(file)) / info.scale) + info.zero_point, -128, 127)
        wanted = np.asarray(model.predict(codes.astype(np.int8).reshape(info.shape[1:])))
        # Features are floats: a code of them may fall on the other side of a half.
        assert int(np.argmax(result["values"])) == int(wanted.argmax()), file.parent.name
        assert result["seq"] == 4
        assert result["window"]["n"] == 16000
    assert json.dumps(daemon.vm("keywords")["dropped"]).count(": 0") == 8
