# SPDX-License-Identifier: Apache-2.0
"""The sources on fake trees: what is read, what is left out, what is said when there is nothing."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.power import estimate
from neurovmd.power.governor import choose_source
from neurovmd.power.reading import Missing, Roots
from neurovmd.power.sensors import SENSORS, powercap

RANGE_UJ = 262_143_328_850


class PowercapTree:
    """A ``/sys/class/powercap`` with as many zones as a test writes."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots(sys=folder / "sys", proc=folder / "proc")
        self.folder = self.roots.sys / "class" / "powercap"
        self.folder.mkdir(parents=True)

    def zone(self, zone: str, name: str, energy_uj: int, range_uj: int = RANGE_UJ) -> None:
        path = self.folder / zone
        path.mkdir(exist_ok=True)
        (path / "name").write_text(f"{name}\n")
        (path / "energy_uj").write_text(f"{energy_uj}\n")
        (path / "max_energy_range_uj").write_text(f"{range_uj}\n")

    def move(self, zone: str, energy_uj: int) -> None:
        (self.folder / zone / "energy_uj").write_text(f"{energy_uj}\n")

    def open(self) -> powercap.PowercapSensor:
        sensor = powercap.open_sensor(self.roots)
        assert isinstance(sensor, powercap.PowercapSensor), sensor
        return sensor


@pytest.fixture
def tree(tmp_path: Path) -> PowercapTree:
    return PowercapTree(tmp_path)


def test_packages_are_summed_and_their_planes_left_out(tree: PowercapTree) -> None:
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    tree.zone("intel-rapl:0:0", "core", 700_000)
    tree.zone("intel-rapl:0:1", "dram", 100_000)
    tree.zone("intel-rapl:1", "package-1", 5_000_000)
    sensor = tree.open()
    assert sensor.name == "powercap:package-0+package-1"
    tree.move("intel-rapl:0", 3_000_000)
    tree.move("intel-rapl:0:0", 2_500_000)
    tree.move("intel-rapl:1", 8_500_000)
    assert sensor.energy_j(1.0) == pytest.approx(2.0 + 3.5)
    assert sensor.energy_j(1.0) == 0


def test_the_platform_zone_is_preferred(tree: PowercapTree) -> None:
    tree.zone("intel-rapl:0", "package-0", 0)
    tree.zone("intel-rapl:1", "psys", 0)
    sensor = tree.open()
    assert sensor.name == "powercap:psys"
    tree.move("intel-rapl:0", 4_000_000)
    tree.move("intel-rapl:1", 9_000_000)
    assert sensor.energy_j(1.0) == pytest.approx(9.0)


def test_a_package_shown_by_msr_and_by_mmio_counts_once(tree: PowercapTree) -> None:
    tree.zone("intel-rapl:0", "package-0", 0)
    tree.zone("intel-rapl-mmio:0", "package-0", 0)
    sensor = tree.open()
    tree.move("intel-rapl:0", 2_000_000)
    tree.move("intel-rapl-mmio:0", 2_000_100)
    assert sensor.energy_j(1.0) == pytest.approx(2.0)


def test_packages_that_mirror_one_counter_count_once(tree: PowercapTree) -> None:
    for package in range(4):
        tree.zone(f"intel-rapl:{package}", f"package-{package}", 1_000)
    sensor = tree.open()
    for package in range(4):
        tree.move(f"intel-rapl:{package}", 6_001_000)
    assert sensor.energy_j(1.0) == pytest.approx(6.0)


@given(
    before_uj=st.integers(0, RANGE_UJ - 1),
    drawn_uj=st.integers(0, RANGE_UJ),
    slack=st.integers(0, 5),
)
def test_a_wrapped_counter_counts_on(before_uj: int, drawn_uj: int, slack: int) -> None:
    range_uj = RANGE_UJ + slack
    drawn_uj = min(drawn_uj, range_uj - 1)
    now_uj = (before_uj + drawn_uj) % range_uj
    assert powercap.counted_uj(before_uj, now_uj, range_uj) == drawn_uj


