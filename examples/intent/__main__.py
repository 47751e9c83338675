# SPDX-License-Identifier: Apache-2.0
"""python -m examples.intent [SENTENCE...]: from a sentence over MQTT to what it asks for.

Starts a broker and `neurovmd` with the VM of this folder. Without sentences it says ten of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.box import NoAnswerError, Result, serving

from .sentences import sentences

HERE = Path(__file__).parent
TOPIC = "house/{}/said"


def answers(said: Sequence[str], who: str = "hall") -> list[Result]:
    """One result a sentence."""
    found = []
    with serving({"intent": HERE / "vm.yaml"}, [HERE / "intent.tflite"]) as box:
        for text in said:
            box.publish(TOPIC.format(who), text.encode())
            found.append(box.result())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sentences", nargs="*", metavar="SENTENCE", help="what is said")
    parser.add_argument("--seed", type=int, default=5, help="without sentences: which ten")
    args = parser.parse_args()
    said = args.sentences or sentences(2, args.seed)[0][:10]
    try:
        for text, result in zip(said, answers(said), strict=True):
            first, second = (f"{each['label']} {each['value']:.2f}" for each in result["top"])
            print(f"{first:18} {text}   ({second})")
    except (NoAnswerError, OSError) as error:
        raise SystemExit(f"intent: {error}") from None


if __name__ == "__main__":
    main()
