# SPDX-License-Identifier: Apache-2.0
"""`Interpreter`: call-compatible with `tflite_runtime.interpreter.Interpreter`.

The API is TFLite's (https://ai.google.dev/edge/api/tflite/python/tf/lite/Interpreter); what runs is
a session of the converted network.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from neurovm import codec
from neurovm.tflite.details import details
from neurovm.tflite.signature import SignatureRunner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.session import Session


class OpResolverType(Enum):
    """Which kernels TFLite would take. AUTO and BUILTIN are profile `xnnpack`, BUILTIN_REF is
    `tflm`; BUILTIN_WITHOUT_DEFAULT_DELEGATES is refused: its answers depend on the processor.
    """

    AUTO = 0
    BUILTIN = 1
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


_CODES = ("int8", "uint8", "int16")
_PROFILES = {"AUTO": "xnnpack", "BUILTIN": "xnnpack", "BUILTIN_REF": "tflm"}
_UNUSED = frozenset(
    {
        "experimental_preserve_all_tensors",
        "experimental_disable_delegate_clustering",
        "experimental_default_delegate_latest_features",
        "experimental_compress_quantization_zero_points",
        "experimental_disable_delegate_node_fusion",
        "experimental_force_delegate_node_profiling",
    }
)
"""Options that change no answer here: accepted, and without effect."""


class Delegate:
    """Stands for TFLite's class of that name; there is nothing to delegate to."""

    def __init__(self, library: str, options: dict[str, Any] | None = None) -> None:
        del options
        _refuse_delegate(library)


def load_delegate(library: str, options: dict[str, Any] | None = None) -> NoReturn:
    """No delegate runs here: raises what is both an OSError and a ValueError, as TFLite raises one
    or the other where a library cannot be loaded.
    """
    del options
    _refuse_delegate(library)


def _refuse_delegate(library: object) -> NoReturn:
    raise io.UnsupportedOperation(
        f"delegate {library!r}: networks run on neurovm's own kernel; accepted: none"
    )


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
            if name not in _UNUSED:
                raise TypeError(f"Interpreter() takes no argument {name!r}")
        for delegate in experimental_delegates or ():
            _refuse_delegate(delegate)
        _check_threads(num_threads)
        profile = profile or _profile(experimental_op_resolver_type)
        name, data = _content(model_path, model_content)
        self._source = tflite.read(data, name=name)
        self._signatures = signatures(name, data)
        self._count = tensor_count(name, data)
        self._model = neurovm.convert_tflite(data, profile=profile, name=name)
        self._session: Session | None = None
        self._invoked = False
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
        """Copy a value into an input. ValueError for another tensor, type or shape."""
        import numpy as np

        index = self._index(tensor_index)
        if self._session is None:
            raise ValueError("call allocate_tensors() before set_tensor()")
        if index not in self._source.inputs:
            raise ValueError(f"tensor {index} is no input; accepted: {list(self._source.inputs)}")
        target, found = self._arrays[index], np.asarray(value)
        if found.dtype != target.dtype or found.shape != target.shape:
            raise ValueError(
                f"input {index} ({self._source.tensors[index].name}) takes {target.dtype} "
                f"{target.shape}, found {found.dtype} {found.shape}"
            )
        target[...] = found

    def invoke(self) -> None:
        """One step: what changed in the inputs since the last one is propagated.

        RuntimeError before `allocate_tensors`, ValueError where a float input holds a NaN.
        """
        if self._session is None:
            raise RuntimeError("call allocate_tensors() before invoke()")
        inputs = [self._arrays[i] for i in self._source.inputs]
        codes = b"".join(self._model.quantize(k, x.data) for k, x in enumerate(inputs))
        output = self._session.step(codes)
        if self._session.changed or not self._invoked:
            self._take(output)
        self._invoked = True

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
        index = self._index(tensor_index)
        return lambda: self._value(index)

    def resize_tensor_input(
        self, input_index: int, tensor_size: Sequence[int], strict: bool = False
    ) -> None:
        """Only the size an input has is accepted: a stream has one sample at a time."""
        del strict
        index = self._index(input_index)
        if index not in self._source.inputs:
            raise ValueError(f"tensor {index} is no input; accepted: {list(self._source.inputs)}")
        shape = self._model.inputs[self._source.inputs.index(index)].shape
        wanted = tuple(int(n) for n in tensor_size)
        if wanted != shape:
            raise ValueError(
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
        found = int(index)
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


def _check_threads(num_threads: int | None) -> None:
    if num_threads is None:
        return
    if not isinstance(num_threads, int):
        raise ValueError(f"num_threads {num_threads!r}; an int is accepted")  # noqa: TRY004
    if num_threads < 1:
        raise ValueError(f"num_threads {num_threads}; 1 or more is accepted")


def _profile(resolver: Any) -> str:
    """The profile that a resolver type means; TFLite's own enumerations are understood too."""
    name = getattr(resolver, "name", None)
    if name not in _PROFILES:
        raise ValueError(
            f"experimental_op_resolver_type {resolver!r}; accepted: {', '.join(_PROFILES)}"
        )
    return _PROFILES[name]


def _content(path: str | os.PathLike[str] | None, content: bytes | None) -> tuple[str, bytes]:
    """Name and bytes of the model."""
    if path is not None and content is not None:
        raise ValueError("model_path and model_content were given; one of them is accepted")
    if content is not None:
        return "model.tflite", bytes(content)
    if path is None:
        raise ValueError("model_path or model_content is needed")
    place = Path(path)
    try:
        return place.name, place.read_bytes()
    except OSError as error:
        raise ValueError(f"{place}: cannot be opened: {error.strerror or error}") from error
