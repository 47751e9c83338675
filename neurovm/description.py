# SPDX-License-Identifier: Apache-2.0
"""What a program tells of itself: the manifest of a bundle, typed, without numpy.

The manifest is one JSON object; `Manifest` is its schema and `decode` refuses whatever does not fit
it, with the path of the fault. Unknown fields are refused too: a newer writer raises `format`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from neurovm.digest import sha256
from neurovm.errors import BundleError
from neurovm.populations import Numerics, SpikingInfo

FORMAT = 4
"""The newest manifest format; all older ones are read as well.

2: some codes are int16. 3: coding `bitplane` or `ttfs`, and rates of signed spikes. 4: a network of
spiking neurons in time (`spiking`). What needs none of these is still written as 1.
"""
SPIKING_FORMAT = 4

ProfileName = Literal["xnnpack", "tflm"]
SourceDType = Literal["float32", "int8", "uint8", "int16", "int32", "int64", "bool"]
Coding = Literal["graded", "unit", "bitplane", "ttfs", "rate"]
Way = Literal["auto", "events", "dense"]
Fate = Literal["events", "table", "dense", "folded"]


class TensorInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input or output: `shape` and `dtype` are the source's; real = scale · (code −
    zero_point).

    Codes are int8, or with `codes` int16. A uint8 tensor runs as q − 128, and `zero_point` is that
    of the codes. `values`, where an output has them, are what its codes −128 … 127 stand for,
    whatever scale and zero point say; the codes of an int32 or int64 input are its lowest bytes.
    `thresholds`, where a float32 input has them, are the bits of 255 ascending float32: the code of
    a value is −128 and one for each that it reaches.
    """

    name: str
    shape: tuple[int, ...]
    dtype: SourceDType
    scale: float
    zero_point: int
    labels: tuple[str, ...] | None = None
    values: tuple[float, ...] | msgspec.UnsetType = msgspec.UNSET
    thresholds: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    codes: Literal["int16"] | msgspec.UnsetType = msgspec.UNSET

    @property
    def wide(self) -> bool:
        """Whether codes are int16."""
        return self.codes is not msgspec.UNSET

    @property
    def bytes(self) -> int:
        """Bytes of its codes."""
        return self.size * (2 if self.wide else 1)

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        return (-32768, 32767) if self.wide else (-128, 127)

    @property
    def size(self) -> int:
        """Elements."""
        n = 1
        for extent in self.shape:
            n *= extent
        return n

    def real(self, code: int) -> float:
        """What a code stands for; a whole number where the values are."""
        if self.values is msgspec.UNSET:
            return self.scale * (code - self.zero_point)
        value = self.values[code + 128]
        return value if self.dtype == "float32" else int(value)


class LayerInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One layer of the program and the source operator it stems from.

    `neurons` are its outputs, `synapses` its stored weights, `macs` the weights one dense run
    applies, `acc_bound` the largest magnitude its accumulators can reach (0: it keeps none),
    `bytes` its constants in the arena, `fate` how it runs: by events, as a table, or densely again.
    `state_bytes`: what it carries from one step to the next; unset: nothing.
    """

    index: int
    kind: str
    op: str
    source_op: int
    name: str
    shape: tuple[int, ...]
    neurons: int
    synapses: int
    macs: int
    acc_bound: int
    bytes: int
    fate: Fate
    state_bytes: int | msgspec.UnsetType = msgspec.UNSET


class OperatorInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What became of one source operator: `layers` compute it; folded ones have none.

    `holders` are the layers with the codes of its outputs: null where no single one has all of
    them, because they are passed on inside a fused layer or some never change.
    """

    index: int
    source_op: str
    fate: Fate
    layers: tuple[int, ...]
    holders: tuple[int | None, ...] = ()
    note: str = ""


class SourceInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file a program was converted from."""

    format: str
    sha256: str
    bytes: int
    name: str


class GoldenInfo(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    rename={"input": "in", "output": "out"},
):
    """One pair of golden vectors: tensor names in the file, and the way the kernel is to run it."""

    input: str
    output: str
    way: Way


class RateInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a rate-coded program is run: approximately, in time steps of IF neurons.

    An input code q spikes in |q − z| / span of the `steps`, +1 above z and −1 below; `sent` is
    (z, span), unset (−128, 255). Layer `head` integrates: after the last step its code is
    z + span · u / (`theta` · steps), rounded half up and clamped to `lo` … `hi`; `read` is its
    (z, span), unset (lo, hi − lo). With `tail` the codes then go into the program's second input,
    and the rest is exact again.
    `exits`, ascending (t, least): after t steps the answer is read where the largest potential of
    the head is ahead of all others by more than `least`. That was safe on the rows of the
    calibration; it is no proof. `calibrated`: their number.
    """

    steps: int
    head: int
    lo: int
    hi: int
    theta: int
    tail: bool
    sent: tuple[int, int] | msgspec.UnsetType = msgspec.UNSET
    read: tuple[int, int] | msgspec.UnsetType = msgspec.UNSET
    exits: tuple[tuple[int, int], ...] | msgspec.UnsetType = msgspec.UNSET
    calibrated: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def of_inputs(self) -> tuple[int, int]:
        """(z, span) of the inputs."""
        return (-128, 255) if self.sent is msgspec.UNSET else self.sent

    @property
    def of_head(self) -> tuple[int, int]:
        """(z, span) of the head."""
        return (self.lo, self.hi - self.lo) if self.read is msgspec.UNSET else self.read

    @property
    def looks(self) -> dict[int, int]:
        """`exits` by step."""
        return {} if self.exits is msgspec.UNSET else dict(self.exits)


