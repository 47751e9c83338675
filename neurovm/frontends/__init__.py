# SPDX-License-Identifier: Apache-2.0
"""Front ends: rows of a sensor as rows that a network was trained on. One a file, each a frozen
struct of its parameters; listed here.

    front = chain([Scale(scale=1 / 32768), Difference()], rate_hz=16000)
    rows = front.push(packet)       # what the packet's samples complete, and nothing computed twice
    rows = front.whole(clip)        # the same for a clip by itself

A front end takes rows of any shape, () for single samples, and gives rows of its own. Each row out
is computed once, when the last row in that it needs is there, and is the same bit for bit however
the rows in were cut into packets. numpy is loaded when a stream begins, not with this module.

| front end | a row becomes | names after |
| --- | --- | --- |
| `scale` | `scale` · x + `offset`, clipped | – |
| `mix` | the weighted sum of its channels | – |
| `difference` | what has changed since `lag` rows before | numpy.diff |
| `pre_emphasis` | x − `coefficient` · the row before | librosa.effects.preemphasis |
| `normalize` | itself divided by the peak or spread of its window, its block or all so far | – |
| `frames` | overlapping frames under a window function | tf.signal.frame |
| `spectrum` | magnitude or power of their Fourier transform | tf.signal.stft |
| `log_mel` | the logarithm of its mel bands | librosa.feature.melspectrogram |
| `mfcc` | their cosine transform | tf.signal.mfccs_from_log_mel_spectrograms |
| `micro` | the integer features of TensorFlow Lite Micro | audio_microfrontend |
| `crop` | a rectangle of a picture | – |
| `resize` | a picture of another size | PIL.Image.Image.resize |
| `colours` | a picture in grey, or blue before red | – |
| `transpose` | itself with its axes in another order | numpy.transpose |
"""

from __future__ import annotations

from neurovm.frontends.base import Front, FrontEnd
from neurovm.frontends.chain import chain
from neurovm.frontends.colours import Colours
from neurovm.frontends.crop import Crop
from neurovm.frontends.difference import Difference
from neurovm.frontends.frames import Frames
from neurovm.frontends.log_mel import LogMel
from neurovm.frontends.mfcc import Mfcc
from neurovm.frontends.micro import Micro
from neurovm.frontends.mix import Mix
from neurovm.frontends.normalize import Normalize
from neurovm.frontends.pre_emphasis import PreEmphasis
from neurovm.frontends.resize import Resize
from neurovm.frontends.scale import Scale
from neurovm.frontends.spectrum import Spectrum
from neurovm.frontends.transpose import Transpose

AnyFrontEnd = (
    Scale
    | Mix
    | Difference
    | PreEmphasis
    | Normalize
    | Frames
    | Spectrum
    | LogMel
    | Mfcc
    | Micro
    | Crop
    | Resize
    | Colours
    | Transpose
)

__all__ = [
    "AnyFrontEnd",
    "Colours",
    "Crop",
    "Difference",
    "Frames",
    "Front",
    "FrontEnd",
    "LogMel",
    "Mfcc",
    "Micro",
    "Mix",
    "Normalize",
    "PreEmphasis",
    "Resize",
    "Scale",
    "Spectrum",
    "Transpose",
    "chain",
]
