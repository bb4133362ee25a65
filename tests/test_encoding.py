"""Values and addresses as text: nothing changes on the way to the store and back, and no secret is shown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recyclelora.errors import InputError
from recyclelora.runs.encoding import check_address, clean, decode, encode, hide, redact

PLAIN = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                     lambda inner: st.lists(inner, max_size=4), max_leaves=8)


@given(PLAIN)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    text = encode(value)
    back = decode(text)
    assert back == value and type(back) is type(value)
    assert text == clean(text) and text != ""


@pytest.mark.parametrize("word", ["8", "1e-4", "null", "true", "NaN", "-Infinity", '"x"', "[1]", "", "\0", "\ud800"])
def test_text_that_looks_like_another_value_stays_text(word: str) -> None:
    assert decode(encode(word)) == word


def test_ordinary_words_are_stored_as_they_are_written() -> None:
    assert [encode(value) for value in ("rrqr", "a b", "größe", None, True, 1e-4, (1, 2))] == [
        "rrqr", "a b", "größe", "null", "true", "0.0001", "[1, 2]"]
    assert math.isnan(decode(encode(math.nan)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("uri", "shown"), [
    ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ("https://ann:hunter2@host/path", "https://host/path"),
    ("https://ann:hun@ter2@host/path", "https://host/path"),
    ("postgresql://host/db?password=hunter2", "postgresql://host/db"),
    ("postgresql://host/db?password=hunt@er2", "postgresql://***"),
    ("ann:hunter2@host:5000", "host:5000"),
    ("sqlite:////tmp/a b/mlflow.db", "sqlite:////tmp/a b/mlflow.db"),
])
def test_an_address_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    assert redact(uri) == shown
    assert "hunter2" not in hide(f"could not reach {uri} as ann with hunter2", "https://ann:hunter2@host/path")


@pytest.mark.parametrize("uri", ["databricks", "./mlruns", "http://[::1", "http://host:99999", "http://host:port", " "])
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI"):
        check_address(uri)
