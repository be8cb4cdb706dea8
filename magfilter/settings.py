"""Settings as a line that is kept with a result, so that its next owner can make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["changed"]


def changed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """key=value of every setting that is not its default, or key and key=no where it is on or off; empty if none is."""
    return " ".join(_said(key, value) for key, value in values.items() if value != defaults[key])


def _said(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else f"{key}=no"
    # A time of an hour and some milliseconds has ten digits.
    return f"{key}={value:.10g}" if isinstance(value, float) else f"{key}={value}"
