"""A reload moves each child by itself: one that cannot be built keeps no other from starting."""

from types import SimpleNamespace

import pytest

from hermes_green import live
from hermes_green.live import Live


@pytest.fixture
def moved(monkeypatch):
    """Live with nothing but what moving children needs; ``admitted`` lists whom the nursery let in."""
    admitted = []

    def admit(child, pace, house, previous):
        if child.id == "broken":
            raise ValueError("no such module")
        admitted.append(child.id)
        return ""

    subject = object.__new__(Live)
    subject._house = SimpleNamespace(dismiss=lambda id, replaced=False: SimpleNamespace(id=id))
    subject._nursery = SimpleNamespace(set_budget=lambda child: None, admit=admit)
    subject._ownership = SimpleNamespace(keep_only=lambda credentials: None)
    monkeypatch.setattr(live, "credentials", lambda children: {})
    monkeypatch.setattr(live, "pace_of", lambda config: None)
    return subject, admitted


def test_a_child_that_cannot_be_built_is_told_and_the_others_start(moved):
    subject, admitted = moved
    children = [SimpleNamespace(id=name) for name in ("first", "broken", "last")]
    changes = SimpleNamespace(stop=(), restart=(children[1],), start=(children[0], children[2]))
    errors = subject._move(SimpleNamespace(children=children), changes)
    assert admitted == ["first", "last"]
    assert len(errors) == 1 and "broken" in errors[0] and "no such module" in errors[0]
