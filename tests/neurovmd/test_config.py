# SPDX-License-Identifier: Apache-2.0
"""Configuration: what is read, what is refused, and that every refusal says where and what else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovm import document
from neurovm.errors import ConfigError
from neurovmd import config, places
from neurovmd.payload import Json, Raw
from neurovmd.schema import Config, Form

VM = """\
model: pump.tflite
inputs:
  - topic: plant/{stream}/sensor/{element}
    payload: {field: value}
    to: {tensor: 0, elements: [flow, pressure]}
output:
  on: change
"""


def write(folder: Path, text: str = "", /, **vms: str) -> Path:
    (folder / "vm.d").mkdir(exist_ok=True)
    for name, vm in vms.items():
        (folder / "vm.d" / f"{name}.yaml").write_text(vm)
    file = folder / "neurovmd.yaml"
    file.write_text(f"vm_dir: vm.d\n{text}")
    return file


def refusal(folder: Path, main: str = "", vm: str = VM) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.load(write(folder, main, pump=vm), environ={})
    return caught.value


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "neurovmd.yaml"
    file.write_text("# nothing\n")
    loaded = config.load(file, where=places.SYSTEM, environ={}, host="box.example.org")
    assert loaded.config == Config(vm_dir=str(tmp_path / "vm.d"))
    assert loaded.node == "box"
    assert loaded.config.mqtt.host == "127.0.0.1"
    assert loaded.config.mqtt.port == 1883


def test_a_vm_takes_its_name_and_paths_from_its_file(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, pump=VM), environ={})
    (deployment,) = loaded.deployments
    assert deployment.name == "pump"
    assert deployment.model == tmp_path / "vm.d" / "pump.tflite"
    vm = deployment.vm
    assert vm.inputs[0].payload == Json(field="value")
    assert (vm.output.on, vm.output.wait_for, vm.output.form) == ("change", "all", Form(top_k=1))
    assert (vm.max_streams, vm.max_message_bytes, vm.inputs[0].qos) == (64, 65536, 1)


def test_whole_tensors(tmp_path: Path) -> None:
    text = VM.replace("{field: value}", "{format: raw, dtype: float32}")
    text = text.replace(", elements: [flow, pressure]", "").replace("sensor/{element}", "mfcc")
    (deployment,) = config.load(write(tmp_path, mic=text), environ={}).deployments
    assert deployment.vm.inputs[0].payload == Raw(dtype="float32")


def test_drop_ins_and_the_environment_win_in_order(tmp_path: Path) -> None:
    file = write(tmp_path, "node: a\nmqtt: {server: 'mqtt://a', keepalive_s: 30}\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20.yaml").write_text("mqtt: {server: mqtts://c}\nnode: c\n")
    (tmp_path / "conf.d" / "10.yaml").write_text("mqtt: {server: mqtt://b, username: u}\n")
    environ = {"NEUROVMD__NODE": "d", "NEUROVMD__MQTT__PROTOCOL": "5", "OTHER": "x"}
    loaded = config.load(file, environ=environ)
    mqtt = loaded.config.mqtt
    assert (mqtt.server, mqtt.port, mqtt.tls) == ("mqtts://c", 8883, True)
    assert (mqtt.username, mqtt.keepalive_s, str(mqtt.protocol)) == ("u", 30, "5")
    assert loaded.node == "d"
    assert len(loaded.files) == 3


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    file = write(tmp_path, "cache_dir: cache\nmqtt: {password_file: secret}\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "x.yaml").write_text("state_dir: state\n")
    loaded = config.load(file, environ={}).config
    assert loaded.cache_dir == str(tmp_path / "cache")
    assert loaded.state_dir == str(tmp_path / "conf.d" / "state")
    assert loaded.mqtt.password_file == str(tmp_path / "secret")


@pytest.mark.parametrize(
    ("main", "line", "key", "found", "accepted"),
    [
        ("mqtt:\n  servr: x\n", 3, "mqtt.servr", "'servr'", "server (did you mean this?)"),
        ("mqtt: {server: 3}\n", 2, "mqtt.server", "3", "text"),
        ("mqtt: {server: 'http://x'}\n", 2, "mqtt.server", "'http://x'", "mqtt://HOST"),
        ("mqtt: {server: 'mqtt://x:99999'}\n", 2, "mqtt.server", "99999", "mqtt://HOST"),
        ("mqtt: {protocol: 4}\n", 2, "mqtt.protocol", "4", "auto, 5, 3.1.1"),
        ("mqtt: {keepalive_s: 4}\n", 2, "mqtt.keepalive_s", "4", "10 to 65535"),
        ("mqtt: 3\n", 2, "mqtt", "3", "a mapping of server"),
        ("log_level: loud\n", 2, "log_level", "'loud'", "error, warning, info, debug"),
        ("node: a/b\n", 2, "node", "'a/b'", "letter or digit"),
        ("prefix: a/#\n", 2, "prefix", "'a/#'", "no +"),
        ("power: {limit: 5 X}\n", 2, "power.limit", "'5 X'", "W, mW, kW"),
        ("power: {limit: 0}\n", 2, "power.limit", "0", "above 0"),
        ("power: {window: true}\n", 2, "power.window", "True", "number"),
        ("a: [1,\n", 3, "", "syntax error", "YAML"),
        ("a: &x [1]\n", 2, "", "anchor", "written out"),
        ("a: !!python/object:os.system {}\n", 2, "", "tag", "plain values"),
        ("node: a\nnode: b\n", 3, "", "second time", "once"),
        ("---\na: 1\n", 2, "", "second document", "one"),
        ("[1]: 2\n", 2, "", "as a key", "word"),
    ],
)
def test_what_is_wrong_in_the_main_file_is_named(
    tmp_path: Path, main: str, line: int, key: str, found: str, accepted: str
) -> None:
    error = refusal(tmp_path, main)
    assert Path(error.file).name == "neurovmd.yaml"
    assert (error.line, error.key) == (line, key)
    assert found in error.found
    assert accepted in error.accepted


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "neurovmd.yaml"
    file.write_text(f"vm_dir: {'a' * 5000}\n")
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        config.load(file, environ={})
    assert (caught.value.line, caught.value.key) == (1, "vm_dir")


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "found", "accepted"),
    [
        ("model: pump.tflite\n", "", 1, "model", "nothing", "text"),
        ("pump.tflite", "pump.h5", 1, "model", "pump.h5", ".nvm or .tflite"),
        ("{field: value}", "{fromat: raw}", 4, "inputs[0].payload.fromat", "fromat", "format"),
        ("{field: value}", "{format: toml}", 4, "inputs[0].payload.format", "toml", "json, raw"),
        ("{field: value}", "{field: 'a..b'}", 4, "inputs[0].payload.field", "a..b", "a.b[0]"),
        ("{stream}", "{strm}", 3, "inputs[0].topic", "{strm}", "{stream}"),
        ("{stream}", "x{stream}", 3, "inputs[0].topic", "x{stream}", "alone"),
        ("{stream}", "{element}", 3, "inputs[0].topic", "twice", "once"),
        ("{stream}", "#", 3, "inputs[0].topic", "wildcard", "{_}"),
        ("[flow, pressure]", "[flow, 3]", 5, "inputs[0].to.elements[1]", "3", "text"),
        ("[flow, pressure]", "[a, a]", 5, "inputs[0].to.elements", "twice", "once"),
        ("on: change", "onn: change", 7, "output.onn", "onn", "on (did"),
        ("on: change", "on: interval", 6, "output.interval_s", "interval", "seconds"),
        ("on: change", "form: {top_k: 1, values: real}", 7, "output.form", "both", "one of"),
        ("on: change", "topic: a/{streem}", 7, "output.topic", "{streem}", "{stream}"),
        ("on: change", "qos: 2", 7, "output.qos", "2", "0, 1"),
        ("output:", "cpu: 2.0\noutput:", 6, "cpu", "2.0", "above 0 to 1"),
        ("output:", "cpu: 0\noutput:", 6, "cpu", "0", "above 0 to 1"),
        (
            "output:",
            "actuators: [{topic: a, value: v, slew: 0}]\noutput:",
            6,
            "actuators[0].slew",
            "0",
            "a number, above 0, or no such key",
        ),
        (
            "{field: value}",
            "{field: value}\n    front_end: [{kind: scale, scale: []}]",
            5,
            "inputs[0].front_end[0].scale",
            "[]",
            "a number, a list of 1 to 65536 entries",
        ),
        ("output:", "threads: 0\noutput:", 6, "threads", "0", "1"),
        ("output:", "threads: 65\noutput:", 6, "threads", "65", "64"),
        ("output:", "threads: 2\ncpu: 0.5\noutput:", 6, "threads", "2 with cpu: 0.5", "1 with a"),
        ("on: change", "topic: plant/{stream}/sensor/x", 3, "inputs[0].topic", "own", "apart"),
    ],
)
def test_what_is_wrong_in_a_vm_file_is_named(
    tmp_path: Path, old: str, new: str, line: int | None, key: str, found: str, accepted: str
) -> None:
    assert old in VM
    error = refusal(tmp_path, vm=VM.replace(old, new))
    assert Path(error.file).name == "pump.yaml"
    assert error.key == key
    assert found in error.found
    assert accepted in error.accepted
    assert error.line == line


def test_a_missing_file_and_a_bad_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "none.yaml", environ={})
    for name in ("main", "a b", "-x"):
        folder = tmp_path / name
        folder.mkdir()
        with pytest.raises(ConfigError, match="VM name"):
            config.load(write(folder, **{name: VM}), environ={})


def test_an_error_from_the_environment_names_the_variable(tmp_path: Path) -> None:
    environ = {"NEUROVMD__MQTT__SERVR": "x"}
    with pytest.raises(ConfigError, match="environment variable NEUROVMD__MQTT__SERVR"):
        config.load(write(tmp_path), environ=environ)


def test_examine_tells_every_vm_apart(tmp_path: Path) -> None:
    file = write(tmp_path, good=VM, bad=VM.replace("inputs", "input"), worse="[")
    loaded, errors = config.examine(file, environ={})
    assert [deployment.name for deployment in loaded.deployments] == ["good"]
    assert [Path(error.file).name for error in errors] == ["bad.yaml", "worse.yaml"]


def test_size_depth_and_number_are_bounded() -> None:
    for text in (
        "a: " + "x" * document.MAX_BYTES,
        "a: " + "[" * 100_000,
        "a: [" + "1," * document.MAX_VALUES + "1]",
        "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]",
    ):
        with pytest.raises(ConfigError):
            document.parse(text, "hostile.yaml")


def test_scalars_follow_the_core_schema() -> None:
    text = "on: off\nyes: true\na: 1\nb: 1.5\nc: '1'\nd: ~\ne: .inf\nf: 1e999\ng: 0x10\nh: 1_000"
    assert document.parse(text, "x").value == {
        "on": "off",
        "yes": True,
        "a": 1,
        "b": 1.5,
        "c": "1",
        "d": None,
        "e": ".inf",
        "f": "1e999",
        "g": "0x10",
        "h": "1_000",
    }


YAML_WORDS = "mqtt server inputs topic payload format raw json to tensor elements output on form"
YAML_SIGNS = (
    ": : : - - [ ] { } , & * ! ' \" # | > 1 -2 1e9 ~ true \n \n \n  \n    \t é \x00 \ud800 ---"
)
YAML_PIECES = st.lists(
    st.sampled_from(f"{YAML_WORDS} {YAML_SIGNS}".split(" ")),
    max_size=60,
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(YAML_PIECES, st.text(max_size=200), st.binary(max_size=200)))
def test_hostile_files_give_a_configuration_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (folder / "neurovmd.yaml").write_bytes(raw)
    (folder / "vm.d").mkdir()
    (folder / "vm.d" / "x.yaml").write_bytes(raw)
    for main in (folder / "neurovmd.yaml", write(folder)):
        try:
            config.load(main, environ={})
        except ConfigError as error:
            assert error.found
            assert error.accepted


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["mqtt", "server", "inputs", "topic", "to", "output", "form", "model"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_any_tree_of_values_is_taken_or_refused_by_key(tree: object) -> None:
    from neurovm.decode import Layered, convert
    from neurovmd.schema import Vm

    value = tree if isinstance(tree, dict) else {"inputs": tree, "model": "x.nvm"}
    for kind in (Config, Vm):
        try:
            convert(Layered(value=value, files=["x.yaml"]), kind)
        except ConfigError as error:
            assert error.found
            assert error.accepted


def test_places_follow_systemd_then_the_user() -> None:
    home = Path("/home/u")
    assert places.find({}, 0, home) == places.SYSTEM
    user = places.find({}, 1000, home)
    assert user.config_file == home / ".config/neurovm/neurovmd.yaml"
    assert user.socket == home / ".local/share/neurovm/neurovm.sock"
    service = places.find(
        {"CACHE_DIRECTORY": "/c", "RUNTIME_DIRECTORY": "/r:/s", "STATE_DIRECTORY": "/t"}, 990, home
    )
    assert (service.cache_dir, service.state_dir) == (Path("/c"), Path("/t"))
    assert service.socket == Path("/r/neurovmd.sock")
    assert service.vm_dir == places.SYSTEM.vm_dir
