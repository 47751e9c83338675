# SPDX-License-Identifier: Apache-2.0
"""The interpreter that code for TFLite knows, run by events.

Change one import, and the rest of the program stays as it is:

    from tflite_runtime.interpreter import Interpreter    # before
    from neurovm.tflite import Interpreter                # after

Answers are bit for bit the same (profile `xnnpack`: LiteRT as everybody runs it); `invoke` costs
what changed since the last one. numpy is loaded with the first interpreter.
"""

from neurovm.tflite.interpreter import Delegate, Interpreter, OpResolverType, load_delegate
from neurovm.tflite.signature import SignatureRunner

__all__ = ["Delegate", "Interpreter", "OpResolverType", "SignatureRunner", "load_delegate"]
