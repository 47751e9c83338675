# SPDX-License-Identifier: Apache-2.0
"""Networks that remember: variables in every order of reading and assigning, LSTMs.

Their samples are consecutive steps of one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from case_net import Case, Net, scale_of
from tflite_writer import ModelWriter

SHAPE = (1, 3, 5)
SIDE = {"scale": 0.125, "zero_point": -9}


class Remembering(Net):
    """A network with variables that a second subgraph starts."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.start = ModelWriter()
        self.handles: dict[str, int] = {}
        self.others.append(self.start)
        self.writer.operator("CALL_ONCE", [], [], InitSubgraphIndex=1)

    def variable(
        self, name: str, shape: Sequence[int] = SHAPE, dtype: str = "int8", **like: object
    ) -> str:
        """A variable that begins as random codes; `like`: its scale and zero point."""
        data = self.codes(shape, dtype)
        value = self.start.constant(f"{name}_0", data, **(like or SIDE))
        self.start.operator("ASSIGN_VARIABLE", [_handle(self.start, name), value], [])
        self.handles[name] = _handle(self.writer, name)
        return name

    def read(
        self, name: str, shape: Sequence[int] = SHAPE, dtype: str = "int8", **like: object
    ) -> int:
        out = self.output(shape, dtype=dtype, **(like or SIDE))
        self.writer.operator("READ_VARIABLE", [self.handles[name]], [out])
        return out

    def assign(self, name: str, value: int) -> None:
        self.writer.operator("ASSIGN_VARIABLE", [self.handles[name], value], [])

    def add(self, a: int, b: int) -> int:
        """Their sum, which does not fit the range: codes saturate here and there."""
        out = self.output(SHAPE, **SIDE)
        self.writer.operator("ADD", [a, b], [out], FusedActivationFunction="NONE")
        return out

    def x(self) -> int:
        return self.input(SHAPE, **SIDE)


def _handle(writer: ModelWriter, name: str) -> int:
    handle = writer.tensor(f"handle_{name}", (), dtype="resource")
    writer.operator("VAR_HANDLE", [], [handle], Container="", SharedName=name)
    return handle


def _leaky_sum() -> Iterator[Case]:
    net = Remembering("READ_VARIABLE:sum")
    x, v = net.x(), net.variable("v")
    y = net.add(net.read(v), x)
    net.assign(v, y)
    yield net.case(y)


def _orders() -> Iterator[Case]:
    net = Remembering("READ_VARIABLE:after-assign")
    x, v = net.x(), net.variable("v")
    net.assign(v, x)
    yield net.case(net.add(net.read(v), x))

    net = Remembering("READ_VARIABLE:before-and-after-two-assigns")
    x, v = net.x(), net.variable("v")
    y = net.add(net.read(v), x)
    net.assign(v, y)
    z = net.add(net.read(v), net.read(v))
    net.assign(v, z)
    yield net.case(y, z)

    net = Remembering("READ_VARIABLE:never-assigned")
    x, v = net.x(), net.variable("v")
    yield net.case(net.add(net.read(v), x))

    net = Remembering("READ_VARIABLE:assigned-a-constant")
    x, v = net.x(), net.variable("v")
    y = net.add(net.read(v), x)
    net.assign(v, net.writer.constant("c", net.codes(SHAPE), **SIDE))
    yield net.case(y)

    net = Remembering("READ_VARIABLE:one-that-nothing-reads")
    x, v, w = net.x(), net.variable("v"), net.variable("w")
    y = net.add(net.read(v), x)
    net.assign(v, y)
    net.assign(w, net.add(net.read(w), y))
    yield net.case(y)


def _between_variables() -> Iterator[Case]:
    net = Remembering("READ_VARIABLE:swapped")
    x, v, w = net.x(), net.variable("v"), net.variable("w")
    a, b = net.read(v), net.read(w)
    net.assign(v, b)
    net.assign(w, net.add(a, x))
    yield net.case(net.add(a, b))

    net = Remembering("READ_VARIABLE:three-steps-late")
    x = net.x()
    names = [net.variable(n) for n in "uvw"]
    held = [net.read(n) for n in names]
    for name, value in zip(names, [x, *held[:-1]], strict=True):
        net.assign(name, value)
    yield net.case(held[-1])

    net = Remembering("READ_VARIABLE:two-handles-of-one")
    x, v = net.x(), net.variable("v")
    y = net.add(net.read(v), x)
    net.handles["v"] = _handle(net.writer, v)
    net.assign(v, y)
    yield net.case(net.add(net.read(v), y))


