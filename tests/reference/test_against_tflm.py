# SPDX-License-Identifier: Apache-2.0
"""The oracle of profile `tflm` against TensorFlow Lite Micro, on every enumerated operator form."""

from __future__ import annotations

import micro
import numpy as np
import pytest
import shared_files
from case_net import Net, scale_of
from operator_cases import CASES
from random_models import random_model

from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import UnsupportedOperatorError
from neurovm.passes import prepare

needs_tflm = pytest.mark.skipif(not micro.INSTALLED, reason=micro.MISSING)


@needs_tflm
def test_every_output_equals_tflm() -> None:
    """What one of the two refuses has no answer to compare; most cases have."""
    cases, ours = [], []
    for case in [*CASES, *(random_model(seed) for seed in range(40))]:
        graph = prepare(tflite.read(case.model, name=case.name))
        try:
            values = reference.Stream(graph, PROFILES["tflm"]).run(case.inputs)
        except UnsupportedOperatorError:
            continue
        cases.append(case)
        ours.append([values[i] for i in graph.outputs])
    jobs = [micro.Job(c.model, c.inputs, len(o)) for c, o in zip(cases, ours, strict=True)]
    equal = 0
    for case, expected, found in zip(cases, ours, micro.run_all(jobs), strict=True):
        if isinstance(found, str):
            continue
        for a, b in zip(expected, found, strict=True):
            assert np.array_equal(a.reshape(-1), b.reshape(-1)), case.name
        equal += 1
    assert equal > 0.8 * len(CASES)


@needs_tflm
@shared_files.needed
@pytest.mark.parametrize(
    "name", [*shared_files.MODELS.values(), *shared_files.STATEFUL, "tflm/person_detect.tflite"]
)
def test_third_party_models_equal_tflm(name: str) -> None:
    path = shared_files.ROOT / "models" / name
    graph = prepare(tflite.read(path))
    rng = np.random.default_rng(5)
    shapes = [graph.tensors[i].shape for i in graph.inputs]
    inputs = [rng.integers(-128, 128, (20, *shape)).astype(np.int8) for shape in shapes]
    ours = reference.Stream(graph, PROFILES["tflm"]).run(inputs)[graph.outputs[0]]
    (theirs,) = micro.run_all([micro.Job(path.read_bytes(), inputs, 1)])
    assert not isinstance(theirs, str), theirs
    assert np.array_equal(ours.reshape(-1), theirs[0].reshape(-1))


@needs_tflm
def test_a_fully_connected_layer_multiplies_its_scales_in_double() -> None:
    """Taken in float32, as LiteRT does, the product moves a few codes of a million."""
    rows, depth, outputs = 4000, 8, 256
    jobs, ours = [], []
    for seed in (1, 6, 7):  # each has such a code
        net = Net(f"FULLY_CONNECTED:scales-{seed}")
        x = net.input((1, depth))
        weights, scales = net.weights((outputs, depth), None)
        bias = net.bias(outputs, scale_of(net, x), scales, 1 << 27)
        scale = float(np.float32(scale_of(net, x) * scales[0] * (1 << 21)))
        y = net.output((1, outputs), scale=scale, zero_point=3)
        net.writer.operator("FULLY_CONNECTED", [x, weights, bias], [y])
        codes = net.rng.integers(-128, 128, (rows, 1, depth)).astype(np.int8)
        model = net.case(y).model
        graph = prepare(tflite.read(model, name=net.name))
        ours.append(reference.run(graph, PROFILES["tflm"], [codes])[y])
        jobs.append(micro.Job(model, [codes], 1))
    for expected, found in zip(ours, micro.run_all(jobs), strict=True):
        assert not isinstance(found, str), found
        assert np.array_equal(expected.reshape(-1), found[0].reshape(-1))
