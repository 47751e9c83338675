# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
# cython: embedsignature=False
#   signatures and documentation stand in neurovm/_kernel.pyi
# cython: emit_code_comments=False
#   the generated C stays readable in a debugger and does not repeat this file
"""The C kernel for Python: declares, converts and checks; computes nothing.

Buffers come in by the buffer protocol and are held as long as C may read them. Types and
documentation: neurovm/_kernel.pyi.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release,
    PyObject_CheckBuffer, PyObject_GetBuffer)
from libc.stdint cimport (
    SIZE_MAX, UINT32_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t)
from libc.stdlib cimport free
from libc.string cimport memcpy, memset, strchr

from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from nvm cimport *

from neurovm.errors import BackendError, BundleError, ShapeError

cdef extern from "Python.h":
    long PyLong_AsLongAndOverflow(object value, int *beyond) except? -1

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef enum:
    BRIEF_MACS = 32768

LAYER_BYTES = 128
COUNTERS = 5
ALIGN = NVM_ALIGN
MAX_LAYERS = NVM_MAX_LAYERS
KINDS = {
    "INPUT": NVM_INPUT, "CONST": NVM_CONST, "DENSE": NVM_DENSE, "CONV": NVM_CONV,
    "DWCONV": NVM_DWCONV, "ADD": NVM_ADD, "AVGPOOL": NVM_AVGPOOL, "MAXPOOL": NVM_MAXPOOL,
    "MEAN": NVM_MEAN, "MAP": NVM_MAP, "TABLE": NVM_TABLE, "SOFTMAX": NVM_SOFTMAX,
    "TABLE2": NVM_TABLE2, "SOFTMAXQ": NVM_SOFTMAXQ, "LERP": NVM_LERP,
    "L2NORM": NVM_L2NORM, "LOGSOFTMAX": NVM_LOGSOFTMAX, "MATMUL": NVM_MATMUL,
    "ARGMAX": NVM_ARGMAX, "STATE": NVM_STATE, "PAIR": NVM_PAIR,
    "LSTM": NVM_LSTM, "SVDF": NVM_SVDF, "LOGSOFTMAXQ": NVM_LOGSOFTMAXQ,
}
NEURONS = {"SD": NVM_SD, "IF": NVM_IF, "LIF": NVM_LIF, "SIF": NVM_SIF}
REQUANTS = {
    "NONE": NVM_RQ_NONE, "FP32": NVM_RQ_FP32, "DOUBLE": NVM_RQ_DOUBLE, "SINGLE": NVM_RQ_SINGLE,
    "HALFUP": NVM_RQ_HALFUP, "SHIFT": NVM_RQ_SHIFT, "AFFINE": NVM_RQ_AFFINE,
    "HALF16": NVM_RQ_HALF16, "AWAY64": NVM_RQ_AWAY64, "AWAY32": NVM_RQ_AWAY32,
}
RESETS = {"ZERO": NVM_RESET_ZERO, "VALUE": NVM_RESET_VALUE, "SUBTRACT": NVM_RESET_SUBTRACT}
FLAGS = {
    "OUTPUT": NVM_FLAG_OUTPUT, "SPIKES": NVM_FLAG_SPIKES, "UNIT": NVM_FLAG_UNIT,
    "WIDE": NVM_FLAG_WIDE, "LONG": NVM_FLAG_LONG, "PLANES": NVM_FLAG_PLANES,
    "TIMES": NVM_FLAG_TIMES,
}
WAYS = {
    "auto": NVM_AUTO, "events": NVM_EVENTS, "tiles": NVM_TILES, "zeroskip": NVM_ZEROSKIP,
    "dense": NVM_DENSE_WAY,
}
ROUNDINGS = {
    "even_reciprocal": NVM_ROUND_EVEN_RECIPROCAL, "away_divide": NVM_ROUND_AWAY_DIVIDE,
}

cdef dict _WAY_NAMES = {value: name for name, value in WAYS.items()}
cdef dict _KIND_NAMES = {value: name for name, value in KINDS.items()}


cdef object _error(nvm_status status, str what):
    """The exception for a status of a call other than nvm_program_init."""
    text = f"{what}: {nvm_status_text(status).decode()}"
    if status == NVM_E_UNSUPPORTED:
        return BackendError(text)
    if status == NVM_E_STATE:
        return RuntimeError(text)
    return ShapeError(text)


cdef bint _is_format(const char *found, const char *accepted) noexcept:
    """Whether a buffer's format is one of these characters, in native byte order or none."""
    if found is NULL:
        found = b"B"
    while found[0] != 0 and strchr(b"@=<|", found[0]) is not NULL:
        found += 1
    return found[0] != 0 and found[1] == 0 and strchr(accepted, found[0]) is not NULL


