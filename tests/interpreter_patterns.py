# SPDX-License-Identifier: Apache-2.0
"""How programs use TFLite's interpreter, each pattern run with any package that has that API.

    python tests/interpreter_patterns.py MODULE MODEL OUT.npz [PATTERN…]

Every pattern takes the module and the path of a model and returns arrays; all land in OUT. An
exception becomes the name of its class. Programs of their own, because a runtime may crash.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Pattern = Callable[[Any, str], dict[str, Any]]
PATTERNS: dict[str, Pattern] = {}


def pattern(function: Pattern) -> Pattern:
    PATTERNS[function.__name__] = function
    return function


def opened(api: Any, path: str) -> Any:
    interpreter = api.Interpreter(model_path=path)
    interpreter.allocate_tensors()
    return interpreter


def samples(detail: dict[str, Any], count: int) -> Iterator[np.ndarray]:
    """Rows in the input's type; most are a small change of the one before."""
    rng = np.random.default_rng(7)
    row = rng.integers(0, 256, detail["shape"])
    for k in range(count):
        if k % 5 == 0:
            row = rng.integers(0, 256, detail["shape"])
        else:
            row.reshape(-1)[rng.integers(0, row.size)] = rng.integers(0, 256)
        if detail["dtype"] == np.float32:
            yield (row / 255).astype(np.float32)
        else:
            yield (row - (128 if detail["dtype"] == np.int8 else 0)).astype(detail["dtype"])


@pattern
def classify_pictures(api: Any, path: str) -> dict[str, Any]:
    """A picture in, quantized where the input is; the best classes out, as probabilities."""
    interpreter = api.Interpreter(model_path=path, num_threads=2)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    best = []
    for picture in samples({**given, "dtype": np.float32}, 12):
        if given["dtype"] == np.float32:
            data = picture
        else:
            scale, zero_point = given["quantization"]
            limits = np.iinfo(given["dtype"])
            codes = np.rint(picture / scale) + zero_point
            data = np.clip(codes, limits.min, limits.max).astype(given["dtype"])
        interpreter.set_tensor(given["index"], data)
        interpreter.invoke()
        scores = interpreter.get_tensor(made["index"]).reshape(-1)
        if made["dtype"] != np.float32:
            scale, zero_point = made["quantization"]
            scores = scale * (scores.astype(np.float32) - zero_point)
        order = np.argsort(-scores, kind="stable")[:5]
        best += [order, scores[order]]
    return {"best": np.concatenate([np.asarray(b, np.float64) for b in best])}


@pattern
def a_stream(api: Any, path: str) -> dict[str, Any]:
    interpreter = opened(api, path)
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for row in samples(given, 60):
        interpreter.set_tensor(given["index"], row)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(made["index"]))
    interpreter.invoke()
    answers.append(interpreter.get_tensor(made["index"]))
    return {"answers": np.stack(answers), "type": str(answers[0].dtype)}


@pattern
def details_walk(api: Any, path: str) -> dict[str, Any]:
    """Everything that is told of every tensor, before and after allocation."""
    interpreter = api.Interpreter(model_path=path)
    told = []
    for _ in range(2):
        for listed in (
            interpreter.get_input_details(),
            interpreter.get_output_details(),
            interpreter.get_tensor_details(),
        ):
            told += [[described(detail) for detail in listed]]
        interpreter.allocate_tensors()
    return {"told": json.dumps(told)}


def described(detail: dict[str, Any]) -> dict[str, Any]:
    """A detail as JSON; LiteRT has a key that tflite-runtime has not."""
    detail["quantization_parameters"].pop("block_size", None)

    return {key: described_value(value) for key, value in detail.items()}


def described_value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, dict):
        return {k: described_value(v) for k, v in value.items()}
    return [type(v).__name__ for v in value] + list(value) if type(value) is tuple else value


@pattern
def constants(api: Any, path: str) -> dict[str, Any]:
    interpreter = opened(api, path)
    found = {}
    made = {d["index"] for d in interpreter.get_input_details() + interpreter.get_output_details()}
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] == np.object_:
            continue  # a variable: reading one crashes LiteRT
        with contextlib.suppress(ValueError):
            if detail["index"] not in made:
                found[f"constant_{detail['index']}"] = interpreter.get_tensor(detail["index"])
    return found


@pattern
def by_signature(api: Any, path: str) -> dict[str, Any]:
    interpreter = api.Interpreter(model_path=path)
    listed = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner()
    named = interpreter.get_signature_runner(next(iter(listed)))
    ((name, detail),) = runner.get_input_details().items()
    answers = []
    for row in samples(detail, 6):
        for one in (runner, named):
            answers += [one(**{name: row})[output] for output in runner.get_output_details()]
    told = [described(d) for d in runner.get_output_details().values()]
    return {"listed": json.dumps(listed), "answers": np.stack(answers), "told": json.dumps(told)}


@pattern
def in_place(api: Any, path: str) -> dict[str, Any]:
    """Inputs written where they lie, outputs read where they lie."""
    interpreter = opened(api, path)
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    source, target = interpreter.tensor(given["index"]), interpreter.tensor(made["index"])
    answers = []
    for row in samples(given, 9):
        source()[...] = row
        interpreter.invoke()
        answers.append(target().copy())
    return {"answers": np.stack(answers)}


