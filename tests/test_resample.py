"""How a coarse displacement is enlarged to a plane's size."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter.backends.resample import _enlarge


def by_definition(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, samples at the centres of their areas, borders repeated; one axis after the other by np.interp."""
    at = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(size, field.shape[1:], strict=True)]
    tall = np.apply_along_axis(lambda line: np.interp(at[0], np.arange(len(line)), line), 1, field)
    return np.apply_along_axis(lambda line: np.interp(at[1], np.arange(len(line)), line), 2, tall)


@pytest.mark.parametrize(
    "size", [(7, 9), (14, 18), (21, 27), (28, 36), (7, 18), (14, 9), (5, 13), (3, 4)], ids="{0[0]}x{0[1]}".format
)
def test_a_displacement_is_enlarged_bilinearly_whatever_the_ratio(size: tuple[int, int]) -> None:
    """The same, twice, three and four times as many samples, and ratios that are no whole numbers."""
    field = np.random.default_rng(1).normal(0, 3, (2, 7, 9)).astype(np.float32)
    due = by_definition(field, size)
    whole = _enlarge(field, size, 0, size[0])
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, due, atol=1e-5)
    top, bottom = size[0] // 3, size[0] - 1
    np.testing.assert_allclose(_enlarge(field, size, top, bottom), due[:, top:bottom], atol=1e-5)


def test_one_column_is_repeated() -> None:
    field = np.array([1, 3], np.float32).reshape(2, 1, 1)
    assert (_enlarge(field, (2, 3), 0, 2) == field).all()
