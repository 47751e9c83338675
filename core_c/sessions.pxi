# SPDX-License-Identifier: Apache-2.0
"""The binding of several sessions together; a part of _kernel.pyx."""


cdef object _ends_of_single(indices):
    """Steps of one index each."""
    return _array("I", range(1, len(memoryview(indices)) + 1))


def step_sessions(sessions, codes, out=None):
    cdef Py_buffer view, target
    cdef nvm_status status = NVM_OK
    cdef nvm_session **each = NULL
    cdef list members = list(sessions)
    cdef Session member, first
    cdef size_t n = <size_t>len(members), entered = 0, i
    if n == 0:
        raise ShapeError("sessions: found none; accepted: one or more")
    for one in members:
        if type(one) is not Session:
            raise TypeError(f"sessions: found {type(one).__name__}; accepted: sessions of this kernel")
        if (<Session>one).program is not (<Session>members[0]).program:
            raise ShapeError("sessions: found two programs; accepted: sessions of one model")
    if len({id(one) for one in members}) != len(members):
        raise ShapeError("sessions: found one twice; accepted: each once")
    first = <Session>members[0]
    _get_codes(codes, &view, _all_wide(first.program.program.codes_in, first.program.program.bytes_in),
               False, "codes")
    try:
        _expect_bytes(&view, n * first.program.program.bytes_in,
                      n * first.program.program.codes_in, "codes")
        out = first.outputs(n) if out is None else out
        _get_codes(out, &target,
                   _all_wide(first.program.program.codes_out, first.program.program.bytes_out),
                   True, "out")
        try:
            _expect_bytes(&target, n * first.program.program.bytes_out,
                          n * first.program.program.codes_out, "out")
            each = <nvm_session **>_allocate(n * sizeof(each[0]))
            try:
                for i in range(n):
                    member = <Session>members[i]
                    member.enter()
                    entered += 1
                    each[i] = member.session
                with nogil:
                    status = nvm_sessions_step(each, n, view.buf, target.buf)
            finally:
                for i in range(entered):
                    (<Session>members[i]).settle()
                free(each)
        finally:
            PyBuffer_Release(&target)
    finally:
        PyBuffer_Release(&view)
    if status != NVM_OK:
        raise _error(status, "step_sessions")
    return out
