# SPDX-License-Identifier: Apache-2.0
"""The sample configuration names every option, with the default that the daemon really has."""

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import yaml

from neurovmd import config, schema
from neurovmd.layers import Source
from neurovmd.payload import Json

SHIPPED = Path(__file__).resolve().parents[2] / "systemd"
# What the sample has to invent: it has no default.
MODEL = "pump.tflite"
TOPIC = "plant/{stream}/sensor/{element}"
DEFAULT_PAYLOAD = Json()


def read_yaml(name: str) -> Any:
    """The file as PyYAML reads it: a judge apart from the daemon's own reader."""

    class Core(yaml.SafeLoader):
        """`on` is a key, not a truth value."""

    Core.yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    text = (SHIPPED / name).read_text(encoding="utf-8")
    return yaml.load(text, Loader=Core)  # a SafeLoader


def missing_keys(given: Any, value: Any, where: str = "") -> list[str]:
    """Keys of a struct, and of the structs in it, that the document does not have."""
    if isinstance(value, list):
        return [key for index, item in enumerate(value) for key in missing_keys(given[index], item)]
    if not isinstance(value, msgspec.Struct):
        return []
    missing: list[str] = []
    for field in msgspec.structs.fields(value):
        if field.name not in given:
            missing.append(where + field.name)
        else:
            inner = getattr(value, field.name)
            missing += missing_keys(given[field.name], inner, f"{where}{field.name}.")
    return missing


def written_out(text: str) -> str:
    """The sample with the # taken away from every key, as its head describes it."""
    return re.sub(r"^#((?:  )*[a-z_]+:)", r"\1", text, flags=re.MULTILINE)


def test_the_sample_says_nothing_that_hides_another_layer(tmp_path: Path) -> None:
    vendor, own = tmp_path / "vendor", tmp_path / "own"
    for folder in (vendor, own):
        folder.mkdir()
    shutil.copy(SHIPPED / "neurovmd.yaml", own)
    assert read_yaml("neurovmd.yaml") is None
    (vendor / "neurovmd.yaml").write_text("prefix: plant\nmqtt: {keepalive_s: 33}\n")
    settings = config.load(Source(folders=(vendor, own)), environ={}, host="box")
    assert (settings.config.prefix, settings.config.mqtt.keepalive_s) == ("plant", 33)


def test_the_sample_names_every_option_with_its_default(tmp_path: Path) -> None:
    text = (SHIPPED / "neurovmd.yaml").read_text(encoding="utf-8")
    file = tmp_path / "neurovmd.yaml"
    file.write_text(written_out(text), encoding="utf-8")
    settings = config.load(file, environ={}, host="box")
    assert settings.config == schema.Config()
    given = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert missing_keys(given, schema.Config()) == []
    # No line that reads like a key is missed by that rule: those left are prose.
    assert "\n#" not in written_out(text).replace("\n# ", "\n")


def test_each_option_of_the_sample_can_be_given_alone(tmp_path: Path) -> None:
    """One line without its #, with the one that it stands under."""
    lines = (SHIPPED / "neurovmd.yaml").read_text(encoding="utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if written_out(line) != line]
    assert len(keys) > 15
    above = 0
    for number in keys:
        above = number if not lines[number].startswith("#  ") else above
        if lines[number].endswith(":"):
            continue
        freed = [
            written_out(line) if index in (number, above) else line
            for index, line in enumerate(lines)
        ]
        file = tmp_path / "neurovmd.yaml"
        file.write_text("\n".join(freed), encoding="utf-8")
        found = config.load(file, environ={}, host="box").config
        # Where it is not given it stands beside the file.
        found = msgspec.structs.replace(found, vm_dir=schema.Config().vm_dir)
        assert found == schema.Config(), lines[number]


def test_every_option_of_the_sample_is_explained() -> None:
    """Above each key stands a comment, or a key that stands under one."""
    for name in ("neurovmd.yaml", "vm.yaml.sample"):
        before = ""
        for line in written_out((SHIPPED / name).read_text(encoding="utf-8")).splitlines():
            text = line.strip()
            if text and not text.startswith("#"):
                opens = text.endswith(":")
                assert opens or before.startswith("#"), f"{name}: no reason above {text!r}"
            before = text


def test_the_sample_vm_names_every_option_with_its_default(tmp_path: Path) -> None:
    (tmp_path / "vm.d").mkdir()
    shutil.copy(SHIPPED / "vm.yaml.sample", tmp_path / "vm.d" / "pump.yaml")
    (tmp_path / "neurovmd.yaml").write_text("vm_dir: vm.d\n", encoding="utf-8")
    settings = config.load(tmp_path / "neurovmd.yaml", environ={}, host="box")
    (deployment,) = settings.deployments
    plain = schema.Vm(model=MODEL, inputs=[schema.Input(topic=TOPIC)])
    assert deployment.vm == plain
    given = read_yaml("vm.yaml.sample")
    # One of two ways to give the form; the other is named above it.
    assert missing_keys(given, plain) == ["output.form.values"]
    assert given["inputs"][0]["payload"]["format"] == "json"
    assert plain.inputs[0].payload == DEFAULT_PAYLOAD


def test_the_sample_beside_the_vms_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "vm.d").mkdir()
    shutil.copy(SHIPPED / "vm.yaml.sample", tmp_path / "vm.d" / "vm.yaml.sample")
    (tmp_path / "neurovmd.yaml").write_text("vm_dir: vm.d\n", encoding="utf-8")
    assert config.load(tmp_path / "neurovmd.yaml", environ={}, host="box").deployments == ()
