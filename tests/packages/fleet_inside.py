# SPDX-License-Identifier: Apache-2.0
"""fleet_inside.py: the example's role on a booted box; run by fleet.sh, as root, in a container.

/opt/ansible holds Ansible, /opt/test this file, booted.py, the package and the example. The box
says in a file of its own who it is and where its broker stands; all else comes from the tree.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from booted import UNIT, go_through, processes, run, say, unit, wait_for

HERE = Path(__file__).parent
FLEET = HERE / "fleet"
(PACKAGE,) = HERE.glob("neurovm_*.deb")
OWN = """\
node: pump-1
mqtt: {server: 'mqtt://127.0.0.1:1883', username: box}
"""
INVENTORY = """\
all:
  children:
    boxes:
      hosts:
        pump-1: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3}
"""


def pack() -> str:
    """The archive as README says; the sha256 of it."""
    archive = FLEET / "tree.tar"
    subprocess.run(["tar", "-C", FLEET / "tree", "-chf", archive, "."], check=True)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (FLEET / "tree.tar.sha256").write_text(f"{digest}  tree.tar\n")
    return digest


def play(expect: int = 0) -> dict[str, int]:
    """One run of the playbook: its recap."""
    (HERE / "inventory.yaml").write_text(INVENTORY)
    said = run(
        *("env", "PYTHONPATH=/opt/ansible", "ANSIBLE_NOCOLOR=1", "python3", "-m", "ansible"),
        *("playbook", "-i", str(HERE / "inventory.yaml"), str(FLEET / "ansible/site.yaml")),
        *("-e", "ansible_become=false", "-e", f"neurovmd_package={PACKAGE}"),
        *("-e", '{"neurovmd_broker_password": "open sesame"}'),
        expect=expect,
    )
    (recap,) = (line for line in said.splitlines() if line.startswith("pump-1") and "ok=" in line)
    say(f"     {' '.join(recap.split())}")
    return {name: int(count) for name, count in (part.split("=") for part in recap.split()[2:])}


def provisions_the_box() -> None:
    own = Path("/etc/neurovmd/conf.d/box.yaml")
    own.parent.mkdir(parents=True)
    own.write_text(OWN)
    digest = pack()
    recap = play()
    assert recap["failed"] == 0
    assert recap["changed"] > 3
    assert str(Path("/etc/neurovmd/current").readlink()) == f"trees/{digest[:16]}"
    wait_for("the VM of the tree", lambda: "1 of 1 VMs ready, broker connected" in status())
    assert run("systemctl", "is-enabled", UNIT).strip() == "enabled"


def status() -> str:
    return unit("StatusText")


def changes_nothing_the_second_time() -> None:
    before = processes()
    assert play()["changed"] == 0
    assert processes() == before


def switches_to_another_tree() -> None:
    before = processes()
    (FLEET / "tree/conf.d/20-quick.yaml").write_text("power: {window: 30 s}\n")
    digest = pack()
    play()
    assert str(Path("/etc/neurovmd/current").readlink()) == f"trees/{digest[:16]}"
    assert "30 s" in run("neurovmd", "config", "show", "--diff")
    assert processes() == before, "what did not change was started anew"


def refuses_a_tree_that_is_wrong_for_it_each_time() -> None:
    before = Path("/etc/neurovmd/current").readlink()
    (FLEET / "tree/nodes/pump-1.yaml").write_text("powr: {limit: 3 W}\n")
    pack()
    for _ in range(2):
        assert play(expect=2)["failed"] == 1
        assert Path("/etc/neurovmd/current").readlink() == before
    assert "1 of 1 VMs ready" in status()


def main() -> int:
    steps = (
        provisions_the_box,
        changes_nothing_the_second_time,
        switches_to_another_tree,
        refuses_a_tree_that_is_wrong_for_it_each_time,
    )
    return go_through(steps)


if __name__ == "__main__":
    sys.exit(main())
