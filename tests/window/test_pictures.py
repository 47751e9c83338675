# SPDX-License-Identifier: Apache-2.0
"""Pictures of any size through front ends: every picture is a whole input."""

from __future__ import annotations

import io
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from window_rig import Rig

import neurovm
from neurovm.frontends import chain
from neurovm.model import Model
from neurovmd.refusal import MappingError
from neurovmd.shared import DropReason

pillow = pytest.importorskip("PIL.Image", reason="Pillow (extra [image]) is not installed")

DIGITS = Path(__file__).parents[1] / "fixtures" / "digits_cnn.tflite"


@pytest.fixture(scope="module")
def digits() -> Model:
    return neurovm.convert_tflite(DIGITS)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    pillow.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def source(**more: Any) -> dict[str, Any]:
    front_end = [
        {"kind": "resize", "height": 8, "width": 8},
        {"kind": "scale", "scale": 16 / 255},
    ]
    return {"payload": {"format": "image", "colours": "grey"}, "front_end": front_end, **more}


def pictures(sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    draw = np.random.default_rng(4)
    return [draw.integers(0, 256, size).astype(np.uint8) for size in sizes]


def test_pictures_of_any_size(digits: Model) -> None:
    rig = Rig(digits, None, source=source())
    seen = pictures([(8, 8), (20, 31), (64, 48), (9, 100)])
    info = digits.inputs[0]
    for picture in seen:
        (result,) = rig.send(png(picture))
        front = chain(rig.vm.inputs[0].front_end, (0, 0, 1), None)
        made = np.asarray(front.push(picture[None, :, :, None])).astype(np.float32)
        if info.dtype == "float32":
            wanted = digits.to_codes(made.ravel())
            codes = np.frombuffer(wanted, np.int8)
        else:
            real = np.rint(made.astype(np.float64) / info.scale) + info.zero_point
            codes = np.clip(real, *info.limits).astype(np.int8).ravel()
        session = digits.session(way="dense")
        session.step(codes.tobytes())
        assert result["values"] == session.output.tolist()


def test_pictures_without_a_front_end_have_the_inputs_own_size(digits: Model) -> None:
    more = {"front_end": [], "window": {"size": 1}}
    rig = Rig(digits, None, source=source(**more))
    assert len(rig.send(png(pictures([(8, 8)])[0]))) == 1
    assert rig.send(png(pictures([(8, 9)])[0])) == []
    assert rig.slot.dropped[DropReason.PAYLOAD] == 1


def test_a_network_is_given_pictures_of_a_known_size(digits: Model) -> None:
    with pytest.raises(MappingError, match="resize"):
        Rig(digits, None, source=source(front_end=[{"kind": "colours", "to": "grey"}]))


@pytest.mark.parametrize(
    "window", [{"size": 1, "rate_hz": 5.0}, {"size": 1, "gap": "hold", "rate_hz": 5.0}]
)
def test_no_picture_stands_between_others(digits: Model, window: dict[str, Any]) -> None:
    with pytest.raises(MappingError, match="pictures"):
        Rig(digits, window, source=source())


@pytest.mark.parametrize("typecode", ["B", "b"])
def test_bytes_have_the_codes_of_their_values(digits: Model, typecode: str) -> None:
    coder = Rig(digits, {"size": 1}).inputs.coder
    values = array(typecode, bytes(range(256)))
    assert coder.encode(values) == coder.encode(array("d", values))
