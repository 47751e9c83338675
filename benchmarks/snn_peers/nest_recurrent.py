# SPDX-License-Identifier: Apache-2.0
"""NEST: a recurrent network with constant drive. Run in a Python that has NEST.

`nest_recurrent.py NETWORK.npz STEPS` runs it once and prints a JSON line: version and spikes,
[step, neuron] each. For every line of standard input it runs as many steps more and prints another:
seconds a step.

iaf_psc_delta with resolution and delay of 1 ms: V(t + 1) = leak V(t) + drive + w s(t), fires at
V >= threshold, resets to 0.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import nest
import numpy as np


def main(network: Path, steps: int) -> None:
    given = np.load(network)
    leak, drive, threshold = (float(given[key]) for key in ("leak", "drive", "threshold"))
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.resolution = 1.0
    nest.local_num_threads = 1
    tau_ms, capacity = -1.0 / math.log(leak), 1.0
    parameters = {
        "E_L": 0.0,
        "V_reset": 0.0,
        "V_th": threshold,
        "t_ref": 0.0,
        "tau_m": tau_ms,
        "C_m": capacity,
        "I_e": drive / (1 - leak) * capacity / tau_ms,
    }
    n = given["v"].size
    neurons = nest.Create("iaf_psc_delta", n, params=parameters)
    neurons.V_m = given["v"]
    count = given["source"].size
    nest.Connect(
        given["source"].astype(np.int64) + 1,
        given["target"].astype(np.int64) + 1,
        "one_to_one",
        {"weight": given["weight"].astype(float), "delay": np.ones(count)},
    )
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Prepare()
    nest.Run(float(steps))
    events = recorder.events
    when = np.rint(events["times"]).astype(int) - 1
    spikes = np.stack([when, events["senders"] - 1], axis=1)
    print(json.dumps({"version": nest.__version__, "spikes": spikes.tolist()}), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        nest.Run(float(steps))
        took_s = time.perf_counter() - begun
        print(json.dumps({"step_s": took_s / steps}), flush=True)
    nest.Cleanup()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
