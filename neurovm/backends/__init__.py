# SPDX-License-Identifier: Apache-2.0
"""What executes a program. One backend a file; each is loaded only when it is asked for."""

from neurovm.backends.base import BACKENDS, Backend, BackendSession, Executable, find

__all__ = ["BACKENDS", "Backend", "BackendSession", "Executable", "find"]
