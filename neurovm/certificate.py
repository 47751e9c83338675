# SPDX-License-Identifier: Apache-2.0
"""Certificate: what a verification compared, and what differed. Plain data, JSON in a bundle.

It proves nothing to somebody who can write the file: it is the record of what was measured, kept
whole by the bundle's digests. Reading and judging one needs no numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from neurovm.description import Manifest
from neurovm.errors import BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

JUDGES: dict[str, tuple[str, ...]] = {
    "xnnpack": ("ai-edge-litert",),
    "tflm": ("tflite_micro", "tflite-runtime BUILTIN_REF"),
}
"""The runtimes whose answers a profile means; only their certificates count."""

NEEDED = "neurovm verify SOURCE --model BUNDLE --certify makes one"


class Tally(msgspec.Struct, kw_only=True):
    """Elements compared, how many differ, and the largest difference in codes."""

    elements: int = 0
    differing: int = 0
    max_delta: float = 0.0

    def add(self, ours: NDArray[Any], theirs: NDArray[Any], scale: float = 1.0) -> None:
        """Compare two arrays of equal size; `scale` is the value of one code."""
        ours, theirs = ours.reshape(-1), theirs.reshape(-1)
        wrong = ours != theirs
        self.elements += int(ours.size)
        count = int(wrong.sum())
        if count:
            self.differing += count
            gap = abs(ours[wrong].astype("float64") - theirs[wrong].astype("float64"))
            self.max_delta = max(self.max_delta, float(gap.max()) / scale)


class LayerResult(msgspec.Struct, kw_only=True):
    """One operator, run on the runtime's own inputs: its tensor there against our layers, and
    against the oracle.

    `covers`: all source operators between those inputs and the tensor, where inner ones cannot be
    read or have become one. `layer` holds the tensor. `delegated`: whether a delegate (XNNPACK)
    computed it there; None where the runtime does not tell.
    """

    operator: int
    source_op: str
    tensor: str
    layer: int
    covers: tuple[int, ...] = ()
    delegated: bool | None = None
    kernel: Tally = msgspec.field(default_factory=Tally)
    oracle: Tally = msgspec.field(default_factory=Tally)


class WindowResult(msgspec.Struct, kw_only=True):
    """A window that slid over a stream, compared with dense runs in every layer after each of
    `hops` hops; `hops_needed` would have filled and moved every copy of every layer.

    `refusal` names why sliding gains nothing (the windows are dense runs then; None: they slide).
    """

    hop: int
    size: int
    refusal: str | None = None
    hops: int = 0
    hops_needed: int = 0
    outputs: Tally = msgspec.field(default_factory=Tally)
    layers: Tally = msgspec.field(default_factory=Tally)
    first_difference: str | None = None


class Certificate(msgspec.Struct, kw_only=True):
    """What was compared with what, and what differed. Plain data: `as_dict` is its JSON.

    `rows` counts the steps of each stream; `inner` is how inner tensors were read (preserved,
    outputs, one at a time, none); `machine` is the processor both ran on. `within`: the operators
    of which the runtime shows nothing, compared within the whole network alone. `windows`: those
    that were asked for, each a sliding window beside dense runs.
    """

    identical: bool = True
    source: str
    source_sha256: str
    model_sha256: str
    profile: str
    coding: str
    generator: str
    runtime: str
    version: str
    inner: str = "none"
    machine: str
    seed: int
    rows: dict[str, int]
    predict: Tally = msgspec.field(default_factory=Tally)
    session: Tally = msgspec.field(default_factory=Tally)
    events: Tally = msgspec.field(default_factory=Tally)
    oracle: Tally = msgspec.field(default_factory=Tally)
    layers: list[LayerResult] = msgspec.field(default_factory=list)
    windows: list[WindowResult] = msgspec.field(default_factory=list)
    within: tuple[int, ...] = ()
    first_difference: str | None = None
    sops: int = 0
    dense_macs: int = 0
    remarks: list[str] = msgspec.field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def tallies(self) -> Iterator[Tally]:
        """Every comparison: of whole answers, layer by layer, then of sliding windows."""
        yield from (self.predict, self.session, self.events, self.oracle)
        for layer in self.layers:
            yield from (layer.kernel, layer.oracle)
        for window in self.windows:
            yield from (window.outputs, window.layers)

    @property
    def elements(self) -> int:
        """Elements compared in all layers, of ours with the runtime's."""
        return sum(layer.kernel.elements for layer in self.layers)

    @property
    def differing(self) -> int:
        """Elements that differ, anywhere."""
        return sum(tally.differing for tally in self.tallies())

    def __str__(self) -> str:
        """One line for people and logs."""
        verdict = "identical to" if self.identical else "DIFFERENT from"
        delegated = sum(layer.delegated is True for layer in self.layers)
        told = f", {delegated} delegated" if delegated else ""
        return (
            f"{verdict} {self.runtime} {self.version}, profile {self.profile}: "
            f"{len(self.layers)} operators{told}, {sum(self.rows.values()):,} rows, "
            f"{self.differing:,} of {self.elements:,} elements differ"
        )


