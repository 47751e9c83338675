# SPDX-License-Identifier: Apache-2.0
"""What a new user does with an installed neurovm; smoke.sh runs it in a fresh environment.

Needs the standard library, the installed wheel and the .tflite files in the working directory.
"""

from __future__ import annotations

import array
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import neurovm

assert "numpy" not in sys.modules, "import neurovm loaded numpy"

DEADLINE_S = 30.0
ROWS = 3


def command(*arguments: str, exit_code: int = 0) -> str:
    """Run an installed command; its standard output."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != exit_code:
        sys.exit(
            f"{' '.join(arguments)}: exit code {done.returncode}, expected {exit_code}\n"
            f"{done.stdout}{done.stderr}"
        )
    return done.stdout


def check_installation() -> None:
    """The package lies in the environment, brings two names to site-packages and its version."""
    assert Path(neurovm.__file__).is_relative_to(sys.prefix), neurovm.__file__
    files = importlib.metadata.files("neurovm")
    assert files is not None
    tops = {file.parts[0] for file in files if file.parts[0] != ".."}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"neurovm", "neurovmd"}, tops
    assert [file for file in files if file.match("neurovmd/systemd/neurovmd.service")]
    version = importlib.metadata.version("neurovm")
    assert command("neurovm", "--version").split()[-1] == version
    command("neurovm", "info")
    print(f"installed: {version} at {Path(neurovm.__file__).parent}")


def samples(info: neurovm.TensorInfo) -> list[array.array[float] | array.array[int]]:
    """A few rows of the model's own type, spread over the range its codes reach."""
    count = 1
    for extent in info.shape:
        count *= extent
    rows: list[array.array[float] | array.array[int]] = []
    for row in range(ROWS):
        codes = [(37 * i + 91 * row) % 256 - 128 for i in range(count)]
        if info.dtype == "float32":
            rows.append(array.array("f", [(c - info.zero_point) * info.scale for c in codes]))
        elif info.dtype == "int8":
            rows.append(array.array("b", codes))
        else:
            rows.append(array.array("B", [c + 128 for c in codes]))
    return rows


def check_model(source: Path) -> Path:
    """Convert, look at and run one model; a session answers what the command predicts."""
    bundle = source.with_suffix(".nvm")
    command("neurovm", "convert", str(source), str(bundle))
    assert json.loads(command("neurovm", "inspect", str(bundle), "-o", "json"))["golden"] > 0
    assert json.loads(command("neurovm", "explain", str(bundle), "-o", "json"))
    with neurovm.load(bundle) as model:
        session = model.session()
        rows = samples(model.inputs[0])
        answers = [list(session.step(model.to_codes(row))) for row in rows]
    assert "numpy" not in sys.modules, "load and Session loaded numpy"
    table = source.with_suffix(".csv")
    table.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="ascii")
    lines = command("neurovm", "predict", str(bundle), str(table), "-o", "jsonl").splitlines()
    predicted = [json.loads(line)["outputs"][model.outputs[0].name]["codes"] for line in lines]
    assert answers == predicted, f"{source}: session {answers}, predict {predicted}"
    print(f"{source.name}: converted; {ROWS} steps of a session equal `neurovm predict`")
    return bundle


def check_daemon(bundle: Path) -> None:
    """The configuration is checked; the daemon gets ready without a broker and stops on SIGTERM."""
    room = Path(tempfile.mkdtemp(dir=Path.cwd()))
    (room / "vm.d").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    configuration = room / "neurovmd.yaml"
    configuration.write_text(
        f"node: smoke\nmqtt: {{server: 'mqtt://127.0.0.1:{port}'}}\n"
        f"vm_dir: {room}/vm.d\ncache_dir: {room}/cache\nstate_dir: {room}/state\n",
        encoding="utf-8",
    )
    (room / "vm.d" / "smoke.yaml").write_text(
        f"model: {bundle.resolve()}\n"
        "inputs: [{topic: smoke/in, payload: {format: raw}, to: {tensor: 0}}]\n",
        encoding="utf-8",
    )
    command("neurovmd", "check", "--config", str(configuration))
    wrong = room / "wrong.yaml"
    wrong.write_text("mqtt: {keepalive_s: never}\n", encoding="utf-8")
    command("neurovmd", "check", "--config", str(wrong), exit_code=78)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(room / "notify"))
        notices.settimeout(DEADLINE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(room / "notify")}
        with subprocess.Popen(
            ["neurovmd", "--config", str(configuration)], env=environment
        ) as daemon:
            try:
                while b"READY=1" not in notices.recv(4096):
                    pass
                daemon.send_signal(signal.SIGTERM)
                code = daemon.wait(DEADLINE_S)
            finally:
                daemon.kill()
    assert code == 0, f"neurovmd ended with {code}"
    print("neurovmd: ready without a broker, stopped on SIGTERM")


def main() -> None:
    check_installation()
    bundles = [check_model(source) for source in sorted(Path().glob("*.tflite"))]
    assert bundles, "no .tflite in the working directory"
    check_daemon(bundles[0])


if __name__ == "__main__":
    main()
