"""What a benchmark ran on, in words."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

__all__ = ["cores", "describe_machine", "gpu_name"]

PACKAGES = ("magfilter", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "torch", "av")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_name() -> str:
    """Of the CUDA device that torch sees first, or "" (also without torch)."""
    try:
        import torch
    except ImportError:
        return ""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def describe_machine() -> dict[str, str]:
    """Processor, cores, GPU, system and the versions that matter."""
    about = {"processor": _processor(), "cores": str(cores()), "system": f"{platform.system()} {platform.machine()}"}
    if name := gpu_name():
        about["GPU"] = name
    about["python"] = platform.python_version()
    for package in PACKAGES:
        try:
            about[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return about


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
