# SPDX-License-Identifier: Apache-2.0
"""What `neurovmd once`, `listen` and `send` do with their arguments: streams and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from neurovm import recording
from neurovm.errors import BackendError, ConfigError, RecordingError
from neurovmd import config, log, once, topics
from neurovmd.config import Settings
from neurovmd.schema import Config, Mqtt

EXIT_OK, EXIT_DROPPED, EXIT_USAGE, EXIT_DATA, EXIT_NO_INPUT = 0, 1, 64, 65, 66
EXIT_UNAVAILABLE, EXIT_CANNOT_CREATE, EXIT_IO, EXIT_CONFIG = 69, 73, 74, 78
MESSAGE_BYTES = 1 << 16

COMMANDS = ("once", "listen", "send")


class UsageError(Exception):
    """Arguments that do not go together."""


class CannotCreateError(Exception):
    """The output cannot be made."""


def main(options: argparse.Namespace) -> int:
    """Run one of `COMMANDS`; its exit code. What is wrong is one line on stderr."""
    log.set_level("error")
    try:
        return {"once": _once, "listen": _listen, "send": _send}[options.command](options)
    except ConfigError as error:
        return _fail(str(error), EXIT_CONFIG)
    except RecordingError as error:
        return _fail(str(error), EXIT_DATA)
    except BackendError as error:
        return _fail(str(error), EXIT_UNAVAILABLE)
    except UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    except CannotCreateError as error:
        return _fail(str(error), EXIT_CANNOT_CREATE)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_IO
    except OSError as error:
        missing = isinstance(error, (FileNotFoundError, IsADirectoryError))
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}", EXIT_NO_INPUT if missing else EXIT_IO)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)


def _once(options: argparse.Namespace) -> int:
    settings, errors = config.examine(options.config)
    if errors:
        raise errors[0]
    settings = once.chosen(settings, options.vm)
    quiet = options.quiet
    with _source(options.file) as (stream, name):
        tally = once.run(settings, stream, name, once.write_line, _mute if quiet else _tell)
    sys.stdout.buffer.flush()
    if not quiet:
        _tell(str(tally))
    return EXIT_DROPPED if options.strict and tally.dropped else EXIT_OK


def _listen(options: argparse.Namespace) -> int:
    from neurovmd.listen import Listener

    settings = _settings(options)
    filters = _filters(options, settings)
    most = int(options.max_message_bytes or _largest(settings))
    with _told() as told, _sink(options) as out:
        writer = recording.Writer(
            out,
            max_bytes=int(options.max_bytes),
            max_message_bytes=most,
            expire_s=options.expire_s,
        )
        listener = Listener(settings, filters, writer, most, _tell)
        ended = listener.run(told, options.for_s, out.flush)
        out.flush()
    beside = f", {writer.left_out} of them too large to keep" if writer.left_out else ""
    _tell(f"{writer.messages} messages{beside}; {ended}")
    return EXIT_OK


def _send(options: argparse.Namespace) -> int:
    from neurovmd.send import Sender

    if not 0 <= options.speed <= 1e6:
        raise UsageError(f"--speed: found {options.speed:g}; accepted: 0 to 1000000")
    settings = _settings(options)
    with _told() as told, _source(options.file) as (stream, name):
        sender = Sender(settings, recording.read(stream, name), options.speed, _tell)
        done = sender.run(told)
    beside = f", {sender.left_out} left out" if sender.left_out else ""
    _tell(f"{sender.sent} messages sent{beside}{'' if done else '; told to end'}")
    return EXIT_DROPPED if sender.refused else EXIT_OK


def _settings(options: argparse.Namespace) -> Settings:
    """Those of --config, or just those of a broker; ConfigError where they are wrong."""
    if options.server is None:
        settings, errors = config.examine(options.config)
        if errors:
            raise errors[0]
        return settings
    if options.config is not None:
        raise UsageError("--server and --config both name a broker; one is needed")
    try:
        mqtt = Mqtt(
            server=options.server,
            protocol=options.protocol,
            username=options.username,
            password_file=options.password_file,
            ca_file=options.ca_file,
        )
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    return Settings(msgspec.structs.replace(Config(), mqtt=mqtt), "command", (), ())


def _filters(options: argparse.Namespace, settings: Settings) -> dict[str, int]:
    """What to subscribe, at QoS 1."""
    if options.topic:
        for name in options.topic:
            if not name or len(name.encode("utf-8", "replace")) > topics.MAX_TOPIC_BYTES:
                raise UsageError(f"--topic: found {name!r}; accepted: an MQTT filter")
        return dict.fromkeys(options.topic, 1)
    if options.server is not None:
        return {"#": 1}
    patterns = [
        topics.parse_input(source.topic, settings.names(each.name))
        for each in once.chosen(settings, options.vm).deployments
        for source in each.vm.inputs
    ]
    return dict.fromkeys((pattern.filter for pattern in patterns), 1)


def _largest(settings: Settings) -> int:
    """The largest message that any VM accepts."""
    return max([each.vm.max_message_bytes for each in settings.deployments], default=MESSAGE_BYTES)


@contextlib.contextmanager
def _source(file: str) -> Iterator[tuple[IO[bytes], str]]:
    if file == "-":
        yield sys.stdin.buffer, "stdin"
        return
    with Path(file).open("rb") as stream:
        yield stream, file


@contextlib.contextmanager
def _sink(options: argparse.Namespace) -> Iterator[IO[bytes]]:
    """Standard output, or a file that appears whole; recordings beside it that expired go."""
    path: Path | None = options.output
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists() and not options.force:
        raise CannotCreateError(f"{path}: exists; --force overwrites it")
    for old in recording.remove_expired(path.parent):
        _tell(f"removed {old}: it had expired")
    with contextlib.ExitStack() as open_file:
        try:
            out = open_file.enter_context(recording.create(path))
        except OSError as error:
            raise CannotCreateError(f"{path}: {error.strerror}") from None
        yield out


@contextlib.contextmanager
def _told() -> Iterator[int]:
    """A file descriptor that becomes readable with SIGTERM or SIGINT."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    handlers = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield read_end
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(read_end)
        os.close(write_end)


def _tell(text: str) -> None:
    """A word beside the output; a closed stderr ends nothing."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in text)
    with contextlib.suppress(OSError):
        print(f"neurovmd: {shown}", file=sys.stderr, flush=True)


def _mute(text: str) -> None:
    del text


def _fail(text: str, code: int) -> int:
    _tell(text)
    return code
