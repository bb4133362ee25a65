"""The checks before the first trial, each with what it finds and what it lets pass. On real nodes: test_nodes.py."""

import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recyclelora import preflight
from recyclelora.cli import BAD_INPUT, DONE, SOME_FAILED, main
from recyclelora.costs.largest_trial import largest_of
from recyclelora.costs.requirements import count_requirements
from recyclelora.preflight import CHECKS, judge, measure, open_ports
from recyclelora.preflight.advisories import numbers
from recyclelora.preflight.finding import Answer, Expected, Finding, Need, Question
from recyclelora.preflight.package_versions import PACKAGES
from recyclelora.preflight.shared_folder import probing
from recyclelora.runs.reachability import ask
from recyclelora.trials.paths import Paths
from tests.tiny_config import tiny

GB = 1 << 30
TAGS = {"fingerprint": "f0", "weights_sha256": "a" * 64, "data_fingerprint": "b" * 16}


def question(**given: object) -> Question:
    return Question(Paths(Path("/r"), Path("/c"), Path("/d")))._replace(**given)  # type: ignore[arg-type]


def found(name: str, asked: Question, here: Answer, there: Answer) -> list[tuple[str, bool]]:
    return list(next(check for check in CHECKS if check.name == name).judge(asked, here, there))


TRIALS = question(trials=(Expected({}, TAGS),), cluster="head:6379")
MEMORY = question(need=Need(memory=8 * GB))
CASES = {  # check, question, driver's answer, node's answer -> what is said (None: nothing), whether it stops a sweep
    "same code": ("code", question(), {"digest": "a"}, {"digest": "a", "place": "/x"}, None, True),
    "other code": ("code", question(), {"digest": "a"}, {"digest": "b", "place": "/x"}, "/x is version b of the code, the driver's is a", True),
    "other torch": ("packages", question(), {"torch": "2.14.1", "numpy": "2"}, {"torch": "2.13", "numpy": "2"}, "torch 2.13 (driver: 2.14.1); install", True),
    "no timm": ("packages", question(), {"timm": "1.0"}, {"timm": ""}, "timm none (driver: 1.0)", True),
    "same trial": ("weights and data", TRIALS, {"weights": {}, "sets": []}, {"trials": [TAGS], "weights": {}, "sets": []}, None, True),
    "other weights": ("weights and data", TRIALS, {"weights": {}, "sets": []}, {"trials": [{**TAGS, "fingerprint": "f1", "weights_sha256": "c" * 64}], "weights": {}, "sets": []}, "weights cccccccccccc instead of aaaaaaaaaaaa", True),
    "absent data": ("weights and data", TRIALS, {"weights": {}, "sets": []}, {"trials": [{"error": "data.source: gtav is not here"}], "weights": {}, "sets": []}, "data.source: gtav is not here", True),
    "other cached file": ("weights and data", question(), {"weights": {"x": "1", "y": "2"}, "sets": []}, {"trials": [], "weights": {"x": "1"}, "sets": []}, "y in /c/weights: missing", True),
    "a set less": ("weights and data", question(), {"weights": {}, "sets": ["a", "b"]}, {"trials": [], "weights": {}, "sets": ["a"]}, "/d has no b", False),
    "other folder": ("results", question(probe="/p", word="w"), {}, {"read": ""}, "is not the driver's folder", True),
    "read only": ("results", question(probe="/p", word="w"), {}, {"read": "w", "unwritten": "Read-only file system"}, "cannot be written there (Read-only file system)", True),
    "room": ("disk", question(need=Need(disk=GB)), {}, {"/r": 3 * GB, "/c": GB}, None, True),
    "no room": ("disk", question(need=Need(disk=GB)), {}, {"/r": GB - 1, "/c": GB}, "1,074 MB are free for /r, and a trial writes 1,074 MB", True),
    "hardly room": ("disk", question(need=Need(disk=GB)), {}, {"/r": GB + 5, "/c": GB}, "only 1,074 MB are free for /r", False),
    "memory": ("memory", MEMORY, {}, {"total": 32 * GB, "free": 16 * GB, "gpus": []}, None, True),
    "too little memory": ("memory", MEMORY, {}, {"total": 8 * GB, "free": 8 * GB, "gpus": []}, "the machine or container has 8.6 GB", True),
    "memory in use": ("memory", MEMORY, {}, {"total": 32 * GB, "free": 2 * GB, "gpus": []}, "2.1 GB are free", False),
    "GPU": ("memory", question(need=Need(8 * GB, gpu=0.5)), {}, {"total": 1, "free": 1, "gpus": [24 * GB, 16 * GB]}, None, True),
    "small GPU": ("memory", question(need=Need(8 * GB, gpu=0.5)), {}, {"total": 1, "free": 1, "gpus": [24 * GB, 15 * GB]}, "its share of a GPU (0.5) is 8.1 GB", True),
    "clock": ("clock", question(), [100.0, 103.0], [104.5, 104.5], None, True),
    "clock ahead": ("clock", question(), [100.0, 103.0], [106.0, 106.0], "at least 3 s ahead of the driver's", False),
    "clock behind": ("clock", question(), [100.0, 103.0], [30.0, 30.0], "at least 70 s behind the driver's", True),
    "new versions": ("advisories", question(), {}, {"torch": "2.10.0", "ray": "2.54.0rc1", "mlflow": "3.17.2"}, None, True),
    "old torch": ("advisories", question(), {}, {"torch": "2.9.1", "ray": "2.60.0", "mlflow": "3.17.2"}, "torch 2.9.1: a weights file that is loaded can run code (CVE-2025-32434", True),
    "old ray": ("advisories", question(), {}, {"torch": "2.14", "ray": "2.51.1", "mlflow": ""}, "GHSA-gx77-xgc2-4888", True),
    "old mlflow": ("advisories", question(), {}, {"torch": "2.14", "ray": "2.60", "mlflow": "2.22.0"}, "mlflow 2.22.0", True),
    "open Ray": ("open ports", question(cluster="h:1"), {"mode": ""}, {"open": [["Ray", 6379, False], ["Ray", 8265, False], ["Ray", 9, True]]}, "a Ray that was not started with RAY_AUTH_MODE=token listens on all interfaces (ports 6379, 8265)", True),
    "open Ray in a closed network": ("open ports", question(cluster="h:1"), {"mode": "disabled"}, {"open": [["Ray", 6379, False]]}, "(port 6379)", False),
    "open Ray beside": ("open ports", question(), {"mode": ""}, {"open": [["Ray", 6379, False]]}, "(port 6379)", False),
    "open MLflow": ("open ports", question(), {}, {"open": [["MLflow", 5000, False]]}, "an MLflow server listens on all interfaces (port 5000)", False),
    "closed ports": ("open ports", question(), {}, {"open": [["Ray", 6379, True]]}, None, False),
    "token file of all": ("file modes", question(), {}, {"secret": {"/t": 0o644}, "own": {}}, "/t: others may read it (mode 0644); chmod 600 /t", False),
    "token file": ("file modes", question(), {}, {"secret": {"/t": 0o600}, "own": {}}, None, False),
    "server at a worker": ("MLflow", question(store="http://s:5000"), {}, {"refusal": "HTTP 403: Invalid Host header"}, "http://s:5000 does not serve it (HTTP 403: Invalid Host header)", False),
    "server that asks who": ("MLflow", question(store="http://s:5000"), {}, {"refusal": "HTTP 401: who?"}, None, False),
}


