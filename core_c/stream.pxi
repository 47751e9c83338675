# SPDX-License-Identifier: Apache-2.0
# Included by _kernel.pyx: windows that slide over a stream (include/nvm_stream.h).

from collections import namedtuple as _namedtuple


_TIMES = (
    "runs", "const", "after", "spanned", "flattened", "attention", "strides", "rational", "inner",
    "place", "gathered", "cones")
assert len(_TIMES) == NVM_TIME_COUNT

Flow = _namedtuple("Flow", (
    "why", "rows", "step", "first", "end", "dirty", "copies", "capacity", "is_kept", "macs", "bytes"))
Flow.__module__ = "neurovm._kernel"


cdef uint32_t _count(value, str what) except? 0:
    if not 1 <= value <= UINT32_MAX:
        raise ShapeError(f"{what}: found {value}; accepted: 1 to {UINT32_MAX}")
    return <uint32_t>value


cdef object _stream_error(nvm_status status, Program program, frames):
    if status == NVM_E_UNSUPPORTED:
        return BackendError(
            "windows: found several inputs, int16 codes, spikes or a network with state of its own; "
            "accepted: int8 networks of one input, coding graded, without state")
    return ShapeError(
        f"frames: found {frames} of {program.program.codes_in} codes in a window; accepted: 2 or more, "
        "of equally many codes")


def stream_plan(Program program not None, frames, hop):
    cdef uint32_t rows = _count(frames, "frames"), moved = _count(hop, "hop"), i
    cdef size_t size = 0
    cdef nvm_status status
    cdef nvm_flow *flows = <nvm_flow *>_allocate(program.program.n_layers * sizeof(nvm_flow))
    try:
        with nogil:
            status = nvm_stream_plan(&program.program, rows, moved, flows, &size)
        if status != NVM_OK:
            raise _stream_error(status, program, frames)
        return size, [
            Flow(_TIMES[flows[i].why], flows[i].rows, flows[i].step, flows[i].first, flows[i].end, flows[i].dirty,
             flows[i].copies, flows[i].capacity, flows[i].is_kept != 0, flows[i].macs, flows[i].bytes)
            for i in range(program.program.n_layers)]
    finally:
        free(flows)


def stream_frames(Program program not None):
    return nvm_stream_frames(&program.program)


@cython.final
cdef class Stream:
    """One window. The block belongs to `memory`, which the exported views keep alive too."""

    cdef Program program
    cdef _Memory memory
    cdef nvm_stream *stream
    cdef nvm_counters own
    cdef nvm_counters *counts
    cdef bint busy
    cdef bint any_changed
    cdef bint is_brief
    cdef readonly object output
    cdef size_t frame

    def __cinit__(self, Program program not None, frames, hop, counters=None):
        cdef uint32_t rows = _count(frames, "frames"), moved = _count(hop, "hop")
        planned, flows = stream_plan(program, frames, hop)
        cdef size_t size = <size_t>planned
        cdef const int8_t *codes = NULL
        cdef nvm_status status
        cdef void *block
        program.ready()
        self.stream = NULL
        self.busy = False
        self.any_changed = False
        self.is_brief = sum([flow.macs for flow in flows]) < 2 * BRIEF_MACS
        memset(&self.own, 0, sizeof(self.own))
        self.program = program
        self.memory = _Memory()
        self.counts = _counters(self.memory, counters, &self.own)
        self.frame = program.program.codes_in // rows
        block = self.memory.block = _allocate(size)
        with nogil:
            status = nvm_stream_init(
                block, size, &program.program, rows, moved, self.counts, &self.stream)
        if status != NVM_OK:
            raise _error(status, "stream")
        nvm_stream_output(self.stream, UINT32_MAX, &codes, NULL, NULL)
        self.output = _export((self.memory, self.program), codes, program.program.bytes_out, 1, b"b")

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("this session is in use by another thread; accepted: one at a time")
        self.busy = True
        return 0

    cdef object leave(self, nvm_status status, str what):
        cdef int changed = 0
        self.busy = False
        if status != NVM_OK:
            raise _error(status, what)
        nvm_stream_output(self.stream, UINT32_MAX, NULL, NULL, &changed)
        self.any_changed = changed != 0
        return self.output

    def push(self, frames):
        cdef Py_buffer view
        cdef nvm_status status
        _get_codes(frames, &view, False, False, "frames")
        try:
            if view.len == 0 or <size_t>view.len % self.frame != 0:
                raise ShapeError(
                    f"frames: found {view.len} codes; accepted: one or more frames of {self.frame}")
            self.enter()
            if self.is_brief:
                status = nvm_stream_push(self.stream, view.buf, <size_t>view.len)
            else:
                with nogil:
                    status = nvm_stream_push(self.stream, view.buf, <size_t>view.len)
            return self.leave(status, "push")
        finally:
            PyBuffer_Release(&view)

    def step(self, codes):
        cdef Py_buffer view
        cdef nvm_status status
        cdef uint32_t moved = 0
        _get_codes(codes, &view, False, False, "codes")
        try:
            _expect(view.len, <Py_ssize_t>self.program.program.codes_in, "codes")
            self.enter()
            with nogil:
                status = nvm_stream_step(self.stream, view.buf, <size_t>view.len, &moved)
            self.leave(status, "step")
            return -1 if moved == UINT32_MAX else <long>moved
        finally:
            PyBuffer_Release(&view)

    def reset(self):
        cdef nvm_status status
        self.enter()
        with nogil:
            status = nvm_stream_reset(self.stream)
        self.leave(status, "reset")

    @property
    def changed(self):
        return bool(self.any_changed)

    @property
    def counters(self):
        return (
            self.counts.steps, self.counts.events_in, self.counts.events_out, self.counts.sops,
            self.counts.dense_macs)

    def layer(self, index):
        cdef nvm_layer_view view
        if not 0 <= index < self.program.program.n_layers:
            raise IndexError(f"layer: found {index}; accepted: 0 to {self.program.program.n_layers - 1}")
        self.enter()  # some layers are computed for their view
        cdef nvm_status status = nvm_stream_layer(self.stream, <uint32_t>index, &view)
        self.busy = False
        if status != NVM_OK:
            raise _error(status, "layer")
        codes = _export((self.memory, self.program), view.codes, view.n, 1, b"b")
        return codes, view.sops, _WAY_NAMES[<int>view.way]