def _sliding_windows() -> Iterator[Case]:
    """As streaming networks have them: rows join the window, the oldest leave it."""
    for rows, kept, dtype in ((1, 4, "int8"), (3, 2, "int8"), (2, 2, "uint8"), (1, 3, "int16")):
        net = Remembering(f"READ_VARIABLE:window-{rows}-{kept}-{dtype}")
        like = {"scale": 0.1, "zero_point": 0 if dtype == "int16" else net.zero(dtype)}
        x = net.input((1, rows, 1, 6), dtype=dtype, **like)
        v = net.variable("v", (1, kept, 1, 6), dtype, **like)
        held = net.read(v, (1, kept, 1, 6), dtype, **like)
        window = net.output((1, kept + rows, 1, 6), dtype=dtype, **like)
        net.writer.operator("CONCATENATION", [held, x], [window], Axis=1)
        newest = net.output((1, kept, 1, 6), dtype=dtype, **like)
        bounds = [net.integers("at", b) for b in ([0, rows, 0, 0], [0] * 4, [1] * 4)]
        net.writer.operator("STRIDED_SLICE", [window, *bounds], [newest], BeginMask=13, EndMask=15)
        net.assign(v, newest)
        yield net.case(_head(net, window, kept + rows) if dtype == "int8" else window)


def _real_variables() -> Iterator[Case]:
    """As Keras' stateful layers have them: float32 that holds what codes mean."""
    for readers, scale in ((1, 0.125), (2, 0.125), (1, 0.3), (2, 0.07)):
        net = Remembering(f"READ_VARIABLE:float-{readers}-{scale}")
        seen = SIDE | {"scale": scale}
        x, real = net.x(), {"dtype": "float32", "scale": None, "zero_point": 0}
        first = (net.rng.integers(-128, 128, SHAPE) * 0.123).astype(np.float32)
        value = net.start.constant("v_0", first)
        net.start.operator("ASSIGN_VARIABLE", [_handle(net.start, "v"), value], [])
        net.handles["v"] = _handle(net.writer, "v")
        held = []
        for _ in range(readers):
            held.append(net.output(SHAPE, **seen))
            net.writer.operator("QUANTIZE", [net.read("v", **real)], [held[-1]])
        y = net.add(net.add(held[0], x), held[-1])
        out = net.output(SHAPE, **real)
        net.writer.operator("DEQUANTIZE", [y], [out])
        net.assign("v", out)
        yield net.case(y)


def _head(net: Remembering, window: int, rows: int) -> int:
    w, scales = net.weights((4, rows, 1, 6), 0)
    b = net.bias(4, scale_of(net, window), scales, 2000)
    y = net.linear_out((1, 1, 1, 4), scale_of(net, window), scales, rows * 6, 1.0)
    net.writer.operator(
        "CONV_2D", [window, w, b], [y], Padding="VALID", StrideH=1, StrideW=1,
        DilationHFactor=1, DilationWFactor=1, FusedActivationFunction="NONE",
    )  # fmt: skip
    return y


def lstm(
    net: Net,
    x: int,
    shape: Sequence[int],
    units: int,
    *,
    gain: float = 1.0,
    time_major: bool = False,
    clip: float = 0.0,
    cell_power: int = -12,
    zero_point: int = 0,
) -> int:
    """An LSTM on x, (batch, time, inputs) or with the first two exchanged; its output's index."""
    w, inputs = net.writer, shape[2]
    batches, times = (shape[1], shape[0]) if time_major else (shape[0], shape[1])
    scale = float(np.float32(net.rng.uniform(0.004, 0.009)))
    h = w.tensor("h", (batches, units), scale=scale, zero_point=zero_point, is_variable=True)
    cell = w.tensor(
        "c", (batches, units), dtype="int16", scale=2.0**cell_power, zero_point=0, is_variable=True
    )
    given, biases = [], []
    for source, columns in ((x, inputs), (h, units)):
        for _ in range(4):
            reach = 2.5 * gain / (74 * 74 * columns**0.5 * scale_of(net, source))
            data = net.rng.integers(-127, 128, (units, columns)).astype(np.int8)
            s = float(np.float32(reach * net.rng.uniform(0.5, 1.5)))
            given.append(w.constant("w", data, scale=s, zero_point=0))
    for weights in given[:4]:
        s = float(np.float32(scale_of(net, x)) * np.float32(scale_of(net, weights)))
        spread = max(int(1 / s), 1)
        data = net.rng.integers(-spread, spread + 1, units).astype(np.int32)
        biases.append(w.constant("b", data, scale=s, zero_point=0))
    between = [w.tensor(f"i{k}", (0,), dtype="float32") for k in range(4)]
    between.append(w.tensor("hidden", (0,), scale=scale, zero_point=zero_point))
    out = (times, batches, units) if time_major else (batches, times, units)
    y = net.output(out, scale=scale, zero_point=zero_point)
    places = [x, *given, -1, -1, -1, *biases, -1, -1, h, cell, -1, -1, -1, -1]
    w.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", places, [y], intermediates=between,
        FusedActivationFunction="TANH", CellClip=clip, ProjClip=0.0, TimeMajor=time_major,
    )  # fmt: skip
    return y


