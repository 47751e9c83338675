# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic of the source runtimes: multipliers, rounding, tables, thresholds, profiles.

`PROFILES["xnnpack"]` answers, operator by operator, with the parameters of the rule that runtime
uses. Nothing here knows graphs or the kernel.
"""

from neurovm.arithmetic.binary import BinaryFunction
from neurovm.arithmetic.codes import Activation, Codes
from neurovm.arithmetic.errors import NoExactRuleError
from neurovm.arithmetic.fixed_point import Multipliers, double, multiplier, multipliers, wrap32
from neurovm.arithmetic.gates import LstmRule, SvdfRule
from neurovm.arithmetic.interpolation import Interpolation
from neurovm.arithmetic.profiles import InputRounding, LinearOperator, Profile
from neurovm.arithmetic.real import Reals
from neurovm.arithmetic.requantizers import Kind, Requantizer
from neurovm.arithmetic.row_rules import FixedLogSoftmaxRule
from neurovm.arithmetic.rules import AddRule, CodeMap, FixedSoftmaxRule, SoftmaxRule
from neurovm.arithmetic.tflm import Tflm
from neurovm.arithmetic.thresholds import NEVER, ladder, sum_range, thresholds
from neurovm.arithmetic.unary import UnaryFunction
from neurovm.arithmetic.wide_pairs import WideAddRule, WideSoftmaxRule
from neurovm.arithmetic.xnnpack import Xnnpack

PROFILES: dict[str, Profile] = {Xnnpack.name: Xnnpack(), Tflm.name: Tflm()}
"""Every profile by its name."""

__all__ = [
    "NEVER",
    "PROFILES",
    "Activation",
    "AddRule",
    "CodeMap",
    "BinaryFunction",
    "Codes",
    "FixedLogSoftmaxRule",
    "FixedSoftmaxRule",
    "InputRounding",
    "Interpolation",
    "Kind",
    "LinearOperator",
    "LstmRule",
    "Multipliers",
    "NoExactRuleError",
    "Profile",
    "Reals",
    "Requantizer",
    "SoftmaxRule",
    "SvdfRule",
    "Tflm",
    "UnaryFunction",
    "WideAddRule",
    "WideSoftmaxRule",
    "Xnnpack",
    "double",
    "ladder",
    "multiplier",
    "multipliers",
    "sum_range",
    "thresholds",
    "wrap32",
]