cdef int _get(object source, Py_buffer *view, const char *formats, Py_ssize_t itemsize, bint writable,
              str what) except -1:
    """Takes a C-contiguous buffer whose items have one of these formats; the caller releases it."""
    cdef int flags = PyBUF_FORMAT | PyBUF_ND
    if not PyObject_CheckBuffer(source):
        raise TypeError(
            f"{what}: found {type(source).__name__}; accepted: a C-contiguous buffer of "
            f"{_accepted(formats, itemsize)}")
    try:
        PyObject_GetBuffer(source, view, flags | PyBUF_WRITABLE if writable else flags)
    except (BufferError, ValueError) as error:
        raise ShapeError(
            f"{what}: found a buffer that is not C-contiguous{' or not writable' if writable else ''}"
        ) from error
    if view.itemsize != itemsize or not _is_format(view.format, formats):
        found = "B" if view.format is NULL else view.format.decode()
        text = f"{what}: found format {found!r}, {view.itemsize} bytes an item; accepted: "
        PyBuffer_Release(view)
        raise ShapeError(text + _accepted(formats, itemsize))
    return 0


cdef int _get_codes(object source, Py_buffer *view, bint wide, bint writable, str what) except -1:
    """As `_get`: codes as bytes, or where `wide` says so as int16 (format h)."""
    if not wide:
        return _get(source, view, b"bBc", 1, writable, what)
    try:
        return _get(source, view, b"h", 2, writable, what)
    except ShapeError:
        return _get(source, view, b"bBc", 1, writable, what)


cdef int _expect_bytes(Py_buffer *view, size_t accepted, size_t codes, str what) except -1:
    """Refuses a buffer of other than `accepted` bytes, which hold `codes` codes."""
    if <size_t>view.len != accepted:
        if accepted == codes:
            raise ShapeError(f"{what}: found {view.len} codes; accepted: {accepted}")
        raise ShapeError(
            f"{what}: found {view.len} bytes; accepted: {accepted} bytes, {codes} codes of which "
            "some or all take two")
    return 0


cdef str _accepted(const char *formats, Py_ssize_t itemsize):
    return f"format {' or '.join(formats.decode())}, {itemsize} bytes an item"