@pattern
def from_bytes(api: Any, path: str) -> dict[str, Any]:
    interpreter = api.Interpreter(model_content=Path(path).read_bytes())
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], given["shape"])
    interpreter.resize_tensor_input(given["index"], list(given["shape"]), strict=True)
    interpreter.allocate_tensors()
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], next(samples(given, 1)))
    interpreter.invoke()
    interpreter.reset_all_variables()
    interpreter.invoke()
    return {"answer": interpreter.get_tensor(interpreter.get_output_details()[0]["index"])}


@pattern
def forgetting(api: Any, path: str) -> dict[str, Any]:
    """A stream, the same after its variables were reset, and in a new interpreter."""
    interpreter = opened(api, path)
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for again in (None, interpreter.reset_all_variables, None):
        if again is not None:
            again()
        elif answers:
            interpreter = opened(api, path)
        for row in samples(given, 25):
            interpreter.set_tensor(given["index"], row)
            interpreter.invoke()
            answers.append(interpreter.get_tensor(made["index"]))
    return {"answers": np.stack(answers)}


def kind(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - its class is the answer
        return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")
    return "nothing"


@pattern
def operators(api: Any, path: str) -> dict[str, Any]:
    """The network's operators, before LiteRT adds its delegate to them."""
    interpreter = api.Interpreter(model_path=path)
    told = []
    for detail in interpreter._get_ops_details():
        types = [[t.__name__ for t in detail.pop(key)] for key in ("operand_types", "result_types")]
        told.append([types, {k: described_value(v) for k, v in detail.items()}])
    assert len(told) > 1
    return {"told": json.dumps(told)}


@pattern
def an_output_overwritten(api: Any, path: str) -> dict[str, Any]:
    interpreter = opened(api, path)
    (made,) = interpreter.get_output_details()
    (given,) = interpreter.get_input_details()
    interpreter.set_tensor(given["index"], next(samples(given, 1)))
    found = []
    for _ in range(2):
        interpreter.invoke()
        found.append(interpreter.get_tensor(made["index"]))
        interpreter.set_tensor(made["index"], np.full(made["shape"], 3, made["dtype"]))
        found.append(interpreter.get_tensor(made["index"]))
    return {"found": np.stack(found)}


@pattern
def mistakes(api: Any, path: str) -> dict[str, Any]:
    """The kinds of exceptions for what callers usually get wrong."""
    early = api.Interpreter(model_path=path)
    given, made = early.get_input_details()[0], early.get_output_details()[0]
    x = np.zeros(given["shape"], given["dtype"])
    late = opened(api, path)
    calls: dict[str, Callable[[], object]] = {
        "no model": api.Interpreter,
        "two models": lambda: api.Interpreter(model_path=path, model_content=b"x"),
        "no file": lambda: api.Interpreter(model_path=path + "none"),
        "no flatbuffer": lambda: api.Interpreter(model_content=b"abcd" * 20),
        "threads": lambda: api.Interpreter(model_path=path, num_threads=0),
        "threads of text": lambda: api.Interpreter(model_path=path, num_threads="two"),
        "resolver": lambda: api.Interpreter(path, experimental_op_resolver_type="BUILTIN"),
        "argument": lambda: api.Interpreter(model_path=path, colour="red"),
        "set too early": lambda: early.set_tensor(given["index"], x),
        "invoke too early": early.invoke,
        "get too early": lambda: early.get_tensor(made["index"]),
        "type": lambda: late.set_tensor(given["index"], x.astype(np.float64)),
        "rank": lambda: late.set_tensor(given["index"], x.reshape(-1)),
        "size": lambda: late.set_tensor(given["index"], np.concatenate([x, x], -1)),
        "list": lambda: late.set_tensor(given["index"], x.tolist()),
        "set beyond": lambda: late.set_tensor(999, x),
        "get beyond": lambda: late.get_tensor(999),
        "get below": lambda: late.get_tensor(-1),
        "signature": lambda: late.get_signature_runner("none"),
        "signature's inputs": late.get_signature_runner(),
        "signature's names": lambda: late.get_signature_runner()(none=x),
        "set text": lambda: late.set_tensor("a", x),
        "set a float": lambda: late.set_tensor(float(given["index"]), x),
        "set NumPy's": lambda: late.set_tensor(np.int64(given["index"]), x),
        "set far": lambda: late.set_tensor(2**40, x),
        "set the output": lambda: late.set_tensor(
            made["index"], np.zeros(made["shape"], made["dtype"])
        ),
        "get text": lambda: late.get_tensor("a"),
        "get a float": lambda: late.get_tensor(float(made["index"])),
        "get a list": lambda: late.get_tensor([made["index"]]),
        "a function of text": lambda: late.tensor("a"),
        "tensor of text": late.tensor("a"),
        "resize beyond": lambda: opened(api, path).resize_tensor_input(999, given["shape"]),
        "resize below": lambda: opened(api, path).resize_tensor_input(-1, given["shape"]),
        "resize a float": lambda: opened(api, path).resize_tensor_input(0.0, given["shape"]),
        "resize strictly": lambda: early.resize_tensor_input(given["index"], [1, 1], strict=True),
        "operator beyond": lambda: late._get_op_details(999),
        "delegate": lambda: api.load_delegate("libnone.so.1"),
    }
    return {"kinds": json.dumps({what: kind(call) for what, call in calls.items()})}


def main(module: str, path: str, out: str, *names: str) -> None:
    api = importlib.import_module(module)
    found: dict[str, Any] = {}
    for name in names or PATTERNS:
        for key, value in PATTERNS[name](api, path).items():
            found[f"{name}.{key}"] = value
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
