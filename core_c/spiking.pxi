# SPDX-License-Identifier: Apache-2.0
"""The binding of networks of spiking neurons; a part of _kernel.pyx."""

POPULATION_BYTES = 128
PROJECTION_BYTES = 128

cdef tuple _CELL_NAMES = ("input", "lif", "cuba", "loihi", "truenorth")
cdef tuple _SYNAPSE_NAMES = (
    "dense int8", "dense int16", "sparse", "convolution int8", "convolution int16", "pool", "wires",
    "procedural")


# Synapses of a program whose single event takes microseconds at most: less than others may have to
# wait for the GIL, and giving it away costs more than the event.
cdef enum:
    _SHORT = 1 << 20


@cython.final
cdef class SpikingProgram:
    """Owns its three buffers (or aligned copies of them); the C program points into them."""

    cdef nvm_spiking_program program
    cdef _Bytes populations
    cdef _Bytes projections
    cdef _Bytes arena

    def __cinit__(self, populations, projections, arena):
        cdef uint32_t bad = UINT32_MAX
        cdef nvm_status status
        memset(&self.program, 0, sizeof(self.program))
        self.populations = _records(populations, "populations", 1, NVM_MAX_POPULATIONS)
        self.projections = _records(projections, "projections", 0, NVM_MAX_PROJECTIONS)
        self.arena = _Bytes(arena, "arena")
        with nogil:
            status = nvm_spiking_program_init(
                &self.program, self.populations.data, <uint32_t>(self.populations.size // 128),
                self.projections.data, <uint32_t>(self.projections.size // 128), self.arena.data,
                self.arena.size, &bad)
        if status != NVM_OK:
            raise self.refusal(status, bad)

    cdef object refusal(self, nvm_status status, uint32_t bad):
        cdef size_t count = self.populations.size // 128
        text = nvm_status_text(status).decode()
        if bad == UINT32_MAX:
            return BundleError(f"spiking program: {text}")
        if bad < count:
            kind = (<const nvm_population *>(self.populations.data + <size_t>bad * 128)).kind
            return BundleError(f"population {bad} ({_named(_CELL_NAMES, kind)}): {text}")
        kind = (<const nvm_projection *>(self.projections.data + (bad - count) * 128)).kind
        return BundleError(f"projection {bad - count} ({_named(_SYNAPSE_NAMES, kind)}): {text}")

    @property
    def n_populations(self):
        return self.program.n_populations

    @property
    def n_projections(self):
        return self.program.n_projections

    @property
    def n_in(self):
        return self.program.n_in

    @property
    def n_out(self):
        return self.program.n_out

    @property
    def most_out(self):
        return self.program.most_out

    @property
    def synapses(self):
        return self.program.synapses

    @property
    def session_bytes(self):
        return nvm_spiking_session_size(&self.program)

    def session(self, counters=None):
        return SpikingSession(self, counters)


cdef _Bytes _records(source, str what, size_t least, size_t most):
    cdef _Bytes found = _Bytes(source, what)
    if found.size % 128 != 0 or not least <= found.size // 128 <= most:
        raise BundleError(
            f"{what}: found {found.size} bytes; accepted: {least} to {most} records of 128")
    return found


cdef str _named(tuple names, int kind):
    return names[kind] if kind < len(names) else f"kind {kind}"


@cython.final
cdef class SpikingSession:
    """One stream. The block belongs to `memory`, which the exported views keep alive too."""

    cdef SpikingProgram program
    cdef _Memory memory
    cdef nvm_spiking_session *session
    cdef nvm_counters own
    cdef nvm_counters *counts
    cdef bint busy
    cdef readonly object output
    cdef void *shown
    cdef _Memory shown_memory

    def __cinit__(self, SpikingProgram program not None, counters=None):
        cdef size_t size = nvm_spiking_session_size(&program.program)
        cdef nvm_status status
        cdef void *block
        self.session = NULL
        self.shown = NULL
        self.busy = False
        memset(&self.own, 0, sizeof(self.own))
        self.program = program
        self.memory = _Memory()
        self.shown_memory = _Memory()
        self.counts = _counters(self.memory, counters, &self.own)
        block = self.memory.block = _allocate(size)
        with nogil:
            status = nvm_spiking_session_init(
                block, size, &program.program, self.counts, &self.session)
        if status != NVM_OK:
            raise _error(status, "session")
        self.output = _export(
            (self.memory, program), nvm_spiking_output(self.session), program.program.n_out, 1, b"b")

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("this session is in use by another thread; accepted: one at a time")
        self.busy = True
        return 0

    cdef object leave(self, nvm_status status, str what):
        self.busy = False
        if status == NVM_E_RANGE:
            raise ShapeError(f"{what}: found a count above 127 or below 0; accepted: 0 to 127")
        if status != NVM_OK:
            raise _error(status, what)
        return self.output

    def step(self, spikes):
        cdef Py_buffer view
        cdef nvm_status status
        _get(spikes, &view, b"bB?c", 1, False, "spikes")
        try:
            if <size_t>view.len != self.program.program.n_in:
                raise ShapeError(
                    f"spikes: found {view.len} counts; accepted: {self.program.program.n_in}")
            self.enter()
            with nogil:
                status = nvm_spiking_step(self.session, <const uint8_t *>view.buf, <size_t>view.len)
            return self.leave(status, "spikes")
        finally:
            PyBuffer_Release(&view)

    def step_events(self, addresses):
        cdef Py_buffer view
        cdef size_t bad = 0
        cdef nvm_status status
        _get(addresses, &view, b"IL", 4, False, "addresses")
        try:
            self.enter()
            with nogil:
                status = nvm_spiking_step_events(
                    self.session, <const uint32_t *>view.buf, <size_t>view.len // 4, &bad)
            if status == NVM_E_RANGE:
                self.busy = False
                raise self.beyond((<const uint32_t *>view.buf)[bad], f"addresses[{bad}]")
            return self.leave(status, "addresses")
        finally:
            PyBuffer_Release(&view)

    cdef object beyond(self, address, str what):
        return ShapeError(
            f"{what}: found {address}; accepted: 0 to {self.program.program.n_in - 1}")

    def event(self, address):
        cdef Py_ssize_t found
        cdef uint32_t at
        cdef nvm_status status
        try:
            found = address
        except OverflowError:
            raise self.beyond(address, "address") from None
        if found < 0 or <size_t>found >= self.program.program.n_in:
            raise self.beyond(address, "address")
        at = <uint32_t>found
        self.enter()
        if self.program.program.synapses < _SHORT:
            status = nvm_spiking_step_events(self.session, &at, 1, NULL)
        else:
            with nogil:
                status = nvm_spiking_step_events(self.session, &at, 1, NULL)
        if status == NVM_OK:
            self.busy = False
            return self.output
        return self.leave(status, "address")

    def run(self, spikes, out, potentials=None):
        cdef Py_buffer source, target, shown
        cdef nvm_status status
        cdef int32_t *v = NULL
        cdef size_t ticks
        _get(spikes, &source, b"bB?c", 1, False, "spikes")
        try:
            _get(out, &target, b"bBc", 1, True, "out")
            try:
                ticks = self.ticks_of(source.len, target.len)
                _expect(target.len, <Py_ssize_t>(ticks * self.program.program.n_out), "out")
                if potentials is not None:
                    _get(potentials, &shown, b"il", 4, True, "potentials")
                    v = <int32_t *>shown.buf
                try:
                    if potentials is not None:
                        _expect(shown.len // 4, <Py_ssize_t>(ticks * self.program.program.n_out),
                                "potentials")
                    self.enter()
                    with nogil:
                        status = nvm_spiking_run(
                            self.session, <const uint8_t *>source.buf, ticks, <int8_t *>target.buf, v)
                    self.leave(status, "spikes")
                finally:
                    if potentials is not None:
                        PyBuffer_Release(&shown)
            finally:
                PyBuffer_Release(&target)
        finally:
            PyBuffer_Release(&source)

    def advance(self, ticks, addresses, until, out_ticks, out_addresses):
        cdef Py_buffer tick, address, out_tick, out_address
        cdef int64_t end = until
        cdef nvm_progress done
        cdef nvm_status status
        _get(ticks, &tick, b"qQlL", 8, False, "ticks")
        try:
            _get(addresses, &address, b"IL", 4, False, "addresses")
            try:
                _get(out_ticks, &out_tick, b"qQlL", 8, True, "out_ticks")
                try:
                    _get(out_addresses, &out_address, b"IL", 4, True, "out_addresses")
                    try:
                        _expect(address.len // 4, tick.len // 8, "addresses (one a tick)")
                        _expect(out_address.len // 4, out_tick.len // 8, "out_addresses (one a tick)")
                        self.enter()
                        with nogil:
                            status = nvm_spiking_advance(
                                self.session, <const int64_t *>tick.buf,
                                <const uint32_t *>address.buf, <size_t>tick.len // 8, end,
                                <int64_t *>out_tick.buf, <uint32_t *>out_address.buf,
                                <size_t>out_tick.len // 8, &done)
                        self.busy = False
                        if status == NVM_E_RANGE:
                            raise self.out_of_order(&done, &tick, &address, &out_tick, end)
                        if status != NVM_OK:
                            raise _error(status, "advance")
                        return done.events, done.spikes, done.tick
                    finally:
                        PyBuffer_Release(&out_address)
                finally:
                    PyBuffer_Release(&out_tick)
            finally:
                PyBuffer_Release(&address)
        finally:
            PyBuffer_Release(&tick)

    cdef object out_of_order(
            self, nvm_progress *done, Py_buffer *tick, Py_buffer *address, Py_buffer *out,
            int64_t end):
        """What of the arguments of `advance` nvm_spiking_advance refused."""
        cdef const int64_t *ticks = <const int64_t *>tick.buf
        cdef size_t i = done.bad
        if i != SIZE_MAX:
            first = done.tick if i == 0 else max(done.tick, ticks[i - 1])
            if first <= ticks[i] < end:
                return self.beyond((<const uint32_t *>address.buf)[i], f"addresses[{i}]")
            return ShapeError(
                f"ticks[{i}]: found {ticks[i]}; accepted: {first} to {end - 1} (in order, none before "
                "the session's tick, all before `until`)")
        if end < done.tick:
            return ShapeError(f"until: found {end}; accepted: {done.tick} (the session's tick) or more")
        return ShapeError(
            f"out_ticks: found room for {out.len // 8} spikes; accepted: {self.program.program.most_out} "
            "or more, what the outputs can send in one tick")

    cdef size_t ticks_of(self, Py_ssize_t length, Py_ssize_t room) except? 0xFFFFFFFF:
        """How many ticks the spikes are of; without inputs, how many there is room for."""
        cdef size_t n_in = self.program.program.n_in, n_out = self.program.program.n_out
        if n_in == 0:
            return 0 if n_out == 0 else <size_t>room // n_out
        if <size_t>length % n_in != 0:
            raise ShapeError(f"spikes: found {length} counts; accepted: a multiple of {n_in}")
        return <size_t>length // n_in

    def reset(self):
        cdef nvm_status status
        self.enter()
        with nogil:
            status = nvm_spiking_reset(self.session)
        self.leave(status, "reset")

    @property
    def tick(self):
        return nvm_spiking_tick(self.session)

    @property
    def counters(self):
        return (
            self.counts.steps, self.counts.events_in, self.counts.events_out, self.counts.sops,
            self.counts.dense_macs)

    @property
    def potentials(self):
        cdef size_t count = self.program.program.n_out
        cdef nvm_status status
        if self.shown is NULL:
            self.shown = self.shown_memory.block = _allocate(count * 4)
        self.enter()
        with nogil:
            status = nvm_spiking_potentials(self.session, <int32_t *>self.shown)
        self.leave(status, "potentials")
        return _export(self.shown_memory, self.shown, count, 4, b"i")

    def population(self, index):
        cdef const nvm_population *record
        cdef _Memory block = _Memory()
        cdef uint8_t *base
        cdef size_t n
        cdef uint32_t i
        cdef nvm_status status
        if not 0 <= index < self.program.program.n_populations:
            raise IndexError(
                f"population: found {index}; accepted: 0 to {self.program.program.n_populations - 1}")
        i = index
        record = &self.program.program.populations[i]
        n = record.n
        base = <uint8_t *>_allocate(9 * n)
        block.block = base
        self.enter()
        with nogil:
            status = nvm_spiking_population(
                self.session, i, <int8_t *>(base + 8 * n), <int32_t *>base, <int32_t *>(base + 4 * n))
        self.leave(status, "population")
        has_current = record.kind == NVM_CELL_CUBA or record.kind == NVM_CELL_LOIHI
        return (
            _export(block, base + 8 * n, n, 1, b"b"), _export(block, base, n, 4, b"i"),
            _export(block, base + 4 * n, n, 4, b"i") if has_current else None)