cdef void *_allocate(size_t size) except NULL:
    cdef void *mem = aligned_alloc(NVM_ALIGN, (size + NVM_ALIGN - 1) // NVM_ALIGN * NVM_ALIGN + NVM_ALIGN)
    if mem is NULL:
        raise MemoryError(f"{size} bytes for the kernel")
    return mem


@cython.final
cdef class _Bytes:
    """A read-only buffer, aligned to NVM_ALIGN: the caller's own where it is, else a copy."""

    cdef Py_buffer view
    cdef bint held
    cdef void *copy
    cdef const uint8_t *data
    cdef size_t size

    def __cinit__(self, source, str what):
        self.held = False
        self.copy = NULL
        self.data = NULL
        if not PyObject_CheckBuffer(source):
            raise TypeError(f"{what}: found {type(source).__name__}; accepted: a buffer of bytes")
        PyObject_GetBuffer(source, &self.view, PyBUF_SIMPLE)
        self.held = True
        self.size = <size_t>self.view.len
        self.data = <const uint8_t *>self.view.buf
        if self.data is NULL or <uintptr_t>self.data % NVM_ALIGN != 0:
            self.copy = _allocate(self.size)
            if self.size != 0:
                memcpy(self.copy, self.view.buf, self.size)
            self.data = <const uint8_t *>self.copy
            self.release()

    cdef void release(self):
        if self.held:
            self.held = False
            PyBuffer_Release(&self.view)

    def __dealloc__(self):
        self.release()
        free(self.copy)


cdef uint64_t _now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


@cython.final
cdef class Program:
    """Owns its two buffers (or aligned copies of them); the C program points into them."""

    cdef nvm_program program
    cdef _Bytes layers
    cdef _Bytes arena
    cdef void *pack
    cdef list costs_given  # sessions may be in the making by the ones before

    def __cinit__(self, layers, arena):
        cdef uint32_t bad = UINT32_MAX
        cdef nvm_status status
        cdef size_t size
        self.pack = NULL
        self.costs_given = []
        memset(&self.program, 0, sizeof(self.program))
        self.layers = _Bytes(layers, "layers")
        self.arena = _Bytes(arena, "arena")
        if self.layers.size == 0 or self.layers.size % 128 != 0 or self.layers.size // 128 > NVM_MAX_LAYERS:
            raise BundleError(
                f"layers: found {self.layers.size} bytes; accepted: 1 to {NVM_MAX_LAYERS} records of 128")
        with nogil:
            status = nvm_program_init(
                &self.program, self.layers.data, <uint32_t>(self.layers.size // 128), self.arena.data,
                self.arena.size, &bad)
        if status != NVM_OK:
            raise self.refusal(status, bad)
        size = nvm_pack_size(&self.program)
        self.pack = _allocate(size)
        with nogil:
            status = nvm_program_pack(&self.program, self.pack, size)
        if status != NVM_OK:
            raise _error(status, "weights")

    def __dealloc__(self):
        free(self.pack)

    cdef object refusal(self, nvm_status status, uint32_t bad):
        text = nvm_status_text(status).decode()
        if bad == UINT32_MAX:
            return BundleError(f"program: {text}")
        kind = (<const nvm_layer *>(self.layers.data + <size_t>bad * 128)).kind
        return BundleError(f"layer {bad} ({_KIND_NAMES.get(kind, f'kind {kind}')}): {text}")

    @property
    def n_layers(self):
        return self.program.n_layers

    @property
    def n_inputs(self):
        return self.program.n_inputs

    @property
    def n_outputs(self):
        return self.program.n_outputs

    @property
    def codes_in(self):
        return self.program.codes_in

    @property
    def codes_out(self):
        return self.program.codes_out

    @property
    def bytes_in(self):
        return self.program.bytes_in

    @property
    def bytes_out(self):
        return self.program.bytes_out

    @property
    def session_bytes(self):
        return nvm_session_size(&self.program)

    @property
    def pack_bytes(self):
        return nvm_pack_size(&self.program)

    def calibrate(self, double budget_s):
        cdef size_t size = nvm_costs_size(&self.program)
        cdef size_t room = nvm_calibration_size(&self.program)
        cdef void *costs
        cdef void *scratch = NULL
        cdef nvm_status status
        if not 0 <= budget_s <= 3600:
            raise ValueError(f"budget_s: found {budget_s}; accepted: 0 to 3600")
        costs = _allocate(size)
        try:
            scratch = _allocate(room)
            with nogil:
                status = nvm_program_calibrate(
                    &self.program, costs, size, scratch, room, <uint64_t>(budget_s * 1e9), _now_ns)
            if status != NVM_OK:
                raise _error(status, "calibrate")
            found = (<const char *>costs)[:size]
        finally:
            nvm_program_costs(&self.program, NULL, 0)
            free(scratch)
            free(costs)
        self.use_costs(found)
        return found

    def use_costs(self, costs):
        cdef _Bytes held
        cdef nvm_status status
        if costs is None:
            nvm_program_costs(&self.program, NULL, 0)
            return
        held = _Bytes(costs, "costs")
        status = nvm_program_costs(&self.program, held.data, held.size)
        if status != NVM_OK:
            raise BundleError(
                f"costs: {nvm_status_text(status).decode()}; accepted: those of this program as calibrate "
                f"gives them, {nvm_costs_size(&self.program)} bytes")
        self.costs_given.append(held)

    def cost(self, index):
        cdef nvm_cost_view view
        cdef nvm_status status = NVM_E_ARG
        if 0 <= index < self.program.n_layers:
            status = nvm_program_cost(&self.program, <uint32_t>index, &view)
        if status != NVM_OK:
            raise IndexError(f"layer: found {index}; accepted: 0 to {self.program.n_layers - 1}")
        return view.full_ns, view.keep_ns, view.one_ns, view.even, view.measured != 0

    @property
    def scratch_bytes(self):
        return nvm_predict_size(&self.program)

    @property
    def macs(self):
        return self.program.macs

    @property
    def unit(self):
        return self.program.unit != 0

    @property
    def memory(self):
        return self.program.memory != 0

    @property
    def coding(self):
        if self.program.coding == NVM_FLAG_PLANES:
            return "bitplane"
        if self.program.coding == NVM_FLAG_TIMES:
            return "ttfs"
        return "unit" if self.program.unit else "graded"

    def predict(self, codes_in, codes_out, Py_ssize_t rows):
        cdef Py_buffer source, target
        cdef void *scratch = NULL
        cdef size_t size = nvm_predict_size(&self.program)
        cdef nvm_status status
        if rows < 0:
            raise ShapeError(f"rows: found {rows}; accepted: 0 or more")
        _get_codes(codes_in, &source, _all_wide(self.program.codes_in, self.program.bytes_in), False,
                   "codes_in")
        try:
            _get_codes(codes_out, &target, _all_wide(self.program.codes_out, self.program.bytes_out),
                       True, "codes_out")
            try:
                _expect_bytes(&source, <size_t>rows * self.program.bytes_in,
                              <size_t>rows * self.program.codes_in, "codes_in")
                _expect_bytes(&target, <size_t>rows * self.program.bytes_out,
                              <size_t>rows * self.program.codes_out, "codes_out")
                scratch = _allocate(size)
                with nogil:
                    status = nvm_predict(
                        &self.program, scratch, size, source.buf, target.buf, <size_t>rows)
                free(scratch)
            finally:
                PyBuffer_Release(&target)
        finally:
            PyBuffer_Release(&source)
        if status != NVM_OK:
            raise _error(status, "predict")


cdef bint _all_wide(size_t codes, size_t length) noexcept:
    """Whether so many codes in so many bytes take two each."""
    return length == 2 * codes


cdef int _expect(Py_ssize_t found, Py_ssize_t accepted, str what) except -1:
    if found != accepted:
        raise ShapeError(f"{what}: found {found} codes; accepted: {accepted}")
    return 0


@cython.final
cdef class _View:
    """Exports read-only memory of a session and keeps the session alive."""

    cdef object owner
    cdef const void *data
    cdef Py_ssize_t count
    cdef Py_ssize_t itemsize
    cdef Py_ssize_t stride
    cdef const char *format

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("memory of a session is read-only")
        PyBuffer_FillInfo(buffer, self, <void *>self.data, self.count * self.itemsize, 1, flags)
        if flags & PyBUF_FORMAT:
            buffer.format = <char *>self.format
        buffer.itemsize = self.itemsize
        if buffer.shape is not NULL:
            buffer.shape = &self.count
        if buffer.strides is not NULL:
            buffer.strides = &self.stride


cdef object _export(
        object owner, const void *data, size_t count, Py_ssize_t itemsize, const char *format):
    cdef _View view = _View.__new__(_View)
    view.owner = owner
    view.data = data
    view.count = <Py_ssize_t>count
    view.itemsize = itemsize
    view.stride = itemsize
    view.format = format
    return memoryview(view)


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

    def __cinit__(self, Program program not None, counters=None):
        cdef size_t size = nvm_session_size(&program.program)
        cdef const int8_t *codes = NULL
        cdef nvm_status status
        cdef void *block
        self.session = NULL
        self.busy = False
        self.any_changed = False
        self.sent_planes = 8
        memset(&self.own, 0, sizeof(self.own))
        self.program = program
        self.memory = _Memory()
        self.counts = _counters(self.memory, counters, &self.own)
        block = self.memory.block = _allocate(size)
        with nogil:
            status = nvm_session_init(block, size, &program.program, self.counts, &self.session)
        if status != NVM_OK:
            raise _error(status, "session")
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

    cdef object leave(self, nvm_status status, str what):
        cdef int changed = 0
        if status != NVM_OK:
            self.busy = False
            raise _error(status, what)
        nvm_session_output(self.session, UINT32_MAX, NULL, NULL, &changed)
        self.any_changed = changed != 0
        self.busy = False
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

    def reset(self):
        cdef nvm_status status
        self.enter()
        with nogil:
            status = nvm_session_reset(self.session)
        self.leave(status, "reset")

    def force(self, str way, layer=None):
        cdef uint32_t index = UINT32_MAX
        if way not in WAYS:
            raise ValueError(f"way: found {way!r}; accepted: {', '.join(WAYS)}")
        if layer is not None:
            index = self.layer_index(layer)
        self.enter()
        self.leave(nvm_session_force(self.session, index, <nvm_way><int>WAYS[way]), f"way {way!r}")

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


def quantize_f32(values, float scale, int zero, str rounding, out):
    cdef Py_buffer x, codes
    cdef nvm_status status
    cdef nvm_rounding rule
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding: found {rounding!r}; accepted: {', '.join(ROUNDINGS)}")
    rule = <nvm_rounding><int>ROUNDINGS[rounding]
    _get(values, &x, b"f", 4, False, "values")
    try:
        _get_codes(out, &codes, True, True, "out")
        try:
            _expect(codes.len // codes.itemsize, x.len // 4, "out (one a value)")
            with nogil:
                if codes.itemsize == 2:
                    status = nvm_quantize_f32s16(
                        <const float *>x.buf, <size_t>x.len // 4, scale, zero, rule,
                        <int16_t *>codes.buf)
                else:
                    status = nvm_quantize_f32(
                        <const float *>x.buf, <size_t>x.len // 4, scale, zero, rule,
                        <int8_t *>codes.buf)
        finally:
            PyBuffer_Release(&codes)
    finally:
        PyBuffer_Release(&x)
    if status == NVM_E_RANGE:
        raise ValueError(
            f"values: found a NaN, or scale {scale}, zero point {zero}; accepted: numbers, a finite "
            "scale above 0, a zero point that the codes can hold")
    if status != NVM_OK:
        raise _error(status, "quantize")


def quantize_steps(values, thresholds, out):
    cdef Py_buffer x, steps, codes
    cdef nvm_status status
    _get(values, &x, b"f", 4, False, "values")
    try:
        _get(thresholds, &steps, b"f", 4, False, "thresholds")
        try:
            _expect(steps.len // 4, 255, "thresholds")
            _get_codes(out, &codes, True, False, "out")
            try:
                _expect(codes.len, x.len // 4, "out (one a value)")
                with nogil:
                    status = nvm_quantize_steps_f32(
                        <const float *>x.buf, <size_t>x.len // 4, <const float *>steps.buf,
                        <int8_t *>codes.buf)
            finally:
                PyBuffer_Release(&codes)
        finally:
            PyBuffer_Release(&steps)
    finally:
        PyBuffer_Release(&x)
    if status == NVM_E_RANGE:
        raise ValueError("values: found a NaN; accepted: numbers")
    if status != NVM_OK:
        raise _error(status, "quantize")


def dequantize(codes, float scale, int zero, out):
    cdef Py_buffer source, x
    cdef nvm_status status
    _get_codes(codes, &source, True, False, "codes")
    try:
        _get(out, &x, b"f", 4, True, "out")
        try:
            _expect(source.len // source.itemsize, x.len // 4, "codes (one a value of out)")
            with nogil:
                if source.itemsize == 2:
                    status = nvm_dequantize_s16(
                        <const int16_t *>source.buf, <size_t>x.len // 4, scale, zero, <float *>x.buf)
                else:
                    status = nvm_dequantize_s8(
                        <const int8_t *>source.buf, <size_t>x.len // 4, scale, zero, <float *>x.buf)
        finally:
            PyBuffer_Release(&x)
    finally:
        PyBuffer_Release(&source)
    if status == NVM_E_RANGE:
        raise ValueError(
            f"found scale {scale}, zero point {zero}; accepted: a finite scale above 0, a zero point "
            "that the codes can hold")
    if status != NVM_OK:
        raise _error(status, "dequantize")


def top_k(codes, Py_ssize_t k):
    cdef Py_buffer view
    cdef uint32_t *index = NULL
    cdef nvm_status status
    cdef Py_ssize_t n
    _get_codes(codes, &view, True, False, "codes")
    try:
        n = view.len // view.itemsize
        if k < 0 or k > n:
            raise ShapeError(f"k: found {k}; accepted: 0 to {n}")
        index = <uint32_t *>_allocate(<size_t>k * sizeof(uint32_t))
        try:
            if view.itemsize == 2:
                status = nvm_top_k_s16(<const int16_t *>view.buf, <size_t>n, <size_t>k, index)
            else:
                status = nvm_top_k_s8(<const int8_t *>view.buf, <size_t>n, <size_t>k, index)
            if status != NVM_OK:
                raise _error(status, "top_k")
            return [index[i] for i in range(k)]
        finally:
            free(index)
    finally:
        PyBuffer_Release(&view)


include "spiking.pxi"


def version():
    return nvm_version() >> 16, nvm_version() >> 8 & 255, nvm_version() & 255


def isa():
    return nvm_isa_chosen().decode()


def isas():
    cdef uint32_t i = 0
    found = []
    while nvm_isa_name(i) is not NULL:
        if nvm_isa_available(i):
            found.append(nvm_isa_name(i).decode())
        i += 1
    return tuple(found)


def choose_isa(name, str what="instruction set"):
    cdef nvm_status status
    if name is None:
        status = nvm_isa_force(NULL)
    else:
        encoded = name.encode()
        status = nvm_isa_force(encoded) if b"\0" not in encoded else NVM_E_ARG
    if status != NVM_OK:
        reason = " (which this machine lacks)" if status == NVM_E_UNSUPPORTED else ""
        raise BackendError(f"{what}: found {name!r}{reason}; accepted: {', '.join(isas())}")
