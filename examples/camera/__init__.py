# SPDX-License-Identifier: Apache-2.0
"""What a camera sees, and where."""
