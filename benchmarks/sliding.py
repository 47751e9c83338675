# SPDX-License-Identifier: Apache-2.0
"""Sliding windows of given models: every layer against dense runs, and a hop beside LiteRT.

    python benchmarks/sliding.py kws.tflite str_ww.tflite --hops 1 2 4 8 16

A hop is timed against LiteRT's invoke on the whole window (one thread, codes in place), in turns;
the ratio is the median of those of the turns. Float models are quantized on random rows first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

import neurovm
from neurovm import Window
from neurovm.model import Model

TURNS, CALLS = 60, 50


def opened(path: Path) -> tuple[Model, bytes | None]:
    """The model, and the int8 file that LiteRT can run beside it (None: a float one)."""
    try:
        return neurovm.convert_tflite(path), path.read_bytes()
    except neurovm.ModelError as error:
        if "float" not in str(error) and "hybrid" not in str(error):
            raise
    shape = _input_shape(path)
    rows = np.random.default_rng(0).normal(size=(64, *shape[1:])).astype(np.float32)
    return neurovm.convert_tflite(path, calibrate=rows), None


def _input_shape(path: Path) -> tuple[int, ...]:
    from ai_edge_litert.interpreter import Interpreter

    found = Interpreter(model_path=str(path)).get_input_details()[0]["shape"]
    return tuple(int(n) for n in found)


def count_wrong(model: Model, hop: int, size: int | None, windows: int) -> tuple[int, int]:
    """Windows in which an output or any other layer differs from a dense run, of how many."""
    rng = np.random.default_rng(hop)
    session, dense = model.session(window=Window(hop, size)), model.session(way="dense")
    frames, width = session.plan.size, session.plan.frame
    window = np.frombuffer(session.layer(0), np.int8).reshape(frames, width)
    layers, wrong = range(len(model.explain())), 0
    for i in range(windows):
        moved = hop if i % 7 != 3 else int(rng.integers(1, frames + 3))
        new = rng.integers(-128, 128, (moved, width)).astype(np.int8)
        window = np.concatenate([window, new])[-frames:]
        output = session.push(new) if i % 2 else session.step(window)
        wanted = dense.step(window)
        same = output == wanted and all(session.layer(k) == dense.layer(k).codes for k in layers)
        wrong += not same
    return wrong, windows


def time_hops(model: Model, source: bytes | None, hops: list[int], size: int | None) -> None:
    """Prints microseconds and ratios."""
    calls = {}
    if source is not None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=source, num_threads=1)
        interpreter.allocate_tensors()
        calls["LiteRT, whole window"] = lambda _: interpreter.invoke()
    rng = np.random.default_rng(0)
    dense = model.session(way="dense")
    calls["dense run, whole window"] = dense.step
    given = {"dense run, whole window": rng.integers(-128, 128, (CALLS, model.inputs[0].size))}
    for hop in hops:
        session = model.session(window=Window(hop, size))
        calls[f"hop {hop}"] = session.push
        given[f"hop {hop}"] = rng.integers(-128, 128, (CALLS, hop * session.plan.frame))
    rows = {
        name: [r.astype(np.int8).tobytes() for r in given[name]] if name in given else [b""] * CALLS
        for name in calls
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            start = time.perf_counter()
            for row in rows[name]:
                call(row)
            taken[name].append((time.perf_counter() - start) / CALLS)
    base = taken[next(iter(calls))]
    for name, each in taken.items():
        ratio = statistics.median(a / b for a, b in zip(each, base, strict=True))
        print(f"  {name:24} {statistics.median(each) * 1e6:8.2f} us   ratio {ratio:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--hops", nargs="+", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--size", type=int, help="frames of a window, where the model does not say")
    parser.add_argument("--windows", type=int, default=100, help="compared for each hop 1 to 16")
    options = parser.parse_args()
    for path in options.models:
        model, source = opened(path)
        plan = model.plan(Window(options.hops[0], options.size))
        print(f"{path.name}: {plan.size} frames of {plan.frame}, refusal: {plan.refusal}")
        wrong = [count_wrong(model, h, options.size, options.windows) for h in range(1, 17)]
        print(
            f"  {sum(w for w, _ in wrong)} of {sum(n for _, n in wrong)} windows differ (hops 1-16)"
        )
        for hop in options.hops:
            plan = model.plan(Window(hop, options.size))
            print(f"  hop {hop}: {plan.share:.4f} of the weights, {plan.session_bytes} bytes")
        time_hops(model, source, options.hops, options.size)


if __name__ == "__main__":
    main()
