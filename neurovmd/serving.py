# SPDX-License-Identifier: Apache-2.0
"""The network thread of a worker, its main thread, and what it shares with the one that computes.

It ends when it is told to (SIGTERM) or when the supervisor is gone: no more messages are taken,
those queued are answered, the answers reach the broker, then it says `offline` and leaves.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from neurovmd import face, lean, log, topics
from neurovmd.actuators import Actuators, is_per_stream
from neurovmd.assignment import EXIT_OK, EXIT_SOFTWARE, Assignment, report
from neurovmd.binding import inputs_of, streams_of
from neurovmd.broker import Broker
from neurovmd.compute import Compute
from neurovmd.confinement import out_of_memory
from neurovmd.mailbox import Mailbox, Message, Receipt
from neurovmd.mqtt import Connection
from neurovmd.outlets import MOST_SHOWN_STREAMS
from neurovmd.pace import Pace
from neurovmd.publisher import Publisher
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, WorkerState
from neurovmd.stream_table import Done
from neurovmd.subscriptions import Subscriptions
from neurovmd.telling import Telling

if TYPE_CHECKING:
    from neurovm import Model
    from neurovmd.request_server import RequestServer

DRAIN_S = 8.0
FAREWELL_S = 1.5
# An idle worker wakes this often, to keep its connection and to show that it lives.
IDLE_TICK_S = 15.0


class Worker:
    """The network thread and what it shares with the compute thread."""

    def __init__(self, work: Assignment, model: Model, remark: str = "") -> None:
        settings, vm = work.settings, work.deployment.vm
        self._work, self._vm, self._slot = work, vm, work.slot
        name = work.deployment.name
        names = settings.names(name)
        self._base = f"{settings.config.prefix}/{settings.node}/{name}"
        self._inputs = inputs_of(vm, names, model)
        self._mailbox = Mailbox()
        self._publisher = Publisher(vm.output, work.slot, beside=_beside(vm, names))
        broker = Broker.of(
            settings,
            role=name,
            will_topic=f"{self._base}/availability",
            persistent=True,
            manual_ack=True,
            max_message_bytes=vm.max_message_bytes,
        )
        self._connection = self._publisher.connection = Connection(broker, self)
        self._subscriptions = Subscriptions(Path(settings.config.state_dir), name)
        self._topic = topics.fill(vm.output.topic, names)
        most_streams = MOST_SHOWN_STREAMS
        if any(map(is_per_stream, vm.actuators)):
            most_streams = max(MOST_SHOWN_STREAMS, vm.max_streams)
        self._telling = Telling(work.report, remark, face.of(vm, model), most_streams)
        alert_topic = topics.fill(vm.output.alert_topic, names)
        streams = streams_of(
            name,
            vm,
            model,
            self._inputs,
            self._open_stream,
            lambda stream: topics.fill(alert_topic, {"stream": stream}),
            work.slot,
        )
        if vm.actuators:
            streams.drive(Actuators(vm.actuators, names))
        own_share = 1.0 if vm.cpu is None or "cpu" in work.held else vm.cpu
        self._pace = Pace(work.slot, own_share)
        self._compute = Compute(
            streams,
            self._mailbox,
            work.slot,
            self._pace,
            self._hand_over,
            self._wake_supervisor,
            lambda: self._publisher.has_room,
        )
        self._batch: list[Message] = []
        self._done: deque[list[Done]] = deque()
        self._model = model
        self._inference: RequestServer | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._computing = True
        self._exit_code = EXIT_OK
        self._remark = remark
        self._stop_at: float | None = None

    def serve(self) -> int:
        """Serve until told to end; returns the exit code."""
        signals, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop("told to end"))
        for number in (signal.SIGHUP, signal.SIGUSR1):  # these are the supervisor's
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        threading.Thread(target=self._run_compute, name="compute", daemon=True).start()
        lean.trim()
        self._slot.network_tick_ns = time.monotonic_ns()
        self._slot.state = WorkerState.READY
        if self._work.gate >= 0:
            report(self._work.report, "loaded")
            self._await_gate(signals)
        report(self._work.report, "ready", self._remark)
        while not self._finished():
            self._turn(signals)
        self._count_unanswered()
        self._farewell(signals)
        return self._exit_code

    def _await_gate(self, signals: int) -> None:
        """Wait, loaded, until it is this worker's turn to connect, or to end."""
        poll = select.poll()
        for pipe in (signals, self._work.gate, self._work.lifeline):
            poll.register(pipe, select.POLLIN)
        while self._stop_at is None:
            ready = {pipe for pipe, _ in poll.poll(int(IDLE_TICK_S * 1000))}
            self._slot.network_tick_ns = time.monotonic_ns()
            if signals in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(signals, 4096)
            if self._work.lifeline in ready:
                self._stop("the supervisor is gone")
            if self._work.gate in ready:
                os.close(self._work.gate)
                return

    def mqtt_up(self, session_present: bool) -> None:
        self._subscribe(session_present)
        # After it: who hears this may publish at once, and a broker takes one after the other.
        self._connection.publish(f"{self._base}/availability", b"online", retain=True)

    def _subscribe(self, session_present: bool) -> None:
        connection = self._connection
        known = session_present and connection.settled and not connection.refused
        if self._stop_at is not None or known:
            return
        filters = self._inputs.filters
        if session_present:
            connection.unsubscribe(self._subscriptions.obsolete(filters))
        connection.subscribe(filters)
        self._subscriptions.remember(filters)

    def mqtt_down(self, reason: str) -> None:
        del reason  # the connection has logged it
        self._publisher.lost()

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        if self._stop_at is not None:
            return  # not acknowledged: the broker keeps it for the next worker
        self._slot.messages_in += 1
        self._slot.last_message_ns = time.monotonic_ns()
        receipt = Receipt(mid) if qos else None
        if receipt is not None:
            self._publisher.received(receipt)
        if len(payload) > self._vm.max_message_bytes:
            self._dropped(DropReason.OVERSIZE, 1)
            if receipt is not None:
                receipt.done = True
            return
        self._batch.append(Message(topic, payload, receipt, content_type))

    def mqtt_published(self, mid: int, refusal: str) -> None:
        self._publisher.published(mid, refusal)

    def _turn(self, signals: int) -> None:
        """One round of the network thread: wait, read, hand over, publish, acknowledge, send."""
        next_at = self._connection.tick()
        network = self._connection.fileno()
        poll = select.poll()
        for pipe in (signals, self._wake, self._work.lifeline):
            poll.register(pipe, select.POLLIN)
        unread_s = self._pace.unread_ns(self._queued()) / 1e9 if self._stop_at is None else 0.0
        door = self._work.door if self._inference is None else None
        if door is not None:
            poll.register(door, select.POLLIN)
        if network is not None:
            writing = select.POLLOUT if self._connection.wants_write() else 0
            poll.register(network, writing if unread_s else select.POLLIN | writing)
        if unread_s:
            next_at = min(next_at, time.monotonic() + unread_s)
        ready = dict(poll.poll(self._timeout_ms(next_at)))
        self._slot.network_tick_ns = time.monotonic_ns()
        for pipe in (signals, self._wake):
            if pipe in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(pipe, 4096)
        if self._work.lifeline in ready:
            self._stop("the supervisor is gone")
        if door is not None and door.fileno() in ready:
            self._answer_requests(door)
        if network is not None and ready.get(network, 0) & ~select.POLLOUT:
            self._connection.readable(self._pace.read(self._queued()))
        self._pass_on()
        if self._publisher.overdue():
            self._connection.give_up(self._publisher.trouble)
        self._connection.writable()
        self._slot.connected = self._connection.connected and self._connection.settled
        log.set_level(log.LEVELS[self._work.block.log_level])  # it may have been reloaded
        self._say()

    def _answer_requests(self, door: socket.socket) -> None:
        """The first request over HTTP has come: whatever comes there is another thread's.

        Its modules are loaded now, so that a worker that is never asked does not hold them.
        """
        from neurovmd import request_server
        from neurovmd.inference import Requests

        requests = Requests(self._work.deployment.name, self._model, self._vm.max_streams)
        self._inference = request_server.begin(
            door, requests, self._slot, self._pace, lambda: self._stop_at is not None
        )

    def _queued(self) -> int:
        """What is to be computed before more needs to be read; acknowledgements have to be."""
        return 0 if self._publisher.is_full else len(self._mailbox)

    def _say(self) -> None:
        """Tell the supervisor what troubles a VM that is ready, when it changes."""
        refused = ", ".join(self._connection.refused)
        deaf = f"the broker refused the subscription of {refused}" if refused else ""
        if self._stop_at is None:
            self._telling.say(deaf, self._publisher.trouble)
        else:
            self._telling.show()

    def _open_stream(self, stream: str) -> str:
        """The compute thread has a new stream: the topic of its results."""
        self._telling.opened(stream)
        return topics.fill(self._topic, {"stream": stream})

    def _pass_on(self) -> None:
        """Messages to the compute thread, its results to the broker."""
        if self._batch:
            dropped = self._mailbox.put(self._batch)
            self._batch = []
            self._slot.queue_depth = len(self._mailbox)
            if dropped:
                self._dropped(DropReason.QUEUE_FULL, dropped)
        while self._done:
            self._publisher.take(self._done.popleft())
        self._publisher.pump()

    def _timeout_ms(self, next_at: float) -> int:
        now = time.monotonic()
        ends = [next_at, now + IDLE_TICK_S]
        ends += [at for at in (self._stop_at, self._publisher.overdue_at_s) if at is not None]
        return max(0, int((min(ends) - now) * 1000) + 1)

    def _dropped(self, reason: DropReason, count: int) -> None:
        before = self._slot.dropped[reason]
        self._slot.dropped[reason] = total = before + count
        if total.bit_length() != before.bit_length():  # at the 1st, 2nd, 4th, 8th, ...
            log.warning("message.dropped", reason=reason.name.lower(), total=total)

    def _stop(self, reason: str) -> None:
        """Take no more messages; what is queued will still be answered."""
        if self._stop_at is None:
            log.info("worker.draining", reason=reason, queued=len(self._mailbox))
            self._stop_at = time.monotonic() + DRAIN_S
            self._slot.state = WorkerState.DRAINING
            self._mailbox.close()
            # A flood of QoS 0, which nobody keeps for us, would stand before the acknowledgements.
            unkept = [name for name, qos in self._inputs.filters.items() if qos == 0]
            self._connection.unsubscribe(unkept)

    def _finished(self) -> bool:
        if self._exit_code:
            return True
        if self._stop_at is None:
            return False
        answered = self._publisher.idle and not self._done
        answered = answered and (self._inference is None or self._inference.idle)
        drained = not self._computing and (answered or not self._connection.connected)
        return drained or time.monotonic() >= self._stop_at

    def _count_unanswered(self) -> None:
        """What the end leaves undone: QoS 1 inputs come again, the others are lost."""
        while self._done:
            self._publisher.take(self._done.popleft())
        results = self._publisher.unanswered()
        queued = self._mailbox.left()
        if not results and not queued:
            return
        lost = [item for item in results if item.receipt is None and not item.covers]
        lost_inputs = sum(message.receipt is None for message in queued)
        self._slot.count_drop(DropReason.RESULT, len(lost))
        self._slot.count_drop(DropReason.QUEUE_FULL, lost_inputs)
        log.warning(
            "worker.unanswered",
            messages=len(queued),
            results=len(results),
            lost=len(lost) + lost_inputs,
        )

    def _farewell(self, signals: int) -> None:
        """Say `offline`, see it arrive, and disconnect."""
        if not self._connection.connected:
            return
        mid = self._connection.publish(f"{self._base}/availability", b"offline", retain=True)
        self._publisher.watch(mid)
        self._stop_at = time.monotonic() + FAREWELL_S
        while self._publisher.watching and self._connection.connected:
            if time.monotonic() >= self._stop_at:
                break
            self._turn(signals)
        for_good = bool(self._slot.for_good)
        if for_good:
            self._connection.unsubscribe(list(self._inputs.filters))
            self._subscriptions.forget()
        self._connection.leave(for_good=for_good)

    def _run_compute(self) -> None:
        try:
            self._compute.run()
        except MemoryError as error:
            reason = out_of_memory(self._work.deployment, error)
            report(self._work.report, "failed", reason)
            log.error("worker.failed", reason=reason)
            self._exit_code = EXIT_SOFTWARE
        except BaseException:  # noqa: BLE001  # the process must end, whatever it was
            import traceback

            log.error("worker.crashed", traceback=traceback.format_exc(limit=-6))
            self._exit_code = EXIT_SOFTWARE
        self._computing = False
        os.eventfd_write(self._wake, 1)

    def _hand_over(self, done: list[Done]) -> None:
        """From the compute thread: results and finished messages, one wake for all."""
        self._done.append(done)
        os.eventfd_write(self._wake, 1)

    def _wake_supervisor(self) -> None:
        if not self._work.block.awake:
            with contextlib.suppress(OSError):
                os.eventfd_write(self._work.work, 1)


def _beside(vm: Vm, names: dict[str, str]) -> Callable[[bytes], tuple[str, bytes] | None]:
    """What is published beside each result; its module costs nothing where it is not asked for."""
    if vm.output.senml is None:
        return lambda _: None
    from neurovmd.senml_outlet import SenmlOutlet

    return SenmlOutlet(vm.output.senml, names).message
