"""When a new reference is taken: policies, and cuts told from motion."""

from __future__ import annotations

import math

import pytest

from magfilter.errors import OptionError
from magfilter.reference import ReferencePolicy, parse_reach


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("first", ReferencePolicy("first")),
        ("previous", ReferencePolicy("previous")),
        (" previous ", ReferencePolicy("previous")),
        ("every:2", ReferencePolicy("every", seconds=2.0)),
        ("every:0.5s", ReferencePolicy("every", seconds=0.5)),
        ("mean:1.5", ReferencePolicy("mean", seconds=1.5)),
        ("frame:0", ReferencePolicy("frame", number=0)),
        ("frame:12", ReferencePolicy("frame", number=12)),
    ],
)
def test_every_form_is_read_and_written_back(text, policy):
    assert ReferencePolicy.parse(text) == policy
    assert ReferencePolicy.parse(str(policy)) == policy


@pytest.mark.parametrize(
    "text",
    [
        "", "last", "First", "first:1", "previous:1", "every", "every:", "every:0", "every:-1", "every:nan",
        "every:inf", "every:x", "mean", "mean:0", "mean:x", "frame", "frame:", "frame:-1", "frame:1.5", "frame:x",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_forms_named(text):
    with pytest.raises(OptionError) as error:
        ReferencePolicy.parse(text)
    message = str(error.value)
    assert repr(text) in message
    for form in ("first", "previous", "every:SECONDS", "mean:SECONDS", "frame:N"):
        assert form in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (("bogus",), "unknown kind of reference 'bogus'; choose one of: first, previous, every, mean, frame"),
        (("mean",), "seconds of reference mean must be more than 0; got 0"),
        (("every", float("nan")), "seconds of reference every must be more than 0; got nan"),
        (("every", "2"), "seconds of reference every must be more than 0; got '2'"),
        (("frame", 0.0, -1), "number of reference frame must be a whole number of 0 or more; got -1"),
        (("frame", 0.0, 1.5), "a whole number of 0 or more; got 1.5"),
    ],
)
def test_a_policy_made_by_hand_is_checked_too(policy, text):
    with pytest.raises(OptionError, match=text):
        ReferencePolicy(*policy)


def test_every_is_due_after_its_seconds_and_not_before():
    policy = ReferencePolicy.parse("every:2")
    assert not policy.due(3.9, 2.0)
    assert policy.due(4.0, 2.0)
    assert policy.due(4.0 - 1e-9, 2.0), "a rounding error in a timestamp delays no reference by a frame"
    assert not policy.due(None, 2.0)
    assert not policy.due(4.0, None)


@pytest.mark.parametrize(("value", "reach"), [(None, None), ("auto", math.inf), ("4", 4.0), (7, 7.0), (2.5, 2.5)])
def test_how_far_things_may_move_is_read(value, reach):
    assert parse_reach(value, ReferencePolicy("first")) == reach


@pytest.mark.parametrize("value", ["", "x", "0", -1, "nan", "inf", math.nan, math.inf])
def test_what_is_no_reach(value):
    with pytest.raises(OptionError, match="neither auto nor a number of px above 0"):
        parse_reach(value, ReferencePolicy("first"))


@pytest.mark.parametrize("text", ["previous", "frame:3"])
def test_a_reference_that_is_said_is_not_replaced(text):
    with pytest.raises(OptionError, match=f"{text} says which it is"):
        parse_reach("auto", ReferencePolicy.parse(text))


@pytest.mark.parametrize("text", ["first", "previous", "mean:1", "frame:3"])
def test_other_policies_are_never_due_by_time(text):
    assert not ReferencePolicy.parse(text).due(1e9, 0.0)