def of(manifest: Manifest, where: str) -> Certificate | None:
    """The certificate of a bundle, None where it has none; BundleError where it is none."""
    if manifest.certificate is None:
        return None
    return decode(manifest.certificate, where)


def decode(plain: Mapping[str, Any], where: str) -> Certificate:
    try:
        return msgspec.convert(dict(plain), Certificate)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"{where}: its certificate cannot be read ({error}); accepted: one made by this or an "
            f"older neurovm; {NEEDED}"
        ) from error


def require(manifest: Manifest, where: str) -> Certificate:
    """The certificate of a bundle; BundleError unless it proves this very program identical."""
    proof = of(manifest, where)
    found = "it has no certificate" if proof is None else fault(proof, manifest)
    if proof is None or found:
        raise BundleError(
            f"{where}: a certificate is required and {found}; accepted: one of this program in "
            f"profile {manifest.profile} without differing elements; {NEEDED}"
        )
    return proof


def demand(manifest: Manifest, where: str, *, asked: bool) -> str:
    """A line on the certificate; BundleError as `require`, where it is asked for, here or by the
    neurovm.yaml that the bundle carries.
    """
    deployed = manifest.deploy is not None and manifest.deploy.get("require_certificate") is True
    return str(require(manifest, where)) if asked or deployed else told(manifest)


def told(manifest: Manifest) -> str:
    """A line on a certificate that nobody requires: it may be missing, or nonsense."""
    try:
        proof = of(manifest, manifest.name)
    except BundleError as error:
        return f"unreadable ({error})"
    if proof is None:
        return "none"
    found = fault(proof, manifest)
    return f"{proof}; it does not count: {found}" if found else str(proof)


def fault(proof: Certificate, manifest: Manifest) -> str:
    """Why a certificate does not count for a program; empty where it does."""
    if proof.model_sha256 != manifest.identity():
        return (
            f"its certificate is of another program ({proof.model_sha256[:12]}…, "
            f"this one is {manifest.identity()[:12]}…)"
        )
    if proof.profile != manifest.profile:
        return f"its certificate is of profile {proof.profile!r}"
    if proof.runtime not in JUDGES[manifest.profile]:
        return f"its certificate is by {proof.runtime!r}, which does not stand for this profile"
    if not proof.identical or proof.differing:
        return f"its certificate says that {proof.differing} elements differ"
    return _untried(proof, manifest)


def _untried(proof: Certificate, manifest: Manifest) -> str:
    """What a certificate would have to compare and did not; empty where it compared everything."""
    if not proof.elements or not proof.session.elements:
        return "its certificate compared nothing"
    for what in ("predict", "events", "oracle"):
        if not getattr(proof, what).elements:
            return f"its certificate compared nothing of {what}"
    for layer in proof.layers:
        if not layer.kernel.elements or not layer.oracle.elements:
            return f"its certificate compared nothing of operator {layer.operator}"
    tried = {i for layer in proof.layers for i in (layer.operator, *layer.covers)}
    tried.update(proof.within)
    left = [op.index for op in manifest.operators if op.layers and op.index not in tried]
    if left:
        return f"its certificate does not say what became of operators {', '.join(map(str, left))}"
    return ""