class ApproxLayer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far one operator's values are from the float source's, on the rows of the calibration.

    `snr_db` is 10 log10(signal / noise), None where either is 0; `max_error` in real units; `bits`
    of its activations.
    """

    operator: int
    source_op: str
    tensor: str
    bits: int
    snr_db: float | None
    max_error: float


class ApproxInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an int8 network came from that was quantised here, and what that cost.

    `source` is the float file; `sha256` that of the int8 .tflite made of it, to which the program
    is exact; `rows_sha256` that of the calibration rows (float32, little-endian). `accuracy` is the
    share of right answers among those rows, of the float network and of this one, where the answers
    were known. `wide_share` of the work is done on int16 activations.
    """

    source: SourceInfo
    number_format: Literal["float32", "float16", "hybrid"]
    sha256: str
    rows: int
    rows_sha256: str
    layers: tuple[ApproxLayer, ...]
    wide_share: float = 0.0
    accuracy: tuple[float, float] | None = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes that one session, and one `predict`, need in plain C: the same on every machine.

    Vector kernels take more: `Program.session_bytes` and `scratch_bytes` say it for this one.
    """

    session_bytes: int
    scratch_bytes: int


class Digests(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """sha256 (hex) of the tensors of the file; `golden` covers all golden tensors in name order,
    `layers` of a spiking network its populations and then its projections.

    `manifest` covers the manifest itself, canonical, with this one field empty. It is filled in
    when a bundle is written.
    """

    layers: str
    arena: str
    golden: str
    manifest: str = ""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything in a bundle but the numbers.

    Of a spiking network `profile` is its numerics, `coding` is `spikes`, and `layers` are its
    populations.
    """

    format: int
    generator: str
    name: str
    source: SourceInfo
    profile: ProfileName | Numerics
    coding: Coding | Literal["spikes"]
    neuron: str
    layers: tuple[LayerInfo, ...]
    operators: tuple[OperatorInfo, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    neurons: int
    synapses: int
    macs: int
    golden: tuple[GoldenInfo, ...]
    limits: Limits
    sha256: Digests
    notes: tuple[str, ...] = ()
    rate: RateInfo | msgspec.UnsetType = msgspec.UNSET
    approx: ApproxInfo | msgspec.UnsetType = msgspec.UNSET
    spiking: SpikingInfo | msgspec.UnsetType = msgspec.UNSET
    certificate: dict[str, Any] | None = None
    deploy: dict[str, Any] | None = None

    @property
    def state_bytes(self) -> int:
        """What a session carries from one step to the next beside its inputs; 0: nothing."""
        return sum(layer.state_bytes or 0 for layer in self.layers)

    def encode(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, UTF-8."""
        return msgspec.json.encode(self, order="sorted")

    def identity(self) -> str:
        """sha256 (hex) of the canonical manifest without certificate, deployment and seal."""
        plain = msgspec.structs.replace(self, certificate=None, deploy=None)
        return plain._digest()  # noqa: SLF001 - a method of its own class

    def sealed(self) -> Manifest:
        """The same manifest with its own digest in `sha256.manifest`."""
        digests = msgspec.structs.replace(self.sha256, manifest=self._digest())
        return msgspec.structs.replace(self, sha256=digests)

    def _digest(self) -> str:
        bare = msgspec.structs.replace(self.sha256, manifest="")
        return sha256(msgspec.structs.replace(self, sha256=bare).encode()).hexdigest()


class _FormatOnly(msgspec.Struct):
    format: int


def decode(text: bytes | str, where: str) -> Manifest:
    """Parse a manifest; BundleError names the file `where`, the path and what was expected."""
    try:
        found = msgspec.json.decode(text, type=_FormatOnly).format
        if found > FORMAT:
            raise BundleError(
                f"{where}: bundle format {found} is newer than this neurovm reads ({FORMAT}); "
                f"update neurovm or convert the model again"
            )
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{where}: manifest: {error}") from error


class Counters(NamedTuple):
    """Totals since a session began (or of all sessions that share one block).

    `steps` accepted; `events_in` sent by inputs and `events_out` by all other layers; `sops`
    weights applied; `dense_macs` weights a dense run of every step would have applied.
    """

    steps: int
    events_in: int
    events_out: int
    sops: int
    dense_macs: int
