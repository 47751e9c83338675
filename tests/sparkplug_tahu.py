# SPDX-License-Identifier: Apache-2.0
"""A process that speaks Sparkplug B with Eclipse Tahu's code: the judge of ours.

Its generated code asks for a protobuf of its time, so it runs apart, with protobuf's pure Python.
One request a line of standard input, one answer a line of standard output, all JSON:
{"decode": HEX} -> [seq, timestamp, [[name, alias, timestamp, datatype, historical, null, value]]]
{"encode": [[name, alias, type, value], …], "seq": n} -> HEX, by Tahu's own addMetric
"""

import json
import sys

from tahu import sparkplug_b, sparkplug_b_pb2


def decoded(data: bytes) -> list[object]:
    payload = sparkplug_b_pb2.Payload()
    payload.ParseFromString(data)
    metrics = []
    for metric in payload.metrics:
        kind = metric.WhichOneof("value")
        value = None if kind is None else getattr(metric, kind)
        if isinstance(value, bytes):
            value = value.hex()
        alias = metric.alias if metric.HasField("alias") else None
        name = metric.name if metric.HasField("name") else None
        said = [name, alias, metric.timestamp, metric.datatype]
        metrics.append([*said, metric.is_historical, metric.is_null, value])
    seq = payload.seq if payload.HasField("seq") else None
    return [seq, payload.timestamp, metrics]


def encoded(request: dict[str, object]) -> str:
    payload = sparkplug_b_pb2.Payload()
    payload.timestamp = 1
    payload.seq = request["seq"]
    for name, alias, kind, value in request["encode"]:
        sparkplug_b.addMetric(payload, name, alias, kind, value)
    return payload.SerializeToString().hex()


for line in sys.stdin:
    request = json.loads(line)
    answer = decoded(bytes.fromhex(request["decode"])) if "decode" in request else encoded(request)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
