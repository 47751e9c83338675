# SPDX-License-Identifier: Apache-2.0
"""Profiles: which rounding rule each operator takes. One class and one entry in PROFILES each.

A profile answers with parameters (a `Requantizer`, a table, a rule); lowering packs them, the
oracle evaluates them. Where a profile has no exact rule it raises `NoExactRuleError` with what was
found and what is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from neurovm.arithmetic.binary import BinaryFunction
from neurovm.arithmetic.codes import Activation, Codes
from neurovm.arithmetic.gates import LstmRule, SvdfRule
from neurovm.arithmetic.interpolation import Interpolation
from neurovm.arithmetic.requantizers import Requantizer
from neurovm.arithmetic.row_rules import FixedLogSoftmaxRule, L2Rule, LogSoftmaxRule
from neurovm.arithmetic.rules import AddRule, CodeMap, FixedSoftmaxRule, SoftmaxRule
from neurovm.arithmetic.unary import UnaryFunction
from neurovm.arithmetic.wide_pairs import WideAddRule, WideSoftmaxRule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LinearOperator = Literal["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"]
InputRounding = Literal["even_reciprocal", "away_divide"]
"""rint_even(x · f32(1 / scale)) or round_half_away(x / scale), then + zero point."""


class Profile(Protocol):
    """What lowering and the oracle ask a profile. Scales are float32 values."""

    name: ClassVar[str]
    input_rounding: ClassVar[InputRounding]
    checks_bias_axis: ClassVar[bool]
    """Whether the runtime refuses a bias that is quantised along an axis it has not."""
    saturates: ClassVar[bool]
    """Whether QUANTIZE takes values beyond int32, in steps of its scale; undefined elsewhere."""
    needs_bias: ClassVar[frozenset[str]]
    """Operators with weights that the runtime runs only with a bias."""
    refused: ClassVar[frozenset[str]]
    """Functions that the runtime does not run on int8, or whose rule is not known."""

    def refusal(self, operator: str, dtypes: Collection[str]) -> str:
        """Why the runtime does not run an operator (its name in TFLite) on tensors of these types;
        empty where it does, or where the rules themselves say so.
        """

    def linear(
        self,
        *,
        scale_in: float,
        scale_weights: Sequence[float],
        out: Codes,
        activation: Activation,
        operator: LinearOperator = "CONV_2D",
        weight_bits: int = 8,
        inputs: int = 0,
        outputs: int = 0,
        fixed: bool = True,
        bias: str = "",
    ) -> Requantizer:
        """What multiplies by weights of 8 or 4 bits: one scale, or one an output channel.

        `inputs` codes make one output of a FULLY_CONNECTED; the operator has `outputs` channels.
        `fixed`: the size of its output is a constant of the file, not computed there. `bias` is its
        element type as `WideRules` name it; rules of int16 codes depend on it. Only
        DEPTHWISE_CONV_2D and TRANSPOSE_CONV may get a requantiser with a `tail`.
        """

    def add(
        self, a: Codes, b: Codes, out: Codes, activation: Activation, *, subtract: bool = False
    ) -> AddRule:
        """ADD, or SUB."""

    def matmul(self, a: Codes, b: Codes, out: Codes) -> Requantizer:
        """BATCH_MATMUL of a and b, whether b is constant or not."""

    def wide_add(
        self,
        a: Codes,
        b: Codes,
        out: Codes,
        activation: Activation,
        *,
        subtract: bool = False,
        size: int = 0,
        powers: bool = False,
    ) -> WideAddRule:
        """ADD or SUB of int16 codes.

        `size`: elements of the output where neither input is broadcast, else 0; `powers`: the model
        asks for the rule of scales that are powers of two.
        """

    def product(self, a: Codes, b: Codes, out: Codes, activation: Activation) -> Requantizer:
        """MUL of int16 codes: what requantises their product."""

    def mean(self, x: Codes, out: Codes, count: int) -> Requantizer:
        """MEAN over `count` codes. `affine` requantises their raw sum, any other kind the sum of
        code − zero point. Of uint8 codes it is `affine` in raw codes of both, or refused.
        """

    def sum(self, x: Codes, out: Codes, count: int) -> Requantizer:
        """SUM over `count` codes: as `mean`."""

    def batch_fill(self, x: Codes) -> int:
        """The code with which SPACE_TO_BATCH_ND pads int8 codes x."""

    def interpolation(
        self, length: int, size: int, *, align_corners: bool, half_pixel_centers: bool
    ) -> Interpolation:
        """RESIZE_BILINEAR along one axis, from `length` codes to `size`."""

    def average_pool_range(self, out: Codes, activation: Activation) -> tuple[int, int]:
        """Lowest and highest code of AVERAGE_POOL_2D."""

    def max_pool_range(self, out: Codes, activation: Activation) -> tuple[int, int]:
        """Lowest and highest code of MAX_POOL_2D."""

    def softmax(
        self, x: Codes, out: Codes, beta: float
    ) -> SoftmaxRule | FixedSoftmaxRule | WideSoftmaxRule:
        """SOFTMAX from 8 to 8 or 16 bits, and from 16 to 16 (`WideSoftmaxRule`)."""

    def l2_normalization(self, x: Codes, out: Codes) -> L2Rule:
        """L2_NORMALIZATION."""

    def log_softmax(self, x: Codes, out: Codes) -> LogSoftmaxRule | FixedLogSoftmaxRule:
        """LOG_SOFTMAX."""

    def lstm(
        self,
        *,
        x: Codes,
        hidden: Codes,
        weights: Sequence[float],
        cell_power: int,
        cell_clip: float,
    ) -> LstmRule:
        """UNIDIRECTIONAL_SEQUENCE_LSTM from int8 to int8 with an int16 cell of 2^cell_power.

        `weights`: the scales of W, then of R, in the order i, f, g, o; cell_power in [−15, −9].
        """

    def svdf(
        self,
        *,
        x: Codes,
        out: Codes,
        feature: float,
        time: float,
        state: float,
        narrow: bool,
        activation: Activation,
    ) -> SvdfRule:
        """SVDF from int8 to int8; scales of its weights and its state, which is int8 (`narrow`) or
        int16.
        """

    def requantize(self, x: Codes, out: Codes, size: int) -> CodeMap:
        """QUANTIZE from codes to codes, on a tensor of `size` elements."""

    def unary(
        self, function: UnaryFunction, x: Codes, out: Codes, parameter: float = 0.0
    ) -> NDArray[np.signedinteger]:
        """int8[256] of a function of one variable, of int16 codes int16[65536].

        `parameter` is the α of those that have one.
        """

    def binary(
        self, function: BinaryFunction, a: Codes, b: Codes, out: Codes, activation: Activation
    ) -> NDArray[np.int8]:
        """int8[256, 256] of a function of two variables."""

    def square(self, x: Codes, out: Codes, activation: Activation) -> NDArray[np.int8]:
        """int8[256] of MUL of a value with itself."""

    def quantize(self, real: NDArray[np.float32], out: Codes) -> NDArray[np.int64]:
        """QUANTIZE from float32: codes of out.dtype, saturated; ValueError on NaN."""

    def dequantize(self, codes: NDArray[np.integer], x: Codes) -> NDArray[np.float32]:
        """DEQUANTIZE: f32(f32(code − zero point) · scale)."""
