# SPDX-License-Identifier: Apache-2.0
"""What a request over HTTP asks of a model, as the Open Inference Protocol has it.

A request without a stream begins with the network's initial state, so it is answered as `predict`
answers. A stream (`parameters: {"stream": "p1"}`, or `sequence_id` with `sequence_start` and
`sequence_end`) is a session of its own, one request a step, apart from the stream of that name over
MQTT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurovmd import http, tensors
from neurovmd.http import RefusedError

if TYPE_CHECKING:
    from neurovm import Model, Session

# The longest body: this, and so much for each element of a row (a number in JSON, with room).
BODY_BYTES = 1 << 20
ELEMENT_BYTES = 32
MAX_NAME = 256


class Requests:
    """What requests ask of one model; used by one thread."""

    def __init__(self, name: str, model: Model, max_streams: int) -> None:
        self._name, self._model, self._max_streams = name, model, max_streams
        self._version = model.sha256[:12]
        self._single: Session | None = None
        self._streams: dict[str, Session] = {}
        elements = sum(info.size for info in model.inputs)
        self.most_bytes = BODY_BYTES + ELEMENT_BYTES * elements

    def metadata(self) -> dict[str, Any]:
        """`GET /v2/models/NAME`."""
        return {
            "name": self._name,
            "versions": [self._version],
            "platform": f"neurovm_{self._model.profile}",
            "inputs": [tensors.metadata(info) for info in self._model.inputs],
            "outputs": [tensors.metadata(info) for info in self._model.outputs],
        }

    def infer(self, body: bytes, json_bytes: int | None) -> bytes:
        """`POST …/infer`: the whole response. RefusedError says what is wrong."""
        if self._model.timed:
            raise RefusedError(400, f"{self._name} is a spiking network, which is fed over MQTT")
        request, tail = tensors.read(body, json_bytes)
        codes, rows = tensors.codes(self._model, request, tail)
        stream = _stream(request.parameters)
        if stream and rows > 1:
            raise RefusedError(400, f"found {rows} rows; accepted: one a request of a stream")
        tensors.wanted(self._model, request)  # what it would refuse, before a step
        answers = self._step(stream, request.parameters, codes, rows)
        outputs, raw = tensors.written(self._model, request, answers, rows)
        said: dict[str, Any] = {"model_name": self._name, "model_version": self._version}
        if request.id:
            said["id"] = request.id
        if stream:
            said["parameters"] = {"stream": stream}
        return http.response(200, {**said, "outputs": outputs}, tail=raw)

    def _step(self, stream: str, parameters: dict[str, Any], codes: bytes, rows: int) -> bytes:
        if not stream:
            return self._answers_alone(codes, rows)
        session = self._streams.get(stream)
        if session is None:
            if len(self._streams) >= self._max_streams:
                most = f"{self._max_streams} streams are open; sequence_end closes one"
                raise RefusedError(429, most)
            session = self._streams[stream] = self._model.session()
        if parameters.get("sequence_start") is True:
            session.reset()
        answer = bytes(session.step(codes))
        if parameters.get("sequence_end") is True:
            del self._streams[stream]
        return answer

    def _answers_alone(self, codes: bytes, rows: int) -> bytes:
        """Each row by itself. A network without memory need not begin anew: same inputs, same
        outputs, and only what changed since the row before costs.
        """
        session = self._single = self._single or self._model.session()
        if not self._model.stateful:
            return bytes(session.run(codes))
        size = len(codes) // rows
        answers = []
        for row in range(rows):
            session.reset()
            answers.append(bytes(session.step(codes[row * size : (row + 1) * size])))
        return b"".join(answers)


def _stream(parameters: dict[str, Any]) -> str:
    """The stream of a request; empty where it has none."""
    number = parameters.get("sequence_id")
    given = parameters.get("stream", "" if number in (None, 0, "") else number)
    if isinstance(given, bool) or not isinstance(given, (str, int)) or len(str(given)) > MAX_NAME:
        raise RefusedError(400, f"stream: found {given!r:.40}; accepted: a name or a number")
    return str(given)
