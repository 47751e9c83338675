# SPDX-License-Identifier: Apache-2.0
"""What somebody who carries an accelerometer does."""
