# SPDX-License-Identifier: Apache-2.0
"""The binding of sessions; a part of _kernel.pyx."""


@cython.final
cdef class _Memory:
    """Owns the block of one session, and the buffer its counters are in."""

    cdef void *block
    cdef Py_buffer counters
    cdef bint held

    def __cinit__(self):
        self.block = NULL
        self.held = False

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.counters)
        free(self.block)


cdef nvm_counters *_counters(_Memory memory, counters, nvm_counters *own) except NULL:
    """Where a session counts: in the caller's buffer, which `memory` then holds, or its own."""
    if counters is None:
        return own
    PyObject_GetBuffer(counters, &memory.counters, PyBUF_SIMPLE | PyBUF_WRITABLE)
    memory.held = True
    if memory.counters.len < <Py_ssize_t>sizeof(nvm_counters):
        raise ShapeError(f"counters: found {memory.counters.len} bytes; accepted: 40 or more")
    if <uintptr_t>memory.counters.buf % 8 != 0:
        raise ShapeError("counters: found a buffer that is not aligned; accepted: 8-byte aligned")
    return <nvm_counters *>memory.counters.buf


cdef nvm_way _way(str way) except *:
    if way not in WAYS:
        raise ValueError(f"way: found {way!r}; accepted: {', '.join(WAYS)}")
    return <nvm_way><int>WAYS[way]


