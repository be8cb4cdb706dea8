"""The numbers of `warp` that are not learned, for all that compute it: torch, and what numba compiles."""

from __future__ import annotations

__all__ = [
    "CELL",
    "CHOICES",
    "DERIVE",
    "DOUBLINGS",
    "DOUBT",
    "FEATURES",
    "HALFWAY",
    "HERE",
    "QUANTUM",
    "REACH",
    "SMOOTH",
    "SOFT",
    "SOLVES",
    "VERDICTS",
]

CELL = 4  # pixels of the current scale per grid point, in each direction
# Matched 5-tap smoothing and derivative filters: their ratio stays close to that of an
# ideal derivative over more of the spectrum than central differences (Farid & Simoncelli 2004).
SMOOTH = (0.037659, 0.249153, 0.426375, 0.249153, 0.037659)
DERIVE = (-0.109604, -0.276691, 0.0, 0.276691, 0.109604)
# The value halfway between two pixels, from the six nearest (Lanczos, three lobes).
HALFWAY = (0.024456, -0.135870, 0.611414, 0.611414, -0.135870, 0.024456)
# To half the resolution. The mean of two pixels lets through what the coarser grid then shows as another texture.
SOFT = (0.125, 0.375, 0.375, 0.125)
REACH = 3.0  # px; one solve is not trusted beyond this, coarser scales are for that
SOLVES = 3  # the first with all the damping, the others with what the one before them calls for
QUANTUM = (1.0 / 255.0) ** 2  # one 8-bit code value, squared: the floor of any difference energy
# What does not move, by a verdict, counts as much less as the coarser flow explains the picture better: the share of
# the squared differences, and of this floor beside either, is taken to this power (by squaring).
DOUBT = QUANTUM
DOUBLINGS = 2  # to the fourth
FEATURES = 16 + 16 + 6 + 4 + 4 + 9 + 1  # what the judge looks at; a multiple of 8, which CPUs like
# candidates: solution A of the 3×3 neighbourhood, solution B of a dilated one, C, coarser flow, none
CHOICES = 9 + 9 + 1 + 1 + 1
HERE = 4  # solution A of the point itself
VERDICTS = CHOICES + 36 + 2  # and what upsamples, and what is added
