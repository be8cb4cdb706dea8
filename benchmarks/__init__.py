"""Benchmarks, run from a checkout: ``python -m benchmarks.speed --help``."""

import magfilter  # noqa: F401  (first: it keeps ONNX Runtime from reporting)
