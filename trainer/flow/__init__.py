"""Optical flow estimators behind one small protocol; `load_flow` finds them by name."""

from __future__ import annotations

from trainer.flow.estimators import FLOWS, FlowEstimator, load_flow, weights_file

__all__ = ["FLOWS", "FlowEstimator", "load_flow", "weights_file"]
