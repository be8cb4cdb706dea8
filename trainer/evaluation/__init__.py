"""Judging a magnifier: the paper's questions on real pairs, known motion, noise, still and long takes, x–t slices.

A *method* is a callable ``magnify(reference, frame, alpha) -> magnified``; every image is
``(H, W, 3)`` uint8 RGB. ``alpha`` is the total factor: 1 is the identity.

``python -m trainer evaluate --help`` puts ``suites`` to ``methods`` and writes tables and curves. What is
measured is in ``metrics``, the pictures in ``figures`` and ``slices``; flow by name in ``estimators``.
"""
