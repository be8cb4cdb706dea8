"""SMPTE timecodes (ST 12-1): the one so many frames later."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["later"]

_TEXT = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")
_DAY = 24 * 60  # minutes


def later(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode `frames` frames after `timecode`, at `rate` frames a second.

    What is no timecode comes back as it is. Drop-frame timecodes, of 30000/1001 and 60000/1001 frames a second and
    with ; or . before the frames, leave out the first numbers of every minute but each tenth.
    """
    found = _TEXT.fullmatch(timecode)
    count = round(rate)
    if found is None or count < 1:
        return timecode
    hours, minutes, seconds, _, frame = (int(part) if part.isdigit() else 0 for part in found.groups())
    dropped = count // 15 if found[4] != ":" and count % 30 == 0 else 0  # numbers a minute
    minutes += 60 * hours
    number = (minutes * 60 + seconds) * count + frame - dropped * (minutes - minutes // 10) + frames
    ten = 600 * count - 9 * dropped  # frames in ten minutes
    number %= _DAY // 10 * ten
    if dropped:
        tens, rest = divmod(number, ten)
        number += 9 * dropped * tens
        if rest >= 60 * count:  # the first minute of ten is whole
            number += dropped * (1 + (rest - 60 * count) // (60 * count - dropped))
    seconds, frame = divmod(number, count)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{found[4]}{frame:0{len(found[5])}}"