def test_a_wrap_is_seen_through(tree: PowercapTree) -> None:
    tree.zone("intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    sensor = tree.open()
    tree.move("intel-rapl:0", 500_000)
    assert sensor.energy_j(1.0) == pytest.approx(1.5)


def test_an_interval_that_may_hide_a_whole_turn_has_no_figure(tree: PowercapTree) -> None:
    tree.zone("intel-rapl:0", "package-0", 0)
    sensor = tree.open()
    tree.move("intel-rapl:0", 5_000_000)
    missing = sensor.energy_j(3600.0)
    assert isinstance(missing, Missing)
    assert missing.passing
    assert "wrapped" in missing.reason
    tree.move("intel-rapl:0", 6_000_000)
    assert sensor.energy_j(1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("content", ["", "abc", "-5", "1.5", "²"])
def test_a_counter_that_is_no_number_is_named(tree: PowercapTree, content: str) -> None:
    tree.zone("intel-rapl:0", "package-0", 0)
    sensor = tree.open()
    (tree.folder / "intel-rapl:0" / "energy_uj").write_text(content, encoding="utf-8")
    missing = sensor.energy_j(1.0)
    assert isinstance(missing, Missing)
    assert "energy_uj" in missing.reason


def test_a_counter_for_root_only_is_a_normal_answer(
    tree: PowercapTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel has it since 5.10; simulated, since root reads what nobody may."""
    tree.zone("intel-rapl:0", "package-0", 0)
    read_text = Path.read_text

    def as_anybody(path: Path, *args: str, **kwargs: str) -> str:
        if path.name == "energy_uj":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", as_anybody)
    missing = powercap.open_sensor(tree.roots)
    assert isinstance(missing, Missing)
    assert "energy_uj: Permission denied" in missing.reason


def test_one_unreadable_package_refuses_the_sum(tree: PowercapTree) -> None:
    tree.zone("intel-rapl:0", "package-0", 0)
    tree.zone("intel-rapl:1", "package-1", 0)
    (tree.folder / "intel-rapl:1" / "energy_uj").unlink()
    missing = powercap.open_sensor(tree.roots)
    assert isinstance(missing, Missing)
    assert "intel-rapl:1/energy_uj" in missing.reason


def test_a_tree_without_packages_says_so(tree: PowercapTree) -> None:
    tree.zone("intel-rapl:0", "dram", 0)
    missing = powercap.open_sensor(tree.roots)
    assert isinstance(missing, Missing)
    assert "no readable package or psys zone" in missing.reason


@pytest.mark.parametrize("open_sensor", SENSORS)
def test_every_registered_sensor_takes_an_empty_box_calmly(
    open_sensor: object, tmp_path: Path
) -> None:
    assert callable(open_sensor)
    missing = open_sensor(Roots(sys=tmp_path, proc=tmp_path))
    assert isinstance(missing, Missing)
    assert str(tmp_path) in missing.reason


STAT = "cpu  {user} 10 {system} 9000 50 {irq} 4 77 3 0\ncpu0 1 2 3 4 5 6 7 8 9 0\nintr 1\n"


def write_stat(roots: Roots, user: int, system: int, irq: int) -> None:
    roots.proc.mkdir(exist_ok=True)
    (roots.proc / "stat").write_text(STAT.format(user=user, system=system, irq=irq))


def test_the_estimate_follows_cpu_time(tmp_path: Path) -> None:
    roots = Roots(sys=tmp_path / "sys", proc=tmp_path / "proc")
    write_stat(roots, 100, 50, 1)
    source = estimate.CpuTimeEstimate(roots, estimate.Constants(idle_w=2.0, core_w=1.5))
    assert source.name == "estimate:cpu-time"
    assert source.energy_j(10.0) == pytest.approx(20.0)
    write_stat(roots, 300, 140, 11)  # 2.0 + 0.9 + 0.1 s of work
    assert source.energy_j(10.0) == pytest.approx(20.0 + 1.5 * 3.0)
    write_stat(roots, 299, 140, 11)
    assert source.energy_j(1.0) == pytest.approx(2.0)


@pytest.mark.parametrize("stat", ["", "cpu", "cpu  1 2 3 x 5 6 7\n", "cpu0 1 2 3 4 5 6 7\n"])
def test_the_estimate_names_a_strange_file(tmp_path: Path, stat: str) -> None:
    (tmp_path / "stat").write_text(stat)
    missing = estimate.CpuTimeEstimate(Roots(proc=tmp_path)).energy_j(1.0)
    assert isinstance(missing, Missing)
    assert str(tmp_path / "stat") in missing.reason


def test_this_kernel_is_understood() -> None:
    source = estimate.CpuTimeEstimate(Roots())
    joules = source.energy_j(1.0)
    assert not isinstance(joules, Missing)
    assert joules >= source.constants.idle_w


def test_a_meter_comes_before_the_estimate(tree: PowercapTree) -> None:
    fallback = estimate.CpuTimeEstimate(tree.roots)
    source, reasons = choose_source(tree.roots, fallback)
    assert source is fallback
    assert len(reasons) == len(SENSORS)
    tree.zone("intel-rapl:0", "package-0", 0)
    source, reasons = choose_source(tree.roots, fallback)
    assert source.name == "powercap:package-0"
    assert reasons == ()
