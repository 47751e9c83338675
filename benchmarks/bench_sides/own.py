# SPDX-License-Identifier: Apache-2.0
"""neurovm: sessions that step, and dense rows; NEUROVM_ISA forces an instruction set."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np

import neurovm
from neurovm import _kernel

WAYS = ("auto", "events", "tiles", "dense")


class Rows:
    """The rows in every form that a mode takes, made before time is taken."""

    def __init__(self, model, rows):
        info = model.inputs[0]
        self.values = rows
        self.single = list(rows)
        self.coded = info.dtype == "int8"
        self.codes = [bytes(model.to_codes(row)) for row in rows]
        self.whole = b"".join(self.codes)
        self.updates = _updates(self.codes)
        if self.updates is not None:
            places, codes = zip(*self.updates, strict=True)
            self.listed = np.array(places, np.uint32), np.array(codes, np.int8)
        self.sessions = {}


def _updates(codes):
    """(index, code) of the one element that differs from the row before; None: not one alone."""
    found = []
    for before, row in zip([codes[-1], *codes[:-1]], codes, strict=True):
        old, new = (np.frombuffer(each, np.int8) for each in (before, row))
        places = np.flatnonzero(old != new)
        if len(places) != 1:
            return None
        found.append((int(places[0]), int(new[places[0]])))
    return found


class Side:
    def __init__(self, model):
        self._model = neurovm.convert_tflite(model)
        self.version = f"neurovm {neurovm.__version__}, {_kernel.isa()}"

    def prepare(self, rows):
        return Rows(self._model, rows)

    def run(self, mode, rows, at, count):
        if mode == "batch":
            for _ in range(count):
                self._model.predict(rows.values)
        elif mode == "predict":
            predict = self._model.predict
            for row in _turn(rows.single, at, count):
                predict(row)
        elif mode == "run":
            run = self._session(mode, rows).run
            for _ in range(max(1, count // len(rows.codes))):
                run(rows.whole)
        elif mode == "run_updates":
            run = self._session(mode, rows).run_updates
            for _ in range(max(1, count // len(rows.codes))):
                run(*rows.listed)
        elif mode == "update":
            update = self._session(mode, rows).update
            for index, code in _turn(rows.updates, at, count):
                update(index, code)
        elif rows.coded:
            step = self._session(mode, rows).step
            for row in _turn(rows.codes, at, count):
                step(row)
        else:
            step, to_codes = self._session(mode, rows).step, self._model.to_codes
            for row in _turn(rows.single, at, count):
                step(to_codes(row))

    def answers(self, rows):
        session = self._model.session()
        found = [np.asarray(self._model.from_codes(session.step(each))) for each in rows.codes]
        return np.stack([np.array(each).reshape(-1) for each in found])

    def _session(self, mode, rows):
        """One for each mode and stream, which goes on where its last run ended."""
        if mode not in rows.sessions:
            session = self._model.session(way=mode if mode in WAYS else "auto")
            session.step(rows.codes[-1])
            rows.sessions[mode] = session
        return rows.sessions[mode]


def _turn(rows, at, count):
    at %= len(rows)
    return islice(cycle(rows), at, at + count)
