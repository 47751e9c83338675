# SPDX-License-Identifier: Apache-2.0
"""One new configuration on its way into service: all of it, or none.

What changed is loaded beside what runs; only when every VM of it has loaded are the old ones
drained and the new ones let in. A VM that stays the same keeps its process. When one cannot load,
none is taken, and what runs goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from neurovmd import models
from neurovmd.config import Deployment, Settings
from neurovmd.fleet import Fleet
from neurovmd.vm import Role, Vm


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new configuration asks for: VMs to keep (by name), to load, to stop."""

    keep: dict[str, Deployment]
    load: list[Deployment]
    stop: list[str]
    before: frozenset[str] = frozenset()

    def changes(self) -> dict[str, list[str]]:
        """What becomes of each VM, by name."""
        loaded = [each.name for each in self.load]
        return {
            "changed": [name for name in loaded if name in self.before],
            "added": [name for name in loaded if name not in self.before],
            "removed": self.stop,
            "untouched": list(self.keep),
        }


def plan(vms: list[Vm], before: Settings, after: Settings) -> Plan:
    """Compare what runs with what is wanted."""
    running = {vm.name: vm for vm in vms}
    same_place = _place(before) == _place(after)
    keep: dict[str, Deployment] = {}
    load: list[Deployment] = []
    for deployment in after.deployments:
        vm = running.get(deployment.name)
        if vm is not None and same_place and _same(vm, deployment):
            keep[deployment.name] = deployment
        else:
            load.append(deployment)
    wanted = {deployment.name for deployment in after.deployments}
    stop = [name for name in running if name not in wanted]
    return Plan(keep, load, stop, frozenset(running))


def _place(settings: Settings) -> tuple[object, ...]:
    """What every worker takes from the main file."""
    config = settings.config
    return settings.node, config.prefix, config.mqtt, config.state_dir


def _same(vm: Vm, deployment: Deployment) -> bool:
    """Whether the VM runs this already: the same settings and model, wherever they stand."""
    digest = models.digest(deployment.model)
    same_kind = vm.deployment.model.suffix == deployment.model.suffix
    before, after = _settings(vm.deployment), _settings(deployment)
    return (
        same_kind
        and before == after
        and digest == (vm.digest or models.digest(vm.deployment.model))
    )


def _settings(deployment: Deployment) -> Any:
    return msgspec.structs.replace(deployment.vm, model=f"x{models.SUFFIXES[0]}")


class Rollout:
    """Loads what a plan asks for; the owner calls `step` when something has happened."""

    def __init__(self, fleet: Fleet, before: Settings, after: Settings) -> None:
        self._fleet, self.settings = fleet, after
        self.plan = plan(fleet.vms, before, after)
        if len(self.plan.load) > fleet.room:
            wanted = len(self.plan.load)
            raise ValueError(f"{wanted} new VMs; a restart makes room, now for {fleet.room}")
        self.coming = [fleet.prepare(deployment, after) for deployment in self.plan.load]

    def step(self) -> bool:
        """Whether it is decided; `failure` then says which way."""
        return bool(self.failure) or all(vm.state == "loaded" for vm in self.coming)

    @property
    def failure(self) -> str:
        """Why a VM could not be loaded; empty while none has failed."""
        failed = [vm for vm in self.coming if vm.state == "failed"]
        return f"{failed[0].name}: {failed[0].reason}" if failed else ""

    def commit(self) -> None:
        """Put the new configuration in service."""
        coming = {vm.name: vm for vm in self.coming}
        kept = {vm.name: vm for vm in self._fleet.vms if vm.name in self.plan.keep}
        for name, vm in kept.items():
            vm.deployment = self.plan.keep[name]
        held = [vm.name for vm in self._fleet.vms if vm.held]
        vms = [{**kept, **coming}[each.name] for each in self.settings.deployments]
        self._fleet.serve(vms, self.settings)
        for vm in self.coming:
            if vm.name in held:
                self._fleet.hold(vm)

    def abandon(self) -> None:
        """Let go of what has been loaded."""
        for vm in self.coming:
            if vm.role is Role.COMES:
                self._fleet.leave(vm)
