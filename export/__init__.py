"""Checkpoint → ONNX. Run from a checkout: ``python -m export --help``."""
