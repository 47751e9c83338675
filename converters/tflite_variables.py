# SPDX-License-Identifier: Apache-2.0
"""Variables of a .tflite: VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE and CALL_ONCE.

A variable is read and assigned in execution order. What it holds when an invocation begins becomes
a state of the graph; a READ_VARIABLE after an ASSIGN_VARIABLE is another name of what was assigned;
what was assigned last is the state's next value. CALL_ONCE names a subgraph that assigns constants:
the values of the first invocation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import tflite

from neurovm.converters.tflite_file import TFLiteFile
from neurovm.graph import State, Tensor
from neurovm.operators import ReadVariable

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from neurovm.converters.tflite_raw import RawOperator
    from neurovm.operators import Operator

    RawOperators = Callable[[TFLiteFile, Any], list[RawOperator]]

_OP = tflite.BuiltinOperator
CODES = (_OP.CALL_ONCE, _OP.VAR_HANDLE, _OP.READ_VARIABLE, _OP.ASSIGN_VARIABLE)
"""The operators this module reads in place of a decoder."""

_PORTS = {_OP.CALL_ONCE: (0, 0), _OP.VAR_HANDLE: (0, 1), _OP.READ_VARIABLE: (1, 1)}
_MOST_VARIABLES = 1024

Key = tuple[str, str]
"""Container and name, which handles share."""


@dataclass(slots=True)
class _Variable:
    """One variable while the operators are walked."""

    name: str
    initial: NDArray[np.generic] | None = None
    begin: int | None = None
    """The tensor that holds it when an invocation begins, once that is read."""
    now: int | None = None
    """The tensor it holds at this point of the walk."""
    assigned: RawOperator | None = None


@dataclass(slots=True)
class Variables:
    """The variables of one file; `tensors` grows by those that hold states."""

    file: TFLiteFile
    tensors: list[Tensor]
    read_operators: RawOperators
    _handles: dict[int, _Variable] = field(default_factory=dict)
    _variables: dict[Key, _Variable] = field(default_factory=dict)
    _called: set[int] = field(default_factory=set)
    _taken: list[str] = field(default_factory=list)

    def take(self, raw: RawOperator) -> Operator | None:
        """One operator of `CODES`, in execution order; what of it stands in the graph."""
        inputs, outputs = _PORTS.get(raw.code, (2, 0))
        if (len(raw.inputs), len(raw.outputs)) != (inputs, outputs) or -1 in raw.inputs:
            raise raw.error(
                f"inputs {raw.inputs[:16]}, outputs {raw.outputs[:16]}; {inputs} and {outputs} "
                f"are needed"
            )
        if raw.code == _OP.CALL_ONCE:
            self._call_once(raw)
        elif raw.code == _OP.VAR_HANDLE:
            self._handles[raw.outputs[0]] = self._variable(raw)
        elif raw.code == _OP.ASSIGN_VARIABLE:
            self._assign(raw)
        else:
            return self._read(raw)
        self._taken.append(f"{raw.name} {raw.index}")
        return None

    def notes(self) -> tuple[str, ...]:
        """Which operators left the graph."""
        return (f"taken into states: {', '.join(self._taken)}",) if self._taken else ()

    def states(self) -> tuple[State, ...]:
        """The states, once all operators were taken. A variable that stays as it is is constant."""
        made = []
        for variable in self._variables.values():
            if variable.begin is None or variable.now is None:
                continue
            initial = self._initial(variable)
            if variable.assigned is None:
                self.tensors[variable.begin] = replace(self.tensors[variable.begin], data=initial)
                continue
            made.append(
                State(name=variable.name, read=variable.begin, next=variable.now, initial=initial)
            )
        return tuple(made)

    def _variable(self, raw: RawOperator) -> _Variable:
        options = raw.options(tflite.VarHandleOptions)
        container, name = (
            self.file.text(value or None, "")
            for value in (options.Container(), options.SharedName())
        )
        if len(self._variables) >= _MOST_VARIABLES:
            raise raw.error(f"more than {_MOST_VARIABLES} variables")
        named = name or f"variable {len(self._variables)}"
        return self._variables.setdefault((container, name), _Variable(named))

    def _held(self, raw: RawOperator) -> _Variable:
        variable = self._handles.get(raw.inputs[0])
        if variable is None:
            raise raw.unsupported("the handle it uses is not that of a VAR_HANDLE before it")
        return variable

    def _read(self, raw: RawOperator) -> Operator:
        variable, out = self._held(raw), self.tensors[raw.outputs[0]]
        if variable.now is None:
            _check_type(raw, out)
            self.tensors.append(replace(out, name=variable.name, data=None, signature=None))
            variable.begin = variable.now = len(self.tensors) - 1
        self._check_same(raw, variable.now, raw.outputs[0], variable)
        return ReadVariable(**raw.place | {"inputs": (variable.now,)})

    def _assign(self, raw: RawOperator) -> None:
        variable, value = self._held(raw), raw.inputs[1]
        _check_type(raw, self.tensors[value])
        if variable.now is not None:
            self._check_same(raw, value, variable.now, variable)
        variable.now, variable.assigned = value, raw

    def _check_same(self, raw: RawOperator, value: int, held: int, variable: _Variable) -> None:
        a, b = self.tensors[value], self.tensors[held]
        if (a.dtype, a.size) != (b.dtype, b.size) or a.quantization != b.quantization:
            raise raw.error(
                f"variable {variable.name!r} is {b.dtype} {b.shape} and {a.dtype} {a.shape}, "
                f"or of two scales; one type, size and scale is needed"
            )

    def _call_once(self, raw: RawOperator) -> None:
        number = raw.options(tflite.CallOnceOptions).InitSubgraphIndex()
        if number in self._called:
            return
        if not 1 <= number < self.file.model.SubgraphsLength():
            raise raw.error(
                f"subgraph {number}; the file has {self.file.model.SubgraphsLength()}, "
                f"the first of which is the network itself"
            )
        self._called.add(number)
        subgraph = self.file.model.Subgraphs(number)
        if subgraph is None:
            raise raw.error(f"subgraph {number} is missing")
        handles: dict[int, _Variable] = {}
        for inner in self.read_operators(self.file, subgraph):
            if inner.code == _OP.VAR_HANDLE and len(inner.outputs) == 1:
                handles[inner.outputs[0]] = self._variable(inner)
            elif inner.code == _OP.ASSIGN_VARIABLE and len(inner.inputs) == 2:
                self._start(raw, handles.get(inner.inputs[0]), subgraph, inner.inputs[1])
            else:
                raise raw.unsupported(
                    f"its subgraph {number} computes initial values ({inner.name}); variables that "
                    f"begin as constants are needed"
                )

    def _start(
        self, raw: RawOperator, variable: _Variable | None, subgraph: Any, value: int
    ) -> None:
        if variable is None or value < 0:
            raise raw.error("its subgraph assigns to a handle that is not that of a VAR_HANDLE")
        if variable.now is not None:
            raise raw.unsupported(
                f"it starts variable {variable.name!r}, which an operator before it uses"
            )
        table = subgraph.Tensors(value)
        dtype = self.file.dtype(table)
        shape = self.file.shape(table, dtype)
        data = self.file.constant(table, dtype, shape)
        if data is None:
            raise raw.unsupported(
                f"variable {variable.name!r} begins as something computed; a constant is needed"
            )
        variable.initial = data

    def _initial(self, variable: _Variable) -> NDArray[np.generic]:
        tensor = self.tensors[variable.begin or 0]
        found = variable.initial
        where = f"{self.file.name}: variable {variable.name!r}"
        if found is None:
            raise self.file.error(
                f"{where} is read before it has a value; a CALL_ONCE whose subgraph assigns "
                f"a constant is needed"
            )
        if found.dtype.name != tensor.dtype or found.size != tensor.size:
            raise self.file.error(
                f"{where} is {tensor.dtype} {tensor.shape} and begins as {found.dtype.name} "
                f"{found.shape}; the same type and size is needed"
            )
        return found.reshape(tensor.shape)


def _check_type(raw: RawOperator, tensor: Tensor) -> None:
    """Raise for a type that no variable of a network of codes has; `code_states` judges float32."""
    if tensor.dtype not in ("int8", "uint8", "int16", "float32"):
        raise raw.unsupported(
            f"its variable is {tensor.dtype}; int8, uint8 or int16 is needed (TensorFlow's "
            f"converter: _experimental_variable_quantization = True)"
        )


def check_handles(raw: Sequence[RawOperator], tensors: Sequence[Tensor]) -> None:
    """Refuse operators that read a resource as if it were data."""
    for r in raw:
        if r.code not in CODES and any(i >= 0 and tensors[i].dtype == "resource" for i in r.inputs):
            raise r.unsupported("it reads a resource; variables of VAR_HANDLE are known")
