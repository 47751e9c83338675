# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP: answered as `predict` answers, refused in words, never in anybody's way."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_cases import FAMILIES
from one_vm import VM, Start, connected

import neurovm
from benchmarks.rig import Client, Mosquitto, free_port, wait_for
from neurovmd import doors, inference
from neurovmd.http import RefusedError
from neurovmd.inference import Requests
from neurovmd.pace import Pace
from neurovmd.request_server import BODIES, MAX_CLIENTS, RequestServer
from neurovmd.shared import SharedBlock

Json = dict[str, Any]
DIGITS = np.load(Path(__file__).parents[1] / "fixtures/digits_x.npy")
NAMES = ("digits_mlp", "digits_resnet", "digits_dscnn")


@pytest.fixture(scope="module")
def models(bundles: dict[str, Path]) -> Iterator[dict[str, neurovm.Model]]:
    with contextlib.ExitStack() as ends:
        yield {name: ends.enter_context(neurovm.load(path)) for name, path in bundles.items()}


def rows_for(model: neurovm.Model, count: int) -> np.ndarray[Any, Any]:
    """Random whole inputs in the model's own type."""
    info = model.inputs[0]
    seed = np.random.default_rng(3)
    shape = (count, *info.shape[1:])
    if info.dtype == "float32":
        return seed.normal(0, 1, shape).astype(np.float32)
    low, high = (0, 256) if info.dtype == "uint8" else (-128, 128)
    return seed.integers(low, high, shape).astype(info.dtype)


def body_of(model: neurovm.Model, rows: Any, **more: Any) -> Json:
    info = model.inputs[0]
    datatype = {"int8": "INT8", "uint8": "UINT8", "float32": "FP32"}[info.dtype]
    tensor = {"name": info.name, "shape": list(rows.shape), "datatype": datatype}
    return {"inputs": [{**tensor, "data": rows.tolist()}], **more}


def ask(requests: Requests, said: Json) -> Json:
    head, _, body = requests.infer(json.dumps(said).encode(), None).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    found: Json = json.loads(body)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_answered_as_predict_answers(
    models: dict[str, neurovm.Model], name: str
) -> None:
    model = models[name]
    requests = Requests("digits", model, 4)
    rows = rows_for(model, 7)
    wanted = model.predict(rows)
    found = ask(requests, body_of(model, rows, id="ab"))
    assert (found["model_name"], found["model_version"], found["id"]) == (
        "digits",
        model.sha256[:12],
        "ab",
    )
    (output,) = found["outputs"]
    assert output["shape"] == [7, 10]
    assert np.array_equal(np.array(output["data"], wanted.dtype).reshape(7, 10), wanted)
    flat = body_of(model, rows[2:3])
    flat["inputs"][0]["data"] = rows[2].ravel().tolist()
    (output,) = ask(requests, flat)["outputs"]
    assert np.array_equal(np.array(output["data"], wanted.dtype), wanted[2])


@pytest.mark.parametrize("name", NAMES)
def test_tensors_may_stand_behind_the_json(models: dict[str, neurovm.Model], name: str) -> None:
    model = models[name]
    rows = rows_for(model, 3)
    said = body_of(model, rows, parameters={"binary_data_output": True})
    del said["inputs"][0]["data"]
    said["inputs"][0]["parameters"] = {"binary_data_size": rows.nbytes}
    text = json.dumps(said).encode()
    answer = Requests("m", model, 1).infer(text + rows.tobytes(), len(text))
    head, _, body = answer.partition(b"\r\n\r\n")
    size = int(head.split(b"Inference-Header-Content-Length: ")[1].split(b"\r\n")[0])
    (output,) = json.loads(body[:size])["outputs"]
    wanted = model.predict(rows)
    assert output["parameters"] == {"binary_data_size": wanted.nbytes}
    assert body[size:] == wanted.tobytes()


@pytest.fixture(scope="module")
def remembering() -> Iterator[neurovm.Model]:
    case = next(case for family in FAMILIES for case in family())
    with neurovm.convert_tflite(case.model, name=case.name) as model:
        yield model


