# SPDX-License-Identifier: Apache-2.0
"""Front ends of pictures against their definitions, written again pixel by pixel."""

from __future__ import annotations

import math
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from neurovm.errors import EventError, ShapeError
from neurovm.frontends import AnyFrontEnd, Colours, Crop, Resize, Scale, Transpose, chain

pytest.importorskip("PIL.Image", reason="Pillow is not installed")
import PIL.Image

Array = np.ndarray[Any, Any]


def pictures(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).integers(0, 256, shape).astype(np.uint8)


def test_crop_from_the_middle_and_from_a_corner() -> None:
    rows = pictures(2, 7, 9, 3)
    middle = chain([Crop(width=3, height=4)], (7, 9, 3)).push(rows)
    assert np.array_equal(middle, rows[:, 1:5, 3:6])
    assert middle.dtype == np.uint8
    corner = chain([Crop(width=3, height=4, left=6, top=0)], (7, 9, 3)).push(rows)
    assert np.array_equal(corner, rows[:, :4, 6:])


def test_pictures_of_any_size() -> None:
    front = chain([Colours(to="grey"), Crop(width=2, height=2)], (0, 0, 3))
    assert front.shape == (2, 2, 1)
    for height, width in ((2, 2), (5, 3), (40, 30)):
        assert front.push(pictures(1, height, width, 3)).shape == (1, 2, 2, 1)
    with pytest.raises(EventError, match=r"crop: found 2 × 2 from \(0, -1\) of 2 × 1 pixels"):
        front.push(pictures(1, 1, 2, 3))
    with pytest.raises(ShapeError, match="height any, width any, channels 3"):
        front.push(pictures(1, 4, 4, 1))
    with pytest.raises(ShapeError):
        front.push(np.zeros((1, 0, 0, 3), np.uint8))
    with pytest.raises(EventError, match="any size out"):
        chain([Colours(to="grey")], (0, 0, 3))
    with pytest.raises(EventError, match="shape"):
        chain([Scale()], (0, 0, 3))


def test_grey_is_pillows() -> None:
    rows = pictures(1, 64, 64, 3)
    made = chain([Colours(to="grey")], (64, 64, 3)).push(rows)
    wanted = np.asarray(PIL.Image.fromarray(rows[0]).convert("L"))
    assert np.array_equal(made[0, :, :, 0], wanted)


def test_colours_the_other_way_round() -> None:
    rows = pictures(1, 2, 2, 3)
    assert np.array_equal(chain([Colours(to="bgr")], (2, 2, 3)).push(rows), rows[..., ::-1])
    grey = pictures(1, 2, 2, 1)
    three = chain([Colours(to="rgb")], (2, 2, 1)).push(grey)
    assert np.array_equal(three, np.concatenate([grey] * 3, axis=3))
    assert np.array_equal(chain([Colours(to="grey")], (2, 2, 1)).push(grey), grey)


def test_layout() -> None:
    rows = pictures(2, 4, 5, 3)
    made = chain([Transpose(axes=(2, 0, 1))], (4, 5, 3)).push(rows)
    assert np.array_equal(made, np.moveaxis(rows, 3, 1))
    with pytest.raises(EventError, match=r"axes: found \[2, 0, 1\] for rows of shape \(4, 5\)"):
        chain([Transpose(axes=(2, 0, 1))], (4, 5))


def weights(wanted: int, size: int, support: float, function: Any) -> Array:
    """(wanted, size): a filter as wide as the reduction, at the middle of each pixel out."""
    scale = size / wanted
    wide = max(scale, 1.0)
    middles = (np.arange(wanted)[:, None] + 0.5) * scale
    at = (np.arange(size) + 0.5 - middles) / wide
    made = np.where(np.abs(at) < support, function(at), 0)
    return made / made.sum(axis=1, keepdims=True)


