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

from array import array as _array

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
MAX_THREADS = NVM_MAX_THREADS
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


include "buffers.pxi"
include "program.pxi"
include "session.pxi"
include "sessions.pxi"
include "codes.pxi"
include "spiking.pxi"
include "stream.pxi"


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
