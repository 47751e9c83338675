# SPDX-License-Identifier: Apache-2.0
"""Print the operator matrix of README.md from the registries, or write it there (--write).

A row is an operator: its equation (the first sentence of its docstring), how it runs (the first
sentence of its lowering's), and the profiles it is exact to (on int16 codes as
well, where it says so). tests/test_readme.py holds README.md
to it.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from neurovm.arithmetic import PROFILES, Profile
from neurovm.arithmetic.wide import LITERT_REFUSED, TFLM_REFUSED
from neurovm.operators import REGISTRY, Dequantize, Quantize, RealBinary, RealUnary, Select
from neurovm.operators.base import Operator
from neurovm.passes.formats import WIDE
from neurovm.reference import RULES

README = Path(__file__).parent.parent / "README.md"
VALUES = (RealBinary, RealUnary, Select)
EDGES = (Quantize, Dequantize)
REFUSED = {"xnnpack": LITERT_REFUSED, "tflm": TFLM_REFUSED}
"""Of a profile's runtime, on int16 codes."""
BEGIN, END = "<!-- operators -->", "<!-- end of operators -->"


def first_line(text: str | None) -> str:
    """The first sentence of a docstring on one line."""
    paragraph = inspect.cleandoc(text or "").split("\n\n", 1)[0]
    return " ".join(paragraph.split()).split(". ", 1)[0].rstrip(".").replace("|", "\\|")


def runs_as(operator: type[Operator]) -> str:
    """How an operator runs; folded ones have no lowering of their own."""
    if issubclass(operator, VALUES):
        return "Part of a table of the codes it depends on; of constants a constant"
    if operator.lower is Operator.lower:
        return "Folded to a constant at conversion"
    return first_line(operator.lower.__doc__)


def exactness(operator: type[Operator], profile: Profile) -> str:
    """What a profile says of an operator."""
    if operator not in RULES:
        return "exact" if issubclass(operator, VALUES) else "–"
    function = getattr(operator, "function", None)
    if function in profile.refused:
        return "refused"
    return "exact, int16" if runs_wide(operator, profile) else "exact"


def runs_wide(operator: type[Operator], profile: Profile) -> bool:
    """Whether an operator runs on int16 codes too."""
    refused = {name.replace("_", "") for name in REFUSED[profile.name]}
    return issubclass(operator, WIDE + EDGES) and operator.__name__.upper() not in refused


def matrix() -> str:
    """The table as Markdown."""
    lines = [
        f"| operator | equation | how it runs | {' | '.join(PROFILES)} |",
        "| --- " * (3 + len(PROFILES)) + "|",
    ]
    for name, operator in sorted(REGISTRY.items()):
        exact = [exactness(operator, profile) for profile in PROFILES.values()]
        equation = f"`{first_line(operator.__doc__).replace('`', '')}`"
        cells = [name, equation, runs_as(operator), *exact]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_matrix(readme: str) -> str:
    """README with the table between its marks."""
    head, rest = readme.split(BEGIN, 1)
    return f"{head}{BEGIN}\n{matrix()}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        README.write_text(with_matrix(README.read_text()))
    else:
        print(matrix())
