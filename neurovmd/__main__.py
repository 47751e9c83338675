# SPDX-License-Identifier: Apache-2.0
"""The `neurovmd` program: run the daemon, check or print its configuration."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from neurovm.errors import ConfigError, NeurovmError
from neurovm.version import __version__
from neurovmd import arguments
from neurovmd.layers import Source

EXIT_OK, EXIT_WARNINGS, EXIT_USAGE, EXIT_CANNOT_CREATE, EXIT_CONFIG = 0, 1, 64, 73, 78
EXIT_UNAVAILABLE, EXIT_SOFTWARE, EXIT_IO = 69, 70, 74

DESCRIPTION = """\
Runs each configured VM (a neural network, .nvm or .tflite) in a process of its own: sensor events
come in over MQTT, results leave over MQTT, the box stays below its power limit.
"""
EPILOG = """\
configuration:
  /usr/lib/neurovmd, /etc/neurovmd, /run/neurovmd (later wins): neurovmd.yaml, conf.d/*.yaml,
  nodes/NODE.yaml; then the environment: NEUROVMD__MQTT__SERVER=mqtt://broker sets mqtt.server.
  ${node}, ${serial}, ${env:NAME}, ${file:PATH}, ${credential:NAME} stand for what they name.
  One file for each VM in vm.d (or vm_dir):

    model: pump.tflite
    inputs:
      - topic: plant/{stream}/sensor/{element}
        payload: {format: json, field: value}
        to: {tensor: 0, elements: [flow, pressure]}
    output: {on: change, form: {top_k: 1}}

examples:
  neurovmd check                          is the configuration right? (exit code 78 if not)
  neurovmd config                         what is in effect, with all defaults
  neurovmd once < sample.jsonl            recorded messages through the VMs, without a broker
  neurovmd config show --origin           ... and which file and line says so
  neurovmd --config ./neurovmd.yaml       run in the foreground with this configuration

signals: TERM, INT end it after draining (at most 10 s), HUP reloads, USR1 tells the log how things
are. Exit codes: 0 ended as asked, 64 wrong usage, 69 not on Linux, 70 a defect, 73 another daemon
holds the control socket, 78 wrong configuration.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it never returns
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    root = _Parser(
        prog="neurovmd",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"neurovmd {__version__}")
    _config_option(root, default=None)
    commands = root.add_subparsers(dest="command", metavar="{check,config,once,…}")
    check = commands.add_parser("check", help="check the configuration and say what is wrong")
    _output_option(check)
    check.add_argument(
        "--json",
        action="store_const",
        const="json",
        dest="output",
        default=argparse.SUPPRESS,
        help="the same as -o json",
    )
    check.add_argument("--quiet", action="store_true", help="say nothing when all is well")
    check.add_argument("--warnings-as-errors", action="store_true", help="exit 1 on warnings")
    config = commands.add_parser("config", help="print the configuration in effect")
    config.add_argument("show", nargs="?", choices=["show"], help="the same")
    form = config.add_mutually_exclusive_group()
    for name, text in (
        ("effective", "every key with its value (what is shown without an option)"),
        ("diff", "what is not the default, with file and line"),
        ("origin", "every value with the file and line that says so"),
    ):
        form.add_argument(
            f"--{name}",
            dest="form",
            action="store_const",
            const=name,
            default="effective",
            help=text,
        )
    _output_option(config)
    for command in (check, config, *arguments.add(commands)):
        # The same option after the command must not overwrite one given before it.
        _config_option(command, default=argparse.SUPPRESS)
    return root


def _output_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", choices=["table", "json", "yaml"], default="table", help="for programs"
    )


def _config_option(command: argparse.ArgumentParser, default: object) -> None:
    command.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=default,
        help="the main configuration file (default: the service's or your own)",
    )
    command.add_argument(
        "--layer",
        metavar="FOLDER",
        type=Path,
        action="append",
        default=default,
        dest="layers",
        help="read this folder in place of the usual ones; again for one above it",
    )


def _source(options: argparse.Namespace) -> Source:
    if options.layers and options.config:
        parser().error("--config and --layer exclude each other")
    return Source(options.config, tuple(options.layers or ()))


def main(arguments: list[str] | None = None) -> int:
    """Run `neurovmd`; returns the exit code."""
    if not sys.platform.startswith("linux"):
        sys.stderr.write(
            f"neurovmd: found {sys.platform}; the daemon runs on Linux only (the library and the "
            f"`neurovm` command run here)\n"
        )
        return EXIT_UNAVAILABLE
    # A SIGHUP before the daemon can answer it must not end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # A resolver without an answer must not hold up the only thread for long.
    os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:1")
    options = parser().parse_args(arguments)
    try:
        if options.command == "check":
            return _said(lambda: _check(options))
        if options.command == "config":
            return _said(lambda: _config(options))
        if options.command is not None:
            from neurovmd import messages

            options.config = _source(options) if options.layers else options.config
            return messages.main(options)
        return _run(_source(options))
    except ConfigError as error:
        print(f"neurovmd: {error}", file=sys.stderr)
        return EXIT_CONFIG


def _said(write: Callable[[], int]) -> int:
    """What `write` returns; EXIT_IO where standard output ends (a pager, `head`) or is full."""
    try:
        code = write()
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT):
            raise
        # Else the interpreter tries again at its end, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"neurovmd: standard output: {error.strerror}", file=sys.stderr)
        return EXIT_IO
    return code


def _run(source: Source) -> int:
    from neurovm import prepared
    from neurovmd import cgroup, check, log, reload
    from neurovmd.control import Occupied

    seen = reload.look(source)
    settings, reason = reload.read(source)
    log.hide(settings.secrets())
    log.set_level(settings.config.log_level)
    for remark in check.remarks(settings):
        log.warning("config.remark", remark=remark)
    # The one place beside its state that a worker may write to.
    os.environ.setdefault(prepared.VARIABLE, f"{settings.config.cache_dir}/prepared")
    from neurovmd.notify import Notifier
    from neurovmd.supervisor import Supervisor

    try:
        # Before anything is forked, which would be in the way.
        groups = cgroup.take_over()
        return Supervisor(
            settings, Notifier(), source, seen=seen, reason=reason, groups=groups
        ).run()
    except Occupied as error:
        print(f"neurovmd: {error}", file=sys.stderr)
        return EXIT_CANNOT_CREATE
    except Exception:  # noqa: BLE001  # a defect: workers drain, the service starts anew
        import traceback

        log.error("daemon.crashed", traceback=traceback.format_exc(limit=-6))
        return EXIT_SOFTWARE


def _check(options: argparse.Namespace) -> int:
    from neurovmd import check, show

    try:
        report = check.examine(_source(options))
    except ConfigError as error:
        report = check.Report(errors=[error])
    if options.output != "table":
        show.write_data(report.as_json(), options.output, sys.stdout)
    else:
        for line in report.lines(quiet=options.quiet):
            print(line, file=sys.stderr if report.errors else sys.stdout)
    if report.errors:
        return EXIT_CONFIG
    return EXIT_WARNINGS if report.warnings and options.warnings_as_errors else EXIT_OK


def _config(options: argparse.Namespace) -> int:
    from neurovmd import config, show

    write = {
        "effective": show.write_effective,
        "diff": show.write_diff,
        "origin": show.write_origin,
    }
    settings = config.load(_source(options))
    if options.output == "table":
        write[options.form](settings, sys.stdout)
    else:
        show.write_data(show.as_data(settings, options.form), options.output, sys.stdout)
    return EXIT_OK


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NeurovmError as error:
        sys.exit(f"neurovmd: {error}")