def test_a_request_alone_begins_anew_and_a_stream_goes_on(remembering: neurovm.Model) -> None:
    model = remembering
    requests = Requests("m", model, 2)
    rows = rows_for(model, 6)
    session = model.session()
    alone = model.predict(rows)

    def say(row: int, **parameters: Any) -> list[int]:
        found = ask(requests, body_of(model, rows[row : row + 1], parameters=parameters))
        data: list[int] = found["outputs"][0]["data"]
        return data

    differing = 0
    for row in range(6):
        assert say(row) == alone[row].ravel().tolist()
        wanted = model.from_codes(session.step(model.to_codes(rows[row])))
        heard = say(row, stream="a")
        assert heard == wanted.ravel().tolist()
        differing += heard != alone[row].ravel().tolist()
    assert differing
    assert say(0, stream="a", sequence_start=True) == alone[0].ravel().tolist()
    assert say(0, sequence_id=7, sequence_start=True) == alone[0].ravel().tolist()
    with pytest.raises(RefusedError, match="2 streams are open") as refused:
        say(0, stream="c")
    assert refused.value.status == 429
    say(0, sequence_id=7, sequence_end=True)
    assert say(0, stream="c") == alone[0].ravel().tolist()


def wrong_requests(model: neurovm.Model) -> dict[str, Any]:
    good = body_of(model, rows_for(model, 1))
    tensor = good["inputs"][0]

    def changed(**fields: Any) -> Json:
        return {"inputs": [{**tensor, **fields}]}

    return {
        "no JSON": b"what",
        "no object": b"[1]",
        "no inputs": {},
        "an empty list": {"inputs": []},
        "another name": changed(name="x"),
        "twice": {"inputs": [tensor, tensor]},
        "another datatype": changed(datatype="FP64"),
        "a number as datatype": changed(datatype=3),
        "another shape": changed(shape=[1, 64]),
        "no shape": changed(shape=[]),
        "a negative shape": changed(shape=[-1, 8, 8, 1]),
        "no rows": changed(shape=[0, 8, 8, 1]),
        "very many rows": changed(shape=[1 << 40, 8, 8, 1]),
        "too few": changed(data=[1, 2]),
        "too many": changed(data=[1] * 65),
        "text": changed(data=["1"] * 64),
        "null": changed(data=None),
        "out of range": changed(data=[1 << 40] * 64),
        "fractions": changed(data=[0.5] * 64),
        "an output of no name": {**good, "outputs": [{"name": "y"}]},
        "a classification": {
            **good,
            "outputs": [{"name": model.outputs[0].name, "parameters": {"classification": 2}}],
        },
        "bytes of nobody": json.dumps(good).encode() + b"",
        "binary and data": changed(parameters={"binary_data_size": 0}),
        "more bytes than there are": changed(data=None, parameters={"binary_data_size": 64}),
        "bytes below zero": changed(data=None, parameters={"binary_data_size": -1}),
        "a size of no number": changed(data=None, parameters={"binary_data_size": "64"}),
        "a stream that is a list": {**good, "parameters": {"stream": []}},
        "a long stream": {**good, "parameters": {"stream": "x" * 300}},
        "many rows of a stream": {
            **body_of(model, rows_for(model, 2)),
            "parameters": {"stream": 1},
        },
        "deep": b'{"inputs": ' + b"[" * 100_000,
        "deep data": changed(data=[[[[[[[[[]]]]]]]]]),
        "NaN": json.dumps(changed(data=[float("nan")] * 64)).encode(),
    }


def test_what_is_wrong_is_said(models: dict[str, neurovm.Model]) -> None:
    model = models["digits_mlp"]
    requests = Requests("digits", model, 1)
    for name, said in wrong_requests(model).items():
        if name == "bytes of nobody":
            with pytest.raises(RefusedError):
                requests.infer(said + b"xx", len(said))
            continue
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        with pytest.raises(RefusedError) as refused:
            requests.infer(body, None)
        assert refused.value.status == 400, name
        assert len(str(refused.value)) < 500, name
    with pytest.raises(RefusedError, match="of 2 bytes"):
        requests.infer(b"{}", 3)


