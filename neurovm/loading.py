# SPDX-License-Identifier: Apache-2.0
"""`load`: from a .nvm file to a checked model."""

from __future__ import annotations

import os

from msgspec import UNSET

from neurovm import bundle, certificate, costs
from neurovm.model import Model, replay_golden


def load(
    path: str | os.PathLike[str],
    *,
    check: bundle.Check = "golden",
    backend: str = "cpu",
    require_certificate: bool = False,
    calibrate: bool | None = None,
    threads: int = 1,
) -> Model:
    """Map a bundle, check it and make it ready to run. Needs no numpy.

    check: `sha256` verifies every byte; `golden` also replays the golden vectors on the backend
    that will run it. require_certificate: refuse a bundle without the record that this very program
    was found identical to its source.
    calibrate: measure for at most about 30 ms what every layer's ways take on this machine, and
    choose between them by it (`Model.calibrate`); None: unless NEUROVM_CALIBRATE=0 is in the
    environment, or nothing is replayed (`sha256`). The answers do not depend on it.
    threads: 1 to 64; how many share a step or the rows of `predict` (`Model.with_threads`).

    Packed weights and measured times are kept in a file for the next process that loads this
    bundle, and shared with it (`neurovm.prepared`); with `sha256` nothing is written.

    Raises OSError where the file cannot be opened, BundleError where it is damaged, truncated or
    foreign or lacks the certificate, BackendError where the backend is missing.
    """
    if check not in bundle.CHECKS:
        raise ValueError(f"check {check!r} is not known; accepted: {', '.join(bundle.CHECKS)}")
    runs = check == "golden"
    content = bundle.read(path)
    if require_certificate:
        certificate.require(content.manifest, os.fspath(path))
    return checked(
        content,
        os.fspath(path),
        backend=backend,
        replay=check == "golden",
        calibrate=costs.is_wanted(calibrate) if runs or calibrate else False,
        keep=True,
        write=runs,
        threads=threads,
    )


def checked(
    content: bundle.Bundle,
    where: str,
    *,
    backend: str = "cpu",
    replay: bool,
    calibrate: bool = False,
    keep: bool = False,
    write: bool = True,
    threads: int = 1,
) -> Model:
    """The model of a bundle: of layers, or of spiking neurons.

    keep: what is made of it for this machine is taken from a file, and (write) kept there.
    """
    if content.manifest.spiking is not UNSET:
        # Most processes never see one.
        from neurovm.spiking_model import SpikingModel, replay_trains

        spiking = SpikingModel(content, backend)
        spiking.with_threads(threads)
        if replay:
            replay_trains(spiking, content, where)
        return spiking
    model = Model(content, backend, threads=threads)
    if keep:
        model.prepare(calibrate=calibrate, write=write)
    elif calibrate:
        model.calibrate()
    if replay:
        replay_golden(model, content, where)
    return model
