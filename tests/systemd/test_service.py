# SPDX-License-Identifier: Apache-2.0
"""`neurovm service` on an image below a folder, with stand-ins for systemd's tools."""

import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from neurovm.cli import main, placement
from neurovm.cli import service as service_module
from neurovm.cli.exits import Exit

SHIPPED = Path(__file__).resolve().parents[2] / "systemd"
DAEMON = "/opt/neurovm/bin/neurovmd"
PLACED = (
    "etc/neurovmd/neurovmd.yaml",
    "etc/neurovmd/vm.d/vm.yaml.sample",
    "etc/systemd/system/neurovmd.service",
    "etc/sysusers.d/neurovmd.conf",
    "etc/tmpfiles.d/neurovmd.conf",
)
Run = Callable[..., tuple[int, str, str]]


class Image:
    """A root file system below a folder, and a record of the tools that were run on it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "image"
        self.root.mkdir()
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.record = folder / "record"
        for tool in ("systemd-sysusers", "systemd-tmpfiles", "systemctl"):
            self.add_tool(tool)

    def add_tool(self, name: str, end: str = "exit 0") -> None:
        path = self.tools / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.record}\n{end}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()
        )


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    image = Image(tmp_path)
    monkeypatch.setenv("PATH", str(image.tools))
    return image


@pytest.fixture
def run(image: Image, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_service(*args: str) -> tuple[int, str, str]:
        assert os.environ["PATH"] == str(image.tools)  # no test may reach the real tools
        code = main(["service", *args])
        out, err = capsys.readouterr()
        return code, out, err

    return run_service


def install(image: Image) -> tuple[str, ...]:
    return ("install", "--root", str(image.root), "--executable", DAEMON)


def test_install_places_everything_and_runs_the_tools(image: Image, run: Run) -> None:
    code, out, err = run(*install(image))
    assert (code, err) == (0, "")
    assert image.files() == sorted(PLACED)
    for name in PLACED:
        assert stat.S_IMODE((image.root / name).stat().st_mode) == 0o644
        assert str(image.root / name) in out
    unit = (image.root / "etc/systemd/system/neurovmd.service").read_text()
    assert f"\nExecStart={DAEMON} --config /etc/neurovmd/neurovmd.yaml\n" in unit
    assert "@NEUROVMD@" not in unit
    assert image.calls() == [
        f"systemd-sysusers --root={image.root} neurovmd.conf",
        f"systemd-tmpfiles --root={image.root} --create neurovmd.conf",
    ]


def test_an_image_gets_no_unit_for_a_daemon_that_is_hidden(image: Image, run: Run) -> None:
    daemon = "/tmp/venv/bin/neurovmd"  # such as the one beside this command
    code, _, err = run("install", "--root", str(image.root), "--executable", daemon)
    assert code == Exit.PERMISSION
    assert "--executable names neurovmd as the image has it" in err
    assert image.files() == []


def test_install_twice_changes_nothing(image: Image, run: Run) -> None:
    run(*install(image))
    before = {name: (image.root / name).stat().st_mtime_ns for name in PLACED}
    code, out, _ = run(*install(image))
    assert code == 0
    assert {name: (image.root / name).stat().st_mtime_ns for name in PLACED} == before
    assert out.count("keep    ") == len(PLACED)
    assert image.files() == sorted(PLACED)


def test_a_changed_configuration_stays_and_the_new_one_goes_beside(image: Image, run: Run) -> None:
    run(*install(image))
    own = image.root / "etc/neurovmd/neurovmd.yaml"
    own.write_text("prefix: mine\n")
    unit = image.root / "etc/systemd/system/neurovmd.service"
    unit.write_text("[Unit]\nDescription=old\n")
    code, out, _ = run(*install(image))
    assert code == 0
    assert own.read_text() == "prefix: mine\n"
    assert own.with_name("neurovmd.yaml.new").read_text() == (SHIPPED / "neurovmd.yaml").read_text()
    assert f"the new one is {own}.new" in out
    assert "Description=neurovm daemon" in unit.read_text()
    assert f"replace {unit}" in out


def test_a_configuration_that_was_shipped_before_is_replaced(
    image: Image, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*install(image))
    own = image.root / "etc/neurovmd/neurovmd.yaml"
    own.write_text("node: null\n")
    monkeypatch.setattr(placement, "FORMER", {hashlib.sha256(own.read_bytes()).hexdigest()})
    code, out, _ = run(*install(image))
    assert code == 0
    assert f"replace {own}" in out
    assert own.read_text() == (SHIPPED / "neurovmd.yaml").read_text()
    assert image.files() == sorted(PLACED)


def test_a_dry_run_does_nothing(image: Image, run: Run) -> None:
    code, out, _ = run(*install(image), "--dry-run")
    assert code == 0
    assert image.files() == []
    assert image.calls() == []
    assert all(str(image.root / name) in out for name in PLACED)
    assert "run     systemd-sysusers" in out


def test_remove_keeps_configuration_and_state(image: Image, run: Run) -> None:
    run(*install(image))
    state = image.root / "var/lib/neurovmd/kept"
    state.parent.mkdir(parents=True)
    state.write_text("state")
    own_vm = image.root / "etc/neurovmd/vm.d/pump.yaml"
    own_vm.write_text("model: pump.tflite\n")
    image.record.unlink()
    code, _, _ = run("remove", "--root", str(image.root))
    assert code == 0
    kept = ["etc/neurovmd/neurovmd.yaml", "etc/neurovmd/vm.d/pump.yaml", "var/lib/neurovmd/kept"]
    assert image.files() == kept
    assert image.calls() == [f"systemctl --root={image.root} disable neurovmd.service"]
    code, out, _ = run("remove", "--root", str(image.root))
    assert (code, out) == (0, "")


def test_purge_leaves_nothing(image: Image, run: Run) -> None:
    run(*install(image))
    run(*install(image))
    for name in ("var/lib/neurovmd/a", "var/cache/neurovmd/b", "etc/neurovmd/vm.d/pump.yaml"):
        (image.root / name).parent.mkdir(parents=True, exist_ok=True)
        (image.root / name).write_text("x")
    code, _, _ = run("remove", "--purge", "--root", str(image.root))
    assert code == 0
    assert image.files() == []
    assert not (image.root / "etc/neurovmd").exists()
    assert (image.root / "var/lib").is_dir()


def test_remove_as_a_dry_run_removes_nothing(image: Image, run: Run) -> None:
    run(*install(image))
    code, out, _ = run("remove", "--purge", "--dry-run", "--root", str(image.root))
    assert code == 0
    assert image.files() == sorted(PLACED)
    assert f"remove  {image.root}/etc/neurovmd" in out


def test_a_tool_that_fails_is_quoted(image: Image, run: Run) -> None:
    image.add_tool("systemd-sysusers", "echo 'no space left' >&2; exit 3")
    code, _, err = run(*install(image))
    assert code == 69
    assert re.search(r"systemd-sysusers .* failed with 3: no space left", err)


def test_without_systemd_it_says_so(image: Image, run: Run) -> None:
    (image.tools / "systemd-tmpfiles").unlink()
    code, _, err = run(*install(image))
    assert code == 69
    assert "no systemd-tmpfiles" in err
    assert image.files() == []


def test_systemd_that_is_installed_but_not_running_is_said_so(
    image: Image, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service_module, "BOOTED", tmp_path / "nowhere")
    code, _, err = run("install", "--executable", DAEMON)
    assert code == 69
    assert f"no {tmp_path}/nowhere" in err
    assert image.calls() == []


@pytest.mark.parametrize("what", ["install", "remove"])
def test_whoever_is_not_root_gets_the_line_to_run(
    image: Image, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(service_module, "BOOTED", tmp_path)
    monkeypatch.setattr(placement, "find_daemon", lambda: Path(DAEMON))
    code, _, err = run(what)
    assert code == 77
    assert re.search(rf"run: sudo /\S+ service {what}$", err.strip())
    assert image.calls() == []


@pytest.mark.parametrize(
    ("daemon", "reason"),
    [
        ("/root/venv/bin/neurovmd", "hides /root from it (ProtectHome)"),
        ("/home/anna/venv/bin/neurovmd", "hides /home from it (ProtectHome)"),
        ("/tmp/venv/bin/neurovmd", "hides /tmp from it (PrivateTmp)"),
    ],
)
def test_a_daemon_that_the_service_cannot_see_is_refused(
    image: Image,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    daemon: str,
    reason: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(service_module, "BOOTED", tmp_path)
    code, _, err = run("install", "--executable", daemon)
    assert code == 77
    assert reason in err
    assert "sudo python3 -m venv /opt/neurovm" in err
    assert image.calls() == []


def test_what_others_may_not_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(placement, "HIDDEN", {})
    daemon = tmp_path / "bin" / "neurovmd"
    daemon.parent.mkdir()
    daemon.write_text("")
    daemon.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & stat.S_IXOTH:
            # pytest's own folders are closed to others: the first of them is the one to name.
            assert placement.why_unreadable(daemon) == (
                f"{folder} is not open to other users (mode {folder.stat().st_mode & 0o7777:04o})"
            )
            break
    daemon.chmod(0o750)
    assert placement.why_unreadable(daemon) == f"{daemon} is not open to other users (mode 0750)"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/opt/neurovm/bin/neurovmd", "/opt/neurovm/bin/neurovmd"),
        ("/opt/my env/bin/neurovmd", '"/opt/my env/bin/neurovmd"'),
        ("/opt/100%/neurovmd", "/opt/100%%/neurovmd"),
        ('/opt/a"b$c/neurovmd', '"/opt/a\\"b$$c/neurovmd"'),
    ],
)
def test_odd_paths_survive_the_unit_file(path: str, word: str) -> None:
    assert placement.unit_word(path) == word


@pytest.mark.parametrize("file", ["neurovmd.service", *(f"{n}.conf" for n in placement.DROP_INS)])
def test_every_line_of_the_unit_has_its_reason_above(file: str) -> None:
    lines = (SHIPPED / file).read_text().splitlines()
    directives = [n for n, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    assert directives
    without = [lines[n] for n in directives if not lines[n - 1].startswith("#")]
    assert without == []


DROP_IN_FOLDER = "etc/systemd/system/neurovmd.service.d"


def test_drop_ins_are_placed_when_asked_for(image: Image, run: Run) -> None:
    code, _, err = run(*install(image), "--with", "limits", "--with", "credentials")
    assert (code, err) == (0, "")
    placed = [f"{DROP_IN_FOLDER}/{name}.conf" for name in ("limits", "credentials")]
    assert image.files() == sorted([*PLACED, *placed])
    own = image.root / placed[1]
    own.write_text("[Service]\n")
    run(*install(image), "--with", "credentials")
    assert own.read_text() == "[Service]\n"
    assert own.with_name("credentials.conf.new").exists()
    code, _, err = run(*install(image), "--with", "everything")
    assert code == 64
    assert "'limits', 'accelerator', 'credentials', 'notify-reload'" in err


def test_a_systemd_that_cannot_wait_for_a_reload_is_named(
    image: Image, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(service_module, "BOOTED", tmp_path)
    image.add_tool("systemctl", "echo 'systemd 252 (252.39-1)'")
    code, _, err = run("install", "--executable", DAEMON, "--with", "notify-reload")
    assert code == 69
    assert "found systemd 252; accepted: 253 or later" in err
    assert image.calls() == ["systemctl --version"]


def test_drop_ins_stay_until_purged(image: Image, run: Run) -> None:
    run(*install(image), "--with", "limits")
    run("remove", "--root", str(image.root))
    assert (image.root / DROP_IN_FOLDER / "limits.conf").exists()
    run("remove", "--purge", "--root", str(image.root))
    assert image.files() == []


@pytest.mark.parametrize("folder", ["usr/lib/systemd/system", "lib/systemd/system"])
def test_a_packaged_service_is_left_to_its_package(image: Image, run: Run, folder: str) -> None:
    unit = image.root / folder / "neurovmd.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\n")
    code, out, _ = run(*install(image), "--with", "limits")
    assert code == 0
    assert "the package neurovm has placed it" in out
    assert image.files() == sorted([f"{DROP_IN_FOLDER}/limits.conf", f"{folder}/neurovmd.service"])
    code, _, err = run("remove", "--root", str(image.root))
    assert code == 69
    assert "sudo apt remove neurovm" in err
    assert unit.exists()
