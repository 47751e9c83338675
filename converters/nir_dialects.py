# SPDX-License-Identifier: Apache-2.0
"""What frameworks mean by one and the same NIR file.

A file holds differential equations and no time step, no `>` or `>=`, no kind of reset. Every
framework fills that in as its own simulator does; measured, each by running it: `docs/nir.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from neurovm.errors import ModelError

FiresAt = Literal[">", ">="]
Reset = Literal["file", "zero", "subtract", "none"]
Spikes = Literal["one", "many"]
Decay = Literal["euler", "exponential"]
Tau = Literal["seconds", "ticks", "seconds_dt"]
Gain = Literal["file", "one"]
Integrator = Literal["dt", "tick"]
Loops = Literal["one_tick", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a file is read. Each field is an option of `convert_nir`."""

    fires_at: FiresAt = ">"
    """Whether a potential equal to the threshold fires."""
    reset: Reset = "file"
    """`file`: to v_reset; `zero`; `subtract` the threshold; `none`."""
    spikes: Spikes = "one"
    """At most in one tick; `many` (with reset `subtract`): as often as the threshold is in v."""
    reset_delay: bool = False
    """Whether a spike resets in the tick after it, behind the leak."""
    decay: Decay = "euler"
    """λ = 1 − dt/τ, or exp(−dt/τ)."""
    tau: Tau = "seconds"
    """Unit of τ: seconds, ticks, or seconds · dt (the τ that norse writes)."""
    resistance: Gain = "file"
    """Whether r of IF and LIF is heard; CubaLIF always hears it."""
    input_gain: Literal["kappa", "one"] = "kappa"
    """What a weight adds to v of a LIF: times 1 − λ, or all of it."""
    integrator: Integrator = "dt"
    """IF and I: v ← v + dt·r·I, or v ← v + r·I."""
    synapse_gain: Literal["kappa", "one"] = "kappa"
    """What a weight adds to the current of a CubaLIF: times 1 − λ_syn, or all of it."""
    synapse_leaks: bool = False
    """Whether the current of a CubaLIF leaks towards v_leak too: then v_leak has to be 0."""
    floor: bool = False
    """Whether v of an IF stays at or above −v_threshold."""
    loops: Loops = "one_tick"
    """What a cycle without Delay is: one tick late where it closes, or an error."""


DIALECTS: dict[str, Dialect] = {
    "nir": Dialect(),
    "snntorch": Dialect(reset="zero"),
    "norse": Dialect(reset="zero", resistance="one", integrator="tick", synapse_leaks=True),
    "norse_export": Dialect(
        reset="zero",
        resistance="one",
        integrator="tick",
        tau="seconds_dt",
        synapse_gain="one",
    ),
    "sinabs": Dialect(
        fires_at=">=",
        reset="subtract",
        spikes="many",
        decay="exponential",
        tau="ticks",
        resistance="one",
        input_gain="one",
        integrator="tick",
        floor=True,
    ),
    "spikingjelly": Dialect(fires_at=">="),
}


def dialect_of(name: str, **options: Any) -> Dialect:
    """A dialect by name, single fields replaced by the options that are not None.

    ModelError for an unknown name, option or value, and for options that exclude each other.
    """
    if name not in DIALECTS:
        raise ModelError(f"dialect {name!r} is not known; accepted: {', '.join(DIALECTS)}")
    given = {key: value for key, value in options.items() if value is not None}
    hints = get_type_hints(Dialect)
    for key, value in given.items():
        if key not in hints:
            names = ", ".join(f.name for f in fields(Dialect))
            raise ModelError(f"option {key!r} is not known; accepted: {names}")
        accepted = get_args(hints[key]) or (True, False)
        if value not in accepted:
            shown = ", ".join(map(str, accepted))
            raise ModelError(f"option {key} is {value!r}; accepted: {shown}")
    dialect = replace(DIALECTS[name], **given)
    if dialect.spikes == "many" and dialect.reset != "subtract":
        raise ModelError(
            f"spikes 'many' go with reset 'subtract', not {dialect.reset!r}: what is left of v "
            f"after several spikes is said by nothing else"
        )
    if dialect.spikes == "many" and dialect.reset_delay:
        raise ModelError("spikes 'many' go without reset_delay")
    return dialect
