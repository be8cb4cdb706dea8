"""HDR10 static metadata: read from frames, written as encoder parameters.

FFmpeg's encoders take the mastering display from the application, not from the
frames, so it has to be handed over as text, in each encoder's own units.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["HdrMetadata", "encoder_parameters", "parse"]

Point = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class HdrMetadata:
    """SMPTE ST 2086 mastering display and CTA-861.3 content light level.

    Attributes:
        primaries: (x, y) of red, green, blue in CIE 1931, or None.
        white: (x, y) of the white point, or None.
        luminance: (minimum, maximum) in cd/m², or None.
        content_light: (MaxCLL, MaxFALL) in cd/m², or None.
    """

    primaries: tuple[Point, Point, Point] | None = None
    white: Point | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    content_light: tuple[int, int] | None = None


def parse(mastering: bytes | None, light: bytes | None) -> HdrMetadata | None:
    """From the raw bytes of AVMasteringDisplayMetadata (88) and AVContentLightMetadata (8)."""
    primaries = white = luminance = content_light = None
    if mastering and len(mastering) >= 88:
        values = struct.unpack_from("=22i", mastering)
        ratios = [Fraction(n, d) if d else Fraction(0) for n, d in zip(values[:20:2], values[1:20:2], strict=True)]
        if values[20]:
            primaries = ((ratios[0], ratios[1]), (ratios[2], ratios[3]), (ratios[4], ratios[5]))
            white = (ratios[6], ratios[7])
        if values[21]:
            luminance = (ratios[8], ratios[9])
    if light and len(light) >= 8:
        maximum, average = struct.unpack_from("=2I", light)
        content_light = (maximum, average)
    if primaries is None and luminance is None and content_light is None:
        return None
    return HdrMetadata(primaries, white, luminance, content_light)


def encoder_parameters(encoder: str, hdr: HdrMetadata) -> tuple[str, str] | None:
    """(option, value) that makes `encoder` write the metadata, or None if it cannot.

    x264 and x265 want chromaticity in 0.00002 and luminance in 0.0001 cd/m²;
    SVT-AV1 wants plain numbers.
    """
    if encoder not in ("libx264", "libx265", "libsvtav1"):
        return None
    plain = encoder == "libsvtav1"
    unit, nit = (1, 1) if plain else (50000, 10000)

    def number(value: Fraction, scale: int) -> str:
        return f"{float(value):.5f}" if plain else str(round(value * scale))

    parts = []
    if hdr.primaries and hdr.white and hdr.luminance:
        red, green, blue = hdr.primaries
        points = zip(("G", "B", "R", "WP"), (green, blue, red, hdr.white), strict=True)
        display = "".join(f"{key}({number(p[0], unit)},{number(p[1], unit)})" for key, p in points)
        low, high = hdr.luminance
        display += f"L({number(high, nit)},{number(low, nit)})"
        key = "master-display" if encoder == "libx265" else "mastering-display"
        parts.append(f"{key}={display}")
    if hdr.content_light:
        key = {"libx264": "cll", "libx265": "max-cll", "libsvtav1": "content-light"}[encoder]
        parts.append(f"{key}={hdr.content_light[0]},{hdr.content_light[1]}")
    if not parts:
        return None
    if encoder == "libx265":
        parts += ["hdr10=1", "repeat-headers=1"]
    return {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}[encoder], ":".join(parts)
