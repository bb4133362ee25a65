"""Addresses and texts as they are shown: no secret is in them."""

import base64
from pathlib import Path

import pytest

from recyclelora.errors import InputError
from recyclelora.runs.redaction import check_address, hide, hide_all, redact, secrets_in, secrets_of


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


@pytest.mark.parametrize(("uri", "text"), [
    ("https://ann:hunter2@host/path", "no answer from https://ann:hunter2@host/path/api/2.0"),
    ("https://ann:hunter2@host/path", "password hunter2 was refused"),
    ("https://ann:hunter2@host/path", f"Authorization: Basic {base64.b64encode(b'ann:hunter2').decode()}"),
    ("https://ann:hu%40nter2@host/path", "as it is decoded: hu@nter2"),
    ("https://ann:hu%40nter2@host/path", "as it is written: hu%40nter2"),
    ("https://a:x1@host/path", "short: https://a:x1@host/"),
    ("https://hunter2@host/path", "a token in the user's place: hunter2"),
    ("postgresql://host/db?password=hunter2&sslmode=require", "password=hunter2 is wrong"),
    ("https://host/path?token=hunter2", "the token hunter2, or ?token=hunter2"),
])
def test_no_part_of_an_address_that_is_secret_is_shown(uri: str, text: str) -> None:
    shown = hide(text, uri)
    for secret in ("hunter2", "hu@nter2", "hu%40nter2", "x1", base64.b64encode(b"ann:hunter2").decode()):
        assert secret not in shown


def test_what_is_no_secret_stays() -> None:
    text = "mlflow at https://host/path, sslmode require, user root in /root"
    assert hide(text, "https://root:hunter2@host/path") == text
    assert hide(text, "postgresql://root:hunter2@host/db?sslmode=require") == text
    assert secrets_in("http://127.0.0.1:5000") == secrets_in("sqlite:////tmp/mlflow.db") == secrets_of({}) == {}


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "RAY_AUTH_TOKEN", "HF_TOKEN"])
def test_secrets_of_the_environment(name: str) -> None:
    assert hide_all("said hun ter2 and hun%20ter2", secrets_of({name: "hun ter2"})) == "said *** and ***"


def test_secrets_in_files_and_in_headers(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    assert hide_all("hunter2", secrets_of({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")})) == "***"
    assert secrets_of({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}) == {}
    login = base64.b64encode(b"ann:hunter2").decode()
    found = secrets_of({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "hunter2"})
    assert hide_all(f"Basic {login}", found) == "Basic ***"
