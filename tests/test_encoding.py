"""Values as text: nothing changes on the way to the store and back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recyclelora.runs.encoding import clean, decode, encode

PLAIN = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                     lambda inner: st.lists(inner, max_size=4), max_leaves=8)


@given(PLAIN)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    text = encode(value)
    back = decode(text)
    assert back == value and type(back) is type(value)
    assert text == clean(text) and text != ""


@pytest.mark.parametrize("word", ["8", "1e-4", "null", "true", "NaN", "-Infinity", '"x"', "[1]", "", "\0", "a\0b", "\ud800"])
def test_text_that_looks_like_another_value_stays_text(word: str) -> None:
    assert decode(encode(word)) == word
    assert encode(word) == clean(encode(word)) != "", "as every database keeps it"


def test_ordinary_words_are_stored_as_they_are_written() -> None:
    assert [encode(value) for value in ("rrqr", "a b", "größe", None, True, 1e-4, (1, 2))] == [
        "rrqr", "a b", "größe", "null", "true", "0.0001", "[1, 2]"]
    assert math.isnan(decode(encode(math.nan)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "length", "kept"), [
    ("a\0b", None, "ab"), ("a\ud800b", None, "a?b"), ("größe ✓", None, "größe ✓"), ("x" * 10, 3, "xxx"), (12, None, "12"),
    ("ab\0c", 3, "abc")])
def test_what_databases_do_not_keep_is_taken_out(value: object, length: int | None, kept: str) -> None:
    assert clean(value, length) == kept
