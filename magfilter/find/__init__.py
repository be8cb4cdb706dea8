"""Where things vibrate in a picture, and how often: `find_vibrations`, `magfilter-find`."""

from __future__ import annotations

from magfilter.find.vibrations import Found, Vibration, find_vibrations

__all__ = ["Found", "Vibration", "find_vibrations"]