def _lstms() -> Iterator[Case]:
    forms = [
        ((1, 1, 7), 5, {}),
        ((1, 6, 9), 8, {"gain": 0.3}),
        ((1, 4, 3), 17, {"gain": 4.0}),
        ((3, 4, 5), 6, {}),
        ((4, 1, 5), 6, {"time_major": True}),
        ((4, 3, 5), 6, {"time_major": True, "zero_point": -20}),
        ((1, 5, 6), 4, {"clip": 0.75, "gain": 3.0}),
        ((1, 5, 6), 4, {"clip": 10.0, "zero_point": 11, "gain": 2.0}),
        ((1, 3, 6), 4, {"cell_power": -15}),
        ((1, 3, 6), 4, {"cell_power": -9, "gain": 3.0}),
        ((1, 3, 1), 1, {"cell_power": -11}),
    ]
    for shape, units, options in forms:
        named = "-".join(f"{k}={v}" for k, v in options.items())
        net = Net(f"UNIDIRECTIONAL_SEQUENCE_LSTM:{shape}-{units}-{named}")
        yield net.case(lstm(net, net.input(shape), shape, units, **options))


def svdf(
    net: Net,
    x: int,
    shape: Sequence[int],
    units: int,
    *,
    rank: int = 1,
    times: int = 6,
    narrow: bool = False,
    bias: bool = True,
    activation: str = "RELU",
) -> int:
    """An SVDF on x, (batch, inputs), of an int16 or (narrow) int8 state; its output's index."""
    w, filters, dtype = net.writer, units * rank, "int8" if narrow else "int16"
    most = 127 if narrow else 32767
    feature = net.rng.integers(-127, 128, (filters, shape[1])).astype(np.int8)
    scales = [net.scale(0.002, 0.01) for _ in range(2)]
    first = w.constant("feature", feature, scale=scales[0], zero_point=0)
    data = net.rng.integers(-most, most + 1, (filters, times)).astype(dtype)
    second = w.constant("time", data, scale=scales[1], zero_point=0)
    reach = scale_of(net, x) * scales[0] * 74 * 74 * shape[1] ** 0.5
    state_scale = float(np.float32(reach * 3 / most))
    state = w.tensor(
        "state", (shape[0], filters * times), dtype=dtype, scale=state_scale, is_variable=True,
        zero_point=net.zero() if narrow else 0,
    )  # fmt: skip
    sums = most * most * 0.2 * (rank * times) ** 0.5
    third = -1
    if bias:
        values = net.rng.integers(-int(sums / 3), int(sums / 3) + 1, units).astype(np.int32)
        third = w.constant("bias", values, scale=state_scale * scales[1], zero_point=0)
    scale = float(np.float32(state_scale * scales[1] * sums / 60))
    y = net.output((shape[0], units), scale=scale)
    w.operator(
        "SVDF", [x, first, second, third, state], [y], Rank=rank,
        FusedActivationFunction=activation,
    )  # fmt: skip
    return y


def _svdfs() -> Iterator[Case]:
    forms = [
        ((1, 8), 4, {}),
        ((1, 5), 6, {"rank": 2, "times": 9}),
        ((1, 7), 3, {"rank": 3, "times": 1}),
        ((2, 5), 4, {"times": 3}),
        ((1, 9), 5, {"bias": False}),
    ]
    for shape, units, options in forms:
        named = "-".join(f"{k}={v}" for k, v in options.items())
        net = Net(f"SVDF:{shape}-{units}-{named}")
        yield net.case(svdf(net, net.input(shape), shape, units, **options))


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    _leaky_sum,
    _orders,
    _between_variables,
    _sliding_windows,
    _real_variables,
    _lstms,
    _svdfs,
)
