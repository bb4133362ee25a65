"""A webhook hears of the end, of failures and of silence; one that does not work costs a line."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from recyclelora.cli import BAD_INPUT, main
from recyclelora.errors import InputError
from recyclelora.runs.tracking import Tracker
from recyclelora.sweeps.bookkeeping import bookkeeping
from recyclelora.sweeps.display import Board
from recyclelora.sweeps.jobs import failed
from recyclelora.sweeps.webhook import Webhook, check_webhook
from recyclelora.trials.failures import Failure
from recyclelora.trials.paths import Paths
from tests.test_delivery import JOB

Heard = list[dict[str, str]]


@pytest.fixture
def hook() -> Iterator[tuple[str, Heard]]:
    """A web server that takes messages, and refuses those at /no."""
    heard: Heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/no" else 200)
            self.end_headers()

        def log_message(self, *given: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("breaks", [False, True])
def test_it_hears_of_failures_silence_and_the_end(tmp_path: Path, hook: tuple[str, Heard], breaks: bool) -> None:
    address, heard = hook
    paths, board = Paths(tmp_path, tmp_path, None), Board("rank", "miou/source", 2)
    try:
        with bookkeeping(Tracker.open(tmp_path), None, paths, board, Console(quiet=True), notify=address) as keeper:
            keeper.started(JOB)
            keeper.silence = -1.0
            keeper.look_around()
            keeper._looked = 0.0
            keeper.look_around()  # it is told once
            keeper.ended(JOB, failed(JOB, Failure("bad input", "no such image")))
            if breaks:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    last = "stopped" if breaks else "ended"
    assert sorted(each["event"] for each in heard) == sorted(["stalled", "failed", last])
    assert {each["sweep"] for each in heard} == {"rank"}
    texts = {each["event"]: each["text"] for each in heard}
    assert texts["failed"].startswith("rank: failed: ") and texts["failed"].endswith("no such image")
    assert "1 failed" in texts[last]


@pytest.mark.parametrize("path", ["/no", None])
def test_one_that_does_not_work_costs_a_line_without_its_address(hook: tuple[str, Heard], path: str | None) -> None:
    address = f"{hook[0]}{path}" if path else "http://127.0.0.1:9/secret"
    said: list[str] = []
    webhook = Webhook(address, "rank", said.append)
    webhook.send("ended", "done")
    webhook.close()
    assert len(said) == 1 and said[0].startswith("the webhook at 127.0.0.1 did not take a message (")
    assert address not in said[0] and "secret" not in said[0]


@pytest.mark.parametrize("address", ["hook", "ftp://x/y", "http://", "https:///x", "http://h:99999/", "http://h/a b", "http://[::1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="RECYCLELORA_NOTIFY: is no address"):
        check_webhook(address)


def test_the_command_line_refuses_it_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RECYCLELORA_NOTIFY", "hook")
    assert main(["sweep", "search_spaces/default.yaml", "--results", str(tmp_path / "r")]) == BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and "RECYCLELORA_NOTIFY" in error and "https://example.com/hook" in error
