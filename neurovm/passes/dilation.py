# SPDX-License-Identifier: Apache-2.0
"""SPACE_TO_BATCH_ND, convolution, BATCH_TO_SPACE_ND: one dilated convolution.

TensorFlow writes a dilated convolution as an ordinary one over every d-th row and column, one
sample for each phase. The taps of phase p at output o read row (o + tap) d + p: those of output
o d + p of a convolution with dilation d. Padding comes first and cropping last in both forms.
Source: tensorflow/lite/kernels/internal/reference/{space_to_batch_nd,batch_to_space_nd}.h.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from neurovm.graph import Graph, Tensor
from neurovm.operators import (
    BatchToSpaceND,
    Conv2D,
    DepthwiseConv2D,
    ExpandDims,
    Operator,
    Reshape,
    SpaceToBatchND,
    Squeeze,
)
from neurovm.operators.base import Shape
from neurovm.operators.window import MAX_EXTENT, MAX_WINDOW

Pair = tuple[int, int]
_Layout = ExpandDims | Reshape | Squeeze


def fuse_dilation(graph: Graph) -> Graph:
    """The graph with dilated convolutions in place of convolutions over phases."""
    rewriter = _Rewriter(graph)
    for operator in graph.operators:
        if isinstance(operator, SpaceToBatchND):
            rewriter.try_from(operator)
    return rewriter.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """The operators from SPACE_TO_BATCH_ND to BATCH_TO_SPACE_ND, layouts before and after."""

    split: SpaceToBatchND
    before: tuple[_Layout, ...]
    conv: Conv2D | DepthwiseConv2D
    after: tuple[_Layout, ...]
    join: BatchToSpaceND

    @property
    def members(self) -> tuple[Operator, ...]:
        return (self.split, *self.before, self.conv, *self.after, self.join)


class _Rewriter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors = list(graph.tensors)
        self.kept = {*graph.outputs, *(state.next for state in graph.states)}
        self.readers: dict[int, list[Operator]] = defaultdict(list)
        for operator in graph.operators:
            for i in set(operator.inputs):
                self.readers[i].append(operator)
        self.replaced: dict[int, tuple[Operator, ...]] = {}
        """By the identity of a chain's last operator: what stands there instead."""
        self.gone: set[int] = set()
        self.names: list[str] = []

    def try_from(self, split: SpaceToBatchND) -> None:
        chain = self._chain(split)
        if chain is None:
            return
        made = self._dilated(chain)
        if made is None:
            return
        self.gone.update(id(op) for op in chain.members)
        self.replaced[id(chain.join)] = made
        self.names.append(f"{chain.conv.source_name} {chain.conv.index}")

    def result(self) -> Graph:
        if not self.names:
            return self.graph
        operators: list[Operator] = []
        for operator in self.graph.operators:
            operators.extend(self.replaced.get(id(operator), ()))
            if id(operator) not in self.gone:
                operators.append(operator)
        note = f"phases in batches made dilated convolutions: {', '.join(self.names)}"
        return replace(
            self.graph,
            tensors=tuple(self.tensors),
            operators=tuple(operators),
            notes=(*self.graph.notes, note),
        )

    def _chain(self, split: SpaceToBatchND) -> _Chain | None:
        before, conv = self._layouts(split)
        if not isinstance(conv, Conv2D | DepthwiseConv2D):
            return None
        after, join = self._layouts(conv)
        if not isinstance(join, BatchToSpaceND) or join.block != split.block:
            return None
        return _Chain(split=split, before=before, conv=conv, after=after, join=join)

    def _layouts(self, operator: Operator) -> tuple[tuple[_Layout, ...], Operator | None]:
        """The layout operators that follow, and what comes after them, if each is read once."""
        found: list[_Layout] = []
        while True:
            output = operator.outputs[0]
            readers = self.readers[output]
            if len(readers) != 1 or output in self.kept:
                return (), None
            operator = readers[0]
            if operator.inputs[0] != output:
                return (), None
            if not isinstance(operator, _Layout):
                return tuple(found), operator
            found.append(operator)

    def _dilated(self, chain: _Chain) -> tuple[Operator, ...] | None:
        """The operators that do the same in one convolution; None where they do not exist."""
        conv, tensors = chain.conv, self.tensors
        x, image = tensors[chain.split.inputs[0]], tensors[conv.inputs[0]]
        plan = _plan(x.shape, image.shape, chain)
        if plan is None or conv.padding != "VALID" or conv.stride != (1, 1):
            return None
        if conv.dilation != (1, 1) or not self._small(conv, plan.block):
            return None
        padded = self._add(chain.split.outputs[0], plan.padded(), "padded")
        sizes = [
            n - (k - 1) * d
            for n, k, d in zip(
                plan.padded()[1:3], tensors[conv.inputs[1]].shape[1:3], plan.block, strict=True
            )
        ]
        out = tensors[conv.outputs[0]]
        dilated = self._add(conv.outputs[0], (1, *sizes, out.shape[3]), "dilated")
        made: list[Operator] = []
        source = chain.split.inputs[0]
        if chain.before:
            source = self._add(source, plan.shape, "image")
            made.append(
                _reshape(chain.before[0], chain.split.inputs[0], source, plan.shape),
            )
        made.append(
            replace(
                chain.split,
                block=(1, 1),
                pads=plan.pads,
                inputs=(source, *chain.split.inputs[1:]),
                outputs=(padded,),
            )
        )
        made.append(
            replace(
                conv, dilation=plan.block, inputs=(padded, *conv.inputs[1:]), outputs=(dilated,)
            )
        )
        return (*made, *self._cropped(chain, plan, dilated))

    def _cropped(self, chain: _Chain, plan: _Plan, dilated: int) -> tuple[Operator, ...]:
        end = chain.join.outputs[0]
        shape = tuple(
            n - b - a
            for n, (b, a) in zip(self.tensors[dilated].shape[1:3], plan.crops, strict=True)
        )
        whole = (1, *shape, self.tensors[dilated].shape[3])
        cropped = self._add(end, whole, "cropped") if chain.after else end
        crop = replace(
            chain.join,
            block=(1, 1),
            crops=plan.crops,
            inputs=(dilated, *chain.join.inputs[1:]),
            outputs=(cropped,),
        )
        if not chain.after:
            return (crop,)
        return (crop, _reshape(chain.after[0], cropped, end, self.tensors[end].shape))

    def _small(self, conv: Conv2D | DepthwiseConv2D, block: Pair) -> bool:
        kernel = self.tensors[conv.inputs[1]].shape[1:3]
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, block, strict=True)]
        return max(block) <= MAX_WINDOW and max(extents) <= MAX_EXTENT

    def _add(self, like: int, shape: Shape, suffix: str) -> int:
        tensor: Tensor = self.tensors[like]
        name = f"{tensor.name}/{suffix}"
        self.tensors.append(replace(tensor, name=name, shape=shape, signature=None))
        return len(self.tensors) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The chain on one image (1, H, W, C): `block`, `pads` and `crops` along H and W."""

    shape: Shape
    block: Pair
    pads: tuple[Pair, Pair]
    crops: tuple[Pair, Pair]

    def padded(self) -> Shape:
        _, h, w, c = self.shape
        (top, bottom), (left, right) = self.pads
        return (1, h + top + bottom, w + left + right, c)


def _plan(x: Shape, image: Shape, chain: _Chain) -> _Plan | None:
    """The chain's geometry on the axes of the convolution; None for another one than these."""
    split, join = chain.split, chain.join
    if x[0] != 1 or len(image) != 4:
        return None
    if len(split.block) <= 2 and len(x) == 4 and not chain.before and not chain.after:
        rows, columns = (*split.block, 1)[:2]
        return _Plan(
            shape=x,
            block=(rows, columns),
            pads=_both(split.pads),
            crops=_both(join.crops),
        )
    if len(split.block) != 1 or len(x) != 3 or not chain.before or not chain.after:
        return None
    phases, length = split.block[0], x[1]
    inner = (length + sum(split.pads[0])) // phases
    if image != (phases, 1, inner, x[2]) and image != (phases, inner, 1, x[2]):
        return None
    along = image[1] == 1
    shape = (1, 1, length, x[2]) if along else (1, length, 1, x[2])
    return _Plan(
        shape=shape,
        block=(1, phases) if along else (phases, 1),
        pads=_beside(split.pads[0], along=along),
        crops=_beside(join.crops[0], along=along),
    )


def _both(pairs: tuple[Pair, ...]) -> tuple[Pair, Pair]:
    return pairs[0], pairs[1] if len(pairs) > 1 else (0, 0)


def _beside(pair: Pair, *, along: bool) -> tuple[Pair, Pair]:
    return ((0, 0), pair) if along else (pair, (0, 0))


def _reshape(named: Operator, source: int, target: int, shape: Shape) -> Reshape:
    return Reshape(
        index=named.index,
        source_name=named.source_name,
        inputs=(source,),
        outputs=(target,),
        new_shape=shape,
    )
