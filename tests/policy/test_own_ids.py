"""Ids in their owner's space: no two owners share one, and each is known again by any replica."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.own_ids import is_own_id, new_id, own_id

ANY = st.text(st.characters(), max_size=40)


@given(ANY, ANY)
def test_an_id_is_its_owners_the_same_each_time_and_stays_when_sent_again(owner: str, text: str) -> None:
    made = own_id(owner, text)
    assert is_own_id(owner, made)
    assert made == own_id(owner, text) == own_id(owner, made)


@given(ANY, ANY, ANY, ANY)
def test_what_one_owner_can_reach_no_other_can(ann: str, bob: str, text: str, other: str) -> None:
    if ann == bob:
        return
    hers = own_id(ann, text)
    assert not is_own_id(bob, hers)
    assert hers not in {own_id(bob, hers), own_id(bob, text), own_id(bob, other)}


@given(ANY, ANY, ANY)
def test_two_texts_of_an_owner_have_two_ids(owner: str, text: str, other: str) -> None:
    assert (own_id(owner, text) == own_id(owner, other)) is (text == other)


@given(ANY, st.binary(min_size=16, max_size=16), st.data())
def test_no_part_of_an_id_can_be_another(owner: str, nonce: bytes, data: st.DataObject) -> None:
    made = new_id(owner, nonce)
    assert is_own_id(owner, made)
    place = data.draw(st.integers(0, len(made) - 1))
    other = data.draw(st.sampled_from("0123456789abcdefABCDEF-_ \n").filter(lambda sign: sign != made[place]))
    assert not is_own_id(owner, made[:place] + other + made[place + 1 :])


@pytest.mark.parametrize(
    ("ann", "hers", "bob", "his"), [("a", "bc", "ab", "c"), ("1:a", "", "1", ":a"), ("", "a", "a", "")]
)
def test_owner_and_text_cannot_be_cut_in_another_place(ann: str, hers: str, bob: str, his: str) -> None:
    assert own_id(ann, hers) != own_id(bob, his)


def test_an_id_has_one_spelling() -> None:
    made = own_id("ann", "m1")
    for other in (made.upper(), f" {made}", f"{made}\n", made[:-1], f"{made}0", f"{made[:32]}-{made[32:]}", ""):
        assert not is_own_id("ann", other)
    # Digits of other scripts are digits for a careless reader.
    assert not is_own_id("ann", made[:-1] + "\N{FULLWIDTH DIGIT ONE}")


def test_ids_stay_what_they_were() -> None:
    # Runs that wait for an approval live longer than a gateway: what one release made the next must know.
    assert own_id("ann", "m1") == "a05b625d07397da17367d8d695e21f5797a3bf7755b27d37aa2e4db779933d52"


def test_a_nonce_has_a_length() -> None:
    with pytest.raises(ValueError, match="16 bytes, not 15"):
        new_id("ann", bytes(15))