@pytest.mark.parametrize(("name", "asked", "here", "there", "said", "stops"), CASES.values(), ids=CASES)
def test_each_check_says_what_is_wrong(name: str, asked: Question, here: Answer, there: Answer, said: str | None, stops: bool) -> None:
    lines = found(name, asked, here, there)
    assert len(lines) == (said is not None), lines
    for text, stopping in lines:
        assert said is not None and said in text and stopping == stops and "\n" not in text


@pytest.mark.parametrize(("mode", "said", "stops"), [
    ("token", None, True), ("", "say RAY_AUTH_MODE=disabled here where its network is closed", True),
    ("disabled", "keep its network closed", False)])
def test_a_cluster_without_a_token_is_told(mode: str, said: str | None, stops: bool) -> None:
    answer = {"mode": mode, "unread": ""}
    lines = found("token", question(cluster="head:6379"), answer, answer)
    assert [(said in text, stopping) for text, stopping in lines] == ([] if said is None else [(True, stops)])  # type: ignore[operator]
    assert not found("token", question(), answer, answer), "a private one is nobody's business"
    assert not found("token", question(cluster="head:6379"), answer, dict(answer)), "the driver's environment says it"
    unread = {"mode": "token", "unread": "/t: No such file or directory"}
    assert found("token", question(), unread, unread) == [
        ("RAY_AUTH_TOKEN_PATH: /t: No such file or directory; write the cluster's token into it", True)]


