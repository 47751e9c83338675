# SPDX-License-Identifier: Apache-2.0
"""Build the extension and nothing else; all metadata stands in pyproject.toml.

NEUROVM_ABI3=0 builds for the running interpreter alone (debug, coverage, sanitizers);
otherwise Python >= 3.11 gets one abi3 module for all later versions.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

is_debugged = os.environ.get("NEUROVM_ABI3", "1") == "0"
abi3 = not is_debugged and sys.version_info >= (3, 11)


def files(pattern: str) -> list[str]:
    """Paths relative to this file, sorted so that every build links in the same order."""
    return sorted(str(path) for path in Path().glob(pattern))


class Build(build_ext):
    """Without the run path that some Pythons (pyenv's) link with: the module needs none, and the
    path of the machine it was built on has no place in a wheel.
    """

    def build_extensions(self) -> None:
        linker = self.compiler.linker_so
        self.compiler.linker_so = [each for each in linker if not each.startswith("-Wl,-rpath")]
        super().build_extensions()


extension = Extension(
    "neurovm._kernel",
    ["core_c/_kernel.pyx", *files("core_c/src/*.c")],
    depends=[
        "core_c/nvm.pxd",
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
