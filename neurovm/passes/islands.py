# SPDX-License-Identifier: Apache-2.0
"""Turn what a network computes between quantizations into tables of its codes.

DEQUANTIZE → float operators → QUANTIZE is a function of one code, or of two: a table of 256 or of
65,536 entries. So are casts, comparisons and choices, and the indices that ARG_MAX finds. Every
value that is no code is followed here as a function of codes; it becomes codes again where the
network quantizes, casts or chooses it, and values again where it leaves the network. What mixes
more codes than two is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.arithmetic import NoExactRuleError, Reals
from neurovm.arithmetic.real import (
    choose,
    comparable,
    real_binary,
    real_of,
    requantized_wide,
)
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Graph, Quantization, Tensor
from neurovm.operators import (
    ArgMax,
    BroadcastTo,
    Cast,
    Decode,
    Dequantize,
    Encode,
    EncodeReal,
    ExpandDims,
    Lookup,
    LookupPair,
    Movement,
    Operator,
    Quantize,
    RealBinary,
    Reshape,
    Select,
    Squeeze,
)
from neurovm.passes.chains import Chain, identity, prolonged
from neurovm.passes.meanings import CODES, Meaning, as_tables, as_values, constant_of, merge
from neurovm.passes.values import evaluate, has_rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPARISONS = frozenset({"equal", "greater", "greater_equal", "less", "less_equal", "not_equal"})
_UNIT = Quantization(scale=(1.0,), zero_point=(0,))
_INDEX = Quantization(scale=(1.0,), zero_point=(-128,))


def fold_islands(graph: Graph) -> Graph:
    """The graph with a table in place of each function of codes; see the first lines.

    Raises UnsupportedOperatorError for operators on values that are no functions of at most two
    codes, and for float outputs whose bits no two processors agree on.
    """
    return _Walk(graph).run()


class _Walk:
    """One walk over the operators in execution order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors = list(graph.tensors)
        self.meanings: dict[int, Meaning] = {}
        self.chains: dict[int, Chain] = {}
        self.kept: list[Operator] = []
        self.made: list[str] = []
        """Operators that became part of a table."""

    def run(self) -> Graph:
        for i in self.graph.inputs:
            self._open_input(i)
        for operator in self.graph.operators:
            self._guarded(operator, partial(self._follow, operator))
        for i in self.graph.outputs:
            self._close_output(i)
        notes = (f"computed as tables of codes: {', '.join(self.made)}",) if self.made else ()
        return replace(
            self.graph,
            tensors=tuple(self.tensors),
            operators=tuple(self.kept),
            notes=self.graph.notes + notes,
        )

    def _guarded(self, operator: Operator, step: Callable[[], None]) -> None:
        """Name the operator in what has no exact rule."""
        try:
            step()
        except NoExactRuleError as e:
            raise UnsupportedOperatorError(
                self.graph.source.name, operator.source_name, operator.index, str(e)
            ) from e

    # ---- edges ----------------------------------------------------------------------------------

    def _open_input(self, index: int) -> None:
        """Codes without a scale are numbers; integers that are cast to 8 bits their lowest byte."""
        tensor = self.tensors[index]
        readers = [op for op in self.graph.operators if index in op.inputs]
        if tensor.dtype == "float32":
            self.chains[index] = identity(index)
        if not readers or not all(isinstance(op, Cast) for op in readers):
            return
        if tensor.dtype in CODES and tensor.quantization is None:
            self.tensors[index] = replace(tensor, quantization=_UNIT)
        narrow = all(self.tensors[op.outputs[0]].dtype in CODES for op in readers)
        if tensor.dtype in ("int32", "int64") and narrow:
            low = self._new(tensor, "int8", _UNIT)
            self._keep(Encode(**_place(readers[0]), inputs=(index,), outputs=(low,)))
            numbers = np.arange(-128, 128).astype(tensor.dtype)
            self.meanings[index] = as_values(low, tensor.shape, Reals.exactly(numbers))

    def _close_output(self, index: int) -> None:
        """An output that is no code is what its codes stand for."""
        meaning = self.meanings.get(index)
        if meaning is None or any(index in op.outputs for op in self.kept):
            return
        producer = next((op for op in self.graph.operators if index in op.outputs), None)
        if producer is None:
            raise ModelError(
                f"{self.graph.source.name}: output {self.tensors[index].name!r} is an input that "
                f"no operator computes with; one that an operator makes is needed"
            )
        self._guarded(producer, lambda: self._decode(producer, index, meaning))

    def _decode(self, producer: Operator, index: int, meaning: Meaning) -> None:
        tensor = self.tensors[index]
        if len(meaning.sources) == 2:
            meaning = self._coded(producer, index, meaning)
        if not meaning.uniform:
            raise NoExactRuleError(
                f"output {tensor.name!r} is another function of codes from place to place; the "
                f"same everywhere, or an int8 output, is needed"
            )
        if not meaning.reals.exact:
            raise NoExactRuleError(
                f"output {tensor.name!r} is in float32, and its last bits differ from processor "
                f"to processor; an int8 output, or the model without the operator, is needed"
            )
        source = self._spread(producer, meaning.sources[0], tensor.shape)
        values = meaning.reals.value.reshape(256)
        self._keep(Decode(**_place(producer), inputs=(source,), outputs=(index,), values=values))

    # ---- operators ------------------------------------------------------------------------------

    def _follow(self, operator: Operator) -> None:
        """Keep an operator on codes; make any other a part of what its outputs mean."""
        foreign = [i for i in operator.inputs if i in self.meanings]
        narrow = all(self.tensors[i].dtype in CODES for i in operator.outputs)
        real = [k for k, i in enumerate(operator.inputs) if i in self.chains]
        if real:
            self._prolong(operator, real)
        elif isinstance(operator, Cast):
            self._cast(operator)
        elif isinstance(operator, Select) and narrow:
            self._select(operator)
        elif isinstance(operator, RealBinary) and not foreign:
            self._compare(operator)
        elif isinstance(operator, ArgMax) and not foreign:
            self._extreme(operator)
        elif isinstance(operator, Dequantize) and not foreign:
            self._dequantize(operator)
        elif isinstance(operator, Quantize) and self.tensors[operator.outputs[0]].dtype == "int32":
            self._quantize_wide(operator)
        elif not foreign:
            self._keep(operator)
        elif isinstance(operator, Quantize):
            self._emit(operator, self.meanings[operator.inputs[0]], operator.outputs[0])
        elif isinstance(operator, Movement | Reshape | Squeeze | ExpandDims):
            self._move(operator)
        elif has_rule(operator):
            dtype = self.tensors[operator.outputs[0]].dtype
            parts = [self._values_of(i) for i in operator.inputs]
            self._mean(operator, self._merged(parts, lambda *x: evaluate(operator, x, dtype)))
        else:
            raise NoExactRuleError(
                f"it computes with {self.tensors[foreign[0]].dtype} values within the network; the "
                f"operator in int8 is needed"
            )

    def _prolong(self, operator: Operator, ports: Sequence[int]) -> None:
        """Follow what is computed of a real input up to its quantization."""
        chain, out = self.chains[operator.inputs[ports[0]]], operator.outputs[0]
        if isinstance(operator, Quantize):
            if operator.inputs[0] == chain.source:
                self._keep(operator)
            else:
                encode = EncodeReal(
                    **_place(operator), inputs=(chain.source,), outputs=(out,),
                    function=chain.function,
                )  # fmt: skip
                self._keep(encode)
        elif len(ports) == 1 and has_rule(operator):
            self.chains[out] = prolonged(chain, ports[0], operator, self.tensors)
            self.made.append(f"{operator.source_name} {operator.index}")
        else:
            raise NoExactRuleError(
                "it computes with a real input; only one that is quantized first can be used so"
            )

    def _dequantize(self, operator: Dequantize) -> None:
        index, out = operator.inputs[0], operator.outputs[0]
        x = self.tensors[index]
        if out in self.graph.outputs or x.dtype not in CODES:
            self._keep(operator)
        if x.dtype in CODES:
            self.meanings[out] = as_values(index, x.shape, Reals.exactly(real_of(x.codes)))

    def _quantize_wide(self, operator: Quantize) -> None:
        """Codes of 8 bits as int32, which TFLM makes of them."""
        index, out = operator.inputs[0], self.tensors[operator.outputs[0]]
        x = self.tensors[index]
        if x.dtype not in CODES or index in self.meanings:
            raise NoExactRuleError(f"it makes int32 of {x.dtype}; int8 is needed")
        values = requantized_wide(x.codes, out.scale, out.zero_point)
        self._mean(operator, as_values(index, x.shape, Reals.exactly(values)))

    def _extreme(self, operator: ArgMax) -> None:
        """The index as a code, which stands for it in the source's own type."""
        out = self.tensors[operator.outputs[0]]
        codes = self._new(out, "int8", _INDEX)
        self._keep(replace(operator, outputs=(codes,)))
        numbers = np.arange(256).astype(out.dtype)
        self.meanings[operator.outputs[0]] = as_values(codes, out.shape, Reals.exactly(numbers))

    def _compare(self, operator: RealBinary) -> None:
        """Codes against codes, or against constants."""
        x = [self.tensors[i] for i in operator.inputs]
        if operator.function not in COMPARISONS or any(t.dtype not in CODES for t in x):
            self._keep(operator)
            return
        parts = []
        for i, tensor in zip(operator.inputs, x, strict=True):
            numbers = comparable(tensor.codes)
            if tensor.data is None:
                parts.append(as_values(i, tensor.shape, Reals.exactly(numbers)))
            else:
                shift = 0 if tensor.dtype == "uint8" else 128
                parts.append(constant_of(numbers[tensor.data.astype(np.int64) + shift]))
        self._mean(operator, self._merged(parts, lambda *p: real_binary(operator.function, *p)))

    def _cast(self, operator: Cast) -> None:
        """Codes are numbers to a cast; what becomes 8 bits wide becomes codes."""
        index, out = operator.inputs[0], operator.outputs[0]
        target = self.tensors[out].dtype
        meaning = self._numbers_of(index)
        meaning = replace(meaning, reals=evaluate(operator, [meaning.reals], target))
        if target not in CODES:
            self._mean(operator, meaning)
            return
        if self.tensors[out].quantization is None:
            self.tensors[out] = replace(self.tensors[out], quantization=_UNIT)
        self._emit(operator, meaning, out, copied=True)

    def _select(self, operator: Select) -> None:
        """A choice between codes, which are copied: of two sources a table, of three a chain."""
        out = operator.outputs[0]
        condition, a, b = (
            self._values_of(operator.inputs[0]),
            *(self._numbers_of(i) for i in operator.inputs[1:]),
        )
        if len({s for part in (condition, a, b) for s in part.sources}) > 2:
            if len(condition.sources) == 2:
                condition = self._coded(operator, operator.inputs[0], condition)
            lowest = constant_of(
                np.array(np.iinfo(self.tensors[out].dtype).min, a.reals.value.dtype)
            )
            halves = []
            for pair in ((a, lowest), (lowest, b)):
                half = self._new(self.tensors[out])
                chosen = self._merged([condition, *pair], choose)
                self._emit(operator, chosen, half, copied=True)
                halves.append(self._numbers_of(half))
            larger = self._merged(halves, lambda x, y: real_binary("maximum", x, y))
            self._emit(operator, larger, out, copied=True)
            return
        self._emit(operator, self._merged([condition, a, b], choose), out, copied=True)

    def _move(self, operator: Operator) -> None:
        """Move the codes instead of the values."""
        moved = operator.data_inputs if isinstance(operator, Movement) else operator.inputs[:1]
        meanings = [self._single(operator, i) for i in moved]
        first = meanings[0]
        if any(not m.uniform or not m.same_function(first) for m in meanings):
            raise NoExactRuleError(
                "it moves or joins values that are different functions of codes; equal scales, or "
                "the operator in int8, are needed"
            )
        inputs = dict(zip(moved, (m.sources[0] for m in meanings), strict=True))
        code = self.tensors[first.sources[0]]
        outputs = [
            self._new(replace(self.tensors[i], signature=None), code.dtype, code.quantization)
            for i in operator.outputs
        ]
        self._keep(
            replace(
                operator,
                inputs=tuple(inputs.get(i, i) for i in operator.inputs),
                outputs=tuple(outputs),
            )
        )
        for i, new in zip(operator.outputs, outputs, strict=True):
            flat = first.reals.map(lambda v: v.reshape(256))
            self.meanings[i] = as_values(new, self.tensors[new].shape, flat)

    # ---- meanings -------------------------------------------------------------------------------

    def _values_of(self, index: int) -> Meaning:
        """What an input of an operator on values holds."""
        tensor = self.tensors[index]
        if tensor.data is not None:
            return constant_of(tensor.data)
        if index not in self.meanings:
            raise NoExactRuleError(
                f"it reads {tensor.name!r} ({tensor.dtype}), which is not computed from codes; "
                f"quantized inputs are needed"
            )
        return self.meanings[index]

    def _numbers_of(self, index: int) -> Meaning:
        """As `_values_of`; of codes the codes themselves, as numbers of their own type."""
        tensor = self.tensors[index]
        if tensor.data is not None or tensor.dtype not in CODES:
            return self._values_of(index)
        numbers = np.arange(-128, 128) + (128 if tensor.dtype == "uint8" else 0)
        return as_values(index, tensor.shape, Reals.exactly(numbers.astype(tensor.dtype)))

    def _single(self, operator: Operator, index: int) -> Meaning:
        """A function of one code: of two, what they make is given a code of its own."""
        meaning = self._values_of(index)
        if not meaning.sources:
            raise NoExactRuleError("it joins constants and values computed from codes")
        return self._coded(operator, index, meaning) if len(meaning.sources) == 2 else meaning

    def _merged(self, parts: Sequence[Meaning], function: Callable[..., Reals]) -> Meaning:
        if len({s for part in parts for s in part.sources}) > 2:
            raise NoExactRuleError(
                "it depends on more than two codes at once; the operators in int8 are needed"
            )
        return merge(parts, function)

    def _mean(self, operator: Operator, meaning: Meaning) -> None:
        self.meanings[operator.outputs[0]] = meaning
        self.made.append(f"{operator.source_name} {operator.index}")

    # ---- operators that are made ----------------------------------------------------------------

    def _emit(
        self, operator: Operator, meaning: Meaning, out: int, *, copied: bool = False
    ) -> None:
        """Codes of a meaning: quantized, or (`copied`) the values themselves."""
        tensor = self.tensors[out]
        if len(meaning.sources) == 2 and _spreads(self.tensors, meaning, tensor.shape):
            self._keep(
                LookupPair(
                    **_place(operator), inputs=meaning.sources, outputs=(out,),
                    **_content(meaning.reals, copied=copied),
                )
            )  # fmt: skip
            return
        if len(meaning.sources) != 1:
            raise NoExactRuleError("its result is no function of one code, or of two")
        source = self._spread(operator, meaning.sources[0], tensor.shape)
        tables, run = as_tables(meaning.reals, tensor.shape)
        self._keep(
            Lookup(
                **_place(operator), inputs=(source,), outputs=(out,), run=run,
                **_content(tables, copied=copied),
            )
        )  # fmt: skip

    def _spread(self, operator: Operator, source: int, shape: tuple[int, ...]) -> int:
        """A code tensor of this shape, repeated where it is broadcast."""
        x = self.tensors[source]
        if x.size == math.prod(shape):
            return source
        sizes = self._constant(np.array(shape, np.int32))
        out = self._new(replace(x, shape=shape))
        self._keep(BroadcastTo(**_place(operator), inputs=(source, sizes), outputs=(out,)))
        return out

    def _coded(self, operator: Operator, index: int, meaning: Meaning) -> Meaning:
        """A function of two codes with at most 256 values, as one code that stands for them."""
        known = np.unique(meaning.reals.value)
        if not meaning.reals.exact or known.size > 256:
            raise NoExactRuleError(
                f"it takes {known.size} values of two codes; at most 256 can be told apart by one "
                f"code, the operators in int8 are needed"
            )
        shape = np.broadcast_shapes(*(self.tensors[s].shape for s in meaning.sources))
        codes = np.searchsorted(known, meaning.reals.value) - 128
        out = self._new(replace(self.tensors[index], shape=shape, signature=None), "int8", _INDEX)
        self._keep(
            LookupPair(
                **_place(operator), inputs=meaning.sources, outputs=(out,),
                codes=codes.astype(np.int8),
            )
        )  # fmt: skip
        values = np.concatenate([known, np.full(256 - known.size, known[-1], known.dtype)])
        return as_values(out, shape, Reals.exactly(values))

    def _keep(self, operator: Operator) -> None:
        self.kept.append(operator)

    def _new(
        self, like: Tensor, dtype: str | None = None, quantization: Quantization | None = None
    ) -> int:
        """One more tensor of codes."""
        changed: dict[str, Any] = (
            {} if dtype is None else {"dtype": dtype, "quantization": quantization}
        )
        self.tensors.append(replace(like, data=None, **changed))
        return len(self.tensors) - 1

    def _constant(self, data: NDArray[np.int32]) -> int:
        self.tensors.append(Tensor(name="sizes", shape=data.shape, dtype="int32", data=data))
        return len(self.tensors) - 1


def _place(operator: Operator) -> dict[str, Any]:
    return {"index": operator.index, "source_name": operator.source_name}


def _content(reals: Reals, *, copied: bool) -> dict[str, Any]:
    """Values to quantize, or codes in int8 form."""
    if not copied:
        return {"reals": reals}
    shift = 128 if reals.value.dtype == np.uint8 else 0
    return {"codes": (reals.value.astype(np.int64) - shift).astype(np.int8)}


def _spreads(tensors: Sequence[Tensor], meaning: Meaning, shape: tuple[int, ...]) -> bool:
    """Whether the sources broadcast to the shape."""
    try:
        return np.broadcast_shapes(*(tensors[s].shape for s in meaning.sources)) == shape
    except ValueError:
        return False
