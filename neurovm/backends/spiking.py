# SPDX-License-Identifier: Apache-2.0
"""Networks of spiking neurons on the box's own processor."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from neurovm import _kernel
from neurovm.errors import BundleError
from neurovm.populations import MOST_GOLDEN_SYNAPSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurovm.bundle import Bundle
    from neurovm.populations import PopulationInfo, SpikingInfo

_RECORD = struct.Struct("<4BI120x")
_KINDS = ("input", "lif", "cuba", "loihi", "truenorth")
_FIRE_NONE = 0

SpikingState = _kernel.SpikingSession
"""The state of one stream."""


class SpikingProgram:
    """A checked network on the kernel; it keeps the bundle's buffers alive."""

    __slots__ = ("program",)

    def __init__(self, bundle: Bundle, info: SpikingInfo) -> None:
        self.program = _kernel.SpikingProgram(bundle.populations, bundle.projections, bundle.arena)
        _check(bundle, info, self.program)


def _check(bundle: Bundle, info: SpikingInfo, program: _kernel.SpikingProgram) -> None:
    """BundleError where the manifest names other populations or projections than there are."""
    name = bundle.manifest.name
    named = (len(info.populations), len(info.projections), info.n_in, info.n_out)
    found = (program.n_populations, program.n_projections, program.n_in, program.n_out)
    if named != found:
        raise BundleError(
            f"{name}: the manifest names {named} (populations, projections, inputs, outputs), the "
            f"program has {found}"
        )
    synapses = bundle.manifest.synapses
    if synapses != program.synapses or (bundle.manifest.golden and synapses > MOST_GOLDEN_SYNAPSES):
        raise BundleError(
            f"{name}: the manifest names {synapses} synapses, the program has {program.synapses}; "
            f"at most {MOST_GOLDEN_SYNAPSES} with golden trains"
        )
    for index, (said, there) in enumerate(
        zip(map(_said, info.populations), _there(bundle), strict=True)
    ):
        if said != there:
            raise BundleError(
                f"{name}: the manifest names population {index} {said} (kind, neurons, output, "
                f"fires), the program has {there}"
            )
    ports = bundle.manifest.inputs, bundle.manifest.outputs
    wanted = (
        [p.shape for p in info.populations if p.kind == "input"],
        [p.shape for p in info.populations if p.output],
    )
    if tuple([t.shape for t in port] for port in ports) != wanted:
        raise BundleError(f"{name}: inputs and outputs of the manifest are not its populations")
    if any(t.wide or t.dtype != "int8" for port in ports for t in port):
        raise BundleError(f"{name}: spikes are counted in one byte")


def _said(population: PopulationInfo) -> tuple[str, int, bool, bool]:
    return population.kind, population.size, population.output, population.fires


def _there(bundle: Bundle) -> Iterator[tuple[str, int, bool, bool]]:
    for kind, fire, _, flags, n in _RECORD.iter_unpack(bundle.populations):
        word = _KINDS[kind]
        fires = word != "input" and not (word in ("lif", "cuba") and fire == _FIRE_NONE)
        yield word, n, bool(flags & 1), fires
