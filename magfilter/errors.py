"""Errors a user can meet, each with the exit code the command line ends with.

Every message is one line that names the cause and the fix. Exit codes follow
ffmpeg and click: 1 for a fatal error, 2 for a usage error, 69 when more of the
input was unreadable than is tolerated, 130 after Ctrl-C.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "CorruptInput",
    "InputError",
    "MagfilterError",
    "ModelError",
    "OptionError",
    "OutputError",
    "Stopped",
]


class MagfilterError(Exception):
    """Base of every error magfilter raises on purpose."""

    exit_code = 1


class InputError(MagfilterError):
    """The input is missing, is not media, has no video stream or no frame."""


class OutputError(MagfilterError):
    """The output exists, is the input, cannot be written, or the disk is full."""


class OptionError(MagfilterError):
    """An option's value is out of range or contradicts another."""

    exit_code = 2


class ModelError(MagfilterError):
    """The model file is missing, unreadable, or not a magfilter model."""


class BackendError(MagfilterError):
    """The requested engine or device is not available."""


class CorruptInput(MagfilterError):
    """More of the input failed to decode than is tolerated (EX_UNAVAILABLE)."""

    exit_code = 69


class Stopped(MagfilterError):
    """A stop was asked for before there was anything to give back."""

    exit_code = 130

    def __init__(self, message: str = "stopped before there was anything to give back; let it run longer") -> None:
        super().__init__(message)
