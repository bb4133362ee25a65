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
    ("https://ann:hunter2@host/a@b", "https://***"),
    ("https://ann:hunt/er2@host/path", "https://***"),
    ("https://ann:hunt?er2@host/path", "https://***"),
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
    ("ann:hunter2@proxy:3128", "cannot connect to proxy ann:hunter2@proxy:3128 with hunter2"),
    ("https://ann:hunter2@host/a@b", "hunter2 was refused"),
    ("https://ann:hu/nter2@host/path", "hu/nter2 was refused"),
    ("https://ann:hu?nter2@host/path", "hu?nter2 was refused"),
    ("https://ann:hunter2@host/path", "in colours: \x1b[1;36mhun\x1b[0mter\x1b[1;36m2\x1b[0m"),
])
def test_no_part_of_an_address_that_is_secret_is_shown(uri: str, text: str) -> None:
    shown = hide(text, uri)
    for secret in ("hunter2", "hu@nter2", "hu%40nter2", "hu/nter2", "hu?nter2", "mter\x1b", "x1", base64.b64encode(b"ann:hunter2").decode()):
        assert secret not in shown


def test_what_is_no_secret_stays() -> None:
    text = "mlflow at https://host/path, sslmode require, user root in /root"
    assert hide(text, "https://root:hunter2@host/path") == text
    assert hide(text, "postgresql://root:hunter2@host/db?sslmode=require") == text
    assert secrets_in("http://127.0.0.1:5000") == secrets_in("sqlite:////tmp/mlflow.db") == secrets_of({}) == {}


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "RAY_AUTH_TOKEN", "HF_TOKEN",
                                  "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "MY_OWN_SECRET"])
def test_secrets_of_the_environment(name: str) -> None:
    assert hide_all("said hun ter2 and hun%20ter2", secrets_of({name: "hun ter2"})) == "said *** and ***"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "MLFLOW_S3_ENDPOINT_URL", "DATABASE"])
def test_addresses_of_the_environment(name: str) -> None:
    value = "http://ann:hunter2@proxy:1" if "prox" not in name.lower() else "ann:hunter2@proxy:1"
    assert "hunter2" not in hide_all(f"no answer from {value}: hunter2", secrets_of({name: value}))


def test_a_word_that_only_a_name_makes_suspect_stays_if_it_is_short() -> None:
    assert secrets_of({"USE_TOKEN": "true", "HOME": "/root", "PATH": "/usr/bin:/bin", "SSH_KEY_TYPE": "ed25519-sk"}) == {}


def test_secrets_in_files_and_in_headers(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    assert hide_all("hunter2", secrets_of({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")})) == "***"
    assert secrets_of({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}) == {}
    login = base64.b64encode(b"ann:hunter2").decode()
    found = secrets_of({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "hunter2"})
    assert hide_all(f"Basic {login}", found) == "Basic ***"
