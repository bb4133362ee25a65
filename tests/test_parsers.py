"""Whatever stands in a file or on the command line: a value, or one clear line. No other exception, and nothing written."""

import argparse
import random
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from recyclelora import verbs
from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.adapter_files import read_adapter
from recyclelora.adapters.tensor_files import read_tensors
from recyclelora.cli import parse
from recyclelora.data.declared import declarations, read_set
from recyclelora.data.photos import read_photo
from recyclelora.documents import check_name, dump, read
from recyclelora.errors import InputError
from recyclelora.exchange.pickles import read_checkpoint as read_foreign
from recyclelora.runs.redaction import check_address, hide, redact, secrets_in
from recyclelora.settings import Settings, parse_overrides, read_settings
from recyclelora.spaces.space_file import read_space
from recyclelora.training.checkpoint import _read as read_checkpoint
from recyclelora.trials.history import read_history
from recyclelora.trials.trial import read_record

ROOT = Path(__file__).resolve().parent.parent
SPACES = [*ROOT.glob("experiments/*.yaml"), *ROOT.glob("search_spaces/*.yaml")]
TOKENS = [*string.printable, "é", "\u2028", "\0", "\ufeff", "{", "}", "[", "]", ": ", "- ", "&a ", "*a", "<<: ", "!!python/name:os.system ",
          "'", '"', "\t", "null", "true", "1e-4", "1:30", "0x1f", "1_0", ".nan", "-.inf", "2026-11-28", "9" * 30, "../", "\n  ",
          "\n", "values", "min", "max", "when", "seeds", "adapter.main.rank", "training", "base", "method", "cells"]
TEXTS = st.lists(st.sampled_from(TOKENS), max_size=60).map("".join)
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def one_line(error: Exception) -> None:
    assert str(error) and "\n" not in str(error) and "Traceback" not in str(error)


def altered(text: str, draw: random.Random) -> str:
    """The text with some of its parts cut out, doubled, or with something else in their place."""
    for _ in range(draw.randint(1, 4)):
        begin = draw.randrange(len(text) + 1)
        end = min(len(text), begin + draw.choice([0, 1, 1, 3, 20]))
        text = text[:begin] + draw.choice([*TOKENS, "", text[begin:end] * 2]) + text[end:]
    return text


@FEW
@given(TEXTS)
def test_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, "utf-8")
    try:
        found = read(path).data
    except InputError as error:
        one_line(error)
    else:
        (tmp_path / "y.yaml").write_text(dump(found), "utf-8")
        assert read(tmp_path / "y.yaml").data == found, "what is written is read as it was"


@FEW
@given(st.sampled_from(SPACES), st.randoms(use_true_random=False))
def test_spaces_and_experiments(tmp_path: Path, shipped: Path, draw: random.Random) -> None:
    text = shipped.read_text("utf-8").replace("base: bases/", f"base: {ROOT}/experiments/bases/").replace(
        "base: ../", f"base: {ROOT}/")
    path = tmp_path / "space.yaml"
    path.write_text(altered(text, draw), "utf-8")
    try:
        read_space(path)
    except InputError as error:
        one_line(error)


@FEW
@given(st.sampled_from([*ROOT.glob("experiments/bases/*.yaml")]), st.randoms(use_true_random=False))
def test_configs(tmp_path: Path, shipped: Path, draw: random.Random) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(altered(shipped.read_text("utf-8"), draw), "utf-8")
    try:
        read_settings(path).resolve()
    except InputError as error:
        one_line(error)


@FEW
@given(st.lists(st.tuples(st.sampled_from(["seed", "training", "adapter", "adapter.method", "data.crop", "adapter.main", "x", ""]),
                          st.sampled_from(["=", "", "=="]), TEXTS), max_size=3))
def test_overrides(words: list[tuple[str, str, str]]) -> None:
    try:
        Settings().override(parse_overrides(["".join(word) for word in words]), "command line").resolve()
    except InputError as error:
        one_line(error)


WORDS = st.sampled_from(["a", "x.yaml", "seed=1", "--json", "--images", "2", "-1", "--results", "", "--", "-", "--out", "é", "\0",
                         "--port", "99999", "--to", "timm", "--cell", "--help=", "--seeds", "0", "--at", "--resu", "check"])


