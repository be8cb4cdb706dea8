"""MagnifyOptions: every wrong value is named on construction."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from magfilter import MagnifyOptions, OptionError


def test_defaults_are_valid_and_frozen():
    options = MagnifyOptions()
    assert (options.alpha, options.reference, options.shot_cuts, options.overwrite) == (10, "first", True, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.alpha = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("alpha", -1, "alpha must be a number of 0 or more; 1 leaves motion as it is; got -1"),
        ("alpha", math.nan, "got nan"),
        ("alpha", math.inf, "got inf"),
        ("alpha", "10", "got '10'"),
        ("alpha", None, "got None"),
        ("alpha", True, "got True"),
        ("proxy", -0.5, "proxy must be 0 .* got -0.5"),
        ("proxy", math.nan, "proxy"),
        ("start", -1, "start must be 0 or more seconds"),
        ("start", math.inf, "start"),
        ("duration", 0, "duration must be more than 0 seconds"),
        ("duration", math.nan, "duration"),
        ("threads", -1, "threads must be 0 .* got -1"),
        ("threads", 100_000, "threads"),
        ("threads", 2.5, "threads"),
        ("max_error_rate", 1.5, "max_error_rate must be a share between 0 and 1"),
        ("max_error_rate", math.nan, "max_error_rate"),
        ("backend", "tensorflow", "unknown backend 'tensorflow'; choose one of: auto"),
        ("reference", "second", "'second' is none of: first, previous"),
        ("reference", 3, "reference must be text"),
        ("reference", "every:0", "none of"),
        ("reference", "every:nan", "none of"),
        ("reference", "frame:-1", "none of"),
        ("reference", "frame:1.5", "none of"),
        ("exclude", frozenset({"sound"}), "exclude names 'sound'; choose from: attachment, audio"),
    ],
)
def test_wrong_values(field, value, text):
    with pytest.raises(OptionError, match=text) as caught:
        MagnifyOptions(**{field: value})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("reference", ["first", "previous", "every:2", "every:0.5s", "frame:0", "frame:12"])
def test_references(reference):
    assert MagnifyOptions(reference=reference).reference == reference


def test_numpy_numbers_are_numbers():
    options = MagnifyOptions(alpha=np.float32(2.5), start=np.int64(1))
    assert (options.alpha, options.start) == (2.5, 1.0)
    assert type(options.alpha) is float
    assert type(options.start) is float
