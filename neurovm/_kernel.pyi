# SPDX-License-Identifier: Apache-2.0
"""The C kernel (core_c/include/nvm.h) as Python sees it.

Buffers: `codes` are C-contiguous, one byte an item (format b, B or c) and are read as int8. Of a
program with wide layers they are bytes as well, two a wide code in the machine's (little-endian)
order, or, where all of them are wide, int16 (format h). Indices are uint32 (format I, or L where it
has 4 bytes); real values are float32 (format f). Something that is no buffer raises TypeError, a
buffer of another format or length ShapeError. The GIL is released around every C call that does
work.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, final

from typing_extensions import Buffer

LAYER_BYTES: Final = 128
"""Bytes of one layer record."""
COUNTERS: Final = 5
"""uint64 words of the counters: steps, events_in, events_out, sops, dense_macs."""
ALIGN: Final[int]
"""Arena offsets are multiples of this; buffers aligned to it are used in place."""
MAX_LAYERS: Final[int]
MAX_THREADS: Final[int]

KINDS: Final[dict[str, int]]
"""INPUT, CONST, DENSE, CONV, DWCONV, ADD, AVGPOOL, MAXPOOL, MEAN, MAP, TABLE, SOFTMAX,
TABLE2, SOFTMAXQ, LERP, L2NORM, LOGSOFTMAX, MATMUL, ARGMAX, STATE, PAIR, LSTM, SVDF,
LOGSOFTMAXQ."""
NEURONS: Final[dict[str, int]]
"""SD, IF, LIF, SIF."""
REQUANTS: Final[dict[str, int]]
"""NONE, FP32, DOUBLE, SINGLE, HALFUP, SHIFT, AFFINE, HALF16, AWAY64, AWAY32."""
RESETS: Final[dict[str, int]]
"""ZERO, VALUE, SUBTRACT."""
FLAGS: Final[dict[str, int]]
"""OUTPUT, SPIKES, UNIT, WIDE, LONG, PLANES, TIMES."""
WAYS: Final[dict[str, int]]
"""auto, events, tiles, zeroskip, dense."""
ROUNDINGS: Final[dict[str, int]]
"""even_reciprocal (xnnpack), away_divide (tflm)."""

@final
class Program:
    """A checked program: layer records and an arena of constants, shared by all its sessions.

    Holds both buffers; one that is not aligned to `ALIGN` bytes is copied. Raises BundleError
    naming the layer at fault where the records or the arena contradict themselves. Any thread
    may use it.
    """

    def __init__(self, layers: Buffer, arena: Buffer, *, threads: int = 1) -> None:
        """threads: 1 to `MAX_THREADS`; the workers end with the program and its sessions."""
    @property
    def n_layers(self) -> int: ...
    @property
    def n_inputs(self) -> int: ...
    @property
    def n_outputs(self) -> int: ...
    @property
    def codes_in(self) -> int:
        """Codes of all inputs together."""
    @property
    def codes_out(self) -> int:
        """Codes of all output ports together."""
    @property
    def bytes_in(self) -> int:
        """Bytes of all inputs: `codes_in`, and one more for each wide code."""
    @property
    def bytes_out(self) -> int:
        """Bytes of all output ports: `codes_out`, and one more for each wide code."""
    @property
    def session_bytes(self) -> int:
        """Bytes that a session takes with this machine's instruction set."""
    @property
    def dense_session_bytes(self) -> int:
        """The same of a session of way "dense", which keeps no sums and lists no events."""
    def sizes(self, isa: str) -> tuple[int, int]:
        """Bytes of a session, and of `predict`, with the named instruction set.

        This machine need not have it; BackendError where this build of the kernel does not.
        """
    @property
    def pack_bytes(self) -> int:
        """Bytes of the weights as dense runs read them, once a process and program."""
    def calibrate(self, budget_s: float) -> bytes:
        """Measure what the ways of every layer take here, and choose by it from now on.

        Takes about `budget_s` seconds (0 to 3600) or less; layers beyond it keep the kernel's
        estimates. For sessions to come. Returns the costs, for `use_costs`. The GIL is released.
        """
    def use_costs(self, costs: Buffer | None) -> None:
        """Choose by these costs, which `calibrate` gave; None: by the kernel's estimates.

        They may come from anywhere: BundleError where they are not this program's on this
        instruction set, or no times. Whatever they say, answers are the same.
        """
    def cost(self, index: int) -> tuple[float, float, float, float, bool]:
        """What the choice of a layer goes by, in nanoseconds.

        A full run, one that keeps sums, one change by events; how many changed input codes make a
        full run the cheaper (0: all do not); whether it was measured. Zeros where there is
        nothing to choose.
        """
    @property
    def scratch_bytes(self) -> int:
        """Memory that `predict` works in, whatever the number of rows."""
    @property
    def macs(self) -> int:
        """Weights applied by one dense pass."""
    @property
    def unit(self) -> bool:
        """Whether some layer sends unit spikes, so that a step sweeps until the network rests."""
    @property
    def memory(self) -> bool:
        """Whether some layer carries state from one step to the next."""
    @property
    def coding(self) -> str:
        """How its layers send: graded, unit, bitplane or ttfs."""
    def packed(self) -> memoryview:
        """The packed weights, read-only: `pack_bytes` that are made before they are first used."""
    def adopt(self, pack: Buffer) -> None:
        """Use these packed weights, which `packed` gave in another process, instead of own ones.

        In place where they are aligned to `ALIGN` bytes. BundleError where they are not those of
        this program, instruction set and build but for the weights themselves, which are taken as
        they are; RuntimeError once the program has packed weights.
        """
    def plan(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Bytes of the codes that one row of `predict` holds, and (offset, bytes) of each layer's.

        Layers that are needed at the same time share no byte; constants and state take none.
        """
    def predict(self, codes_in: Buffer, codes_out: Buffer, rows: int) -> None:
        """`rows` independent dense runs, `bytes_in` and `bytes_out` bytes each; keeps no state.

        Every row is a first step: memory has its initial values. The first call makes
        `scratch_bytes` of memory ready, which the program keeps for the next; a second thread gets
        its own.

        Raises BackendError for programs with IF or LIF neurons, which have no dense run.
        """

@final
class Session:
    """The state of one stream on a program, used by one thread at a time.

    `counters`: a writable, 8-byte aligned buffer of at least `COUNTERS` uint64 that the kernel
    counts straight into; it stays exported while the session or a view of it lives. A second thread
    that enters during a call gets RuntimeError.
    """

    def __init__(
        self, program: Program, counters: Buffer | None = None, *, way: str = "auto"
    ) -> None:
        """A session forced to `way` (a key of `WAYS`) in all layers.

        One of "dense" may be smaller (`Program.dense_session_bytes`), and takes no other then.
        """
    def step(self, codes: Buffer) -> memoryview:
        """Set all inputs (`Program.bytes_in` bytes) and run one step. Returns `output`."""
    def update(self, indices: Buffer | int, codes: Buffer | int) -> memoryview:
        """Set some elements of the concatenated inputs; a later entry wins. Returns `output`.

        Codes are int8, or int16 (format h) where an input is wide: then one that a narrow input
        cannot hold is a ShapeError. Every index is checked before any effect. Elements of spiking
        inputs that are not named do not spike in this step.
        """
    def run(self, codes: Buffer, out: Buffer | None = None) -> Buffer:
        """One step a row of `bytes_in` bytes, in order; a row of outputs each, in `out`.

        out: rows x `bytes_out` bytes, writable; None: a new memoryview of the format of `output`.
        Returns it.
        """
    def run_updates(
        self,
        indices: Buffer,
        codes: Buffer,
        ends: Buffer | None = None,
        out: Buffer | None = None,
    ) -> Buffer:
        """One step for every entry of `ends`: an update by the codes up to there (uint32).

        None: one step a code. Entries do not descend, and the last is the number of indices. All
        is checked before any effect. `out` as for `run`.
        """
    def reset(self) -> None:
        """Back to the state after construction; counters go on."""
    @property
    def planes(self) -> int:
        """How many of its 8 bit planes a layer sends from the next step on, 8 at first.

        Setting it raises ValueError beyond 1 to 8, BackendError for fewer than 8 where the program
        is not of coding bitplane or carries state.
        """
    @planes.setter
    def planes(self, planes: int) -> None: ...
    @property
    def sent_planes(self) -> int:
        """How many of 8 were sent in the last step."""
    def bounds(self) -> tuple[bytes, bytes]:
        """Lowest and highest int8 code that each output can end at once all planes are sent.

        From the planes of the inputs in the last step alone. BackendError for other codings.
        """
    def force(self, way: str, layer: int | None = None) -> None:
        """Take this way (a key of `WAYS`) in one layer or in all; "auto": the cheaper one.

        BackendError where it was opened for "dense" alone and keeps nothing else.
        """
    @property
    def output(self) -> memoryview:
        """All ports concatenated: read-only, always the same object, rewritten each step.

        Format b (int8); h (int16) where all ports are wide; B, the plain bytes, where some are.
        """
    @property
    def changed(self) -> bool:
        """Whether the last step changed any output code (spiking outputs: whether any spiked)."""
    @property
    def counters(self) -> tuple[int, int, int, int, int]:
        """steps, events_in, events_out, sops, dense_macs."""
    def layer(self, index: int) -> tuple[memoryview, memoryview | None, int, int, str]:
        """Codes (int8, int16), accumulators (int32, int64) or None, events and SOPs so far, way of
        the last step.

        The views show the session's memory as it changes.
        """

def step_sessions(sessions: Iterable[Session], codes: Buffer, out: Buffer | None = None) -> Buffer:
    """One step of every session, in this order, with a row of `codes` each.

    Sessions of one program, each once; ShapeError for others, RuntimeError where one is in use.
    `out`: a row of outputs each, as for `Session.run`.
    """

class Flow(NamedTuple):
    """How time runs through one layer of a sliding window (core_c/include/nvm_stream.h).

    `why` is "runs", or why the layer has no rows in time; then `rows` is 0. Row i stands for frame
    i · `step`; rows `first` to `end` are clean; `dirty` are computed in a steady hop, with `macs`
    weights; `bytes` of codes are held: `copies` of `capacity` rows.
    """

    why: str
    rows: int
    step: int
    first: int
    end: int
    dirty: int
    copies: int
    capacity: int
    is_kept: bool
    macs: int
    bytes: int

def stream_frames(program: Program) -> int:
    """The rows that the first window over the input takes it for; 0: no window reads it."""

def stream_plan(program: Program, frames: int, hop: int) -> tuple[int, list[Flow]]:
    """Bytes of one `Stream`, and how time runs through each layer. Errors as there."""

@final
class Stream:
    """One window of `frames` equal rows on a stream of them, laid out for hops of `hop` frames.

    Raises ShapeError where the codes of the one input cannot be cut so, BackendError for programs
    with several inputs, int16 codes, spikes or memory. `counters` as for `Session`.
    """

    def __init__(
        self, program: Program, frames: int, hop: int, counters: Buffer | None = None
    ) -> None: ...
    def push(self, frames: Buffer) -> memoryview:
        """The window moves on by these frames (int8, oldest first). Returns `output`."""
    def step(self, codes: Buffer) -> int:
        """A whole window; the frames it moved by, −1 where it is no continuation of the last."""
    def reset(self) -> None:
        """The window is full of the input's zero point again; counters go on."""
    @property
    def output(self) -> memoryview:
        """All ports concatenated: read-only int8, always the same object, rewritten each call."""
    @property
    def changed(self) -> bool:
        """Whether the last call changed any output code."""
    @property
    def counters(self) -> tuple[int, int, int, int, int]:
        """steps, 0, 0, sops, dense_macs."""
    def layer(self, index: int) -> tuple[memoryview, int, str]:
        """Codes of the window, SOPs so far, way of the last step; the view is good until the
        next.
        """

POPULATION_BYTES: Final = 128
"""Bytes of one population record of a spiking program."""
PROJECTION_BYTES: Final = 128

@final
class SpikingProgram:
    """A checked network of spiking neurons (core_c/include/nvm_spiking.h), shared by its sessions.

    Holds its buffers; one that is not aligned to `ALIGN` bytes is copied. Raises BundleError naming
    the population or projection at fault. Any thread may use it.
    """

    def __init__(self, populations: Buffer, projections: Buffer, arena: Buffer) -> None: ...
    @property
    def n_populations(self) -> int: ...
    @property
    def n_projections(self) -> int: ...
    @property
    def n_in(self) -> int:
        """Neurons of all inputs, in the order of populations."""
    @property
    def n_out(self) -> int:
        """Neurons of all outputs, readouts among them, in the order of populations."""
    @property
    def most_out(self) -> int:
        """Spikes that the outputs can send in one tick."""
    @property
    def synapses(self) -> int:
        """Weights that one tick can apply at most."""
    @property
    def session_bytes(self) -> int: ...
    def session(self, counters: Buffer | None = None) -> SpikingSession: ...

@final
class SpikingSession:
    """The state of one stream on a spiking program, used by one thread at a time.

    Spikes are counts of 0 to 127, one byte a neuron (format b, B, ? or c), in the order of
    populations; any other count is a ShapeError before any effect. `counters` as for `Session`.
    """

    def __init__(self, program: SpikingProgram, counters: Buffer | None = None) -> None: ...
    def step(self, spikes: Buffer) -> memoryview:
        """One tick with `n_in` counts. Returns `output`."""
    def step_events(self, addresses: Buffer) -> memoryview:
        """One tick with a spike at each of these uint32 addresses, in any order; those of one
        address add up, to 127 at most. Returns `output`.
        """
    def event(self, address: int) -> memoryview:
        """One tick with one spike. Returns `output`."""
    def run(self, spikes: Buffer, out: Buffer, potentials: Buffer | None = None) -> None:
        """T ticks: T · n_in counts to T · n_out counts, and to T · n_out int32 potentials (format
        i). Where the program has no inputs, `out` says how many ticks.
        """
    def advance(
        self,
        ticks: Buffer,
        addresses: Buffer,
        until: int,
        out_ticks: Buffer,
        out_addresses: Buffer,
    ) -> tuple[int, int, int]:
        """All ticks up to but not including `until`, with a spike of input addresses[i] (uint32) in
        tick ticks[i] (int64); ticks ascend, none is before `tick`, all are before `until`.
        ShapeError names the first that is not, or the first address beyond the inputs, before any
        effect.

        Spikes of the outputs fill out_ticks (int64) and out_addresses (uint32), which have room for
        at least `most_out`, each once for every spike. Stops before a tick whose spikes might not
        fit. Returns how many events are done, how many spikes were written, and the next tick to be
        run: less than `until` where there is more to do, with the other events and the buffers
        emptied.
        """
    def reset(self) -> None:
        """Back to tick 0; counters go on."""
    @property
    def output(self) -> memoryview:
        """Counts of the last tick: int8 (`n_out`), always the same object, rewritten each tick."""
    @property
    def potentials(self) -> memoryview:
        """v of the outputs after the last tick, leaked to it: int32 (`n_out`), in units of the
        plan; rewritten whenever it is asked for.
        """
    @property
    def tick(self) -> int:
        """The next tick to be run."""
    @property
    def counters(self) -> tuple[int, int, int, int, int]:
        """Ticks that were run, spikes of inputs, of all others, weights applied, weights of the
        program a tick.
        """
    def population(self, index: int) -> tuple[memoryview, memoryview, memoryview | None]:
        """Spikes (int8), v and currents (int32, None where the kind has none) after the last tick;
        copies.
        """

def quantize_steps(values: Buffer, thresholds: Buffer, out: Buffer) -> None:
    """float32 → int8 codes: −128 plus how many of the 255 ascending float32 thresholds are reached.

    ValueError for a NaN among the values or for buffers that do not fit each other.
    """

def quantize_f32(values: Buffer, scale: float, zero: int, rounding: str, out: Buffer) -> None:
    """Codes of real values by a rounding rule (a key of `ROUNDINGS`) into `out`.

    Infinities saturate; a NaN raises ValueError and leaves `out` undefined.
    """

def dequantize(codes: Buffer, scale: float, zero: int, out: Buffer) -> None:
    """(code − zero) · scale in float32 into `out`."""

def top_k(codes: Buffer, k: int) -> list[int]:
    """Indices of the k largest codes, largest first, the lower index first among equals."""

def version() -> tuple[int, int, int]:
    """Major, minor, patch of the kernel."""

def isa() -> str:
    """The instruction set that programs taken into use from now on run."""

def isas() -> tuple[str, ...]:
    """The instruction sets that this build and this machine have, lowest first."""

def choose_isa(name: str | None, what: str = ...) -> None:
    """The set that later programs run, one of `isas()`; None: the best again.

    BackendError, which names `what` and those accepted, for any other.
    """
