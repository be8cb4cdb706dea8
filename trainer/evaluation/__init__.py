"""Judging a magnifier: the paper's motion error on real pairs, known motion, still scenes, x–t slices.

A *method* is a callable ``magnify(reference, frame, alpha) -> magnified``; every image is
``(H, W, 3)`` uint8 RGB. ``alpha`` is the total factor: 1 is the identity.

``python -m trainer.evaluation --help`` prints the tables; the functions live in
``protocol`` (all measurements), ``estimators`` (optical flow by name) and ``slices``.
"""
