# SPDX-License-Identifier: Apache-2.0
"""One operator as a .tflite has it, and what decoding one takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tflite

from neurovm.converters.tflite_file import MAX_RANK
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Tensor
from neurovm.operators import Activation, Operator, Padding

_ACTIVATIONS: dict[int, Activation] = {
    tflite.ActivationFunctionType.NONE: "NONE",
    tflite.ActivationFunctionType.RELU: "RELU",
    tflite.ActivationFunctionType.RELU6: "RELU6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}
_PADDINGS: dict[int, Padding] = {tflite.Padding.SAME: "SAME", tflite.Padding.VALID: "VALID"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOperator:
    """An operator as the file has it. `table` is the schema's Operator, indices are checked."""

    file: str
    index: int
    code: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: Any
    intermediates: tuple[int, ...] = ()

    @property
    def place(self) -> dict[str, Any]:
        """The fields every operator of the graph has."""
        return {
            "index": self.index,
            "source_name": self.name,
            "inputs": self.inputs,
            "outputs": self.outputs,
        }

    def options(self, kind: type[Any]) -> Any:
        """The options of this type; where the file has none, a table whose fields are all
        default.
        """
        table = self.table.BuiltinOptions()
        if table is not None and self.table.BuiltinOptionsType() == _OPTION_TYPES[kind]:
            options = kind()
            options.Init(table.Bytes, table.Pos)
            return options
        return _Defaults(kind)

    def activation(self, options: Any) -> Activation:
        code = options.FusedActivationFunction()
        if code not in _ACTIVATIONS:
            raise self.unsupported(
                f"its fused activation is number {code}; "
                f"accepted: {', '.join(_ACTIVATIONS.values())}"
            )
        return _ACTIVATIONS[code]

    def padding(self, options: Any) -> Padding:
        code = options.Padding()
        if code not in _PADDINGS:
            raise self.error(f"padding is number {code}; SAME (0) or VALID (1) is accepted")
        return _PADDINGS[code]

    def constant(self, tensors: Sequence[Tensor], position: int, what: str) -> tuple[int, ...]:
        """The integers of a constant input."""
        tensor = tensors[self.inputs[position]]
        if tensor.data is None:
            raise self.unsupported(f"its {what} are computed at run time; constants are needed")
        if tensor.dtype not in ("int32", "int64"):
            raise self.error(f"its {what} are {tensor.dtype}; int32 or int64 is needed")
        if tensor.size > 2 * MAX_RANK:
            raise self.error(f"{tensor.size} {what}; at most {2 * MAX_RANK} are accepted")
        return tuple(int(n) for n in tensor.data.reshape(-1))

    def number(self, tensors: Sequence[Tensor], position: int, what: str) -> int:
        """The one integer of a constant input."""
        found = self.constant(tensors, position, what)
        if len(found) != 1:
            raise self.error(f"{len(found)} numbers for its {what}; one is needed")
        return found[0]

    def error(self, found: str) -> ModelError:
        return ModelError(f"{self.file}: operator {self.index} ({self.name}): {found}")

    def unsupported(self, needed: str) -> UnsupportedOperatorError:
        return UnsupportedOperatorError(self.file, self.name, self.index, needed)


class _Defaults:
    """Stands for absent options, read as TFLite reads them: every field zero."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Callable[[], int]:
        if not hasattr(self._kind, name):
            raise AttributeError(name)
        return lambda: 0


_OPTION_TYPES: dict[type[Any], int] = {
    getattr(tflite, name): number
    for name, number in vars(tflite.BuiltinOptions).items()
    if not name.startswith("_") and number and hasattr(tflite, name)
}

Decoder = Callable[[RawOperator, Sequence[Tensor]], Operator]


@dataclass(frozen=True, slots=True)
class Entry:
    """A decoder, how many inputs the operator may have, and how many outputs at most."""

    decode: Decoder
    fewest: int
    most: int
    outputs: int = 1


ANY = 1 << 10
"""As many inputs or outputs as a decoder has to expect."""


def plain(kind: type[Operator]) -> Decoder:
    """An operator without options."""
    return lambda raw, _: kind(**raw.place)
