# SPDX-License-Identifier: Apache-2.0
"""The binding of programs; a part of _kernel.pyx."""


cdef uint64_t _now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec


cdef class Program


@cython.final
cdef class _Predictor:
    """Owns memory made ready to predict rows of a program, which owns it in turn."""

    cdef void *block
    cdef nvm_predictor *predictor

    def __cinit__(self, Program program):
        cdef size_t size = nvm_predict_size(&program.program)
        cdef nvm_status status
        self.block = NULL
        self.predictor = NULL
        self.block = _allocate(size)
        status = nvm_predictor_init(self.block, size, &program.program, &self.predictor)
        if status != NVM_OK:
            raise _error(status, "predict")

    def __dealloc__(self):
        free(self.block)


@cython.final
cdef class Program:
    """Owns its two buffers (or aligned copies of them); the C program points into them."""

    cdef nvm_program program
    cdef _Bytes layers
    cdef _Bytes arena
    cdef void *pack
    cdef nvm_threads *threads  # at the start of its own block
    cdef list costs_given  # sessions may be in the making by the ones before
    cdef _Bytes adopted
    cdef _Predictor idle

    def __cinit__(self, layers, arena, *, uint32_t threads=1):
        cdef uint32_t bad = UINT32_MAX
        cdef nvm_status status
        self.pack = NULL
        self.threads = NULL
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
        if threads != 1:
            self.start(threads)

    cdef int ready(self) except -1:
        """Packs the weights before they are first used, unless there is a pack already."""
        cdef size_t size
        cdef nvm_status status
        if self.pack is not NULL or self.adopted is not None:
            return 0
        size = nvm_pack_size(&self.program)
        self.pack = _allocate(size)
        memset(self.pack, 0, size)
        status = nvm_program_pack(&self.program, self.pack, size)
        if status != NVM_OK:
            raise _error(status, "weights")
        return 0

    def packed(self):
        self.ready()
        if self.adopted is not None:
            return _export(self, self.adopted.data, nvm_pack_size(&self.program), 1, b"B")
        return _export(self, self.pack, nvm_pack_size(&self.program), 1, b"B")

    def adopt(self, pack):
        cdef _Bytes held = _Bytes(pack, "pack")
        cdef nvm_status status
        if self.pack is not NULL or self.adopted is not None:
            raise RuntimeError("the weights are packed already; accepted: before the first session")
        status = nvm_program_adopt(&self.program, held.data, held.size)
        if status != NVM_OK:
            raise BundleError(
                f"pack: {nvm_status_text(status).decode()}; accepted: that of this program, instruction "
                f"set and build of the kernel, {nvm_pack_size(&self.program)} bytes")
        self.adopted = held

    def __dealloc__(self):
        nvm_threads_close(self.threads)
        free(self.threads)
        free(self.pack)

    cdef int start(self, uint32_t threads) except -1:
        cdef size_t size = nvm_threads_size(threads)
        cdef nvm_status status
        cdef nvm_threads *opened = NULL
        cdef void *block
        if size == 0:
            raise ValueError(f"threads {threads}; accepted: 1 to {NVM_MAX_THREADS}")
        block = _allocate(size)
        status = nvm_threads_open(block, size, threads, 0, &opened)
        if status != NVM_OK:
            free(block)
            raise _error(status, f"{threads} threads")
        self.threads = opened
        nvm_program_threads(&self.program, self.threads)
        return 0

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
    def dense_session_bytes(self):
        self.ready()
        return nvm_session_size_by(&self.program, NVM_DENSE_WAY)

    def sizes(self, str isa):
        cdef size_t session, predict
        status = nvm_program_sizes(&self.program, isa.encode(), &session, &predict)
        if status != NVM_OK:
            raise BackendError(f"instruction set: found {isa!r}; accepted: one that the kernel is built for")
        return session, predict

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
        self.ready()
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

    def plan(self):
        cdef size_t n = self.program.n_layers, i
        cdef size_t *offset = NULL
        cdef size_t *length
        offset = <size_t *>_allocate(2 * n * sizeof(size_t))
        length = offset + n
        try:
            used = nvm_predict_plan(&self.program, offset, length)
            return used, tuple((offset[i], length[i]) for i in range(n))
        finally:
            free(offset)

    def predict(self, codes_in, codes_out, Py_ssize_t rows):
        cdef Py_buffer source, target
        cdef _Predictor predictor
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
                predictor = self.take_predictor()
                with nogil:
                    status = nvm_predictor_run(
                        predictor.predictor, source.buf, target.buf, <size_t>rows)
                self.idle = predictor
            finally:
                PyBuffer_Release(&target)
        finally:
            PyBuffer_Release(&source)
        if status != NVM_OK:
            raise _error(status, "predict")

    cdef _Predictor take_predictor(self):
        """The one that nobody uses, or another: several threads may predict at a time."""
        cdef _Predictor predictor = self.idle
        self.idle = None
        if predictor is None:
            self.ready()
            predictor = _Predictor(self)
        return predictor
