# SPDX-License-Identifier: Apache-2.0
"""Networks that remember: variables in every order of reading and assigning.

Their samples are consecutive steps of one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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
    for rows, kept, dtype in ((1, 4, "int8"), (3, 2, "int8"), (2, 2, "uint8")):
        net = Remembering(f"READ_VARIABLE:window-{rows}-{kept}-{dtype}")
        like = {"scale": 0.1, "zero_point": net.zero(dtype)}
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


def _head(net: Remembering, window: int, rows: int) -> int:
    w, scales = net.weights((4, rows, 1, 6), 0)
    b = net.bias(4, scale_of(net, window), scales, 2000)
    y = net.linear_out((1, 1, 1, 4), scale_of(net, window), scales, rows * 6, 1.0)
    net.writer.operator(
        "CONV_2D", [window, w, b], [y], Padding="VALID", StrideH=1, StrideW=1,
        DilationHFactor=1, DilationWFactor=1, FusedActivationFunction="NONE",
    )  # fmt: skip
    return y


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    _leaky_sum,
    _orders,
    _between_variables,
    _sliding_windows,
)