def test_numbers_beyond_float32_are_refused(models: dict[str, neurovm.Model]) -> None:
    model = models["digits_dscnn"]
    said = body_of(model, rows_for(model, 1))
    said["inputs"][0]["data"] = [1e300] * 64
    with pytest.raises(RefusedError, match="no finite float32"):
        Requests("m", model, 1).infer(json.dumps(said).encode(), None)


def test_mutated_requests_are_answered_or_refused(models: dict[str, neurovm.Model]) -> None:
    """Nothing but RefusedError, and the answers of whole ones stay right."""
    model = models["digits_mlp"]
    requests = Requests("digits", model, 4)
    rows = rows_for(model, 2)
    good = body_of(model, rows, parameters={"stream": ""}, outputs=[])
    text = json.dumps(good).encode()
    seed = random.Random(5)
    counts = {"answered": 0, "refused": 0}
    for _ in range(3000):
        base = bytearray(text)
        for _ in range(seed.randrange(1, 4)):
            at = seed.randrange(len(base))
            base[at : at + seed.randrange(4)] = seed.choice(
                [seed.randbytes(2), b"", b"[", b"]", b'"', b"9", b"-", b"null", b"1e999", b"{}"]
            )
        size = seed.choice([None, None, len(base), seed.randrange(len(base) + 5)])
        try:
            requests.infer(bytes(base), size)
            counts["answered"] += 1
        except RefusedError as refusal:
            assert refusal.status in (400, 429)
            counts["refused"] += 1
    assert counts["answered"] > 20
    assert counts["refused"] > 500
    found = ask(requests, good)["outputs"][0]["data"]
    assert found == model.predict(rows).ravel().tolist()


