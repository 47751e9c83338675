# SPDX-License-Identifier: Apache-2.0
"""Brian2, C++ standalone: a recurrent network with constant drive. Run in Brian2's own Python.

`brian2_recurrent.py NETWORK.npz STEPS FOLDER` builds and runs it once and prints a JSON line:
version and spikes, [step, neuron] each. For every line of standard input it runs again and prints
another: seconds a step by Brian2's own clock of its simulation loop.

The order of a step is made ours: leak and drive, threshold, reset, then synapses. A spike thus
counts in the next step after it has leaked once, for which its weights make up.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from pathlib import Path

import brian2 as b
import numpy as np


def main(network: Path, steps: int, folder: Path) -> None:
    given = np.load(network)
    leak, drive, threshold = (float(given[key]) for key in ("leak", "drive", "threshold"))
    b.prefs.devices.cpp_standalone.openmp_threads = 0
    b.prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O3", "-ffast-math", "-march=native"]
    b.prefs.core.default_float_dtype = np.float64
    b.set_device("cpp_standalone", build_on_run=False)
    b.defaultclock.dt = 1 * b.ms
    namespace = {
        "rest": drive / (1 - leak),
        "tau": -1 * b.ms / math.log(leak),
        "threshold": threshold,
    }
    neurons = b.NeuronGroup(
        given["v"].size,
        "dv/dt = (rest - v) / tau : 1",
        threshold="v >= threshold",
        reset="v = 0",
        method="exact",
        namespace=namespace,
    )
    neurons.v = given["v"]
    synapses = b.Synapses(neurons, neurons, "w : 1", on_pre="v_post += w")
    synapses.connect(i=given["source"], j=given["target"])
    synapses.w = given["weight"] / leak
    monitor = b.SpikeMonitor(neurons)
    net = b.Network(neurons, synapses, monitor)
    net.schedule = ["start", "groups", "thresholds", "resets", "synapses", "end"]
    net.run(steps * b.ms)
    b.device.build(directory=str(folder), compile=True, run=False, debug=False)
    run = functools.partial(b.device.run, str(folder), with_output=False, run_args=[])
    run()
    spikes = np.stack([np.rint(monitor.t / b.ms).astype(int), np.asarray(monitor.i)], axis=1)
    print(json.dumps({"version": b.__version__, "spikes": spikes.tolist()}), flush=True)
    for _ in sys.stdin:
        run()
        took_s = b.device._last_run_time  # noqa: SLF001 - Brian2 publishes it nowhere else
        print(json.dumps({"step_s": took_s / steps}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
