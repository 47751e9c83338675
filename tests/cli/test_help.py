# SPDX-License-Identifier: Apache-2.0
"""Every command explains itself with an example, and names what is wrong with its arguments."""

from __future__ import annotations

import importlib

import click
import pytest

import neurovm
from neurovm.cli.app import COMMANDS, cli
from neurovm.cli.exits import Exit


def commands() -> dict[str, click.Command]:
    return {
        name: getattr(importlib.import_module(module), name) for name, module in COMMANDS.items()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches_with_an_example(run, name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == Exit.OK
    _, examples = ran.out.split("Examples:")
    assert f"neurovm {name}" in examples


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Option) and parameter.name not in ("seed", "help"):
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", ["inspect", "explain", "verify", "predict", "bench", "info"])
def test_reading_commands_print_json(name: str) -> None:
    options = {o for p in commands()[name].params for o in p.opts}
    assert {"-o", "--output"} <= options


def test_the_list_names_all_commands_and_exit_codes(run) -> None:
    ran = run("--help")
    assert ran.code == Exit.OK
    assert all(f"  {name} " in ran.out for name in COMMANDS)
    assert all(str(int(code)) in ran.out for code in Exit)


def test_short_help_of_a_command_is_a_sentence() -> None:
    for name, command in commands().items():
        text = command.get_short_help_str(200)
        assert text.endswith("."), f"{name}: {text!r}"


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(run, flag: str) -> None:
    assert run(flag).out == f"neurovm {neurovm.__version__}\n"


def test_no_arguments_show_the_list(run) -> None:
    ran = run()
    assert ran.code == Exit.USAGE
    assert "convert" in ran.out + ran.err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["frobnicate"], "frobnicate"),
        (["inspect"], "MODEL"),
        (["inspect", "a.nvm", "-o", "xml"], "xml"),
        (["predict", "a.nvm", "b.csv", "--top", "0"], "--top"),
        (["verify", "a.tflite", "--count", "-1"], "--count"),
        (["bench", "a.nvm", "--seconds", "0"], "--seconds"),
        (["convert", "a.tflite", "--coding", "morse"], "morse"),
        (["convert", "a.tflite", "--profile", "bogus"], "bogus"),
        (["inspect", "a.nvm", "--frobnicate"], "--frobnicate"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_wrong_usage_is_named_on_one_line(run, args: list[str], named: str) -> None:
    ran = run(*args)
    assert ran.code == Exit.USAGE
    assert ran.out == ""
    assert named in ran.err
    assert ran.err.startswith("neurovm: ")
    assert ran.err.count("\n") == 1


def test_completion_prints_a_script(run) -> None:
    for shell in ("bash", "zsh", "fish"):
        ran = run("completion", shell)
        assert ran.code == Exit.OK
        assert "_NEUROVM_COMPLETE" in ran.out


def test_commands_are_complete() -> None:
    assert list(COMMANDS) == cli.list_commands(click.Context(cli))
