# SPDX-License-Identifier: Apache-2.0
"""Build the extension and nothing else; all metadata stands in pyproject.toml.

NEUROVM_ABI3=0 builds for the running interpreter alone (debug, coverage, sanitizers);
otherwise Python >= 3.11 gets one abi3 module for all later versions.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

is_debugged = os.environ.get("NEUROVM_ABI3", "1") == "0"
abi3 = not is_debugged and sys.version_info >= (3, 11)


def files(pattern: str) -> list[str]:
    """Paths relative to this file, sorted so that every build links in the same order."""
    return sorted(str(path) for path in Path().glob(pattern))


def instruction_sets() -> dict[str, tuple[str, list[str]]]:
    """Of core_c/isa.mk: a set's architecture as the compiler's macro, and its flags."""
    text = Path("core_c/isa.mk").read_text(encoding="utf-8")
    words = {name: value.split() for name, value in re.findall(r"(?m)^(\w+) :=(.*)$", text)}
    return {
        isa: (f"__{architecture}__", words[f"FLAGS_{isa}"])
        for architecture in ("x86_64", "aarch64")
        for isa in words[f"ISAS_{architecture}"]
    }


class Build(build_ext):
    """Files named *__<instruction set>.c get that set's flags, or are left out where the compiler
    makes no code for it. No run path that some Pythons (pyenv's) link with: the module needs none,
    and the path of the machine it was built on has no place in a wheel.
    """

    def build_extensions(self) -> None:
        linker = self.compiler.linker_so
        self.compiler.linker_so = [each for each in linker if not each.startswith("-Wl,-rpath")]
        every = instruction_sets()
        usable = {
            isa: flags for isa, (macro, flags) in every.items() if self.compiles(macro, flags)
        }
        for each in self.extensions:
            each.sources = [
                s for s in each.sources if set_of(s) not in every.keys() - usable.keys()
            ]
            each.define_macros += [(f"NVM_HAVE_{isa}", None) for isa in usable]
        plain = self.compiler._compile  # noqa: SLF001 - what compiles one file, and has no other name

        def compile_one(obj, source, suffix, cc_args, extra, pp_opts):
            plain(obj, source, suffix, cc_args, [*extra, *usable.get(set_of(source), [])], pp_opts)

        self.compiler._compile = compile_one  # noqa: SLF001 - as above
        super().build_extensions()

    def compiles(self, macro: str, flags: list[str]) -> bool:
        """Whether the compiler takes these flags and makes code for this architecture."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(f"#ifndef {macro}\n#error other architecture\n#endif\nint probe;\n")
            try:
                with Path(os.devnull).open("w") as quiet, redirected(2, quiet.fileno()):
                    self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            except CompileError:
                return False
        return True


def set_of(source: str) -> str:
    return Path(source).stem.rpartition("__")[2]


@contextmanager
def redirected(descriptor: int, to: int) -> Iterator[None]:
    """Whatever children write to `descriptor` goes elsewhere."""
    held = os.dup(descriptor)
    os.dup2(to, descriptor)
    try:
        yield
    finally:
        os.dup2(held, descriptor)
        os.close(held)


extension = Extension(
    "neurovm._kernel",
    ["core_c/_kernel.pyx", *files("core_c/src/*.c")],
    depends=[
        "core_c/nvm.pxd",
        "core_c/isa.mk",
        *files("core_c/*.pxi"),
        *files("core_c/include/*.h"),
        *files("core_c/src/*.h"),
        *files("core_c/src/*.inc"),
    ],
    include_dirs=["core_c/include"],
    # -ffp-contract=off: aarch64 gcc fuses multiply-add by default, which changes rounding.
    extra_compile_args=[
        "-std=c11",
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fvisibility=hidden",
        # Debug information is for builds that are debugged: it doubles the wheel, and names the
        # folder it was built in, so that no two builds are the same.
        *([] if is_debugged else ["-g0"]),
    ],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if abi3 else [],
    py_limited_api=abi3,
)

setup(
    cmdclass={"build_ext": Build},
    ext_modules=cythonize([extension], include_path=["core_c"]),
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if abi3 else {},
)