class Door:
    """A request server on its own thread behind a door, as in a worker."""

    def __init__(self, model: neurovm.Model) -> None:
        self.outside, self.inside = doors.pair()
        self.slot = SharedBlock(1).slot(0)
        self.closing = False
        requests = Requests("digits", model, 4)
        self.server = RequestServer(
            self.inside, requests, self.slot, Pace(self.slot), lambda: self.closing
        )
        self.most = requests.most_bytes
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()

    def pass_on(self, first: bytes) -> socket.socket:
        """A connection of which `first` was heard already."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.outside, [first], [theirs.fileno()])
        ours.settimeout(20.0)
        return ours

    def close(self) -> None:
        self.outside.close()
        self._thread.join(10.0)
        self.inside.close()
        assert not self._thread.is_alive()


@pytest.fixture
def door(models: dict[str, neurovm.Model], monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    # On a machine that is busy otherwise a second is soon over.
    monkeypatch.setattr("neurovmd.request_server.PATIENCE_S", 60.0)
    made = Door(models["digits_mlp"])
    yield made
    made.close()


def hear(client: socket.socket) -> tuple[int, Json]:
    heard = b""
    while data := client.recv(65536):
        heard += data
    head, _, body = heard.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def post(body: bytes, *headers: str) -> bytes:
    head = ["POST /v2/models/digits/infer HTTP/1.1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def test_a_request_in_pieces_is_answered(door: Door, models: dict[str, neurovm.Model]) -> None:
    model = models["digits_mlp"]
    rows = rows_for(model, 1)
    request = post(json.dumps(body_of(model, rows)).encode(), "Expect: 100-continue")
    cut = request.index(b"\r\n\r\n") + 4
    with door.pass_on(request[:cut]) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for at in range(cut, len(request), 50):
            client.sendall(request[at : at + 50])
        status, said = hear(client)
    assert status == 200
    assert said["outputs"][0]["data"] == model.predict(rows).ravel().tolist()
    assert door.slot.http_answered == 1


WRONG_HEADS = {
    411: b"POST /v2/models/digits/infer HTTP/1.1\r\n\r\n",
    413: b"POST /v2/models/digits/infer HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
    400: b"POST /v2/models/digits/infer HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    415: post(b"{}", "Content-Encoding: gzip"),
}


def test_heads_that_are_not_taken(door: Door) -> None:
    for status, request in WRONG_HEADS.items():
        with door.pass_on(request) as client:
            found, said = hear(client)
        assert found == status
        assert said["error"]
    chunked = b"POST /v2/models/digits/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with door.pass_on(chunked) as client:
        assert hear(client)[0] == 411
    assert door.slot.http_refused == len(WRONG_HEADS) + 1


def test_slow_ones_hold_up_nobody_and_are_few(door: Door, models: dict[str, neurovm.Model]) -> None:
    model = models["digits_mlp"]
    request = post(json.dumps(body_of(model, rows_for(model, 1))).encode())
    with contextlib.ExitStack() as crowd:
        for _ in range(MAX_CLIENTS - 1):
            crowd.enter_context(door.pass_on(request[:-1]))
        with door.pass_on(request) as client:
            assert hear(client)[0] == 200
        last = crowd.enter_context(door.pass_on(request[:-1]))
        with door.pass_on(request) as client:
            assert hear(client)[0] == 503
        last.sendall(request[-1:])
        assert hear(last)[0] == 200
    wait_for(lambda: not door.server._clients, "all are gone")
    with contextlib.ExitStack() as crowd:
        head = f"POST /v2/models/digits/infer HTTP/1.1\r\nContent-Length: {door.most}\r\n\r\n"
        for _ in range(BODIES):
            crowd.enter_context(door.pass_on(head.encode()))
        with door.pass_on(head.encode()) as client:
            assert hear(client)[0] == 503


def test_who_waits_for_ever_is_let_go(
    door: Door, monkeypatch: pytest.MonkeyPatch, models: dict[str, neurovm.Model]
) -> None:
    monkeypatch.setattr("neurovmd.request_server.PATIENCE_S", 0.05)
    with door.pass_on(post(b"{}")[:-1]) as client:
        assert client.recv(1) == b""
    big = rows_for(models["digits_mlp"], 1)
    with door.pass_on(post(json.dumps(body_of(models["digits_mlp"], big)).encode())) as client:
        assert hear(client)[0] == 200


def test_a_worker_that_ends_or_rests_says_so(door: Door) -> None:
    door.slot.paused = 1
    with door.pass_on(post(b"{}")) as client:
        assert hear(client)[0] == 503
    door.slot.paused = 0
    door.closing = True
    with door.pass_on(post(b"{}")) as client:
        assert hear(client)[0] == 503


def test_random_connections_never_end_it(door: Door, models: dict[str, neurovm.Model]) -> None:
    seed = random.Random(8)
    for _ in range(300):
        base = bytearray(post(b'{"inputs": []}'))
        for _ in range(seed.randrange(4)):
            at = seed.randrange(len(base))
            base[at : at + seed.randrange(3)] = seed.randbytes(seed.randrange(3))
        with door.pass_on(bytes(base) or b"x") as client:
            if seed.random() < 0.3:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while client.recv(65536):
                        pass
    model = models["digits_mlp"]
    with door.pass_on(post(json.dumps(body_of(model, rows_for(model, 1))).encode())) as client:
        assert hear(client)[0] == 200


CURL = ("curl", "-s", "--max-time", "20")


def curl(url: str, *more: str, text: str = "") -> tuple[int, Any]:
    """An independent client: status and JSON."""
    said = subprocess.run(
        [*CURL, "-w", "\n%{http_code}", *more, url],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    body, _, status = said.rpartition("\n")
    return int(status), json.loads(body)


def test_the_whole_way(broker: Mosquitto, start: Start, models: dict[str, neurovm.Model]) -> None:
    model = models["digits_mlp"]
    port = free_port()
    http = f'http: {{listen: "127.0.0.1:{port}", infer: true}}\n'
    daemon = start(broker.port, main=http)
    connected(daemon)
    base = f"http://127.0.0.1:{port}/v2"
    assert curl(base)[1]["name"] == "neurovm"
    version = model.sha256[:12]
    listed = [{"name": "digits", "version": version, "state": "READY", "reason": ""}]
    assert curl(f"{base}/models") == (200, listed)
    assert curl(f"{base}/repository/index", "-d", "{}") == (200, listed)
    told = curl(f"{base}/models/digits")[1]
    assert told["inputs"][0]["shape"] == [1, 8, 8, 1]
    assert curl(f"{base}/models/digits/versions/{version}")[1] == told
    assert curl(f"{base}/models/digits/versions/1")[0] == 404
    assert curl(f"{base}/models/digits/ready") == (200, {"name": "digits", "ready": True})
    status, said = curl(f"{base}/models/nobody/infer", "-d", "{}")
    assert status == 404
    assert "there are: digits" in said["error"]
    assert curl(f"{base}/models/digits/infer")[0] == 405
    assert curl(f"{base}/models/digits/infer", "-d", "{}")[0] == 400
    assert curl(f"{base}/metrics")[0] == 404
    rows = rows_for(model, 20)
    text = json.dumps(body_of(model, rows))
    status, said = curl(f"{base}/models/digits/infer", "-d", "@-", text=text)
    assert status == 200
    assert said["outputs"][0]["data"] == model.predict(rows).ravel().tolist()
    big = " " * (inference.BODY_BYTES + 40 * 64)
    assert curl(f"{base}/models/digits/infer", "-d", "@-", text=big)[0] == 413
    wait_for(lambda: daemon.vm("digits")["http"] == {"answered": 1, "refused": 2}, "the counts")
    # /v2, twice a list, readiness; an unknown version, model and path, a wrong method; the rest.
    assert daemon.status()["http"] == {"answered": 4, "refused": 4, "handed_over": 5}
    client = Client(broker.port)
    client.subscribe("neurovm/#")
    client.publish("plant/p/sensor/5", '{"value": 0.5}')
    client.wait("neurovm/box/digits/result/p", lambda result: result["seq"] == 1)
    client.close()
    for pid in daemon.pids():
        assert "numpy" not in Path(f"/proc/{pid}/maps").read_text()
    triton = os.environ.get("NEUROVM_TRITON")
    if triton:
        subprocess.run([triton, "-c", TRITON, str(port)], check=True, timeout=60)
    pid = daemon.vm("digits")["pid"]
    os.kill(pid, 9)
    wait_for(lambda: daemon.vm("digits")["pid"] not in (0, pid), "another worker")
    wait_for(lambda: curl(f"{base}/models/digits/ready")[0] == 200, "it is ready")
    assert curl(f"{base}/models/digits/infer", "-d", "@-", text=text)[1] == said
    assert daemon.stop() == 0


TRITON = """
import sys
import numpy as np
import tritonclient.http as client
with client.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}") as server:
    assert server.is_server_live() and server.is_server_ready() and server.is_model_ready("digits")
    assert server.get_server_metadata()["name"] == "neurovm"
    assert server.get_model_repository_index()[0]["name"] == "digits"
    told = server.get_model_metadata("digits")
    name = told["inputs"][0]["name"]
    rows = np.random.default_rng(1).integers(-128, 128, (5, 8, 8, 1)).astype(np.int8)
    answers = []
    for binary in (True, False):
        tensor = client.InferInput(name, rows.shape, "INT8")
        tensor.set_data_from_numpy(rows, binary_data=binary)
        wanted = client.InferRequestedOutput(told["outputs"][0]["name"], binary_data=binary)
        answer = server.infer("digits", [tensor], outputs=[wanted], request_id="7")
        assert answer.get_response()["id"] == "7"
        answers.append(answer.as_numpy(told["outputs"][0]["name"]))
    assert answers[0].shape == (5, 10) and np.array_equal(*answers)
    one = client.InferInput(name, (1, 8, 8, 1), "INT8")
    one.set_data_from_numpy(rows[:1])
    for start, end in ((True, False), (False, True)):
        ends = {"sequence_start": start, "sequence_end": end}
        answer = server.infer("digits", [one], sequence_id=5, **ends)
        assert np.array_equal(answer.as_numpy(told["outputs"][0]["name"]), answers[0][:1])
    try:
        server.infer("nobody", [one])
    except client.InferenceServerException as error:
        assert "nobody" in str(error)
    else:
        raise SystemExit("an error was expected")
"""


def test_without_infer_no_model_is_there(broker: Mosquitto, start: Start) -> None:
    port = free_port()
    daemon = start(broker.port, main=f'http: {{listen: "127.0.0.1:{port}"}}\n', digits=VM)
    connected(daemon)
    for path in ("", "/models", "/models/digits", "/models/digits/infer"):
        assert curl(f"http://127.0.0.1:{port}/v2{path}")[0] == 404
