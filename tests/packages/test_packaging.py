# SPDX-License-Identifier: Apache-2.0
"""What can be held of the packages without root: templates, locks, the installer's decisions."""

import importlib.util
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
DEB = TOP / "packaging" / "deb"
INSTALL = TOP / "scripts" / "install.sh"
PROJECT = (TOP / "pyproject.toml").read_text(encoding="utf-8")
VERSION = re.search(r'^version = "(.+)"$', PROJECT, re.MULTILINE)[1]


# The lock


def locked(python: str) -> dict[str, list[str]]:
    """The hashes of every pinned package."""
    text = (DEB / f"requirements-{python}.txt").read_text().replace("\\\n", "")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {words[0].split("==")[0]: words[1:] for words in lines}


def dependencies() -> set[str]:
    block = re.search(r"^dependencies = \[(.*?)^\]", PROJECT, re.MULTILINE | re.DOTALL)
    assert block
    names = re.findall(r'"([A-Za-z0-9_.-]+)', block[1])
    return {name.lower().replace("_", "-") for name in names}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_dependency_is_locked_by_hash(python: str) -> None:
    pins = locked(python)
    assert dependencies() <= set(pins)
    assert all(pins.values())
    words = [word for hashes in pins.values() for word in hashes]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in words), words
    # Compiled ones have a wheel for each architecture.
    assert len(pins["numpy"]) == len(pins["msgspec"]) == 2


def test_the_copyright_file_names_every_bundled_package() -> None:
    text = (DEB / "copyright").read_text(encoding="utf-8")
    patterns = re.findall(r"site-packages/(\S+)", text)
    for name in locked("3.11"):
        module = name.replace("-", "_")
        assert any(Path(module).match(p) or module.startswith(p.rstrip("*")) for p in patterns), (
            name
        )


def test_the_unit_has_one_blank_that_the_package_fills() -> None:
    assert set(re.findall(r"@\w+@", (TOP / "systemd/neurovmd.service").read_text())) == {
        "@NEUROVMD@"
    }


# Templates


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WINGET = {
    "PackageIdentifier": r"[^.\s]{1,32}(\.[^.\s]{1,32}){1,7}",
    "PackageVersion": r"[^\\/:*?\"<>|]{1,128}",
    "PackageLocale": r"[a-zA-Z]{2,3}(-[a-zA-Z]{1,8})*",
    "Publisher": ".{2,256}",
    "PackageName": ".{2,256}",
    "License": ".{3,512}",
    "ShortDescription": ".{3,256}",
    "ManifestType": "singleton",
    "ManifestVersion": r"1\.6\.0",
}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    (tmp_path / "sdist").write_bytes(b"sdist")
    (tmp_path / "zip").write_bytes(b"zip")
    url = "https://example.org"
    words = ["--homepage", url, "--sdist-url", f"{url}/s.tar.gz", "--sdist", f"{tmp_path}/sdist"]
    words += ["--zip", f"{tmp_path}/zip", "--zip-url", f"{url}/z.zip"]
    load(TOP / "packaging" / "fill.py").main([str(tmp_path / "out"), *words])
    return tmp_path / "out"


def test_templates_are_filled(filled: Path) -> None:
    files = sorted(str(p.relative_to(filled)) for p in filled.rglob("*") if p.is_file())
    assert files == [
        "brew/neurovm.rb",
        "windows/choco/neurovm.nuspec",
        "windows/choco/tools/chocolateyinstall.ps1",
        "windows/choco/tools/chocolateyuninstall.ps1",
        "windows/winget/neurovm.yaml",
    ]
    for name in files:
        text = (filled / name).read_text()
        assert not re.search(r"@[A-Z0-9_]+@", text), name
        # Homebrew takes the version from the address of the sdist.
        assert VERSION in text or name.endswith("uninstall.ps1"), name


def test_the_formula_names_the_sdist(filled: Path) -> None:
    text = (filled / "brew/neurovm.rb").read_text()
    assert 'url "https://example.org/s.tar.gz"' in text
    assert re.search(r'sha256 "[0-9a-f]{64}"', text)
    assert text.count(" do\n") + text.count("  def ") + text.count("class ") == text.count("end\n")


