"""Checkpoint → ONNX. Run from a checkout: ``python -m export --help``."""

import magfilter  # noqa: F401  (first: it keeps ONNX Runtime from reporting)
