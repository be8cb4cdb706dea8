"""Network definitions, and what each needs, as data.

The definitions (`warp`, `unet`) import torch; this module does not, so that the
runtime can read a model's descriptor without it.
"""

from __future__ import annotations

from magfilter.networks.descriptor import DESCRIPTORS, Descriptor

__all__ = ["DESCRIPTORS", "Descriptor"]
