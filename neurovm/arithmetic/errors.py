# SPDX-License-Identifier: Apache-2.0
"""What arithmetic raises."""

from neurovm.errors import ModelError


class NoExactRuleError(ModelError):
    """The profile has no exact rule for these scales or codes. The text says what would be
    needed.
    """
