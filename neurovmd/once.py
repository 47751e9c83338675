# SPDX-License-Identifier: Apache-2.0
"""`neurovmd once`: recorded messages through the configured VMs, without a broker.

The way of a message is the worker's own: mapping, sessions, result writer. Time is the recording's,
so that `on: interval` answers as it would have then; only `compute_us` is measured here.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from neurovm import certificate, recording
from neurovm.errors import BackendError, ConfigError, NeurovmError
from neurovm.loading import load
from neurovm.recording import Recorded
from neurovmd import topics
from neurovmd.binding import inputs_of, streams_of
from neurovmd.config import Deployment, Settings
from neurovmd.conversion import Conversion, cached_bundle
from neurovmd.mailbox import Message
from neurovmd.refusal import MappingError
from neurovmd.shared import DropReason, SharedBlock, Slot
from neurovmd.stream_table import Done, StreamTable

if TYPE_CHECKING:
    from neurovm import Model

Tell = Callable[[str], None]


@dataclass(slots=True)
class Clock:
    """The recording's time in nanoseconds; it never goes back."""

    now_ns: int = 0

    def read_ns(self) -> int:
        return self.now_ns

    def advance(self, t_us: int | None) -> None:
        """To a message's time, or to the present where it has none."""
        at_ns = time.time_ns() if t_us is None else t_us * 1000
        self.now_ns = max(self.now_ns, at_ns)


@dataclass(slots=True)
class Tally:
    """What became of the messages: `unheard` are those that no VM subscribes, `late` the events of
    spiking networks that came after their time.
    """

    messages: int = 0
    results: int = 0
    dropped: int = 0
    unheard: int = 0
    late: int = 0

    def __str__(self) -> str:
        said = f"{self.messages} messages, {self.results} results, {self.dropped} dropped"
        said += f", {self.late} late events" if self.late else ""
        return f"{said}, {self.unheard} on topics of no VM" if self.unheard else said


@dataclass(slots=True)
class Machine:
    """One VM, ready to be fed."""

    name: str
    max_message_bytes: int
    patterns: list[topics.TopicPattern]
    streams: StreamTable[Any]

    def hears(self, levels: list[str]) -> bool:
        return any(pattern.matches(levels) for pattern in self.patterns)


@dataclass(slots=True)
class Run:
    """Feeds recorded messages to VMs; `put` takes results, `tell` what was dropped and where."""

    file: str
    put: Callable[[bytes], None]
    tell: Tell
    clock: Clock = field(default_factory=Clock)
    tally: Tally = field(default_factory=Tally)
    machines: list[Machine] = field(default_factory=list)
    _line: int = 0
    _vm: str = ""

    def add(self, deployment: Deployment, settings: Settings, model: Model, slot: Slot) -> None:
        """Bind a VM to its model; ConfigError where its inputs do not fit."""
        vm, names = deployment.vm, settings.names(deployment.name)
        try:
            inputs = inputs_of(vm, names, model)
        except MappingError as error:
            raise ConfigError(
                str(deployment.file), error.key, error.found, error.accepted
            ) from None
        topic = topics.fill(vm.output.topic, names)
        alert_topic = topics.fill(vm.output.alert_topic, names)
        streams = streams_of(
            deployment.name,
            vm,
            model,
            inputs,
            lambda stream: topics.fill(topic, {"stream": stream}),
            lambda stream: topics.fill(alert_topic, {"stream": stream}),
            slot,
            clock_ns=self.clock.read_ns,
            wall_ns=self.clock.read_ns,
            work_ns=time.monotonic_ns,
            refused=self._refused,
            late=self._heard_late,
        )
        patterns = [binding.pattern for binding in inputs.bindings]
        if streams.overheard is not None:
            patterns += streams.overheard.patterns
        self.machines.append(Machine(deployment.name, vm.max_message_bytes, patterns, streams))

    def feed(self, message: Recorded) -> None:
        """One message to every VM that hears it, after the results that were due before it."""
        self.clock.advance(message.t_us)
        self._line = message.line
        self.tally.messages += 1
        levels = message.topic.split("/")
        heard = False
        for machine in self.machines:
            self._answer(machine.streams.due())
            if machine.hears(levels):
                heard = True
                self._accept(machine, message)
        self.tally.unheard += not heard

    def finish(self) -> None:
        """The results that still wait for their interval."""
        for machine in self.machines:
            self._answer(machine.streams.flush())

    def _accept(self, machine: Machine, message: Recorded) -> None:
        self._vm = machine.name
        if message.payload is None or message.size > machine.max_message_bytes:
            detail = f"{message.size} bytes; accepted: at most {machine.max_message_bytes}"
            self._refused(DropReason.OVERSIZE, detail, 0)
            return
        self._answer(machine.streams.answers(Message(message.topic, message.payload, None)))

    def _answer(self, done: list[Done]) -> None:
        for item in done:
            if item.payload and not item.is_request and item.order is None:
                self.tally.results += 1
                self.put(item.payload)

    def _heard_late(self, stream: str, count: int, total: int) -> None:
        del total
        self.tally.late += count
        self.tell(f"{self.file}:{self._line}: {self._vm}: {count} late events (stream {stream})")

    def _refused(self, reason: DropReason, detail: str, total: int) -> None:
        del total
        self.tally.dropped += 1
        self.tell(
            f"{self.file}:{self._line}: {self._vm}: dropped ({reason.name.lower()}): {detail}"
        )


