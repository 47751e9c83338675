# SPDX-License-Identifier: Apache-2.0
"""python -m examples.camera [PICTURE...]: what lies on a conveyor, and where, out of JPEGs.

Starts a broker and `neurovmd` with the VM of this folder, sends pictures over MQTT as a camera
would and prints boxes. Without pictures (JPEG or PNG) it sends scenes of its own simulated camera.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from examples.box import NoAnswerError, Result, serving

from .scenes import HEIGHT, WIDTH, Picture, Thing, scene

HERE = Path(__file__).parent


def jpeg(image: Picture) -> bytes:
    """The picture as a camera sends it."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=85)
    return out.getvalue()


def answers(pictures: Sequence[bytes]) -> list[Result]:
    """One result a picture."""
    found = []
    with serving({"belt": HERE / "vm.yaml"}, [HERE / "belt.tflite"]) as box:
        for picture in pictures:
            box.publish("camera/north/jpeg", picture)
            found.append(box.result())
    return found


def hits(result: Result, on_it: Sequence[Thing]) -> int:
    """How many things have a box of their name that covers half of both together, or more."""
    return sum(
        any(
            box["label"] == each.label and overlap(pixels(box["box"]), each.box) >= 0.5
            for box in result["boxes"]
        )
        for each in on_it
    )


Edges = tuple[float, float, float, float]


def pixels(edges: Sequence[float]) -> Edges:
    """Left, top, right, bottom in pixels of the simulated camera, from fractions of the picture."""
    left, top, right, bottom = edges
    return left * WIDTH, top * HEIGHT, right * WIDTH, bottom * HEIGHT


def overlap(a: Edges, b: Edges) -> float:
    """Intersection over union, 0 … 1."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    areas = [(edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in (a, b)]
    return both / (sum(areas) - both)


def described(box: Result) -> str:
    """What, how surely, and its edges in percent of the picture."""
    left, top, right, bottom = (round(100 * edge) for edge in box["box"])
    return f"{box['label']} {box['score']:.2f} ({left}–{right} × {top}–{bottom} %)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", metavar="PICTURE", help="JPEG or PNG")
    parser.add_argument("--scenes", type=int, default=6, help="without pictures: how many")
    parser.add_argument("--seed", type=int, default=5_000_000, help="without pictures: which")
    args = parser.parse_args()
    seen = [scene(args.seed + at) for at in range(args.scenes)]
    try:
        named = [(str(path), path.read_bytes()) for path in args.files]
        shown = named or [(f"scene {at}", jpeg(image)) for at, (image, _) in enumerate(seen)]
        for (name, _), result in zip(shown, answers([data for _, data in shown]), strict=True):
            print(f"{name}: {', '.join(map(described, result['boxes'])) or 'nothing'}")
    except (NoAnswerError, OSError) as error:
        raise SystemExit(f"camera: {error}") from None


if __name__ == "__main__":
    main()
