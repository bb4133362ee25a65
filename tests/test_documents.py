"""Strict YAML: what is read, and what is refused with its line."""

from pathlib import Path

import pytest

from recyclelora.documents import dump, nearest, parse_scalar, read
from recyclelora.errors import InputError
from recyclelora.settings import parse_overrides


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "given.yaml"
    path.write_text(text)
    return path


def test_numbers_are_those_people_write(tmp_path: Path) -> None:
    document = read(written(tmp_path, "a: 1e-4\nb: -3E5\nc: .5\nd: 1.0e-4\ne: 12\nf: 2024-01-01\ng: e5\n"))
    assert document.data == {"a": 1e-4, "b": -3e5, "c": 0.5, "d": 1e-4, "e": 12, "f": "2024-01-01", "g": "e5"}


def test_every_key_has_its_line(tmp_path: Path) -> None:
    document = read(written(tmp_path, "a:\n  b: 1\n  c: {d: 2}\n"))
    assert document.where("a", "c", "d").endswith(":3")
    assert document.where("a", "nowhere").endswith(":1"), "the nearest parent that has a line"


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))


@pytest.mark.parametrize(("text", "complaint"), [
    ("a: 1\na: 2\n", ":2: a: given twice"),
    ("x: {b: 1, b: 2}\n", ":1: b: given twice"),
    ("\ta: 1", ":1: not valid YAML"),
    ("a: [1, 2\n", "not valid YAML"),
    ("- 1\n- 2\n", "found a list"),
    ("", "found nothing"),
    ("just words", "found one value"),
    ("1: 2\n", "a key must be plain text"),
    ("a: !!python/object/apply:os.system [ls]\n", "is not plain text"),
    ("a: !!python/name:os.system x\n", "is not plain text"),
    ("a: !custom x\n", "is not plain text"),
    ("a: &a [*a]\n", "nested too deeply"),
    ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    (BOMB, "once aliases are expanded"),
    ("x: &x {a: 1}\ny:\n  <<: *x\n", "a key must be plain text"),
    ("a: 1\n" + "# " + "x" * 1_000_001, "has at most"),
    ("a: 1\nb: {c: 1:30}\n", ":2: b.c: 1:30 is read by YAML as the number 90; write 90, or \"1:30\""),
    ("seeds: [0,\n  1:30]\n", ":2: seeds: 1:30 is read by YAML as the number 90"),
    ("a: -1:30:00\n", "is read by YAML as the number -5400"),
    ("a: 010\n", "010 is read by YAML as the number 8"),
    ("a: +0_7\n", "is read by YAML as the number 7"),
    ("a: 1_000\n", "1_000 is read by YAML as the number 1000"),
    ("a: 0x1F\n", "is read by YAML as the number 31"),
    ("a: 0b11\n", "is read by YAML as the number 3"),
    ("a: 1:30.5\n", "is read by YAML as the number 90.5"),
    ("a: 1_0.5\n", "is read by YAML as the number 10.5"),
    ("a: 99999999999999999999\n", ":1: a: 99999999999999999999 is too large"),
    ("a: -9223372036854775808\n", "is too large"),
    ("a: " + "9" * 5000 + "\n", "is too large"),
    ("1:30: x\n", "a key must be plain text, not '1:30'"),
])
def test_what_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, text))
    assert complaint in str(caught.value) and "given.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    written(tmp_path, "a: 1")
    with pytest.raises(InputError, match="did you mean given.yaml"):
        read(tmp_path / "gvien.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read(tmp_path / "latin.yaml")


def test_what_is_dumped_is_read_back(tmp_path: Path) -> None:
    data = {"a": 1e-5, "b": [1, None, True, "off"], "c": "é: [", "d": "1e-4", "e": "1:30", "f": "010", "g": "1_000"}
    assert read(written(tmp_path, dump(data))).data == data


@pytest.mark.parametrize("text", ["1:30", "010", "1_000", "0x10", "1:30.5", "[1:30]", "99999999999999999999"])
def test_what_yaml_would_read_as_another_number_is_refused_on_the_command_line(text: str) -> None:
    with pytest.raises(InputError, match="is read by YAML as the number|is too large"):
        parse_scalar(text)
    with pytest.raises(InputError, match="command line: seed: "):
        parse_overrides([f"seed={text}"])


def test_whole_numbers_of_every_size_that_can_be_kept(tmp_path: Path) -> None:
    document = read(written(tmp_path, f"a: 0\nb: -7\nc: +12\nd: {2**63 - 1}\ne: '010'\nf: \"1:30\"\n"))
    assert document.data == {"a": 0, "b": -7, "c": 12, "d": 2**63 - 1, "e": "010", "f": "1:30"}


@pytest.mark.parametrize(("text", "value"), [
    ("8", 8), ("1e-3", 1e-3), ("null", None), ("[1, a]", [1, "a"]), ("true", True), ("day", "day"), ("[", "["), ("", None)])
def test_values_of_the_command_line(text: str, value: object) -> None:
    assert parse_scalar(text) == value


def test_nearest() -> None:
    assert nearest("rnak", ["rank", "alpha"]) == "; did you mean rank?"
    assert nearest("zzz", ["rank", "alpha"]) == "; known: alpha, rank"
    assert nearest("zzz", []) == ""
