# SPDX-License-Identifier: Apache-2.0
"""Running a model by the names of a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.converters.tflite_signatures import Signature
    from neurovm.tflite.interpreter import Interpreter


class SignatureRunner:
    """One signature of a model, called with its inputs by name; `get_signature_runner` makes it."""

    def __init__(self, interpreter: Interpreter, signature_key: str, signature: Signature) -> None:
        self._interpreter = interpreter
        self._key = signature_key
        self._signature = signature

    def __call__(self, **kwargs: Any) -> dict[str, NDArray[Any]]:
        """Answers by name of output, each a copy.

        ValueError where inputs are missing, unknown, or of another type or shape; for a shape it
        is a RuntimeError too, as in TFLite.
        """
        import numpy as np

        inputs = self._signature.inputs
        if len(kwargs) != len(inputs):
            raise ValueError(
                f"signature {self._key!r} takes {len(inputs)} inputs "
                f"({', '.join(inputs)}), found {len(kwargs)}"
            )
        for name in kwargs:
            if name not in inputs:
                raise ValueError(
                    f"signature {self._key!r} has no input {name!r}; accepted: {', '.join(inputs)}"
                )
        self._interpreter.allocate_tensors()
        for name, value in kwargs.items():
            self._interpreter.resize_tensor_input(inputs[name], np.shape(value))
            self._interpreter.set_tensor(inputs[name], value)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(i) for name, i in self._signature.outputs.items()
        }

    def get_input_details(self) -> dict[str, dict[str, Any]]:
        """What `Interpreter.get_tensor_details` tells of each input, by name."""
        return self._details(self._signature.inputs)

    def get_output_details(self) -> dict[str, dict[str, Any]]:
        """What `Interpreter.get_tensor_details` tells of each output, by name."""
        return self._details(self._signature.outputs)

    def _details(self, named: dict[str, int]) -> dict[str, dict[str, Any]]:
        all_details = self._interpreter.get_tensor_details()
        return {name: all_details[i] for name, i in named.items()}
