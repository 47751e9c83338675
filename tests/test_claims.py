# SPDX-License-Identifier: Apache-2.0
"""docs/claims.md and the README's table say what the bench found, no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import claims
import claims_page
import pytest

ROOT = Path(__file__).parent.parent
PROMISES = ("100 to 1,000 × faster", "answers in microseconds", "a million inferences a second",
            "75 % smaller", "2 to 4 × faster by int8", "an answer within 22 ms")  # fmt: skip


def row(stream: str, kind: str, us: float, ratio: float | None, **more: Any) -> dict[str, Any]:
    def spread(value: float | None) -> dict[str, float] | None:
        return None if value is None else {"median": value, "low": value, "high": value}

    return {
        "network": "net", "stream": stream, "kind": kind, "who": "neurovm", "mode": "step",
        "us": spread(us), "ratio": spread(ratio), "stateful": False, **more,
    }  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> claims_page.Bench:
    rows = [
        row("all", "all", 30.0, 0.5),
        row("nothing", "none", 0.2, 0.004),
        row("1 % block", "block", 12.0, 0.2),
        row("all", "all", 60.0, None, who="litert"),
        row("all", "all", 0.8, 0.4, network=claims.FAST),
        row("nothing", "none", 0.2, 1.0, network="remembers", stateful=True),
    ]
    aim = {"what": "nothing changed", "wanted": "≤ 0.02", "found": "1 of 1", "passed": True}
    found = {"machine": "a CPU", "isa": "scalar", "rounds": 3, "versions": {"neurovm": "neurovm 1"},
             "rows": rows, "aims": [aim]}  # fmt: skip
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(found))
    return claims_page.Bench(path)


def test_each_case_of_faster_is_judged_by_itself(bench: claims_page.Bench) -> None:
    found = {claim.promise.partition(": ")[2]: claim for claim in claims.faster(bench)}
    assert found["nothing changed"].reached == "yes"
    assert "250 ×" in found["nothing changed"].found
    assert found["everything changed"].reached == "no"
    assert found["real streams"].reached == "not measured"


def test_rates_are_those_of_the_fast_network(bench: claims_page.Bench) -> None:
    (claim,) = claims.million(bench)
    assert claim.found == "1.25 million"
    assert claim.reached == "yes"


def test_what_cannot_be_measured_says_so() -> None:
    assert claims.smaller({})[0].reached == "not measured"
    assert claims.by_int8({}, 0)[0].reached == "not measured"


def test_sizes_are_those_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coded = ROOT / "tests/fixtures/digits_mlp.tflite"
    real = tmp_path / "real.tflite"
    real.write_bytes(bytes(10 * coded.stat().st_size))
    monkeypatch.setattr(claims, "PAIRS", {"real": "digits_mlp"})
    (claim,) = claims.smaller({"real": real, "digits_mlp": coded})
    assert claim.found.startswith("−90% as .tflite")


def test_the_page_has_every_claim_and_every_aim(bench: claims_page.Bench) -> None:
    text = claims_page.page(claims.faster(bench), bench)
    assert "a CPU, instruction set scalar" in text
    assert "| nothing changed | ≤ 0.02 | 1 of 1 | reached |" in text
    assert text.count("100 to 1,000 × faster") == 5


def test_the_readme_block_replaces_what_stands_between_its_marks(bench: claims_page.Bench) -> None:
    block = claims_page.readme_block(bench)
    text = claims_page.with_block("a\n<!-- bench -->\nold\n<!-- end of bench -->\nb\n", block)
    assert "old" not in text
    assert text.startswith("a\n")
    assert text.endswith("\nb\n")
    assert "| net (60) " in text
    assert "| 0.50 " in text
    with pytest.raises(ValueError, match="README"):
        claims_page.with_block("no marks", block)


def test_the_page_of_this_checkout_has_every_promise() -> None:
    text = (ROOT / "docs/claims.md").read_text()
    assert all(promise in text for promise in PROMISES)
    assert "instruction set" in text


def test_the_readmes_figures_name_the_processor() -> None:
    text = (ROOT / "README.md").read_text()
    block = text.partition("<!-- bench -->")[2].partition("<!-- end of bench -->")[0]
    assert "Measured on" in block
    assert "instruction set" in block
    assert "| all changed" in block
