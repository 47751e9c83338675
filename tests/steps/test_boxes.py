# SPDX-License-Identifier: Apache-2.0
"""Boxes against NumPy: decoding a whole tensor at once, suppression by a matrix of overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_outputs import is_fine, tensor

from neurovm.errors import StepError
from neurovm.steps import (
    Box,
    BoxRows,
    Classify,
    Grid,
    Head,
    Nms,
    Presence,
    Ssd,
    Step,
    TopK,
    Yolo,
    chain,
    nms,
)
from neurovm.steps.boxes import MOST_BOXES
from neurovm.steps.forms import BoxesForm
from neurovm.steps.nms import overlap

GRIDS = [
    Grid(rows=2, columns=3, sizes=[[0.3, 0.2], [0.1, 0.4]]),
    Grid(rows=1, columns=1, sizes=[[0.9, 0.9]]),
]
ANCHORS = 13
CLASSES = 4


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def edges(x: Any, y: Any, w: Any, h: Any) -> np.ndarray:
    """left, top, right, bottom within the picture."""
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
    return np.clip(corners, 0, 1)


def check(found: list[Box], scores: np.ndarray, boxes: np.ndarray, step: Any) -> None:
    """Boxes found, by score, of a row each of class scores and edges."""
    best, score = scores.argmax(-1), scores.max(-1)
    order = [at for at in np.argsort(-score, kind="stable") if score[at] >= step.least]
    assert len(found) == min(len(order), step.most)
    for box, at in zip(found, order, strict=False):
        assert box.score == pytest.approx(score[at], rel=1e-9)
        assert box.number == best[at]
        assert box[2:] == pytest.approx(boxes[at].tolist(), abs=1e-9)


@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
@pytest.mark.parametrize("order", ["yxhw", "xywh"])
@pytest.mark.parametrize("background", [None, 0, 2])
def test_ssd_is_the_box_coder(activation: str, order: str, background: int | None) -> None:
    rng = np.random.default_rng(len(activation + order) + (background or 0))
    outputs = (tensor(1, ANCHORS, 4, name="offsets"), tensor(1, ANCHORS, CLASSES, name="scores"))
    step = Ssd(
        anchors=GRIDS,
        boxes="offsets",
        scores="scores",
        order=order,
        activation=activation,
        background=background,
        least=0.3,
        most=7,
        centre_scale=8.0,
        size_scale=4.0,
    )
    stream = chain([step], outputs)
    anchors = np.array([anchor for grid in GRIDS for anchor in grid.anchors()])
    centres = [[(c + 0.5) / 3, (r + 0.5) / 2] for r in range(2) for c in range(3) for _ in range(2)]
    assert np.allclose(anchors[:, :2], [*centres, [0.5, 0.5]])
    for _ in range(20):
        t, s = rng.normal(0, 3, (ANCHORS, 4)), rng.normal(0.5, 1, (ANCHORS, CLASSES))
        found = stream.push(0, [t.ravel().tolist(), s.ravel().tolist()])
        scores = {"none": s, "sigmoid": sigmoid(s), "softmax": softmax(s)}[activation]
        scores = np.clip(scores, 0, 1) if background is None else scores
        if background is not None:
            scores = np.clip(np.delete(scores, background, -1), 0, 1)
        x, y, w, h = t.T if order == "xywh" else t[:, [1, 0, 3, 2]].T
        boxes = edges(
            anchors[:, 0] + anchors[:, 2] * x / 8,
            anchors[:, 1] + anchors[:, 3] * y / 8,
            anchors[:, 2] * np.exp(w / 4),
            anchors[:, 3] * np.exp(h / 4),
        )
        if activation == "none":  # clipped scores may be equal: their classes are of the raw ones
            raw = s if background is None else np.delete(s, background, -1)
            scores = np.where(np.arange(raw.shape[1]) == raw.argmax(-1)[:, None], scores, 0)
        check(found, scores, boxes, step)


@pytest.mark.parametrize("form", ["exp", "square"])
@pytest.mark.parametrize("classes", ["sigmoid", "softmax"])
def test_yolo_is_the_papers_equation(form: str, classes: str) -> None:
    rng = np.random.default_rng(len(form + classes))
    sizes = [[0.1, 0.2], [0.3, 0.1]]
    outputs = (tensor(1, 3, 4, 2 * 8, name="fine"), tensor(1, 2, 2, 1 * 8, name="coarse"))
    heads = [Head(tensor="fine", sizes=sizes), Head(tensor=1, sizes=[[0.6, 0.6]])]
    step = Yolo(heads=heads, form=form, classes=classes, least=0.2, most=9)
    stream = chain([step], outputs)
    for _ in range(20):
        raw = [rng.normal(0, 2, info.shape[1:]) for info in outputs]
        found = stream.push(0, [each.ravel().tolist() for each in raw])
        all_scores, all_boxes = [], []
        for values, own in zip(raw, (sizes, [[0.6, 0.6]]), strict=True):
            rows, columns, _ = values.shape
            t = values.reshape(rows, columns, len(own), 8)
            column, row = np.arange(columns)[None, :, None], np.arange(rows)[:, None, None]
            a_w, a_h = np.array(own).T
            if form == "exp":
                x, y = column + sigmoid(t[..., 0]), row + sigmoid(t[..., 1])
                w, h = a_w * np.exp(t[..., 2]), a_h * np.exp(t[..., 3])
            else:
                x, y = column + 2 * sigmoid(t[..., 0]) - 0.5, row + 2 * sigmoid(t[..., 1]) - 0.5
                w, h = a_w * (2 * sigmoid(t[..., 2])) ** 2, a_h * (2 * sigmoid(t[..., 3])) ** 2
            share = sigmoid(t[..., 5:]) if classes == "sigmoid" else softmax(t[..., 5:])
            all_scores.append((sigmoid(t[..., 4:5]) * share).reshape(-1, 3))
            all_boxes.append(edges(x / columns, y / rows, w, h).reshape(-1, 4))
        check(found, np.concatenate(all_scores), np.concatenate(all_boxes), step)


@pytest.mark.parametrize("order", ["xywh", "xyxy", "yxyx"])
@pytest.mark.parametrize("form", ["plain", "objectness", "transposed", "scores"])
def test_box_rows_are_read_as_they_stand(order: str, form: str) -> None:
    rng = np.random.default_rng(len(order + form))
    first = 5 if form == "objectness" else 4
    step = BoxRows(
        order=order,
        size=[320.0, 240.0],
        objectness=form == "objectness",
        transposed=form == "transposed",
        scores=1 if form == "scores" else None,
        least=0.25,
        most=11,
    )
    for _ in range(20):
        rows = rng.uniform(0, 300, (40, first + 3))
        rows[:, 4:] = rng.uniform(0, 1, (40, first - 1))
        place, scores = rows[:, :4], rows[:, first:]
        if form == "objectness":
            scores = scores * rows[:, 4:5]
        tables = [rows.T] if form == "transposed" else [rows]
        tables = [place, scores] if form == "scores" else tables
        outputs = tuple(tensor(1, *table.shape, name=f"y{at}") for at, table in enumerate(tables))
        found = chain([step], outputs).push(0, [table.ravel().tolist() for table in tables])
        a, b, c, d = place.T
        if order == "yxyx":
            a, b, c, d = b, a, d, c
        if order == "xywh":
            boxes = edges(a / 320, b / 240, c / 320, d / 240)
        else:
            middle_x, middle_y = (a + c) / 2, (b + d) / 2
            w, h = np.maximum(c - a, 0), np.maximum(d - b, 0)
            boxes = edges(middle_x / 320, middle_y / 240, w / 320, h / 240)
        check(found, scores, boxes, step)


unit = st.floats(0, 1, width=32)
box_lists = st.lists(
    st.builds(
        lambda number, score, x, y, w, h: Box(number, score, x, y, min(x + w, 1), min(y + h, 1)),
        st.integers(0, 2),
        st.sampled_from([0.1, 0.5, 0.9, 0.95]),
        *[st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5])] * 4,
    ),
    max_size=25,
)


def suppressed(boxes: list[Box], step: Nms) -> list[Box]:
    """By the matrix of all overlaps: strike out, from the best, what is too near to it."""
    order = sorted(range(len(boxes)), key=lambda at: (-boxes[at].score, at))
    table = np.array([boxes[at] for at in order], float).reshape(-1, 6)
    low = np.maximum(table[:, None, 2:4], table[None, :, 2:4])
    high = np.minimum(table[:, None, 4:6], table[None, :, 4:6])
    shared = np.prod(np.maximum(high - low, 0), -1)
    area = np.prod(table[:, 4:6] - table[:, 2:4], -1)
    union = area[:, None] + area[None, :] - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    near = overlap > step.iou
    if not step.across:
        near &= table[:, None, 0] == table[None, :, 0]
    alive, kept = [True] * len(order), []
    for at in range(len(order)):
        if alive[at]:
            kept.append(boxes[order[at]])
            for later in range(at + 1, len(order)):
                alive[later] = alive[later] and not near[at, later]
    return kept[: step.most]


@given(box_lists, st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.integers(1, 12), st.booleans())
def test_nms_is_what_the_matrix_of_overlaps_leaves(
    boxes: list[Box], iou: float, most: int, across: bool
) -> None:
    step = Nms(iou=iou, most=most, across=across)
    form = BoxesForm(classes=3, most=100)
    assert step.stream(form).push(0, boxes) == suppressed(boxes, step)


@given(box_lists)
def test_presence_is_the_best_of_each_class(boxes: list[Box]) -> None:
    got = Presence().stream(BoxesForm(classes=3, most=100)).push(0, boxes)
    assert got == [max([b.score for b in boxes if b.number == c], default=0.0) for c in range(3)]


def test_boxes_are_shown_by_label() -> None:
    step = BoxRows(labels=["cat", "dog"], least=0.5)
    stream = chain([step, Nms()], (tensor(1, 1, 6),))
    found = stream.push(0, [0.5, 0.25, 0.5, 0.25, 0.25, 0.75])
    shown = {"index": 1, "label": "dog", "score": 0.75, "box": [0.25, 0.125, 0.75, 0.375]}
    assert stream.fields(found) == {"boxes": [shown]}
    assert stream.fields(stream.push(0, [0.0] * 6)) == {"boxes": []}


wild = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=100)
@given(st.data())
def test_no_tensor_leaves_the_picture(data: st.DataObject) -> None:
    step: Step = data.draw(
        st.sampled_from(
            [
                Ssd(anchors=[Grid(rows=1, columns=2, sizes=[[1.0, 1.0]])], least=0.0),
                Yolo(heads=[Head(sizes=[[1.0, 1.0]])], least=0.0),
                Yolo(heads=[Head(sizes=[[100.0, 100.0]])], form="square", least=0.0),
                BoxRows(least=0.0, order="xyxy"),
                BoxRows(least=0.0, size=[1e-6, 1e-6]),
            ]
        )
    )
    outputs = {"ssd": (tensor(1, 2, 4), tensor(1, 2, 3)), "yolo": (tensor(1, 1, 2, 6),)}.get(
        step.kind, (tensor(1, 2, 6),)
    )
    values = [data.draw(st.lists(wild, min_size=info.size, max_size=info.size)) for info in outputs]
    for box in chain([step, Nms()], outputs).push(0, values):
        assert is_fine(tuple(box))
        assert 0 <= box.score <= 1
        assert 0 <= box.left <= box.right <= 1
        assert 0 <= box.top <= box.bottom <= 1


ONE = [Grid(rows=1, columns=1, sizes=[[0.5, 0.5]])]


@pytest.mark.parametrize(
    ("steps", "outputs", "key"),
    [
        ([Ssd(anchors=ONE)], [(1, 2, 4), (1, 2, 3)], "[0].anchors"),
        ([Ssd(anchors=ONE)], [(1, 1, 5), (1, 1, 3)], "[0].boxes"),
        ([Ssd(anchors=ONE)], [(1, 1, 4), (1, 2, 3)], "[0].scores"),
        ([Ssd(anchors=ONE)], [(1, 1, 4)], "[0].scores"),
        ([Ssd(anchors=ONE, background=3)], [(1, 1, 4), (1, 1, 3)], "[0].background"),
        ([Ssd(anchors=ONE)], [(1, 1, 4), (1, 1, 1)], "[0].background"),
        ([Ssd(anchors=ONE, labels=["a"])], [(1, 1, 4), (1, 1, 3)], "[0].labels"),
        ([Yolo(heads=[Head(sizes=[[1, 1]])])], [(1, 12)], "[0].heads"),
        ([Yolo(heads=[Head(sizes=[[1, 1]])])], [(1, 2, 2, 5)], "[0].heads"),
        ([Yolo(heads=[Head(sizes=[[1, 1], [1, 1]])])], [(1, 2, 2, 7)], "[0].heads"),
        ([Yolo(heads=[Head(sizes=[[1, 1]])])], [(2, 2, 2, 7)], "[0].heads"),
        (
            [Yolo(heads=[Head(sizes=[[1, 1]]), Head(tensor=1, sizes=[[1, 1]])])],
            [(1, 2, 2, 7), (1, 2, 2, 8)],
            "[0].heads",
        ),
        ([BoxRows()], [(1, 4)], "[0].tensor"),
        ([BoxRows()], [(1, 9, 4)], "[0].tensor"),
        ([BoxRows(objectness=True)], [(1, 9, 5)], "[0].tensor"),
        ([BoxRows(scores=1)], [(1, 9, 4), (1, 8, 2)], "[0].scores"),
        ([BoxRows()], [(1, 1 << 18, 6)], "[0].tensor"),
        ([BoxRows(), Classify()], [(1, 9, 6)], "[1].kind"),
        ([TopK(), Nms()], [(1, 9)], "[1].kind"),
    ],
)
def test_what_does_not_fit_the_tensors_is_named(
    steps: list[Step], outputs: list[tuple[int, ...]], key: str
) -> None:
    infos = tuple(tensor(*shape, name=f"y{at}") for at, shape in enumerate(outputs))
    with pytest.raises(StepError) as caught:
        chain(steps, infos)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "make",
    [
        lambda: Grid(rows=0, columns=1, sizes=[[1, 1]]),
        lambda: Grid(rows=1, columns=1, sizes=[[1, 1, 1]]),
        lambda: Grid(rows=1, columns=1, sizes=[[float("nan"), 1]]),
        lambda: Ssd(anchors=[]),
        lambda: Ssd(anchors=ONE, most=MOST_BOXES + 1),
        lambda: BoxRows(scores=1, transposed=True),
        lambda: BoxRows(size=[0.0, 1.0]),
        lambda: Nms(most=257),
        lambda: Nms(iou=1.5),
    ],
)
def test_wrong_parameters_are_refused(make: object) -> None:
    with pytest.raises(StepError, match=r"found .*; accepted: "):
        make()  # type: ignore[operator]  # one of the above


def test_work_is_bounded_by_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """All boxes of a large detector count, none is struck out: each is compared with those kept."""
    rows, compared = 4096, 0

    def counted(a: Box, b: Box) -> float:
        nonlocal compared
        compared += 1
        return overlap(a, b)

    monkeypatch.setattr(nms, "overlap", counted)
    stream = chain([BoxRows(least=0.0, most=1024), Nms(most=256, iou=1.0)], (tensor(1, rows, 8),))
    assert len(stream.push(0, [0.5, 0.5, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1] * rows)) == 256
    assert compared <= 1024 * 256
