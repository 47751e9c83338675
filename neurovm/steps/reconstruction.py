# SPDX-License-Identifier: Apache-2.0
"""Reconstruction: how far an autoencoder's output is from its input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.base import Mapped, Step, StepStream, index_of
from neurovm.steps.forms import Reading, TensorsForm, ValueForm, VectorForm, clipped

TensorName = Annotated[int, Meta(ge=0, le=255)] | str


class Reconstruction(Step, frozen=True, tag="reconstruction"):
    """e = (1/n) Σ (x_i − y_i)² (mse), √ of that (rmse), or (1/n) Σ |x_i − y_i| (mae)

    y: the output tensor `output`, x: the input tensor `input`, by number or name, of as many
    elements; both in real values, x as quantized for the model. At most float32's largest number.

    Source: the anomaly measure of the MLPerf Tiny benchmark (mse over 640 values) and DCASE 2020
    task 2.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (TensorsForm,)
    reads_inputs: ClassVar[bool] = True

    output: TensorName = 0
    input: TensorName = 0
    measure: Literal["mse", "rmse", "mae"] = "mse"

    def gives(self, given: ValueForm) -> ValueForm:
        self._tensors(given)
        return VectorForm(size=1)

    def stream(self, given: ValueForm) -> StepStream:
        output, source = self._tensors(given)
        measure = {"mse": _mse, "rmse": _rmse, "mae": _mae}[self.measure]

        def error(value: Reading) -> list[float]:
            return [clipped(measure(value.inputs[source], value.outputs[output]))]

        return Mapped(error)

    def _tensors(self, given: ValueForm) -> tuple[int, int]:
        """Numbers of output and input; StepError where they do not compare."""
        assert isinstance(given, TensorsForm)  # noqa: S101  # by `takes`
        outputs = tuple(info.name for info in given.outputs)
        inputs = tuple(info.name for info in given.inputs)
        if not inputs:
            raise StepError(
                "kind", "reconstruction without inputs", "a model whose inputs are said"
            )
        output = index_of(outputs, self.output, "output")
        source = index_of(inputs, self.input, "input")
        there, wanted = given.outputs[output].size, given.inputs[source].size
        if there != wanted:
            found = f"an output of {there} values beside an input of {wanted}"
            raise StepError("kind", found, "a model that gives as many values as it takes")
        return output, source


def _mse(x: Sequence[float], y: Sequence[float]) -> float:
    return math.fsum((a - b) * (a - b) for a, b in zip(x, y, strict=True)) / len(x)


def _rmse(x: Sequence[float], y: Sequence[float]) -> float:
    return math.sqrt(_mse(x, y))


def _mae(x: Sequence[float], y: Sequence[float]) -> float:
    return math.fsum(abs(a - b) for a, b in zip(x, y, strict=True)) / len(x)
