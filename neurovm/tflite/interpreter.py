# SPDX-License-Identifier: Apache-2.0
"""`Interpreter`: call-compatible with `tflite_runtime.interpreter.Interpreter`.

The API is TFLite's (https://ai.google.dev/edge/api/tflite/python/tf/lite/Interpreter); what runs is
a session of the converted network.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from neurovm import codec
from neurovm.tflite.details import details, operator_details
from neurovm.tflite.options import (
    UNUSED,
    Delegate,
    OpResolverType,
    check_threads,
    content,
    load_delegate,
    profile_of,
    refuse_delegate,
)
from neurovm.tflite.signature import SignatureRunner

__all__ = ["Delegate", "Interpreter", "OpResolverType", "SignatureRunner", "load_delegate"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.session import Session


_CODES = ("int8", "uint8", "int16")
_INDEX_BITS = 31


class ResizeError(RuntimeError, ValueError):
    """A size that an input cannot have. TFLite raises RuntimeError; ValueError is what all else
    that is wrong with a value raises here.
    """


class Interpreter:
    """A .tflite, run by events. One of `model_path` and `model_content` (bytes) is needed.

    num_threads is checked and without effect: a session computes on one thread. delegates are
    refused. profile: the rounding rules (`xnnpack` or `tflm`); None: what
    `experimental_op_resolver_type` means.

    Raises ValueError where the model cannot be opened, and names what in it has no exact rule here
    (`neurovm.UnsupportedOperatorError`, `neurovm.ModelError`). Unlike TFLite's, an interpreter
    keeps working while arrays of `tensor` are held.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        model_content: bytes | None = None,
        experimental_delegates: Sequence[Any] | None = None,
        num_threads: int | None = None,
        experimental_op_resolver_type: Any = OpResolverType.AUTO,
        *,
        profile: str | None = None,
        **options: Any,
    ) -> None:
        import neurovm
        from neurovm.converters import tflite
        from neurovm.converters.tflite_signatures import signatures, tensor_count

        for name in options:
            if name not in UNUSED:
                raise TypeError(f"Interpreter() takes no argument {name!r}")
        for delegate in experimental_delegates or ():
            refuse_delegate(delegate)
        check_threads(num_threads)
        profile = profile or profile_of(experimental_op_resolver_type)
        name, data = content(model_path, model_content)
        self._name, self._data = name, data
        self._source = tflite.read(data, name=name)
        self._signatures = signatures(name, data)
        self._count = tensor_count(name, data)
        self._model = neurovm.convert_tflite(data, profile=profile, name=name)
        self._session: Session | None = None
        self._invoked = False
        self._overwritten = False
        self._holds: dict[int, tuple[int, tuple[int, ...]]] | None = None
        self._arrays: dict[int, NDArray[Any]] = {}

    @property
    def session(self) -> Session | None:
        """What runs: its counters tell the work. None before `allocate_tensors`. Not in TFLite."""
        return self._session

    def allocate_tensors(self) -> None:
        """Make ready to run; a second time nothing happens."""
        import numpy as np

        if self._session is not None:
            return
        self._session = self._model.session()
        for ports, infos in self._ports():
            for i, info in zip(ports, infos, strict=True):
                self._arrays[i] = np.zeros(info.shape, info.dtype)

    def get_input_details(self) -> list[dict[str, Any]]:
        """name, index, shape, shape_signature, dtype, quantization, quantization_parameters and
        sparsity_parameters of each input.
        """
        return [details(i, self._source.tensors[i]) for i in self._source.inputs]

    def get_output_details(self) -> list[dict[str, Any]]:
        """As `get_input_details`, of each output."""
        return [details(i, self._source.tensors[i]) for i in self._source.outputs]

    def get_tensor_details(self, subgraph_index: int = 0) -> list[dict[str, Any]]:
        """As `get_input_details`, of every tensor of the main subgraph, the only one there is."""
        if subgraph_index != 0:
            raise ValueError(f"subgraph {subgraph_index}; accepted: 0")
        return [details(i, self._source.tensors[i]) for i in range(self._count)]

    def set_tensor(self, tensor_index: int, value: Any) -> None:
        """Copy a value into an input, or into an output, where it stands until the next `invoke`.

        ValueError for another tensor, type or shape; TypeError where the index is no int.
        """
        import numpy as np

        index = self._index(tensor_index)
        if self._session is None:
            raise ValueError("call allocate_tensors() before set_tensor()")
        if index not in self._arrays:
            raise ValueError(f"tensor {index} is no input; accepted: {list(self._source.inputs)}")
        target, found = self._arrays[index], np.asarray(value)
        if found.dtype != target.dtype or found.shape != target.shape:
            what = "input" if index in self._source.inputs else "output"
            raise ValueError(
                f"{what} {index} ({self._source.tensors[index].name}) takes {target.dtype} "
                f"{target.shape}, found {found.dtype} {found.shape}"
            )
        target[...] = found
        self._overwritten |= index in self._source.outputs

    def invoke(self) -> None:
        """One step: what changed in the inputs since the last one is propagated.

        RuntimeError before `allocate_tensors`, ValueError where a float input holds a NaN.
        """
        if self._session is None:
            raise RuntimeError("call allocate_tensors() before invoke()")
        inputs = [self._arrays[i] for i in self._source.inputs]
        codes = b"".join(self._model.quantize(k, x.data) for k, x in enumerate(inputs))
        output = self._session.step(codes)
        if self._session.changed or not self._invoked or self._overwritten:
            self._take(output)
        self._invoked, self._overwritten = True, False

    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> NDArray[Any]:
        """A copy of a tensor: input, output, constant, or (after `invoke`) any whose codes a layer
        holds, all of int8, uint8 and int16 but those that conversion made into a part of another.
        """
        if subgraph_index != 0:
            raise ValueError(f"subgraph {subgraph_index}; accepted: 0")
        value = self._value(self._index(tensor_index))
        copied: NDArray[Any] = value.copy()
        return copied

    def tensor(self, tensor_index: int) -> Callable[[], NDArray[Any]]:
        """A function that returns the tensor: inputs to be written into, outputs as they stand."""
        return lambda: self._value(self._index(tensor_index))

    def resize_tensor_input(
        self, input_index: int, tensor_size: Sequence[int], strict: bool = False
    ) -> None:
        """Only the size an input has is accepted: a stream has one sample at a time.

        What is both a RuntimeError and a ValueError for another size or another tensor.
        """
        del strict
        index = _integer(input_index)
        if index not in self._source.inputs:
            raise ResizeError(f"tensor {index} is no input; accepted: {list(self._source.inputs)}")
        shape = self._model.inputs[self._source.inputs.index(index)].shape
        wanted = tuple(int(n) for n in tensor_size)
        if wanted != shape:
            raise ResizeError(
                f"input {index} has shape {shape}, found {wanted}: a converted network has one "
                f"size; accepted: {shape} (run further rows one after the other)"
            )

    def reset_all_variables(self) -> None:
        """What operators keep for themselves (LSTM, SVDF) is forgotten.

        As in TFLite, variables of the network (VAR_HANDLE) stay as they are: `reset_state` forgets
        them too. ValueError for a network that has both.
        """
        owned = {state.owner is not None for state in self._source.states}
        if owned == {True, False}:
            raise ValueError(
                "the network has variables and operators that keep state, which cannot be told "
                "apart here; accepted: reset_state(), which forgets both"
            )
        if owned == {True}:
            self.reset_state()

    def reset_state(self) -> None:
        """Back to the start: all that the network remembers is forgotten. Not in TFLite."""
        if self._session is not None:
            self._session.reset()
            self._invoked = False

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """Names of inputs and outputs by key of signature."""
        return {
            key: {"inputs": list(found.inputs), "outputs": list(found.outputs)}
            for key, found in self._signatures.items()
        }

    def get_signature_runner(self, signature_key: str | None = None) -> SignatureRunner:
        """The signature of that key; without a key the only one. ValueError where there is none."""
        listed = ", ".join(map(repr, self._signatures)) or "none, as the model has no signature"
        if signature_key is None:
            if len(self._signatures) != 1:
                raise ValueError(f"signature_key is needed; accepted: {listed}")
            (signature_key,) = self._signatures
        if signature_key not in self._signatures:
            raise ValueError(f"signature_key {signature_key!r}; accepted: {listed}")
        return SignatureRunner(self, signature_key, self._signatures[signature_key])

    def _get_ops_details(self) -> list[dict[str, Any]]:
        """index, op_name, inputs, outputs, operand_types and result_types of the file's operators.

        Many programs call it, although TFLite does not document it.
        """
        from neurovm.converters.tflite_parts import parts

        found = parts(self._name, self._data)
        return [operator_details(part, found.tensors) for part in found.operators]

    def _get_op_details(self, op_index: int) -> dict[str, Any]:
        """As `_get_ops_details`, of one operator."""
        listed, index = self._get_ops_details(), _integer(op_index)
        if not 0 <= index < len(listed):
            raise ValueError(f"operator {index}; accepted: 0 to {len(listed) - 1}")
        return listed[index]

    def _ports(self) -> tuple[tuple[tuple[int, ...], Any], ...]:
        """Inputs and outputs: indices of tensors, and what is known of them."""
        source, model = self._source, self._model
        return (source.inputs, model.inputs), (source.outputs, model.outputs)

    def _take(self, output: memoryview) -> None:
        """Output codes into the outputs' arrays, in place."""
        import numpy as np

        raw, at = output.cast("B"), 0
        for i, info in zip(self._source.outputs, self._model.outputs, strict=True):
            values = codec.dequantize(info, raw[at : at + info.bytes])
            self._arrays[i][...] = np.frombuffer(values, info.dtype).reshape(info.shape)
            at += info.bytes

    def _index(self, index: int) -> int:
        found = _integer(index)
        if not 0 <= found < self._count:
            raise ValueError(f"tensor {found}; accepted: 0 to {self._count - 1}")
        return found

    def _value(self, index: int) -> NDArray[Any]:
        """The value itself, no copy."""
        data: NDArray[Any] | None = self._source.tensors[index].data
        if data is not None:
            return data
        if self._session is None:
            raise ValueError("call allocate_tensors() before the value of a tensor is asked for")
        return self._arrays[index] if index in self._arrays else self._inner(index)

    def _inner(self, index: int) -> NDArray[Any]:
        """An intermediate tensor from the layer that holds its codes."""
        import numpy as np

        tensor = self._source.tensors[index]
        held = self._layers().get(index) if tensor.dtype in _CODES else None
        if held is None or not self._invoked or self._session is None:
            why = "no layer holds its values" if held is None else "invoke() comes first"
            raise ValueError(f"tensor {index} ({tensor.name}) has no value: {why}")
        layer, shape = held
        wide = np.int16 if tensor.dtype == "int16" else np.int8
        codes: NDArray[Any] = np.frombuffer(self._session.layer(layer).codes, wide)
        if tensor.dtype == "uint8":
            codes = np.bitwise_xor(codes.view(np.uint8), np.uint8(0x80))
        return codes.reshape(shape)

    def _layers(self) -> dict[int, tuple[int, tuple[int, ...]]]:
        """The layer that holds each tensor and its shape, found when the first is asked for."""
        if self._holds is None:
            from neurovm.holders import holders_of
            from neurovm.passes import prepare

            graph = prepare(self._source)
            held = holders_of(self._model.manifest, graph) or {}
            self._holds = {i: (layer, graph.tensors[i].shape) for i, layer in held.items()}
        return self._holds


def _integer(index: object) -> int:
    """An index as TFLite takes one; TypeError where it is no 32-bit int."""
    found = operator.index(index)  # type: ignore[arg-type]  # its TypeError is the answer
    if found.bit_length() > _INDEX_BITS:
        raise TypeError(f"index {found}; an int of 32 bits is accepted")
    return found