def run(
    settings: Settings, stream: IO[bytes], name: str, put: Callable[[bytes], None], tell: Tell
) -> Tally:
    """Push a recording through all VMs of `settings`; what became of it.

    RecordingError, ConfigError and other NeurovmErrors say what is wrong and where.
    """
    with contextlib.ExitStack() as open_models:
        feeding = Run(name, put, tell)
        block = SharedBlock(len(settings.deployments))
        for deployment, slot in zip(settings.deployments, block.slots, strict=True):
            model = open_models.enter_context(_model(deployment, settings))
            feeding.add(deployment, settings, model, slot)
        for message in recording.read(stream, name):
            feeding.feed(message)
        feeding.finish()
        feeding.machines.clear()  # sessions before their models
    return feeding.tally


@contextlib.contextmanager
def _model(deployment: Deployment, settings: Settings) -> Iterator[Model]:
    """The model of a VM; a .tflite comes from the daemon's cache, or is converted for this run."""
    where = str(deployment.file)
    with contextlib.ExitStack() as ends:
        try:
            bundle = deployment.model
            if bundle.suffix == ".tflite":
                bundle = cached_bundle(deployment, Path(settings.config.cache_dir))
                if not bundle.exists():
                    folder = tempfile.TemporaryDirectory(prefix="neurovmd-")
                    bundle = _convert(deployment, Path(ends.enter_context(folder)))
            model = ends.enter_context(load(bundle, threads=deployment.vm.threads))
            asked = deployment.vm.require_certificate
            certificate.demand(model.manifest, str(deployment.model), asked=asked)
        except (NeurovmError, OSError, ValueError) as error:
            raise ConfigError(where, "model", str(error), "an undamaged model file") from None
        yield model


def _convert(deployment: Deployment, folder: Path) -> Path:
    import os
    import select

    conversion = Conversion.start(deployment, cached_bundle(deployment, folder))
    status: int | None = None
    try:
        while status is None:
            select.select([conversion.stderr], [], [], 1.0)
            conversion.listen()
            if conversion.overdue(time.monotonic()):
                conversion.kill()
            ended, code = os.waitpid(conversion.pid, os.WNOHANG)
            status = code if ended else None
    finally:
        if status is None:
            conversion.kill()
            os.waitpid(conversion.pid, 0)
        conversion.close()
    failure = conversion.failure(status)
    if failure:
        raise BackendError(failure)
    return conversion.bundle


def chosen(settings: Settings, vm: str | None) -> Settings:
    """The settings with one VM, or all; ConfigError where there is none (of that name)."""
    found = tuple(each for each in settings.deployments if vm in (None, each.name))
    if not found:
        names = ", ".join(each.name for each in settings.deployments) or "none is configured"
        wanted = "no VM" if vm is None else f"no VM named {vm}"
        raise ConfigError(settings.config.vm_dir, "", wanted, f"a VM's file; there are: {names}")
    return Settings(settings.config, settings.node, found, settings.files)


def write_line(payload: bytes) -> None:
    """A result on standard output."""
    sys.stdout.buffer.write(payload + b"\n")
