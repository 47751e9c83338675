# SPDX-License-Identifier: Apache-2.0
"""References in values: what they give, what is refused, and that no secret is ever printed."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovm.errors import ConfigError
from neurovmd import config, log
from neurovmd.__main__ import main
from neurovmd.variables import (
    MAX_FILE_BYTES,
    MAX_VALUE_CHARACTERS,
    Piece,
    Unresolved,
    Variables,
    expand,
    read_serial,
)

SECRET = "correct horse"
VM = """\
model: pump.nvm
inputs: [{topic: "${env:SITE}/{stream}/x", payload: {field: ""}}]
output: {topic: "out/${node}/{stream}"}
max_streams: ${env:STREAMS}
"""


def folder(tmp_path: Path, main_text: str, vm: str = VM) -> Path:
    (tmp_path / "vm.d").mkdir(exist_ok=True)
    (tmp_path / "vm.d/pump.yaml").write_text(vm)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    file = tmp_path / "neurovmd.yaml"
    file.write_text(f"vm_dir: vm.d\n{main_text}")
    return file


def environ(tmp_path: Path) -> dict[str, str]:
    return {"SITE": "hall1", "STREAMS": "7", "CREDENTIALS_DIRECTORY": str(tmp_path)}


def test_references_stand_for_what_they_name(tmp_path: Path) -> None:
    file = folder(
        tmp_path,
        "node: box-${env:SITE}\nprefix: a/${node}\n"
        "mqtt: {username: '${credential:secret}', keepalive_s: '${env:STREAMS}0'}\n",
    )
    with pytest.raises(ConfigError, match=r"mqtt\.keepalive_s"):  # not one reference: a text
        config.load(file, environ=environ(tmp_path))
    file.write_text(file.read_text().replace("${env:STREAMS}0", "${env:KEEP}"))
    loaded = config.load(file, environ={**environ(tmp_path), "KEEP": "70"})
    assert (loaded.node, loaded.config.prefix) == ("box-hall1", "a/box-hall1")
    assert (loaded.config.mqtt.username, loaded.config.mqtt.keepalive_s) == (SECRET, 70)
    (deployment,) = loaded.deployments
    assert deployment.vm.inputs[0].topic == "hall1/{stream}/x"
    assert deployment.vm.output.topic == "out/box-hall1/{stream}"
    assert deployment.vm.max_streams == 7
    assert loaded.secrets() == {SECRET}


def test_a_name_of_digits_stays_a_name(tmp_path: Path) -> None:
    file = folder(tmp_path, "node: ${env:STREAMS}\n")
    assert config.load(file, environ=environ(tmp_path)).node == "7"


@pytest.mark.parametrize(
    ("text", "found", "accepted"),
    [
        ("${env:NONE}", "not set", "environment"),
        ("${file:none}", "none", "readable"),
        ("${file:vm.d}", "no file", "readable"),
        ("${credential:../secret}", "'../secret'", "without slashes"),
        ("${credential:none}", "none", "readable"),
        ("${nod}", "${nod}", "${serial}"),
        ("a${", "unclosed", "${node}"),
        ("${}", "${}", "$${"),
        ("${node}", "${node}", "${serial}"),
    ],
)
def test_what_gives_nothing_is_an_error_at_its_key(
    tmp_path: Path, text: str, found: str, accepted: str
) -> None:
    file = folder(tmp_path, f"log_level: info\nnode: '{text}'\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file, environ=environ(tmp_path))
    assert (caught.value.line, caught.value.key) == (3, "node")
    assert found in caught.value.found
    assert accepted in caught.value.accepted


def test_what_is_read_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (tmp_path / "odd").write_bytes(b"\xff")
    variables = Variables({"X": "x" * 1000})
    for text in ("${file:big}", "${file:odd}", "${env:X}" * 100):
        with pytest.raises(Unresolved):
            expand(text, variables, tmp_path)
    assert len(expand("${env:X}" * 10, variables, tmp_path)[0]) == 10_000 < MAX_VALUE_CHARACTERS


def test_an_escape_is_kept_and_nothing_is_looked_through_twice(tmp_path: Path) -> None:
    variables = Variables({"X": "${env:X}$${"})
    assert expand("$${env:X} $x $", variables, tmp_path)[0] == "${env:X} $x $"
    assert expand("${env:X}", variables, tmp_path)[0] == "${env:X}$${"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=string.ascii_lowercase + "${}:.\n", max_size=40))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        expanded, _ = expand(text, Variables({"a": "b"}, node="n"), Path("/nonexistent"))
    except Unresolved as error:
        assert error.found
        assert error.accepted
    else:
        assert "${" in text or expanded == text


def test_the_serial_is_the_boards_else_made_from_the_machine_id(tmp_path: Path) -> None:
    with pytest.raises(Unresolved):
        read_serial(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef" * 2 + "\n")
    made = read_serial(tmp_path)
    assert len(made) == 16
    assert made not in "0123456789abcdef" * 2  # the id itself stays on the box
    dmi = tmp_path / "sys/class/dmi/id/product_serial"
    dmi.parent.mkdir(parents=True)
    for junk in ("To Be Filled By O.E.M.\n", "0000000\n", "None\n", "\n"):
        dmi.write_text(junk)
        assert read_serial(tmp_path) == made
    dmi.write_text("PF3-ABC/1\n")
    assert read_serial(tmp_path) == "pf3-abc-1"
    dmi.chmod(0o400)
    assert read_serial(tmp_path) == made  # for root too, as for the daemon
    board = tmp_path / "sys/firmware/devicetree/base/serial-number"
    board.parent.mkdir(parents=True)
    board.write_bytes(b"10000000abcdef01\0")
    assert read_serial(tmp_path) == "10000000abcdef01"


def test_the_serial_names_the_node(tmp_path: Path) -> None:
    file = folder(tmp_path, "node: box-${serial}\n")
    variables = Variables(environ(tmp_path), serial=lambda: "s1")
    loaded, errors = config.examine(file, environ=environ(tmp_path), variables=variables)
    assert (loaded.node, errors) == ("box-s1", [])
    assert variables.look_up("serial", tmp_path) == Piece("s1")


@pytest.mark.parametrize(
    ("main_text", "vm"),
    [
        ("log_level: '${file:secret}'\n", VM),
        ("mqtt: {server: 'x${file:secret}'}\n", VM),
        ("mqtt: {protocol: ['${file:secret}']}\n", VM),
        ("node: '${file:secret}'\n", VM),
        ("", VM.replace("pump.nvm", "${file:../secret}")),
        ("", VM.replace("${env:SITE}", "${file:../secret}+")),
        ("", VM.replace("${env:SITE}/{stream}/x", "out/${node}/${file:../secret}").replace(
            "out/${node}/{stream}", "out/${node}/${file:../secret}")),
        ("", VM.replace("${env:STREAMS}", "'${file:../secret}'")),
        ("", VM.replace("${env:STREAMS}", "'${env:MY_TOKEN}'")),
    ],
)  # fmt: skip
def test_no_error_holds_a_secret(tmp_path: Path, main_text: str, vm: str) -> None:
    file = folder(tmp_path, main_text, vm)
    with pytest.raises(ConfigError) as caught:
        config.load(file, environ={**environ(tmp_path), "MY_TOKEN": SECRET})
    assert SECRET not in str(caught.value)
    assert "horse" not in str(caught.value)


def test_no_secret_is_shown_or_logged(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vm = VM.replace("${env:SITE}", "${file:../secret}")
    file = folder(tmp_path, "mqtt: {username: 'u-${file:secret}'}\n", vm)
    for name, value in environ(tmp_path).items():
        monkeypatch.setenv(name, value)
    for form in ("--effective", "--diff", "--origin"):
        assert main(["--config", str(file), "config", "show", form]) == 0
    main(["--config", str(file), "check"])
    log.hide([SECRET])
    log.error("mqtt.down", reason=f"u-{SECRET} refused")
    log.hide(())
    said = "".join(capfd.readouterr())
    assert "mqtt.username" in said
    assert 'reason="u-… refused"' in said
    assert SECRET not in said
