# SPDX-License-Identifier: Apache-2.0
"""Windows over streams of samples: from what payloads hold to the codes of whole windows.

    values ─ rows ─ in order, late ones let go ─ gaps, a steady rate ─ front end ─ frames ─ window

Each stage is one file and knows nothing of the others; `neurovmd.frame_streams` joins them.
"""