FILTERS: dict[Any, tuple[float, Any]] = {
    "bilinear": (1, lambda x: 1 - np.abs(x)),
    "hamming": (1, lambda x: np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x))),
    "lanczos": (3, lambda x: np.sinc(x) * np.sinc(x / 3)),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(5, 7), (12, 20), (30, 40)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_resize_is_its_filter(name: Any, size: tuple[int, int], channels: int) -> None:
    """Within two codes: Pillow rounds once an axis, the weights to 22 bits."""
    rows = 80 + pictures(1, 12, 20, channels) // 3  # what overshoots is not cut off
    support, function = FILTERS[name]
    down, across = (weights(n, m, support, function) for n, m in zip(size, (12, 20), strict=True))
    wanted = np.einsum("yh,xw,hwc->yxc", down, across, rows[0].astype(float))
    front_end = Resize(width=size[1], height=size[0], resample=name)
    made = chain([front_end], (12, 20, channels)).push(rows)[0]
    assert made.shape == (*size, channels)
    assert np.abs(made - wanted).max() <= 2


def test_resize_by_the_nearest_and_by_the_mean() -> None:
    rows = pictures(1, 4, 6, 1)
    nearest = chain([Resize(width=3, height=2, resample="nearest")], (4, 6, 1)).push(rows)
    assert np.array_equal(nearest[0], rows[0, 1::2, 1::2])
    mean = chain([Resize(width=3, height=2, resample="box")], (4, 6, 1)).push(rows)
    wanted = rows.reshape(2, 2, 3, 2).mean(axis=(1, 3))
    assert np.abs(mean[0, :, :, 0] - wanted).max() <= 1


def test_resize_covers_or_contains() -> None:
    rows = np.zeros((1, 4, 8, 1), np.uint8)
    rows[:, :, 2:6] = 200
    cover = chain([Resize(width=2, height=2, fit="cover", resample="nearest")], (4, 8, 1))
    assert (cover.push(rows) == 200).all()
    contain = chain([Resize(width=4, height=4, fit="contain", padding=9)], (4, 8, 1)).push(rows)
    assert (contain[0, [0, 3]] == 9).all()
    assert (contain[0, 1:3, :, 0] != 9).all()


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"pip install neurovm\[image\]"):
        chain([Resize(width=1, height=1)], (2, 2, 1))


@pytest.mark.parametrize("shape", [(), (4, 4), (4, 4, 17), (4, 0, 3), (1 << 16, 1, 1), (4, 4, 0)])
@pytest.mark.parametrize("front_end", [Crop(width=1, height=1), Resize(width=1, height=1)])
def test_rows_have_to_be_pictures(front_end: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(EventError, match="shape"):
        chain([front_end], shape)


def test_reals_are_rounded_and_held() -> None:
    front = chain([Crop(width=1, height=1)], (1, 1, 3))
    assert front.push([[[[-4.0, 7.6, 300.0]]]]).tolist() == [[[[0, 8, 255]]]]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"kind": "crop", "width": 0, "height": 1}, "width"),
        ({"kind": "crop", "width": 1, "height": 1 << 20}, "height"),
        ({"kind": "crop", "width": 1, "height": 1, "left": -1}, "left"),
        ({"kind": "resize", "width": 1, "height": math.inf}, "height"),
        ({"kind": "resize", "width": 1, "height": 1, "resample": "area"}, "resample"),
        ({"kind": "resize", "width": 1, "height": 1, "fit": "fill"}, "fit"),
        ({"kind": "resize", "width": 1, "height": 1, "padding": 256}, "padding"),
        ({"kind": "colours", "to": "hsv"}, "to"),
        ({"kind": "transpose", "axes": [0, 0]}, "axes"),
        ({"kind": "transpose", "axes": [1, 2]}, "axes"),
        ({"kind": "transpose", "axes": []}, "axes"),
    ],
)
def test_wrong_parameters_are_named(settings: dict[str, object], key: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert(settings, AnyFrontEnd)


def test_a_crop_outside_is_refused_at_the_start() -> None:
    with pytest.raises(EventError, match=r"front end 0 \(crop\)"):
        chain([Crop(width=5, height=5, left=3)], (5, 5, 1))


def test_pictures_too_many_for_a_push_are_refused() -> None:
    front = chain([Resize(width=4096, height=4096)], (1, 1, 1))
    with pytest.raises(EventError, match="2 pictures"):
        front.push(np.zeros((2, 1, 1, 1), np.uint8))
