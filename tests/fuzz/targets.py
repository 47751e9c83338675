# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: each target takes damaged bytes and says what became of them.

`read`     the .tflite reader and all passes
`convert`  from a .tflite to a loaded, checked model that runs
`survey`   every operator by itself, and the other readers of a .tflite
`load`     a .nvm bundle, its golden vectors and a few steps by every way
`payload_FORMAT`  a message of that format through a VM
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz import bundle_mutations, payload_targets, tflite_mutations
from operator_cases import CASES
from spiking_networks import NETWORKS

import neurovm
from neurovm import bundle
from neurovm.converters import tflite, tflite_signatures
from neurovm.converters.tflite_outputs import with_outputs
from neurovm.errors import BundleError, ModelError
from neurovm.loading import checked
from neurovm.model import Model
from neurovm.passes import prepare
from neurovm.spiking_model import SpikingModel
from neurovm.survey import survey

SMALL_BYTES = 8 << 10
"""Of seeds that are converted at every execution."""
SPIKING_WEIGHT = 8
"""How often each spiking network is among the seeds: they are few, and unlike all others."""
TYPES = {"float32": "f", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B"}
FIXTURES = Path(__file__).parents[1] / "fixtures"


@dataclass(frozen=True, slots=True)
class Target:
    """`run` gives a word for what was expected to happen and raises everything else."""

    name: str
    seeds: Callable[[Sequence[Path]], list[bytes]]
    damage: Callable[[bytes, int], bytes]
    run: Callable[[bytes], str]
    memory_bytes: int
    """Address space on top of what the process has before the first execution."""


def _read(data: bytes) -> str:
    try:
        prepare(tflite.read(data, name="fuzz.tflite"))
    except ModelError as error:
        return type(error).__name__
    return "accepted"


def _convert(data: bytes) -> str:
    try:
        model = neurovm.convert_tflite(data, name="fuzz.tflite")
    except ModelError as error:
        return type(error).__name__
    _steps(model)
    return "accepted"


def _survey(data: bytes) -> str:
    try:
        found = survey("fuzz.tflite", data, "xnnpack")
        tflite_signatures.signatures("fuzz.tflite", data)
        with_outputs("fuzz.tflite", data, [0, 1])
    except ModelError as error:
        return type(error).__name__
    return "accepted" if any(one.model is not None for one in found) else "refused"


def _load(data: bytes) -> str:
    try:
        content = bundle.parse(memoryview(data), "fuzz.nvm")
        model = checked(content, "fuzz.nvm", replay=True)
    except BundleError:
        return "BundleError"
    _steps(model)
    return "accepted"


def _steps(model: Model) -> None:
    """Whatever was accepted has to run."""
    rng = random.Random(0)
    if isinstance(model, SpikingModel):
        _ticks(model, rng)
        return
    zeros = {t.name: array(TYPES[t.dtype], [0]) * t.size for t in model.inputs}
    codes = rng.randbytes(len(model.to_codes(zeros)))
    for way in ("auto", "events", "dense"):
        session = model.session(way=way)
        session.step(codes)
        session.step(bytes(reversed(codes)))


def _ticks(model: SpikingModel, rng: random.Random) -> None:
    """Runs of a spiking network, by ticks and by time; the first moments of a long silence too."""
    session = model.session()
    counts = bytes(rng.choice((0, 0, 0, 1, 127)) for _ in range(5 * model.n_in))
    session.run(counts, potentials=True, ticks=5)
    session.run(bytes(3 * model.n_in), ticks=3)
    if model.n_in:
        ticks = array("q", [session.tick, session.tick + 2])
        session.advance_ticks(ticks, array("I", [0, model.n_in - 1]), session.tick + 5)
    session.reset()


def _models(paths: Sequence[Path]) -> list[bytes]:
    """One case an operator, every network among them, the project's own models and the given."""
    cases = {c.operator: c.model for c in CASES} | {c.name: c.model for c in CASES if _network(c)}
    files = [p.read_bytes() for p in (*sorted(FIXTURES.glob("*.tflite")), *paths)]
    return [*cases.values(), *files]


def _network(case: object) -> bool:
    return getattr(case, "operator", "") == "NETWORK"


def _small(paths: Sequence[Path]) -> list[bytes]:
    return [model for model in _models(paths) if len(model) <= SMALL_BYTES]


def _bundles(paths: Sequence[Path]) -> list[bytes]:
    """Everything that converts, as bundles."""
    made = []
    for model in _models(paths):
        try:
            content = neurovm.convert_tflite(model, name="seed").content
        except ModelError:
            continue
        made.append(bundle.serialize(content.manifest, content.tensors))
    for build in NETWORKS.values():
        content = neurovm.convert_network(build()).content
        made += [bundle.serialize(content.manifest, content.tensors)] * SPIKING_WEIGHT
    return made


TARGETS = {
    target.name: target
    for target in (
        Target("read", _models, tflite_mutations.mutate, _read, 200 << 20),
        Target("convert", _small, tflite_mutations.mutate, _convert, 2 << 30),
        Target("survey", _small, tflite_mutations.mutate, _survey, 2 << 30),
        Target("load", _bundles, bundle_mutations.damaged, _load, 512 << 20),
        *(
            Target(
                f"payload_{form}",
                payload_targets.seeds(form),
                payload_targets.damaged(form),
                payload_targets.fed(form),
                256 << 20,
            )
            for form in payload_targets.VARIANTS
        ),
    )
}
