# SPDX-License-Identifier: Apache-2.0
"""Results as SenML, read by another library and by our own ears; every format through a broker."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_vm import MODEL, Start, connected

from benchmarks.rig import Client, Mosquitto
from neurovm.errors import ConfigError
from neurovmd import config
from neurovmd.outlets import SenmlOutput
from neurovmd.payload import Senml
from neurovmd.payload.cbor_items import decode
from neurovmd.payload.cbor_writer import encode
from neurovmd.senml_outlet import SenmlOutlet

NAMES = {"prefix": "neurovm", "node": "box", "vm": "pump"}
VALUES = {"top": [{"index": 3, "label": "wörn out", "value": 0.5}], "ok": True, "n": -7}


def pack(encoding: str = "json", **values: Any) -> tuple[str, bytes]:
    asked = SenmlOutput(encoding=encoding)  # type: ignore[arg-type]  # one of two
    found = {"vm": "pump", "stream": "p 1", "t_us": 1_760_000_000_500_000, "sops": 9, **values}
    said = SenmlOutlet(asked, NAMES).message(msgspec.json.encode(found))
    assert said is not None
    return said


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_our_own_ears_hear_what_was_said(encoding: str) -> None:
    topic, payload = pack(encoding, **VALUES, values=[1.5, -2])
    assert topic == "neurovm/box/pump/senml/p 1"
    ((t_us, found),) = Senml(names="short").samples()("a", payload)
    assert t_us == 1_760_000_000_500_000
    assert found == {
        "top/0/index": 3, "top/0/value": 0.5, "ok": 1.0, "n": -7, "values/0": 1.5, "values/1": -2,
    }  # fmt: skip
    ((_, full),) = Senml(record="box/pump/p_1/n").samples()("a", payload)
    assert full == -7


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_another_library_reads_it(encoding: str) -> None:
    other = pytest.importorskip("senml", reason="micropython-senml is not installed (extra [dev])")
    _, payload = pack(encoding, **VALUES)
    read = other.SenmlPack("box/pump/p_1/")
    if encoding == "json":
        read.from_json(payload.decode())
    else:
        read.from_cbor(payload)
    assert {each.name: each.value for each in read} == {
        "top/0/index": 3, "top/0/label": "wörn out", "top/0/value": 0.5, "ok": True, "n": -7,
    }  # fmt: skip


def test_what_is_no_result_is_not_said() -> None:
    outlet = SenmlOutlet(SenmlOutput(), NAMES)
    for payload in (b"", b"{}", b'{"vm":"a","stream":"b","t_us":1}', b"\x00packed"):
        assert outlet.message(payload) is None


@pytest.mark.parametrize(
    "given", [{"topic": "a/+"}, {"base_name": "_a"}, {"base_name": "{nobody}"}, {"encoding": "xml"}]
)
def test_what_cannot_be_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, SenmlOutput)


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.floats(allow_nan=False)
    | st.text(max_size=30) | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=4), inner),
)  # fmt: skip


@given(ITEMS)
def test_cbor_is_what_another_library_reads_and_no_longer_than_its_own(item: Any) -> None:
    cbor2 = pytest.importorskip("cbor2", reason="cbor2 is not installed (extra [dev])")
    written = encode(item)
    assert cbor2.loads(written) == item
    assert decode(written) == item
    assert len(written) <= len(cbor2.dumps(item, canonical=True))


# Through a real broker

SENDER = """\
model: {model}
inputs:
  - {{topic: "in/json/{{stream}}", payload: {{format: json, field: ""}}}}
  - {{topic: "in/cbor/{{stream}}", payload: {{format: cbor, field: v, time: {{field: t}}}}}}
  - {{topic: "in/senml/{{stream}}", payload: {{format: senml, names: short}},
     to: {{elements: [{names}]}}}}
  - {{topic: "in/raw/{{stream}}", payload: {{format: raw}}}}
  - {{topic: "in/pcm/{{stream}}", payload: {{format: pcm, rate_hz: 16000}}}}
  - {{topic: "in/image/{{stream}}", payload: {{format: image, colours: grey}}}}
