# SPDX-License-Identifier: Apache-2.0
"""The demo from start to end: broker, model, daemon, plant, view, summary, picture."""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.live import Live

from examples.pump import broker, deployment, picture, summary
from examples.pump.children import DemoError
from examples.pump.deployment import Server
from examples.pump.observer import Observer, connect
from examples.pump.publisher import Publisher, schedules
from examples.pump.pump import Pump
from examples.pump.recording import Recording, fault_outcomes, score
from examples.pump.screen import PlainLog, Screen, console, power
from examples.pump.telemetry import Telemetry

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from rich.console import Console

READY_S = 30.0
FRAME_S = 0.125
DRAIN_S = 2.0
SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # treated as Ctrl-C


class Stopwatch:
    """Seconds since `start`; 0 before."""

    def __init__(self) -> None:
        self._start_s: float | None = None

    def start(self) -> None:
        """Start counting."""
        self._start_s = time.monotonic()

    def __call__(self) -> float:
        return 0.0 if self._start_s is None else time.monotonic() - self._start_s


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m examples.pump", description=__doc__)
    made.add_argument(
        "--broker", metavar="HOST[:PORT]", help="use this MQTT broker in place of the embedded one"
    )
    made.add_argument("--seconds", type=float, default=30.0, help="length of the run (30)")
    made.add_argument("--speed", type=float, default=20.0, help="plant seconds a second (20)")
    made.add_argument("--pumps", type=int, default=3, help="1 to 4 pumps, one stream each (3)")
    made.add_argument("--seed", type=int, default=1, help="of plant, sensors and faults (1)")
    made.add_argument("--limit", default="100 W", help="power.limit of the daemon (100 W)")
    made.add_argument("--model", type=Path, default=deployment.MODEL, help="a network to run")
    made.add_argument("--plot", type=Path, default=Path("out/pump.png"), help="(out/pump.png)")
    made.add_argument("--folder", type=Path, help="keep configuration and logs in this folder")
    made.add_argument("--no-color", action="store_true", help="no colours")
    return made


def options(arguments: list[str] | None) -> argparse.Namespace:
    """Parsed and checked options; exits with code 2 on wrong ones."""
    made = parser()
    found = made.parse_args(arguments)
    for name, low, high in (("seconds", 1.0, 3600.0), ("speed", 0.1, 200.0), ("pumps", 1, 4)):
        if not low <= getattr(found, name) <= high:
            made.error(f"--{name}: found {getattr(found, name):g}, accepted {low:g} to {high:g}")
    return found


def server_of(text: str) -> Server:
    """HOST, HOST:PORT, [IPv6]:PORT or mqtt://…; DemoError when it is none of these."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text if "://" in text else f"mqtt://{text}")
        host, port = parts.hostname, parts.port or 1883
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme != "mqtt":
        raise DemoError(f"--broker: found {text!r}, accepted HOST or HOST:PORT")
    return Server(host=host, port=port, embedded=False)


@contextlib.contextmanager
def the_server(named: str | None, folder: Path) -> Iterator[Server]:
    """The broker that was named, or an embedded one for as long as the context lasts."""
    if named is not None:
        yield server_of(named)
        return
    with broker.embedded(folder / "broker.log") as port:
        yield Server(host="127.0.0.1", port=port, embedded=True)


@contextlib.contextmanager
def the_folder(named: Path | None) -> Iterator[Path]:
    """The named folder, which stays, or a temporary one."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="neurovm-demo-") as temporary:
        yield Path(temporary)


def wait_ready(recording: Recording, alive: Callable[[], None]) -> None:
    """Return when the VM has said that it is ready; DemoError when it failed or is too late."""
    deadline = time.monotonic() + READY_S
    while not (recording.daemon_online and recording.vm_state.startswith("ready")):
        alive()
        if recording.vm_state.startswith("failed"):
            raise DemoError(f"the VM says: {recording.vm_state}")
        if time.monotonic() > deadline:
            raise DemoError(f"the VM is not ready after {READY_S:g} s: {recording.vm_state}")
        time.sleep(0.02)


