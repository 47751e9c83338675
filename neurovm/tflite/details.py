# SPDX-License-Identifier: Apache-2.0
"""What `get_tensor_details` and its like tell of a tensor, in TFLite's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurovm.converters.tflite_parts import Part
    from neurovm.graph import Tensor

_NUMPY = {"int4": "int8", "bool": "bool_", "resource": "object_"}


def details(index: int, tensor: Tensor) -> dict[str, Any]:
    """The keys of tflite-runtime 2.14 with those of LiteRT 2 besides (`block_size`)."""
    import numpy as np

    q = tensor.quantization
    single = q is not None and q.per_tensor
    return {
        "name": tensor.name,
        "index": index,
        "shape": np.array(tensor.shape, np.int32),
        "shape_signature": np.array(tensor.signature or tensor.shape, np.int32),
        "dtype": getattr(np, _NUMPY.get(tensor.dtype, tensor.dtype)),
        "quantization": (q.scale[0], q.zero_point[0]) if q and single else (0.0, 0),
        "quantization_parameters": {
            "scales": np.array(q.scale if q else (), np.float32),
            "zero_points": np.array(q.zero_point if q else (), np.int32),
            "quantized_dimension": q.axis if q else 0,
            "block_size": 0,
        },
        "sparsity_parameters": {},
    }


def operator_details(part: Part, tensors: Sequence[Tensor]) -> dict[str, Any]:
    """One operator of the file; -1 among its inputs is an optional one that is absent."""
    import numpy as np

    def types(indices: Sequence[int]) -> list[Any]:
        return [details(i, tensors[i])["dtype"] for i in indices if i != -1]

    return {
        "index": part.index,
        "op_name": part.name,
        "inputs": np.array(part.inputs, np.int32),
        "outputs": np.array(part.outputs, np.int32),
        "operand_types": types(part.inputs),
        "result_types": types(part.outputs),
    }