@cython.final
cdef class Session:
    """One stream. The block belongs to `memory`, which the exported views keep alive too."""

    cdef Program program
    cdef _Memory memory
    cdef nvm_session *session
    cdef nvm_counters own
    cdef nvm_counters *counts
    cdef bint busy
    cdef bint any_changed
    cdef bint is_brief  # a step takes microseconds: releasing the lock would cost more than it gives
    cdef int sent_planes
    cdef readonly object output

    def __cinit__(self, Program program not None, counters=None, *, str way="auto"):
        cdef nvm_way forced = _way(way)
        cdef size_t size
        cdef const int8_t *codes = NULL
        cdef nvm_status status
        cdef void *block
        self.session = NULL
        self.busy = False
        self.any_changed = False
        self.sent_planes = 8
        memset(&self.own, 0, sizeof(self.own))
        program.ready()
        size = nvm_session_size_by(&program.program, forced)
        self.program = program
        self.is_brief = program.program.macs <= BRIEF_MACS
        self.memory = _Memory()
        self.counts = _counters(self.memory, counters, &self.own)
        block = self.memory.block = _allocate(size)
        with nogil:
            status = nvm_session_init_by(
                block, size, &program.program, forced, self.counts, &self.session)
        if status != NVM_OK:
            raise _error(status, f"way {way!r}")
        nvm_session_output(self.session, UINT32_MAX, &codes, NULL, NULL)
        self.output = self.export_output(codes, program.program.codes_out, program.program.bytes_out)

    cdef object export_output(self, const void *codes, size_t count, size_t length):
        owner = (self.memory, self.program)
        if length == count:
            return _export(owner, codes, count, 1, b"b")
        if _all_wide(count, length):
            return _export(owner, codes, count, 2, b"h")
        return _export(owner, codes, length, 1, b"B")

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("this session is in use by another thread; accepted: one at a time")
        self.busy = True
        return 0

    cdef void settle(self) noexcept:
        """What the last step changed; the next call may begin."""
        cdef int changed = 0
        nvm_session_output(self.session, UINT32_MAX, NULL, NULL, &changed)
        self.any_changed = changed != 0
        self.busy = False

    cdef object leave(self, nvm_status status, str what):
        if status != NVM_OK:
            self.busy = False
            raise _error(status, what)
        self.settle()
        return self.output

    def step(self, codes):
        cdef Py_buffer view
        cdef nvm_status status
        cdef size_t count = self.program.program.codes_in, length = self.program.program.bytes_in
        _get_codes(codes, &view, _all_wide(count, length), False, "codes")
        try:
            _expect_bytes(&view, length, count, "codes")
            self.enter()
            if self.is_brief:
                status = nvm_session_step(self.session, view.buf, <size_t>view.len)
            else:
                with nogil:
                    status = nvm_session_step(self.session, view.buf, <size_t>view.len)
            return self.leave(status, "step")
        finally:
            PyBuffer_Release(&view)

    cdef object update_one(self, index, code):
        cdef nvm_status status
        cdef size_t count = self.program.program.codes_in
        cdef bint wide = self.program.program.bytes_in != count
        cdef int beyond = 0, beyond_too = 0
        cdef long place = PyLong_AsLongAndOverflow(index, &beyond)
        cdef long value = PyLong_AsLongAndOverflow(code, &beyond_too)
        cdef uint32_t i
        cdef int16_t c
        if beyond != 0 or place < 0 or <size_t>place >= count:
            raise ShapeError(f"index: found {index}; accepted: 0 to {count - 1}")
        if beyond_too != 0 or not -32768 <= value <= 32767:
            raise self.code_refused(code, wide)
        i = <uint32_t>place
        c = <int16_t>value
        self.enter()
        if self.is_brief:
            status = nvm_session_update_s16(self.session, &i, &c, 1)
        else:
            with nogil:
                status = nvm_session_update_s16(self.session, &i, &c, 1)
        if status == NVM_E_RANGE:
            self.busy = False
            raise self.code_refused(code, wide)
        return self.leave(status, "update")

    cdef object code_refused(self, code, bint wide):
        span = "what the input's width holds, -32768 to 32767 at most" if wide else "-128 to 127"
        return ShapeError(f"code: found {code}; accepted: {span}")

    def update(self, indices, codes):
        cdef Py_buffer index, code
        cdef nvm_status status
        if type(indices) is int and type(codes) is int:
            return self.update_one(indices, codes)
        _get(indices, &index, b"IL", 4, False, "indices")
        try:
            _get_codes(codes, &code, self.program.program.bytes_in != self.program.program.codes_in,
                       False, "codes")
            try:
                _expect(code.len // code.itemsize, index.len // 4, "codes (one an index)")
                self.enter()
                with nogil:
                    if code.itemsize == 2:
                        status = nvm_session_update_s16(
                            self.session, <const uint32_t *>index.buf, <const int16_t *>code.buf,
                            <size_t>index.len // 4)
                    else:
                        status = nvm_session_update(
                            self.session, <const uint32_t *>index.buf, <const int8_t *>code.buf,
                            <size_t>index.len // 4)
                if status == NVM_E_RANGE:
                    self.busy = False
                    raise ShapeError(
                        "indices: found one beyond the inputs, or a code that its input cannot hold; "
                        f"accepted: 0 to {self.program.program.codes_in - 1}"
                        if code.itemsize == 2 else "indices: found one beyond the inputs; accepted: "
                        f"0 to {self.program.program.codes_in - 1}")
                return self.leave(status, "update")
            finally:
                PyBuffer_Release(&code)
        finally:
            PyBuffer_Release(&index)

    def run(self, codes, out=None):
        cdef Py_buffer view, target
        cdef nvm_status status
        cdef size_t length = self.program.program.bytes_in, each = self.program.program.bytes_out
        cdef size_t rows
        _get_codes(codes, &view, _all_wide(self.program.program.codes_in, length), False, "codes")
        try:
            rows = _count_rows(&view, length)
            out = self.outputs(rows) if out is None else out
            _get_codes(out, &target, _all_wide(self.program.program.codes_out, each), True, "out")
            try:
                _expect_bytes(&target, rows * each, rows * self.program.program.codes_out, "out")
                self.enter()
                with nogil:
                    status = nvm_session_run(self.session, view.buf, rows, target.buf)
                self.leave(status, "run")
            finally:
                PyBuffer_Release(&target)
        finally:
            PyBuffer_Release(&view)
        return out

    cdef object outputs(self, size_t rows):
        """Room for the outputs of so many steps, of the format of `output`."""
        return memoryview(bytearray(rows * self.program.program.bytes_out)).cast(self.output.format)

    def run_updates(self, indices, codes, ends=None, out=None):
        cdef Py_buffer index, code, end, target
        cdef nvm_status status
        cdef size_t steps, each = self.program.program.bytes_out
        ends = _ends_of_single(indices) if ends is None else ends
        _get(indices, &index, b"IL", 4, False, "indices")
        try:
            _get_codes(codes, &code, self.program.program.bytes_in != self.program.program.codes_in,
                       False, "codes")
            try:
                _expect(code.len // code.itemsize, index.len // 4, "codes (one an index)")
                _get(ends, &end, b"IL", 4, False, "ends")
                try:
                    steps = <size_t>end.len // 4
                    out = self.outputs(steps) if out is None else out
                    _get_codes(out, &target, _all_wide(self.program.program.codes_out, each), True,
                               "out")
                    try:
                        _expect_bytes(&target, steps * each,
                                      steps * self.program.program.codes_out, "out")
                        self.enter()
                        with nogil:
                            status = self.run_named(&index, &code, &end, &target)
                        if status == NVM_E_RANGE:
                            self.busy = False
                            raise ShapeError(
                                "run_updates: found an index beyond the inputs, a code that its "
                                "input cannot hold, or ends that do not ascend to the number of "
                                f"indices; accepted: indices 0 to {self.program.program.codes_in - 1}")
                        self.leave(status, "run_updates")
                    finally:
                        PyBuffer_Release(&target)
                finally:
                    PyBuffer_Release(&end)
            finally:
                PyBuffer_Release(&code)
        finally:
            PyBuffer_Release(&index)
        return out

    cdef nvm_status run_named(
            self, Py_buffer *index, Py_buffer *code, Py_buffer *end, Py_buffer *out) noexcept nogil:
        if code.itemsize == 2:
            return nvm_session_run_updates_s16(
                self.session, <const uint32_t *>index.buf, <const int16_t *>code.buf,
                <size_t>index.len // 4, <const uint32_t *>end.buf, <size_t>end.len // 4, out.buf)
        return nvm_session_run_updates(
            self.session, <const uint32_t *>index.buf, <const int8_t *>code.buf,
            <size_t>index.len // 4, <const uint32_t *>end.buf, <size_t>end.len // 4, out.buf)

    def reset(self):
        cdef nvm_status status
        self.enter()
        with nogil:
            status = nvm_session_reset(self.session)
        self.leave(status, "reset")

    def force(self, str way, layer=None):
        cdef uint32_t index = UINT32_MAX
        cdef nvm_way forced = _way(way)
        cdef nvm_status status
        if layer is not None:
            index = self.layer_index(layer)
        self.enter()
        status = nvm_session_force(self.session, index, forced)
        if status == NVM_E_STATE:
            self.busy = False
            raise BackendError(
                f"way {way!r}: this session was made for way 'dense' alone and keeps no sums; accepted: "
                "dense, or a session made for another way")
        self.leave(status, f"way {way!r}")

    @property
    def planes(self):
        return self.sent_planes

    @planes.setter
    def planes(self, Py_ssize_t planes):
        if not 1 <= planes <= 8:
            raise ValueError(f"planes: found {planes}; accepted: 1 to 8")
        self.enter()
        self.leave_planes(nvm_session_planes(self.session, <uint32_t>planes))
        self.sent_planes = <int>planes

    cdef int leave_planes(self, nvm_status status) except -1:
        self.busy = False
        if status != NVM_OK:
            raise BackendError(
                f"planes: coding {self.program.coding}"
                f"{' with state' if self.program.program.memory else ''} always sends whole codes; "
                "accepted: coding bitplane, of networks without state")
        return 0

    @property
    def sent_planes(self):
        return nvm_session_sent_planes(self.session)

    def bounds(self):
        cdef size_t size = nvm_bounds_size(&self.program.program)
        cdef size_t n = self.program.program.codes_out
        cdef nvm_status status
        cdef void *scratch = NULL
        low, high = bytearray(n), bytearray(n)
        cdef char *low_codes = low
        cdef char *high_codes = high
        self.enter()
        try:
            scratch = _allocate(size)
            with nogil:
                status = nvm_session_bounds(
                    self.session, scratch, size, <int8_t *>low_codes, <int8_t *>high_codes)
            free(scratch)
        finally:
            self.busy = False
        if status != NVM_OK:
            raise _error(status, "bounds")
        return bytes(low), bytes(high)

    cdef uint32_t layer_index(self, layer) except? 0xFFFFFFFF:
        if not 0 <= layer < self.program.program.n_layers:
            raise IndexError(f"layer: found {layer}; accepted: 0 to {self.program.program.n_layers - 1}")
        return <uint32_t>layer

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
        cdef uint32_t i = self.layer_index(index)
        cdef nvm_status status = nvm_session_layer(self.session, i, &view)
        if status != NVM_OK:
            raise _error(status, "layer")
        owner = (self.memory, self.program)
        codes = _export(owner, view.codes, view.n, view.code_bytes, b"h" if view.code_bytes == 2 else b"b")
        acc = None
        if view.acc is not NULL:
            acc = _export(owner, view.acc, view.n, view.acc_bytes, b"q" if view.acc_bytes == 8 else b"i")
        return codes, acc, view.events, view.sops, _WAY_NAMES[<int>view.way]