@settings(max_examples=150)
@given(st.sampled_from([*verbs.NAMES, "", "nonsense", "-h", "--"]), st.lists(WORDS, max_size=6))
def test_command_lines(verb: str, words: list[str]) -> None:
    """A namespace, or one line on the error stream and exit code 2."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "_print_message", lambda self, text, file=None: said.append(text))
        try:
            parse([verb, *words])
        except SystemExit as ended:
            assert ended.code == 0 or (ended.code == 2 and "".join(said).count("\n") == 1), said


DECLARED = "images: images/{split}/*/cam_*.png\nlabels: gt/{split}/*/ids_*.png\nsplits: {train: 4, val: 2}\nspace: cityscapes19\nids: {road: [0, 1], car: [2, 7], ignore: others}\n"  # noqa: E501


@FEW
@given(st.randoms(use_true_random=False))
def test_declared_data_sets(tmp_path: Path, draw: random.Random) -> None:
    (tmp_path / "mine").mkdir(exist_ok=True)
    (tmp_path / "mine" / "dataset.yaml").write_text(altered(DECLARED, draw), "utf-8")
    try:
        for path in declarations(tmp_path).values():
            read_set(path)
    except InputError as error:
        one_line(error)


@given(TEXTS)
def test_names(text: str) -> None:
    try:
        assert "/" not in check_name(text, "sweep") and text not in (".", "..")
    except InputError as error:
        one_line(error)


@settings(max_examples=150)
@given(st.sampled_from(["http://", "postgresql://", "", "sqlite:///", "http:/"]), st.text(string.ascii_letters, min_size=4, max_size=8),
       st.sampled_from(["@host", "@host:80/path", "@host/a@b", "", "?x=y@z"]))
def test_addresses(scheme: str, secret: str, rest: str) -> None:
    uri = f"{scheme}ann:pw{secret}{rest}"
    try:
        check_address(uri)
    except InputError as error:
        one_line(error)
        assert secret not in str(error)
    if rest.startswith("@"):
        assert f"pw{secret}" not in redact(uri) and f"pw{secret}" not in hide(f"it said {uri} and pw{secret}", uri)
        assert secrets_in(uri)


def picture() -> bytes:
    import io

    page = io.BytesIO()
    Image.fromarray(np.arange(64 * 3, dtype=np.uint8).reshape(8, 8, 3)).save(page, "PNG")
    return page.getvalue()


def tensors() -> bytes:
    from safetensors.torch import save

    return save({"a": torch.arange(8.0), "b": torch.ones(2, 2)}, {"recyclelora": '{"format": 2}'})


def checkpoint() -> bytes:
    import io

    page = io.BytesIO()
    torch.save({"state_dict": {"a": torch.arange(8.0)}}, page)
    return page.getvalue()


READERS: list[tuple[str, Callable[[], bytes], Callable[[Path], object]]] = [
    ("x.png", picture, read_photo), ("x.safetensors", tensors, read_tensors), ("x.safetensors", tensors, read_adapter),
    ("x.pth", checkpoint, read_foreign), ("checkpoint.safetensors", tensors, read_checkpoint),
    ("history.jsonl", lambda: b'[1, {"loss/total": 2.0}]\n[2, {}]\n', read_history),
    ("record.json", lambda: b'{"fingerprint": "f", "config": {}, "outcome": "finished"}', lambda path: read_record(path.parent))]


@pytest.mark.parametrize(("name", "make", "reader"), READERS, ids=[f"{reader.__name__}-{index}" for index, (_, _, reader) in enumerate(READERS)])
def test_files_that_were_altered(tmp_path: Path, name: str, make: Callable[[], bytes], reader: Callable[[Path], object]) -> None:
    """One byte is another, some are missing, others are too many: what is read is whole, or refused in a line."""
    draw, content = random.Random(0), make()
    for number in range(60):
        changed = bytearray(content)
        place = draw.randrange(len(changed))
        match number % 4:
            case 0:
                changed[place] ^= 1 << draw.randrange(8)
            case 1:
                del changed[place:]
            case 2:
                changed[place:place] = draw.randbytes(draw.choice([1, 8, 100]))
            case _:
                changed[place:place + 8] = draw.randbytes(8)
        (tmp_path / name).write_bytes(bytes(changed))
        try:
            reader(tmp_path / name)
        except (InputError, AdapterError) as error:
            one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == [name], "reading writes nothing"


def test_nothing_here_is_vacuous(tmp_path: Path) -> None:
    """Of what the tests above make, some is read and some is refused."""
    outcomes = set()
    for seed in range(16):
        path = tmp_path / "space.yaml"
        path.write_text(altered(SPACES[0].read_text("utf-8").replace("base: bases/", f"base: {ROOT}/experiments/bases/"),
                                random.Random(seed)), "utf-8")
        try:
            read_space(path)
            outcomes.add("read")
        except InputError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
    save_file({"a": torch.ones(1)}, tmp_path / "whole.safetensors")
    assert read_tensors(tmp_path / "whole.safetensors")[0].keys() == {"a"}