def test_what_stands_open_for_all_is_told(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    results.chmod(0o777)
    answer = next(check for check in CHECKS if check.name == "file modes").measure(Question(Paths(results, tmp_path / "c", None)))
    assert found("file modes", question(), answer, answer)[-1] == (
        f"{results}: everybody may change it (mode 0777); chmod o-w {results}", False)


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(asked: Question) -> Answer:
        raise OSError(5, "Input/output error")

    broken = CHECKS[0]._replace(measure=fail)
    monkeypatch.setattr(preflight, "CHECKS", (broken,))
    answers = measure(question())
    assert list(judge(question(), answers, answers, "n")) == [
        Finding("code", "n", "cannot be checked (OSError: [Errno 5] Input/output error)")]
    assert str(Finding("code", "n", "is old")) == "stop: n: code: is old"
    assert str(Finding("code", "n", "is old", stops=False)) == "note: n: code: is old"


def test_all_is_well_here_and_the_probe_goes_away(tmp_path: Path) -> None:
    asked = Question(Paths(tmp_path / "results", tmp_path / "cache", None))
    with probing(asked) as probed:
        answers = measure(probed)
        assert [finding for finding in judge(probed, answers, answers, "here") if finding.stops] == []
        assert answers["results"]["locks"] and answers["results"]["read"] == probed.word
    assert not [*tmp_path.iterdir()]


def test_the_packages_are_those_that_the_project_declares() -> None:
    declared = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["dependencies"]
    assert sorted(PACKAGES) == sorted(re.split(r"[\[>=]", line)[0] for line in declared)
    least = {re.split(r"[\[>=]", line)[0]: line.partition(">=")[2] for line in declared}
    for package, (mended, _, _) in preflight.advisories.ADVISORIES.items():
        assert numbers(least[package]) >= numbers(mended), "what is installed by the project is not told of"
    assert numbers("2.10.0rc1") > numbers("2.9.1") > numbers("1.99")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    {}, *(pytest.param(more, marks=pytest.mark.long) for more in (
        {"training__accumulate": 2}, {"adapter__main__rank": 32, "data__crop": [84, 112]}))])
def test_the_estimate_of_memory_is_a_lower_bound_near_the_count(settings: dict) -> None:
    config = tiny(**settings)
    counted, estimated = count_requirements(config, 19), largest_of([config, tiny()])
    assert 0.75 * counted.memory_bytes < estimated.memory <= counted.memory_bytes
    assert estimated.disk == 3 * counted.optimiser_bytes
    assert largest_of([config, tiny(data__batch_size=64, data__train_images=64)]).memory > 2 * estimated.memory - counted.weight_bytes


def test_sockets_that_wait_on_all_interfaces_are_seen() -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("this system has no /proc")
    with socket.create_server(("0.0.0.0", 0)) as wide, socket.create_server(("127.0.0.1", 0)) as narrow:
        ports = dict(open_ports._listening()).values()
        assert wide.getsockname()[1] in ports and narrow.getsockname()[1] not in ports


SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        code = int(self.path.split('/')[1])
        body = b'{"experiments": []}' if code == 200 else b'Invalid Host header - possible attack detected'
        if self.headers.get("Authorization") == "Basic YW5uOmIlYw==": code = 200; body = b'{}'
        self.send_response(code); self.end_headers(); self.wfile.write(body)
    def log_message(self, *given): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


@pytest.mark.parametrize(("path", "environment", "said"), [
    ("200", {}, ""), ("403", {}, "HTTP 403: Invalid Host header"), ("500", {}, "HTTP 500"), ("401", {}, "HTTP 401"),
    ("401", {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "b%c"}, "")])
def test_a_server_is_asked_by_a_real_call(port: int, path: str, environment: dict[str, str], said: str) -> None:
    assert ask(f"http://127.0.0.1:{port}/{path}", environment).startswith(said)
    assert bool(ask(f"http://127.0.0.1:{port}/{path}", environment)) == bool(said)


def test_an_address_with_a_password_is_not_told(port: int) -> None:
    assert ask(f"http://ann:b%25c@127.0.0.1:{port}/401", {}) == ""
    told = ask("http://ann:s3cret-w0rd@127.0.0.1:1/x", {})
    assert "refused" in told and "s3cret" not in told


@pytest.fixture
def doctor(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*words: str, **environment: str) -> tuple[int, str]:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("RECYCLELORA_CACHE", str(cache))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            code = main(["doctor", *words, "--results", str(tmp_path / "results")])
        except SystemExit as left:
            code = int(left.code or 0)
        return code, "".join(capsys.readouterr())

    return call


def test_the_doctor_finds_nothing_wrong(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, output = doctor()
    assert code == DONE and "this machine: 0 findings that stop a sweep" in output, output
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("words", "environment", "code", "said"), [
    ([], {"RAY_ADDRESS": "127.0.0.1:1"}, SOME_FAILED, "stop: driver: cluster: RAY_ADDRESS=127.0.0.1:1: nothing listens there (Connection refused)"),
    ([], {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, SOME_FAILED, "stop: driver: MLflow: http://127.0.0.1:1 does not serve it (["),
    ([], {"RAY_AUTH_TOKEN_PATH": "/nowhere"}, SOME_FAILED, "stop: driver: token: RAY_AUTH_TOKEN_PATH: /nowhere: No such file"),
    (["nowhere.yaml"], {}, BAD_INPUT, "nowhere.yaml"), (["--nonsense"], {}, BAD_INPUT, "unrecognized arguments"),
    (["experiments/both_adapters.yaml"], {}, SOME_FAILED, "stop: driver: weights and data: ")])
def test_the_doctor_says_what_stops_a_sweep(doctor: Callable[..., tuple[int, str]], words: list[str], environment: dict[str, str],
                                            code: int, said: str) -> None:
    found_code, output = doctor(*words, **environment)
    assert (found_code, said in output) == (code, True), output
    assert "Traceback" not in output
