"""Benchmarks, run from a checkout: ``python -m benchmarks.speed --help``."""
