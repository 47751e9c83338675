# SPDX-License-Identifier: Apache-2.0
"""The oracle of a .tflite whose samples are consecutive steps of one stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurovm import reference
from neurovm.arithmetic import Profile
from neurovm.graph import Graph

Values = dict[int, np.ndarray]


def every_tensor(graph: Graph, profile: Profile, inputs: Sequence[np.ndarray]) -> Values:
    """What operators make and inputs hold, by the file's own index, each (N, *shape)."""
    values = reference.Stream(graph, profile).run(inputs)
    added = {s.read for s in graph.states} | {s.next for s in graph.states if s.owner is not None}
    return {i: v for i, v in values.items() if i not in added}
