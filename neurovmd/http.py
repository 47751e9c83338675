# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 as far as the daemon speaks it: one request's head read, one response written.

Nothing here waits or keeps anything; who serves a connection bounds what is heard of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

MAX_HEAD_BYTES = 4096
JSON = "application/json"

_REQUEST = re.compile(rb"([!-~]{1,32}) ([!-~]{1,1024}) HTTP/1\.[0-9]\r?\n")
_HEAD_END = re.compile(rb"\n\r?\n")
_NUMBER = re.compile(rb"[0-9]{1,12}\Z")
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class RefusedError(Exception):
    """A request that is answered with an error: `status` and what is wrong."""

    def __init__(self, status: int, text: str, *, allow: str = "") -> None:
        super().__init__(text)
        self.status, self.allow = status, allow

    def response(self, method: bytes = b"GET") -> bytes:
        return response(self.status, {"error": str(self)}, method, allow=self.allow)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request: `target` without its query, header names in small letters, and where
    in what was heard its body begins.
    """

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    end: int

    def number(self, name: bytes) -> int | None:
        """A header that is a number of bytes; None where there is none. RefusedError: 400."""
        text = self.headers.get(name)
        if text is None:
            return None
        if not _NUMBER.match(text):
            raise RefusedError(400, f"{name.decode()}: found {text[:40]!r}; accepted: a number")
        return int(text)


def read_head(heard: bytes) -> Head | None:
    """The head of what was heard; None while it is not whole. RefusedError: 400, 431."""
    first = _REQUEST.match(heard)
    if first is None:
        if b"\n" in heard or len(heard) >= MAX_HEAD_BYTES:
            raise RefusedError(400, "not an HTTP/1 request")
        return None
    end = _HEAD_END.search(heard, first.end() - 1)
    if (end.end() if end else len(heard)) > MAX_HEAD_BYTES or (
        end is None and len(heard) >= MAX_HEAD_BYTES
    ):
        raise RefusedError(431, f"at most {MAX_HEAD_BYTES} bytes")
    if end is None:
        return None
    headers: dict[bytes, bytes] = {}
    for line in heard[first.end() : end.start() + 1].split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return Head(first[1], first[2].split(b"?", 1)[0], headers, end.end())


def response(
    status: int,
    told: dict[str, Any] | list[Any],
    method: bytes = b"GET",
    *,
    allow: str = "",
    tail: bytes = b"",
) -> bytes:
    """One HTTP/1.1 response that ends the connection; without its body where HEAD asks.

    `tail`: bytes after the JSON (the protocol's binary tensors).
    """
    body = msgspec.json.encode(told) + (b"" if tail else b"\n")
    head = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {'application/octet-stream' if tail else JSON}",
        *([f"Inference-Header-Content-Length: {len(body)}"] if tail else []),
        f"Content-Length: {len(body) + len(tail)}",
        "Cache-Control: no-store",
        *([f"Allow: {allow}"] if allow else []),
        *(["Retry-After: 1"] if status in (429, 503) else []),
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + (b"" if method == b"HEAD" else body + tail)
