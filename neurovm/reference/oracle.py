# SPDX-License-Identifier: Apache-2.0
"""The oracle: every code of a network, densely, by the rules of a profile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic import NoExactRuleError, Profile
from neurovm.errors import ShapeError, UnsupportedOperatorError
from neurovm.graph import Graph, State
from neurovm.operators.base import check_runs
from neurovm.reference.rules import RULES, Call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = dict[int, NDArray[np.generic]]

_CHUNK_ELEMENTS = 1 << 19
"""Samples are run in groups whose largest tensor has about this many elements."""


def run(
    graph: Graph,
    profile: Profile,
    inputs: Mapping[int, NDArray[np.generic]] | Sequence[NDArray[np.generic]],
) -> dict[int, NDArray[np.generic]]:
    """All values of N independent samples: tensor index → (N, *shape), in the tensor's own element
    type.

    graph    prepared (`neurovm.passes.prepare`)
    inputs   by tensor index, or in the order of graph.inputs: N times the elements of the tensor
             each, in C order, in its element type (any leading axes)

    Each sample is the first step of a stream: states have their initial values. Raises ShapeError
    where inputs do not fit, UnsupportedOperatorError where the profile has no exact rule. Constants
    are not among the results.
    """
    samples = _samples(graph, inputs)
    constants = _constants(graph)
    first = {state.read: state.initial[None] for state in graph.states}
    parts = []
    for rows in _chunks(graph, len(next(iter(samples.values())))):
        live = {i: x[rows] for i, x in samples.items()}
        count = len(next(iter(live.values())))
        live |= {i: np.broadcast_to(x, (count, *x.shape[1:])) for i, x in first.items()}
        parts.append(_run_chunk(graph, profile, constants, live))
    return {i: np.concatenate([part[i] for part in parts]) for i in parts[0]}


class Stream:
    """The oracle of one stream: samples are consecutive steps, and states go from one to the next.

    Without states that is what `run` answers.
    """

    def __init__(self, graph: Graph, profile: Profile) -> None:
        self._graph, self._profile = graph, profile
        self._constants = _constants(graph)
        self._held = {state.read: state.initial[None] for state in graph.states}

    def run(
        self, inputs: Mapping[int, NDArray[np.generic]] | Sequence[NDArray[np.generic]]
    ) -> dict[int, NDArray[np.generic]]:
        """As `run` in this module, for the next N steps of the stream."""
        if not self._graph.states:
            return run(self._graph, self._profile, inputs)
        samples = _samples(self._graph, inputs)
        parts = []
        for step in range(len(next(iter(samples.values())))):
            live = {i: x[step : step + 1] for i, x in samples.items()} | self._held
            parts.append(_run_chunk(self._graph, self._profile, self._constants, live))
            self._held = {
                state.read: _next(state, parts[-1], self._constants) for state in self._graph.states
            }
        return {i: np.concatenate([part[i] for part in parts]) for i in parts[0]}


def _next(state: State, live: Values, constants: Values) -> NDArray[np.generic]:
    value = live[state.next] if state.next in live else constants[state.next]
    return value.reshape(1, *state.initial.shape)


def _constants(graph: Graph) -> Values:
    return {i: np.asarray(t.data)[None] for i, t in enumerate(graph.tensors) if t.data is not None}


def _samples(
    graph: Graph, inputs: Mapping[int, NDArray[np.generic]] | Sequence[NDArray[np.generic]]
) -> Values:
    """The inputs as (N, *shape), with one N."""
    if not isinstance(inputs, Mapping):
        inputs = dict(zip(graph.inputs, inputs, strict=True))
    samples: Values = {}
    for i in graph.inputs:
        tensor = graph.tensors[i]
        x = np.asarray(inputs[i])
        if x.dtype != tensor.dtype or x.size == 0 or x.size % tensor.size:
            raise ShapeError(
                f"input {tensor.name!r}: found {x.dtype} {x.shape}; "
                f"{tensor.dtype} (N, *{tensor.shape}) is needed"
            )
        samples[i] = x.reshape(-1, *tensor.shape)
    counts = {len(x) for x in samples.values()}
    if len(counts) != 1:
        raise ShapeError(f"inputs hold {sorted(counts)} samples; one number is needed")
    return samples


def _chunks(graph: Graph, samples: int) -> Iterator[slice]:
    largest = max((math.prod(t.shape) for t in graph.tensors if t.data is None), default=1)
    size = max(_CHUNK_ELEMENTS // max(largest, 1), 1)
    for start in range(0, samples, size):
        yield slice(start, start + size)


def _run_chunk(graph: Graph, profile: Profile, constants: Values, inputs: Values) -> Values:
    live: Values = dict(inputs)
    count = len(next(iter(inputs.values())))
    for operator in graph.operators:
        values = [
            None if i == -1 else constants[i] if i in constants else live[i]
            for i in operator.inputs
        ]
        evaluate = RULES.get(type(operator))
        if evaluate is None:
            raise UnsupportedOperatorError(
                graph.source.name, operator.source_name, operator.index, "a dense rule is needed"
            )
        call = Call(operator=operator, tensors=graph.tensors, profile=profile, values=values)
        try:
            check_runs(operator, graph.tensors, profile)
            results = evaluate(call)
        except NoExactRuleError as e:
            raise UnsupportedOperatorError(
                graph.source.name, operator.source_name, operator.index, str(e)
            ) from e
        for i, codes in zip(
            operator.outputs, results if isinstance(results, tuple) else (results,), strict=True
        ):
            whole = np.broadcast_to(codes, (count, *graph.tensors[i].shape))
            live[i] = whole.astype(graph.tensors[i].dtype, copy=False)
    return live
