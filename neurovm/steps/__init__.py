# SPDX-License-Identifier: Apache-2.0
"""Output steps: from what a network answers to what is to be told. One a file, each a frozen struct
of its parameters; listed here.

    steps = [Softmax(), Ema(time_constant_s=0.5), Threshold(above=0.8, release=0.6), Event()]
    stream = chain(steps, model.outputs)             # checked, and the state of one stream
    changes = stream.push(t_us, session.step(codes)) # None: nothing to tell

What a step takes and gives is a form (neurovm.steps.forms); each has to fit the one before. Numbers
are finite and within float32's range throughout, time never goes back, and the work for one result
is bounded. No numpy is needed.

| step | takes | gives |
| --- | --- | --- |
| `select` | tensors, vector | vector |
| `labels` `softmax` `sigmoid` `mean` `median` `ema` `regression` `round` `deadband` `anomaly` |
  vector | vector |
| `top_k` | vector | ranking |
| `classify` | vector | class |
| `keyword` | vector | keyword |
| `threshold` | vector | flags |
| `event` | flags | events |
| `reconstruction` | tensors | single value |
| `ssd` `yolo` `box_rows` | tensors | boxes |
| `nms` | boxes | boxes |
| `presence` | boxes | vector |

`Alert` is a rule that tells events of what steps give: `threshold` and `event` after a vector.
"""

from __future__ import annotations

from neurovm.steps.alert import Alert, When
from neurovm.steps.anomaly import Anomaly
from neurovm.steps.base import Step, StepStream
from neurovm.steps.box_rows import BoxRows
from neurovm.steps.chain import Chain, Plan, chain
from neurovm.steps.classify import Classify
from neurovm.steps.deadband import Deadband
from neurovm.steps.ema import Ema
from neurovm.steps.event import Event
from neurovm.steps.forms import Box, Change, Flags, Reading, Scored, TensorsForm
from neurovm.steps.keyword import Keyword
from neurovm.steps.labels import Labels
from neurovm.steps.nms import Nms
from neurovm.steps.presence import Presence
from neurovm.steps.reconstruction import Reconstruction
from neurovm.steps.regression import Regression
from neurovm.steps.rolling import Mean, Median
from neurovm.steps.rounding import Round
from neurovm.steps.select import Select
from neurovm.steps.sigmoid import Sigmoid
from neurovm.steps.softmax import Softmax
from neurovm.steps.ssd import Grid, Ssd
from neurovm.steps.threshold import Threshold
from neurovm.steps.top_k import TopK
from neurovm.steps.yolo import Head, Yolo

AnyStep = (
    Select
    | Labels
    | Softmax
    | Sigmoid
    | Mean
    | Median
    | Ema
    | Regression
    | Round
    | Deadband
    | Anomaly
    | TopK
    | Classify
    | Keyword
    | Threshold
    | Event
    | Reconstruction
    | Ssd
    | Yolo
    | BoxRows
    | Nms
    | Presence
)

__all__ = [
    "Alert",
    "Anomaly",
    "AnyStep",
    "Box",
    "BoxRows",
    "Chain",
    "Change",
    "Classify",
    "Deadband",
    "Ema",
    "Event",
    "Flags",
    "Grid",
    "Head",
    "Keyword",
    "Labels",
    "Mean",
    "Median",
    "Nms",
    "Plan",
    "Presence",
    "Reading",
    "Reconstruction",
    "Regression",
    "Round",
    "Scored",
    "Select",
    "Sigmoid",
    "Softmax",
    "Ssd",
    "Step",
    "StepStream",
    "Threshold",
    "TensorsForm",
    "TopK",
    "When",
    "Yolo",
    "chain",
]
