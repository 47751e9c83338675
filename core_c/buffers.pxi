# SPDX-License-Identifier: Apache-2.0
"""Buffers that come in, memory that goes out, and what is said of those that do not fit; a part of _kernel.pyx."""


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


cdef size_t _count_rows(Py_buffer *view, size_t each) except? 0xFFFFFFFF:
    """How many rows of so many bytes a buffer holds."""
    if <size_t>view.len % each != 0:
        raise ShapeError(f"codes: found {view.len} bytes; accepted: whole rows of {each}")
    return <size_t>view.len // each


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


cdef bint _all_wide(size_t codes, size_t length) noexcept:
    """Whether so many codes in so many bytes take two each."""
    return length == 2 * codes


cdef int _expect(Py_ssize_t found, Py_ssize_t accepted, str what) except -1:
    if found != accepted:
        raise ShapeError(f"{what}: found {found} codes; accepted: {accepted}")
    return 0


@cython.final
cdef class _View:
    """Exports read-only memory of a session, which it keeps alive."""

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
