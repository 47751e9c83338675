# SPDX-License-Identifier: Apache-2.0
"""Guards of the house: what the distributions hold, what an import loads, how files begin."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import neurovm
from neurovm import errors

TOP = Path(__file__).resolve().parent.parent
ROOMS = (
    "core_c",
    "converters",
    "neurovm",
    "neurovmd",
    "tests",
    "examples",
    "benchmarks",
    "scripts",
)
SOURCE_SUFFIXES = (".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".inc", ".sh")
GENERATED = TOP / "core_c" / "_kernel.c"
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def run_python(code: str) -> str:
    """Run code in a fresh interpreter from the top of the checkout; its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def source_files() -> list[Path]:
    tops = [TOP / "setup.py"]
    found = [path for room in ROOMS for path in (TOP / room).rglob("*") if path.is_file()]
    return [path for path in tops + found if path.suffix in SOURCE_SUFFIXES and path != GENERATED]


# Distributions


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel built from it, without optimisation."""
    room = tmp_path_factory.mktemp("distributions")
    ignore = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", ".hypothesis", "build", "dist", "out", "*.so", "*.egg-info"
    )
    shutil.copytree(TOP, room / "source", symlinks=True, ignore=ignore)
    build = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", "../dist"],
        cwd=room / "source",
        env={**os.environ, "CFLAGS": "-O0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return room / "dist"


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> zipfile.ZipFile:
    (path,) = distributions.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def sdist(distributions: Path) -> dict[str, tarfile.TarInfo]:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {member.name.split("/", 1)[-1]: member for member in archive.getmembers()}


def test_wheel_brings_only_neurovm_and_neurovmd_to_site_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    packages = {name for name in tops if not name.endswith(".dist-info")}
    assert packages == {"neurovm", "neurovmd"}


def test_wheel_holds_plain_files(wheel: zipfile.ZipFile) -> None:
    kinds = {info.filename: stat.S_IFMT(info.external_attr >> 16) for info in wheel.infolist()}
    assert {name for name, kind in kinds.items() if kind not in (0, stat.S_IFREG)} == set()


def test_wheel_holds_what_the_symlinks_lead_to(wheel: zipfile.ZipFile) -> None:
    shipped = set(wheel.namelist())
    converters = {f"neurovm/converters/{p.name}" for p in (TOP / "converters").glob("*.py")}
    units = {f"neurovmd/systemd/{p.name}" for p in (TOP / "systemd").iterdir() if p.is_file()}
    assert converters
    assert units
    assert converters | units <= shipped


def test_wheel_holds_every_module_and_the_types(wheel: zipfile.ZipFile) -> None:
    shipped = set(wheel.namelist())
    modules = {
        path.relative_to(TOP).as_posix()
        for package in ("neurovm", "neurovmd")
        for path in (TOP / package).rglob("*.py")
    }
    assert modules | {"neurovm/_kernel.pyi", "neurovm/py.typed", "neurovmd/py.typed"} <= shipped
    assert not [name for name in shipped if name.endswith((".c", ".h", ".pyx", ".pxd"))]


def test_wheel_holds_the_templates_and_the_schema(wheel: zipfile.ZipFile) -> None:
    folder = TOP / "neurovm" / "templates"
    files = {path.relative_to(TOP).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert any(name.endswith("model.tflite") for name in files)
    assert files | {"neurovm/neurovm.schema.json"} <= set(wheel.namelist())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="abi3 begins with Python 3.11")
def test_one_wheel_serves_all_later_pythons(distributions: Path, wheel: zipfile.ZipFile) -> None:
    (path,) = distributions.glob("*.whl")
    assert "-cp311-abi3-" in path.name
    assert "neurovm/_kernel.abi3.so" in wheel.namelist()


def test_sdist_holds_plain_files(sdist: dict[str, tarfile.TarInfo]) -> None:
    odd = {name for name, member in sdist.items() if not (member.isfile() or member.isdir())}
    assert odd == set()


def test_sdist_holds_all_sources(sdist: dict[str, tarfile.TarInfo]) -> None:
    missing = {path.relative_to(TOP).as_posix() for path in source_files()} - set(sdist)
    assert missing == set()
    assert {"LICENSE", "Makefile", "README.md", "neurovm/converters/__init__.py"} <= set(sdist)
    assert "core_c/_kernel.c" not in sdist


# What an import loads


def test_import_neurovm_loads_no_numpy() -> None:
    heavy = ("numpy", "click", "rich", "paho", "tflite")
    code = f"import neurovm, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert run_python(code) == "[]"


def test_no_module_of_the_daemon_loads_numpy_or_the_command() -> None:
    code = """
