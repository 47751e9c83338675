# SPDX-License-Identifier: Apache-2.0
"""The arguments of `once`, `listen` and `send`; what runs them is imported when they are called."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurovm import quantity

ONCE = """\
Pushes recorded messages through the configured VMs without a broker, and writes the results as they
would be published, one JSON object a line. A message is a line:

  {"topic": "plant/p1/sensor/flow", "payload": "{\\"value\\": 0.5}", "t_us": 1760000000000000}

with payload_b64 in place of payload for bytes that are no text. t_us may be missing.
"""
ONCE_END = """\
Each dropped message is named on stderr with its line and the reason; a summary ends the run.

examples:
  echo '{"topic": "plant/p1/sensor/0", "payload": "{\\"value\\": 1}"}' | neurovmd once --config F
  neurovmd once --config F --vm pump seen.jsonl > results.jsonl    (seen.jsonl: neurovm record)

Exit codes: 0 done, 1 messages were dropped and --strict was given, 65 a wrong line or an expired
recording, 66 no such file, 74 reading or writing failed, 78 wrong configuration.
"""
LISTEN = """\
Writes what is published as a recording: a JSON object a line, as `once` reads it. `neurovm record`
and `neurovm init` use it.
"""
LISTEN_END = """\
examples:
  neurovmd listen --server mqtt://broker --topic 'plant/#' --for 30s
  neurovmd listen --config F --for 10min -o seen.jsonl

Exit codes: 0 done, 69 no broker or nothing granted, 73 FILE exists or cannot be made, 78 wrong
configuration.
"""
SEND = "Publishes a recording (QoS 1, in order, not retained). `neurovm replay --to` uses it."
SEND_END = """\
examples:
  neurovmd send --server mqtt://broker seen.jsonl
  neurovmd send --server mqtt://broker --speed 10 seen.jsonl

Exit codes: 0 all is in the broker's hands, 1 some were refused, 65 a wrong line or an expired
recording, 66 no such file, 69 no broker, 78 wrong configuration.
"""


def quantity_of(units: Mapping[str, float]) -> Any:
    """An argparse type: a number with a unit."""

    def read(text: str) -> float:
        try:
            return quantity.parse(text, units)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def add(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the three commands to the program's; their parsers."""
    return [_once(commands), _listen(commands), _send(commands)]


def _parser(commands: Any, name: str, what: str, text: str, end: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=text,
        epilog=end,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _once(commands: Any) -> argparse.ArgumentParser:
    once = _parser(commands, "once", "push recorded messages through", ONCE, ONCE_END)
    once.add_argument("file", nargs="?", default="-", metavar="FILE", help="(default: stdin)")
    once.add_argument("--vm", metavar="NAME", help="this VM alone (default: all)")
    once.add_argument("--strict", action="store_true", help="exit 1 where a message was dropped")
    once.add_argument("--quiet", action="store_true", help="say nothing of what was dropped")
    return once


def _listen(commands: Any) -> argparse.ArgumentParser:
    listen = _parser(commands, "listen", "record what is published", LISTEN, LISTEN_END)
    _broker(listen)
    listen.add_argument(
        "--topic",
        action="append",
        metavar="FILTER",
        help="an MQTT filter (default: #; with --config what its VMs subscribe)",
    )
    listen.add_argument("--vm", metavar="NAME", help="what this VM subscribes (with --config)")
    listen.add_argument(
        "--for",
        dest="for_s",
        type=quantity_of(quantity.DURATIONS),
        default=30.0,
        metavar="TIME",
        help="for so long (default: 30s)",
    )
    listen.add_argument(
        "--max-bytes",
        type=quantity_of(quantity.BYTES),
        default=10e6,
        metavar="SIZE",
        help="end at so many bytes (default: 10MB)",
    )
    listen.add_argument(
        "--max-message-bytes",
        type=quantity_of(quantity.BYTES),
        metavar="SIZE",
        help="of larger messages only the size is kept (default: 64KiB; with --config as its VMs)",
    )
    listen.add_argument(
        "--expire",
        dest="expire_s",
        type=quantity_of(quantity.DURATIONS),
        default=7 * 86400.0,
        metavar="TIME",
        help="nobody reads it after so long (default: 7d)",
    )
    listen.add_argument("-o", "--output", type=Path, metavar="FILE", help="(default: stdout)")
    listen.add_argument("--force", action="store_true", help="overwrite FILE")
    return listen


def _send(commands: Any) -> argparse.ArgumentParser:
    send = _parser(commands, "send", "publish a recording", SEND, SEND_END)
    _broker(send)
    send.add_argument("file", metavar="FILE", help="a recording; - is stdin")
    send.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="so many times as fast as it was (default: 1); 0: as fast as the broker takes it",
    )
    return send


def _broker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", metavar="URL", help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT], not --config's"
    )
    parser.add_argument(
        "--protocol",
        choices=["auto", "5", "3.1.1"],
        default="auto",
        help="of MQTT, for --server (default: auto)",
    )
    parser.add_argument("--username", metavar="NAME", help="for --server")
    parser.add_argument("--password-file", metavar="FILE", help="its first line is the password")
    parser.add_argument("--ca-file", metavar="FILE", help="certificates that mqtts:// trusts")