output: {{on: always, wait_for: any, form: {{values: real}}, senml: {{encoding: cbor}}}}
"""
HEARER = """\
model: {model}
inputs:
  - topic: neurovm/box/sender/senml/{{stream}}
    payload: {{format: senml, names: short}}
    to: {{elements: [{values}]}}
output: {{on: always, wait_for: any, form: {{values: codes}}}}
"""
NUMBERS = [(number * 5) % 17 for number in range(64)]


def messages() -> dict[str, bytes]:
    """The same 64 numbers in every format, written by other libraries where there are some."""
    cbor2 = pytest.importorskip("cbor2", reason="cbor2 is not installed (extra [dev])")
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed (extra [image])")
    senml = pytest.importorskip("senml", reason="micropython-senml is not installed (extra [dev])")
    file = io.BytesIO()
    pillow.frombytes("L", (8, 8), bytes(NUMBERS)).save(file, "PNG")
    records = senml.SenmlPack("urn:dev:1:")
    for at, number in enumerate(NUMBERS):
        records.add(senml.SenmlRecord(f"s{at}", value=number))
    return {
        "json": json.dumps(NUMBERS).encode(),
        "cbor": cbor2.dumps({"v": NUMBERS, "t": 1.5}),
        "senml": records.to_cbor(),
        "raw": struct.pack("<64f", *NUMBERS),
        "pcm": struct.pack("<64h", *NUMBERS),
        "image": file.getvalue(),
    }


def test_every_format_in_and_senml_out_through_a_broker(
    broker: Mosquitto, client: Client, start: Start, bundles: dict[str, Path]
) -> None:
    model = bundles["digits_mlp"]
    assert MODEL.stem == model.stem
    names = ", ".join(f"s{at}" for at in range(64))
    values = ", ".join([*(f"values/{at}" for at in range(10)), *(f"x{at}" for at in range(54))])
    sender = SENDER.format(model=model, names=names)
    daemon = start(broker.port, sender=sender, hearer=HEARER.format(model=model, values=values))
    connected(daemon, "sender")
    connected(daemon, "hearer")
    found = {}
    for name, payload in messages().items():
        client.publish(f"in/{name}/{name}", payload)
        found[name] = client.wait(
            f"neurovm/box/sender/result/{name}", lambda result: result["seq"] == 1
        )["values"]
    assert found == dict.fromkeys(found, found["json"])
    other = pytest.importorskip("senml", reason="micropython-senml is not installed (extra [dev])")
    client.wait("neurovm/box/sender/senml/json", bool)
    payload = next(p for topic, p in client.messages if topic == "neurovm/box/sender/senml/json")
    read = other.SenmlPack("box/sender/json/")
    read.from_cbor(payload)
    told = {each.name: each.value for each in read}
    assert [told[f"values/{at}"] for at in range(10)] == found["json"]
    client.wait("neurovm/box/hearer/result/json", lambda result: result["seq"] == 1)
    assert sum(daemon.vm("sender")["dropped"].values()) == 0
    assert sum(daemon.vm("hearer")["dropped"].values()) == 0


def test_a_vm_does_not_hear_its_own_packs(tmp_path: Path) -> None:
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "neurovmd.yaml").write_text("vm_dir: vm.d\nnode: box\n")
    text = (
        "model: m.nvm\ninputs: [{topic: 'neurovm/box/loop/senml/{stream}'}]\noutput: {senml: {}}\n"
    )
    (tmp_path / "vm.d" / "loop.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"matches output\.senml\.topic"):
        config.load(tmp_path / "neurovmd.yaml", environ={}, host="box")
    (tmp_path / "vm.d" / "loop.yaml").unlink()
    (tmp_path / "vm.d" / "sparkplug.yaml").write_text("model: m.nvm\ninputs: [{topic: a}]\n")
    with pytest.raises(ConfigError, match="a name the daemon does not use"):
        config.load(tmp_path / "neurovmd.yaml", environ={}, host="box")