class Run:
    """One run with everything it needs; `play` is the part that people watch."""

    def __init__(self, found: argparse.Namespace, out: Console) -> None:
        self.found = found
        self.out = out
        self.clock = Stopwatch()
        names = tuple(f"p{index + 1}" for index in range(found.pumps))
        self.recording = Recording(pumps=names, speed=found.speed)
        self._end_s = 0.0

    def play(self, server: Server, folder: Path) -> None:
        """Start the daemon and the plant, show the run, print and save what came of it."""
        found, log = self.found, folder / "neurovmd.log"
        self.out.print(f"broker    {server}{' (embedded)' if server.embedded else ''}")
        model = deployment.convert(found.model, folder)
        self.out.print(f"model     {found.model.name} converted to {model.name}")
        config = deployment.write(folder, server, model, found.limit)
        with contextlib.ExitStack() as stack:
            watching = connect(server, "observer")
            stack.callback(self._leave, watching)
            observer = Observer(watching, self.recording, self.clock)
            stack.callback(self._tidy, watching, observer, server)
            child = stack.enter_context(deployment.daemon(config, log))
            wait_ready(self.recording, lambda: deployment.check_alive(child, log))
            self.out.print(f"daemon    neurovmd, VM {deployment.VM!r} is ready")
            status = deployment.socket_of(folder)
            telemetry = Telemetry(status, deployment.VM, self.recording, self.clock)
            interrupted = self._run_plant(server, child, log, telemetry)
            self._report(child)
        if interrupted:
            self.out.print("stopped early by a signal")

    def _run_plant(
        self, server: Server, child: subprocess.Popen[bytes], log: Path, telemetry: Telemetry
    ) -> bool:
        found, count = self.found, len(self.recording.pumps)
        plans = schedules(found.seed, count, found.seconds * found.speed)
        pumps = [Pump(found.seed * 100 + index, plan) for index, plan in enumerate(plans)]
        client = connect(server, "plant")
        publisher = Publisher(client, pumps, self.recording, self.clock)
        self.clock.start()
        publisher.start()
        telemetry.start()
        try:
            self._watch(server, lambda: deployment.check_alive(child, log))
        except KeyboardInterrupt:
            return True
        finally:
            for number in (signal.SIGINT, *SIGNALS):  # from here on everything is being ended
                signal.signal(number, signal.SIG_IGN)
            publisher.stop()
            self._end_s = self.clock()
            self._drain()
            telemetry.stop()
            self._leave(client)
        return False

    def _watch(self, server: Server, alive: Callable[[], None]) -> None:
        title = f"neurovm · {self.found.model.name} · MQTT at {server}"
        screen = Screen(self.recording, title, self.found.seconds)
        if not self.out.is_terminal:
            plain = PlainLog(self.recording, lambda line: self.out.print(line, soft_wrap=True))
            self._every_frame(alive, plain.update)
            return
        with Live(console=self.out, auto_refresh=False, vertical_overflow="crop") as live:
            self._every_frame(
                alive,
                lambda now_s: live.update(
                    screen.render(now_s, self.out.width, self.out.height), refresh=True
                ),
            )

    def _every_frame(self, alive: Callable[[], None], show: Callable[[float], None]) -> None:
        while (now_s := self.clock()) < self.found.seconds:
            alive()
            show(now_s)
            time.sleep(min(FRAME_S, max(self.found.seconds - now_s, 0.0)))

    def _drain(self) -> None:
        """Let messages on their way arrive: until nothing came for a quarter of `DRAIN_S`."""
        deadline, seen = self.clock() + DRAIN_S, -1
        while seen != len(self.recording.decisions) and self.clock() < deadline:
            seen = len(self.recording.decisions)
            time.sleep(DRAIN_S / 4)

    def _report(self, child: subprocess.Popen[bytes]) -> None:
        end_s = self._end_s
        result = score(self.recording, end_s)
        outcomes = fault_outcomes(self.recording, end_s)
        usage = summary.usage_of(child.pid)
        self.out.print()
        drawn = power(self.recording)
        for line in summary.lines(self.recording, result, outcomes, usage, end_s, drawn):
            self.out.print(line, soft_wrap=True, markup=False)
        try:
            path = picture.save(self.recording, result, end_s, self.found.plot)
            self.out.print(f"  plot        {path}", soft_wrap=True, markup=False)
        except ImportError:
            self.out.print(
                "  plot        none: matplotlib is missing (pip install 'neurovm[plot]')"
            )
        except OSError as error:
            self.out.print(f"  plot        none: {error}", soft_wrap=True, markup=False)
        for line in summary.look_further():
            self.out.print(line, soft_wrap=True, markup=False)

    @staticmethod
    def _leave(client: Client) -> None:
        client.disconnect()
        client.loop_stop()

    @staticmethod
    def _tidy(client: Client, observer: Observer, server: Server) -> None:
        """Remove the demo's retained messages from a broker that stays."""
        if not server.embedded:
            for topic in sorted(observer.retained):
                with contextlib.suppress(RuntimeError, ValueError):
                    client.publish(topic, b"", qos=1, retain=True).wait_for_publish(2.0)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0, or 1 with the reason on standard error."""
    found = options(arguments)
    out = console(color=not found.no_color)
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with the_folder(found.folder) as folder, the_server(found.broker, folder) as server:
            Run(found, out).play(server, folder)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped before it ran", file=sys.stderr)
        return 130
    return 0
