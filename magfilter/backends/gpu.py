"""Is there an NVIDIA GPU? Asked of the driver itself, so that no library needs to be imported for it."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["count_gpus"]


def count_gpus() -> int:
    """GPUs that the NVIDIA driver offers; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
