# SPDX-License-Identifier: Apache-2.0
"""A real broker, a real daemon and a client on loopback, for measurements and for the tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 20.0


def find_mosquitto() -> str | None:
    """The path of mosquitto, which Debian keeps out of users' PATH."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], name: str, seconds: float = DEADLINE_S) -> Any:
    """The first true answer of `what`; TimeoutError names what did not happen."""
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise TimeoutError(f"after {seconds:g} s: {name}")
        threading.Event().wait(0.01)


class Mosquitto:
    """A broker with persistent sessions on a port that it keeps over restarts."""

    def __init__(
        self, folder: Path, *, port: int = 0, autosave: bool = True, extra: tuple[str, ...] = ()
    ) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mosquitto.conf"
        user = ["user root"] if os.getuid() == 0 else []
        self._config.write_text(
            "\n".join(
                [
                    *user,
                    f"listener {self.port} 127.0.0.1",
                    *(extra or ["allow_anonymous true"]),
                    "set_tcp_nodelay true",
                    "persistence true",
                    f"persistence_location {folder}/",
                    # Every change is on the disk at once, so that even SIGKILL loses little.
                    *(["autosave_on_changes true", "autosave_interval 1"] if autosave else []),
                    "",
                ]
            )
        )

    def start(self) -> None:
        program = find_mosquitto()
        if program is None:
            raise FileNotFoundError("mosquitto is not installed")
        with (self._folder / "mosquitto.log").open("ab") as sink:
            self._child = subprocess.Popen(
                [program, "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        wait_for(self._answers, "the broker answers")

    def kill(self) -> None:
        """As a power cut would."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False


class Client:
    """A client that remembers what it hears; `messages` are (topic, payload) in order."""

    def __init__(
        self, port: int, name: str = "", *, persistent: bool = False, mqtt5: bool = False
    ) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.reasons: list[str] = []
        self._subscriptions: list[tuple[str, int]] = []
        self._sent = self._taken = 0
        version = MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            name,
            clean_session=None if mqtt5 else not (persistent and name),
            protocol=version,
        )
        self.paho.max_inflight_messages = 64
        self.paho.reconnect_delay_set(1, 1)
        self.paho.on_message = self._on_message
        self.paho.on_connect = self._on_connect
        self.paho.on_publish = self._on_publish
        self.paho.on_disconnect = lambda *found: self.reasons.append(str(found[3]))
        self.paho.on_socket_open = lambda *found: found[2].setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        if mqtt5 and persistent:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
            properties.SessionExpiryInterval = 3600
            self.paho.connect("127.0.0.1", port, clean_start=False, properties=properties)
        else:
            self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        wait_for(self.paho.is_connected, "the client connects")

    def subscribe(self, *filters: str, qos: int = 1) -> None:
        granted = threading.Event()
        self.paho.on_subscribe = lambda *_: granted.set()
        self._subscriptions += [(name, qos) for name in filters]
        self.paho.subscribe([(name, qos) for name in filters])
        if not granted.wait(DEADLINE_S):
            raise TimeoutError("no SUBACK")

    def publish(
        self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False
    ) -> None:
        self._sent += qos > 0
        self.paho.publish(topic, payload, qos, retain)

    @property
    def outstanding(self) -> int:
        """QoS 1 messages that the broker has not taken yet."""
        return self._sent - self._taken

    def on(self, topic: str) -> list[Any]:
        """The payloads heard on one topic; JSON objects decoded."""
        return [_decoded(payload) for name, payload in list(self.messages) if name == topic]

    def wait(self, topic: str, test: Callable[[Any], bool], seconds: float = DEADLINE_S) -> Any:
        """The first payload on `topic` that passes `test`."""

        def find() -> list[Any]:
            return [found for found in self.on(topic) if test(found)]

        return wait_for(find, f"a message on {topic}; heard: {self.messages[-5:]}", seconds)[0]

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload)))

    def _on_publish(self, *_: Any) -> None:
        self._taken += 1

    def _on_connect(self, client: paho.Client, _d: Any, flags: Any, _r: Any, _p: Any) -> None:
        if not flags.session_present and self._subscriptions:
            client.subscribe(self._subscriptions)


def _decoded(payload: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(payload)
    return payload


class Daemon:
    """A `neurovmd` with its configuration in a folder of its own."""

    def __init__(self, folder: Path, main: str, **vms: str) -> None:
        self.folder = folder
        (folder / "vm.d").mkdir(parents=True, exist_ok=True)
        for name, text in vms.items():
            (folder / "vm.d" / f"{name}.yaml").write_text(text)
        self.config = folder / "neurovmd.yaml"
        self.config.write_text(
            f"vm_dir: vm.d\ncache_dir: cache\nstate_dir: state\nsocket: neurovmd.sock\n{main}"
        )
        self.log = folder / "neurovmd.log"
        self.notified: list[str] = []
        self._notify: socket.socket | None = None
        self.child: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0

    def start(
        self, *, watchdog_s: float | None = None, ready: bool = True, prelude: str = ""
    ) -> None:
        """`prelude` is Python that runs before the daemon: it may shorten its long waits."""
        program = ["-m", "neurovmd"]
        if prelude:
            last = "import sys, neurovmd.__main__; sys.exit(neurovmd.__main__.main())"
            program = ["-c", f"{prelude}\n{last}"]
        environ = {
            **os.environ,
            "NOTIFY_SOCKET": self._listen(),
            "PYTHONPATH": str(ROOT),
        }
        if watchdog_s is not None:
            environ["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        before = time.monotonic()
        with self.log.open("ab") as sink:
            self.child = subprocess.Popen(
                [sys.executable, *program, "--config", str(self.config)],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        if ready:
            wait_for(lambda: self.heard("READY=1"), f"READY=1; the log says:\n{self.said()}", 60.0)
            self.ready_s = time.monotonic() - before

    def _listen(self) -> str:
        """Open a notify socket, as systemd would; its address."""
        path = self.folder / "notify"
        path.unlink(missing_ok=True)
        self.notified.clear()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(path))
        self._notify.setblocking(False)
        return str(path)

    def heard(self, message: str) -> bool:
        """Whether systemd has been told this since the start."""
        with contextlib.suppress(BlockingIOError):
            while self._notify is not None:
                self.notified.append(self._notify.recv(65536).decode())
        return message in self.notified

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def status(self) -> dict[str, Any]:
        """The answer of the control socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(self.folder / "neurovmd.sock"))
            client.sendall(b'{"op": "status"}\n')
            answer = b""
            while not answer.endswith(b"\n"):
                answer += client.recv(1 << 20)
        data: dict[str, Any] = json.loads(answer)["data"]
        return data

    def vm(self, name: str) -> dict[str, Any]:
        return next(vm for vm in self.status()["vms"] if vm["name"] == name)

    def pids(self) -> list[int]:
        """The supervisor and its workers."""
        return [self.status()["pid"], *(vm["pid"] for vm in self.status()["vms"] if vm["pid"])]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        if self.child is None:
            return 0
        if self.child.poll() is None:
            self.child.send_signal(number)
        try:
            code = self.child.wait(30.0)
        except subprocess.TimeoutExpired:
            self.child.kill()
            code = self.child.wait()
        self.heard("")
        self.child = None
        if self._notify is not None:
            self._notify.close()
            self._notify = None
        return code


@contextlib.contextmanager
def running(broker: Mosquitto, daemon: Daemon) -> Iterator[None]:
    """Both, from start to end."""
    broker.start()
    try:
        daemon.start()
        yield
    finally:
        daemon.stop()
        broker.kill()