@pytest.mark.skipif(shutil.which("ruby") is None, reason="no ruby to read the formula")
def test_the_formula_is_ruby(filled: Path) -> None:
    subprocess.run(["ruby", "-wc", filled / "brew/neurovm.rb"], check=True, capture_output=True)


def test_windows_files_are_well_formed(filled: Path) -> None:
    package = ET.parse(filled / "windows/choco/neurovm.nuspec").getroot()
    (version,) = (element for element in package.iter() if element.tag.endswith("}version"))
    assert version.text == VERSION
    manifest = yaml.safe_load((filled / "windows/winget/neurovm.yaml").read_text())
    assert manifest["PackageVersion"] == VERSION
    # What the schema of singleton manifests, version 1.6.0, requires, and its limits.
    for key, pattern in WINGET.items():
        assert re.fullmatch(pattern, manifest[key]), key
    (installer,) = manifest["Installers"]
    assert {"Architecture", "InstallerType", "InstallerUrl", "InstallerSha256"} <= set(installer)
    assert re.fullmatch(r"[0-9A-F]{64}", manifest["Installers"][0]["InstallerSha256"])
    assert "Linux only" in manifest["ShortDescription"]


# install.sh, which only says what it would do

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "id", "cat", "find", "sort", "tail", "dirname", "basename", "sed"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    for name, answer in {
        "uname": "echo Linux",
        "dpkg": "echo amd64",
        "dpkg-query": "exit 1",
        "python3": "exit 0",
    }.items():
        (tools / name).write_text(f"#!{tools}/sh\n{answer}\n")
        (tools / name).chmod(0o755)

    def run(
        *arguments: str, codename: str = "bookworm", **answers: str
    ) -> "subprocess.CompletedProcess[str]":
        for name, answer in answers.items():
            (tools / name.replace("_", "-")).write_text(f"#!{tools}/sh\n{answer}\n")
        release = tmp_path / "os-release"
        release.write_text(f"VERSION_CODENAME={codename}\nPRETTY_NAME='Some {codename}'\n")
        return subprocess.run(
            [str(tools / "sh"), str(INSTALL), "--dry-run", *arguments],
            env={**os.environ, "PATH": str(tools), "OS_RELEASE": str(release)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_fitting_package_is_installed_with_apt(script: Script, tmp_path: Path) -> None:
    package = tmp_path / "neurovm_0.1.0-1+deb12_amd64.deb"
    package.touch()
    done = script(str(package))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"apt-get install -y --no-install-recommends {package}" in done.stdout


@pytest.mark.parametrize("name", ["neurovm_1-1+deb12_arm64.deb", "neurovm_1-1+deb13_amd64.deb"])
def test_a_package_for_another_box_is_refused(script: Script, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    done = script(str(tmp_path / name))
    assert done.returncode == 69
    assert f"{name} is not for Some bookworm on amd64" in done.stderr


def test_a_wheel_goes_to_opt_by_pip(script: Script, tmp_path: Path) -> None:
    wheel = tmp_path / "neurovm-1-cp311-abi3-linux_x86_64.whl"
    wheel.touch()
    done = script(str(wheel), codename="unheard-of")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"/opt/neurovm/bin/python -m pip install -q --upgrade {wheel}" in done.stdout
    assert "ln -sf /opt/neurovm/bin/neurovmd /usr/local/bin/neurovmd" in done.stdout


def test_one_box_has_one_of_the_two(script: Script) -> None:
    done = script("--pip", dpkg_query="exit 0")
    assert done.returncode == 73
    assert "apt remove neurovm" in done.stderr


def test_elsewhere_than_on_linux_it_says_what_there_is(script: Script) -> None:
    done = script(uname="echo Darwin")
    assert done.returncode == 69
    assert "the daemon runs on Linux only" in done.stderr


def test_an_old_python_is_named(script: Script) -> None:
    done = script("--pip", python3='[ "$1" = --version ] && echo Python 3.9.2; exit 1')
    assert done.returncode == 69
    assert "Python 3.10 or later is needed; found: Python 3.9.2" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--fast"], 64), (["a.zip"], 64), (["missing.deb"], 66), (["--deb", "--pip", "x.deb"], 66)],
)
def test_wrong_use_is_refused(script: Script, arguments: list[str], code: int) -> None:
    assert script(*arguments).returncode == code