import importlib, pkgutil, sys
import neurovmd
names = [m.name for m in pkgutil.walk_packages(neurovmd.__path__, "neurovmd.")]
for name in names:
    importlib.import_module(name)
assert names
print([name for name in ("numpy", "click", "rich", "neurovm.cli") if name in sys.modules])
"""
    assert run_python(code) == "[]"


def test_arithmetic_and_oracle_load_without_the_extension() -> None:
    code = """
import sys
sys.modules["neurovm._kernel"] = None
import neurovm.arithmetic, neurovm.converters.tflite, neurovm.passes, neurovm.reference
print("loaded")
"""
    assert run_python(code) == "loaded"


def imports_kernel(module: str) -> bool:
    """Whether the module's own text imports `neurovm._kernel`, at any level and in any form."""
    path = TOP / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        else:
            continue
        if "neurovm._kernel" in names:
            return True
    return False


def test_the_oracle_never_reaches_the_kernel() -> None:
    """The judge of the kernel must not lean on it, through whatever chain of imports."""
    grimp = pytest.importorskip("grimp", reason="import-linter is not installed")
    graph = grimp.build_graph("neurovm", cache_dir=None)
    assert imports_kernel("neurovm.backends.cpu")  # so that the search is known to find
    for oracle in ("neurovm.arithmetic", "neurovm.reference"):
        reached = graph.find_upstream_modules(oracle, as_package=True) | {oracle}
        reached |= graph.find_descendants(oracle)
        assert {module for module in reached if imports_kernel(module)} == set()


# Names


def test_every_exported_name_is_there() -> None:
    assert sorted(neurovm.__all__) == sorted(set(neurovm.__all__))
    missing = [name for name in neurovm.__all__ if not hasattr(neurovm, name)]
    assert missing == []


def test_every_error_is_exported_and_of_one_tree() -> None:
    found = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert {name for name in found if not hasattr(neurovm, name)} == set()
    for error in found.values():
        assert issubclass(error, errors.NeurovmError)
        builtin = issubclass(error, ValueError | RuntimeError)
        assert builtin or error is errors.NeurovmError


def test_every_error_stands_in_the_drawn_tree() -> None:
    assert errors.__doc__
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert name in errors.__doc__


def test_file_names_say_what_is_inside() -> None:
    empty_names = {path for path in source_files() if path.stem in NAMES_THAT_SAY_NOTHING}
    assert empty_names == set()


# Files


def test_every_source_file_names_its_licence() -> None:
    silent = [
        path.relative_to(TOP).as_posix()
        for path in source_files()
        if "SPDX-License-Identifier: Apache-2.0" not in path.read_text("utf-8")[:200]
    ]
    assert silent == []


def test_what_is_switched_off_says_why() -> None:
    """On the same line: `# noqa: RULE - why`, `# type: ignore[rule]  # why`."""
    off = re.compile(r"#\s*(?:noqa(?::[ A-Z0-9,]+)?|type: ignore(?:\[[a-z-]+\])?)(.*)")
    bare = [
        f"{path.relative_to(TOP).as_posix()}:{number}"
        for path in source_files()
        if path.suffix in (".py", ".pyi") and path.stem != "test_house"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for found in off.finditer(line)
        if not re.search(r"[a-z]{2}", found[1])
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("neurovm/converters", "../converters"),
        ("neurovmd/systemd", "../systemd"),
        ("wheels.yml", ".github/workflows/wheels.yml"),
    ],
)
def test_symlinks_of_the_checkout(link: str, target: str) -> None:
    if not (TOP / ".git").exists():
        pytest.skip("not a checkout: an sdist holds plain files")
    assert (TOP / link).is_symlink()
    assert (TOP / link).readlink() == Path(target)
    assert (TOP / link).exists()


def test_make_help_names_the_public_targets() -> None:
    listed = subprocess.run(["make", "help"], cwd=TOP, capture_output=True, text=True, check=True)
    targets = {line.split()[1] for line in listed.stdout.splitlines() if line.startswith("  make")}
    assert {"demo", "test", "check", "bench", "wheel", "clean"} <= targets
