"""Profiles of sites and the text they give: one contract for all kinds, and each text checked by whoever reads it."""

import dataclasses
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from recyclelora.cli import BAD_INPUT, DONE, SOME_FAILED, main, parse
from recyclelora.clusters import KINDS, NAMES
from recyclelora.clusters.mlflow_server import PROBE, allowed_hosts
from recyclelora.clusters.profile import Profile, read_profile
from recyclelora.documents import read
from recyclelora.errors import InputError
from recyclelora.runs.redaction import TELLING
from recyclelora.settings import parse_overrides
from tests.conftest import REPO

SITES = {folder.name: folder for folder in sorted((REPO / "cluster").iterdir()) if folder.is_dir()}
SCHEMAS = REPO.parent / "shared" / "schemas"


def profile(site: str) -> Profile:
    return read_profile(SITES[site] / "profile.yaml")


def texts(*suffixes: str) -> list[tuple[str, str, str]]:
    """(site, file, text) of the rendered files, of all or of those with such names."""
    return [(site, name, text) for site in SITES for name, text in profile(site).render().items()
            if name.endswith(suffixes or "")]


SCRIPTS = texts(".sh", ".sbatch")
OBJECTS = [(site, name, each) for site, name, text in texts(".yaml") for each in yaml.safe_load_all(text)]


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_keeps_the_contract(name: str) -> None:
    kind = KINDS[name]
    assert "\n" not in kind.HELP and kind.HELP
    assert (kind.SETTINGS is None) == (kind.SECTION == "")
    users = [profile(site) for site in SITES if name in profile(site).site.kinds]
    assert users, "each kind has an example in cluster/"
    for user in users:
        made = kind.render(user.site, user.sections.get(kind.SECTION))
        assert made and all(text.endswith("\n") and "Written by `recyclelora render`" in text for text in made.values())
        assert made == kind.render(user.site, user.sections.get(kind.SECTION))


@pytest.mark.parametrize("site", SITES)
def test_the_committed_files_are_what_the_profiles_give(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    """To accept a change: recyclelora render cluster/SITE/profile.yaml --out cluster/SITE"""
    assert main(["render", str(SITES[site] / "profile.yaml"), "--check"]) == DONE, capsys.readouterr().out
    assert {path.name for path in SITES[site].iterdir()} == {"profile.yaml", *profile(site).render()}


def test_a_text_does_not_depend_on_who_renders_it(tmp_path: Path) -> None:
    code = ("import sys; from pathlib import Path; from recyclelora.clusters.profile import read_profile\n"
            "print(read_profile(Path(sys.argv[1])).render())")
    environment = {"PATH": "/nowhere", "HOME": "/other", "USER": "other", "PYTHONPATH": str(REPO), "RAY_ADDRESS": "x:1"}
    told = subprocess.run([sys.executable, "-c", code, str(SITES["centre"] / "profile.yaml")], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(profile("centre").render())


# every key does something

OTHER: dict[str, Any] = {  # values for keys that the examples leave out, or that take no `x` at their end
    "ray.version": "2.61.0", "mlflow.address": "http://127.0.0.1:5000", "mlflow_server.bucket_region": "eu",
    "machines.workers": ("192.0.2.12",), "slurm.before": ("module load gcc",), "kubernetes.gpu_resource": "amd.com/gpu",
    "aws.key": "~/.ssh/other", "mlflow.login_secret": "other", "mlflow.login_file": "/other", "ray.token_file": "/other", "ray.token_secret": "other"}


def keys_of(group: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        found += keys_of(value, f"{prefix}{field.name}.") if dataclasses.is_dataclass(value) else [(prefix + field.name, value)]
    return found


def other(key: str, value: Any) -> Any:
    if key in OTHER:
        return OTHER[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2
    return f"{value}x" if value else "x"


def changed(group: Any, path: list[str], value: Any) -> Any:
    if len(path) > 1:
        value = changed(getattr(group, path[0]), path[1:], value)
    return dataclasses.replace(group, **{path[0]: value})


KEYS = sorted({(section, key) for site in SITES for section, group in {"": profile(site).site, **profile(site).sections}.items()
               for key, _ in keys_of(group) if key not in ("kinds", "mlflow", "ray.jobs")})  # the last is read by `submit` and `remote`


@pytest.mark.parametrize(("section", "key"), KEYS, ids=[f"{section}.{key}".strip(".") for section, key in KEYS])
def test_every_key_of_a_profile_does_something(section: str, key: str) -> None:
    assert any(matters(profile(site), section, key) for site in SITES), "it changes no text"


GIVEN = [(site, *key) for site in SITES for key in sorted({
    (path[0], ".".join(path[1:])) if path[0] in profile(site).sections else ("", ".".join(path))
    for path in read(SITES[site] / "profile.yaml").lines} & set(KEYS))]


@pytest.mark.parametrize(("site", "section", "key"), GIVEN, ids=[".".join(filter(None, given)) for given in GIVEN])
def test_every_key_that_an_example_gives_does_something_there(site: str, section: str, key: str) -> None:
    assert matters(profile(site), section, key)


def matters(user: Profile, section: str, key: str) -> bool:
    """Whether another value of a key changes a text of this site, or is refused beside the other keys."""
    full = f"{section}.{key}".strip(".")
    group = user.sections.get(section) if section else user.site
    known = dict(keys_of(group)) if group else {}
    if key not in known:
        return False
    given = {"": user.site, **user.sections}
    given[section] = changed(group, key.split("."), other(full, known[key]))
    for name in user.site.kinds:
        try:
            made = KINDS[name].render(given[""], given.get(KINDS[name].SECTION))  # type: ignore[arg-type]
        except InputError:
            return True
        if made != KINDS[name].render(user.site, user.sections.get(KINDS[name].SECTION)):
            return True
    return False


# what is wrong is said

GOOD = (SITES["centre"] / "profile.yaml").read_text()
K8S = (SITES["kubernetes"] / "profile.yaml").read_text()
PAIR = (SITES["workstations"] / "profile.yaml").read_text()
WRONG = [
    (GOOD.replace("hours: 12", "hour: 12"), "hour: unknown key; did you mean hours?"),
    (GOOD.replace("  results: /", "  result: /"), "paths.result: unknown key; did you mean results?"),
    (GOOD.replace("cpus: 32,", "cpu: 32,"), "node.cpu: unknown key; did you mean cpus?"),
    (GOOD.replace("  partition: gpu", "  partitions: gpu"), "slurm.partitions: unknown key; did you mean partition?"),
    (GOOD.replace("  results: /scratch/vision/results\n", ""), "paths.results: is missing"),
    (GOOD.replace("name: centre\n", ""), "name: is missing"),
    (GOOD.replace("slurm_array]", "slurm-array]"), "kinds: 'slurm-array' is no kind of cluster; did you mean slurm_array?"),
    (GOOD.replace("[slurm, slurm_array]", "[]"), "kinds: []: "),
    (GOOD.replace("[slurm, slurm_array]", "[slurm, slurm]"), "kinds: name each kind once"),
    (GOOD.replace("name: centre", "name: My Centre"), "name: 'My Centre': expected lower-case letters"),
    (GOOD.replace("name: centre", "name: ../x"), "name: '../x': expected lower-case letters"),
    (GOOD.replace("/scratch/vision/results", "results"), "paths.results: 'results': expected an absolute path"),
    (GOOD.replace("/scratch/vision/results", "/scratch/../etc"), "paths.results: '/scratch/../etc': expected a path"),
    (GOOD.replace("/scratch/vision/results", "'/a b'"), "paths.results: '/a b': expected a path"),
    (GOOD.replace("/scratch/vision/results", "'/a$(reboot)'"), "paths.results: '/a$(reboot)': expected a path"),
    (GOOD.replace("  account: vision", "  account: 'x --uid=0'"), "slurm.account: 'x --uid=0': expected letters"),
    (GOOD.replace("module load cuda", "'x; rm y'"), "slurm.before.0: 'x; rm y': expected a plain command"),
    (GOOD.replace("nodes: 4", "nodes: 0"), "nodes: 0: must be greater than or equal to 1"),
    (GOOD.replace("nodes: 4", "nodes: four"), "nodes: 'four': must be a whole number"),
    (GOOD.replace("trial: {cpus: 8, gpus: 1}", "trial: {cpus: 8, gpus: 5}"), "trial.gpus: 5, but a node has 4"),
    (GOOD.replace("trial: {cpus: 8, gpus: 1}", "trial: {cpus: 64}"), "trial.cpus: 64, but a node has 32"),
    (GOOD.replace("hours: 12", "space: /etc/x.yaml"), "space: '/etc/x.yaml': expected a path relative to the checkout"),
    (GOOD.replace("ray: {token_file: ~/.ray/auth_token}\n", ""),
     "ray.token_file: is missing, and kind slurm needs it: without a token, every user of the centre could run code as you"),
    (GOOD.replace("ray: {token_file: ~/.ray/auth_token}", "ray: {auth: disabled}"), "ray.auth: unknown key"),
    (GOOD + "mlflow: {address: 'http://tracking:5000'}\n",
     "mlflow.address: tracking is reached over a network, and without a login it would be open to everyone there"),
    (GOOD + "mlflow: {address: 'http://me:secret@tracking'}\n", "mlflow.address: an address with a user or a password"),
    (GOOD + "mlflow: {address: tracking}\n", "mlflow.address: 'tracking': expected an address such as"),
    (GOOD + "machines: {head: a}\n", "machines: means nothing without one of its kinds (ray_up_local) in kinds"),
    (K8S.replace("ray: {token_secret: ray-token}\n", ""), "ray.token_secret: is missing, and kind ray_job needs it"),
    (K8S.replace("claim: shared", "claim: Shared"), "kubernetes.claim: 'Shared': expected lower-case letters"),
    (K8S.replace("kubernetes: {namespace: sweeps, claim: shared}\n", ""), "kubernetes.namespace: is missing"),
    (K8S.replace(", login_secret: mlflow-login", ""), "mlflow.address: mlflow.sweeps.svc is reached over a network"),
    (K8S.replace("mlflow.sweeps.svc:5000", "elsewhere:5000"), "mlflow.address: must be http://mlflow.sweeps.svc:5000"),
    (K8S.replace("s3://sweeps/mlflow", "/sweeps"), "mlflow_server.artifacts: '/sweeps': expected a bucket"),
    (PAIR.replace("nodes: 2", "nodes: 3"), "nodes: 3, but machines has a head and 1 workers"),
    (PAIR.replace("192.0.2.10", "'-oProxyCommand=x'"), "machines.head: '-oProxyCommand=x': expected the name or IPv4"),
    (K8S.replace("ray_job, ray_cluster, mlflow_server]", "skypilot]").replace("token_secret: ray-token", "port: 6380, token_file: /t")
     .partition("kubernetes: {")[0] + "skypilot: {accelerator: A, volume: v}\n", "ray.port: 6380 is that of SkyPilot's own Ray"),
    (PAIR.replace("ray_up_local]", "ray_up_local, ray_up_cloud]") + "image: a:1\naws: {region: r, head_type: h, worker_type: w, "
     "shared: s}\n", "kinds: ray_up_cloud and another one both write ray-up.yaml"),
    ("name: x\nname: y\n", "name: given twice"),
    ("- a\n", "expected `key: value` lines"),
]


@pytest.mark.parametrize(("text", "complaint"), WRONG, ids=[complaint[:60] for _, complaint in WRONG])
def test_bad_profiles_are_one_line(text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    assert text not in (GOOD, K8S, PAIR)
    assert main(["render", str(path)]) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and complaint in said and re.match(rf"recyclelora: {path}(:\d+)?: ", said), said


def test_a_line_is_that_of_its_key(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(GOOD.replace("  results: /", "  result: /"))
    line = 1 + GOOD.splitlines().index("  results: /scratch/vision/results")
    with pytest.raises(InputError, match=f"profile.yaml:{line}: paths.result"):
        read_profile(path)


def test_a_server_of_this_machine_needs_no_login(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    for host in ("127.0.0.1", "localhost", "[::1]"):
        path.write_text(GOOD + f"mlflow: {{address: 'http://{host}:5000/'}}\n")
        assert f"MLFLOW_TRACKING_URI='http://{host}:5000'" in (text := read_profile(path).render()["sweep.sbatch"]) or \
            f"MLFLOW_TRACKING_URI=http://{host}:5000" in text


# nothing is open, nothing is secret

def test_every_ray_over_a_network_asks_for_a_token() -> None:
    for site, name, text in texts():
        for line in text.replace("\n  ", " ").splitlines():
            if re.search(r"\bray start\b", line):
                assert "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in line, (site, name, line)
    for site, name, text in SCRIPTS:
        if "recyclelora sweep" in text:
            assert "export RAY_AUTH_MODE=token\nexport RAY_AUTH_TOKEN_PATH=" in text, (site, name)
    for _, name, each in OBJECTS:
        if each.get("kind") in ("RayJob", "RayCluster"):
            spec = each["spec"].get("rayClusterSpec", each["spec"])
            assert spec["authOptions"]["mode"] == "token" and spec["authOptions"]["secretName"], name


def test_what_listens_on_all_interfaces_has_logins() -> None:
    for site, name, text in texts():
        for line in text.splitlines():
            assert "0.0.0.0" not in line or "--app-name basic-auth" in line, (site, name, line)


def walk(tree: Any) -> Any:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from walk(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from walk(value)


def test_secrets_come_from_files_and_secrets() -> None:
    seen = 0
    for site, name, each in OBJECTS:
        for entry in walk(each):
            if set(entry) >= {"name", "value"} and TELLING.search(str(entry["name"])):
                assert str(entry["name"]).endswith("_PATH"), (site, name, entry)
            seen += "valueFrom" in entry
    assert seen >= 8
    for site, name, text in SCRIPTS:
        assert not re.search(r"(?<!\[)\b\w*(TOKEN|PASSWORD|SECRET|KEY)=[^.]", text), (site, name)


# who reads a text says that it is right

@pytest.mark.parametrize(("site", "name", "text"), SCRIPTS, ids=[f"{site}/{name}" for site, name, _ in SCRIPTS])
def test_scripts_are_sound(site: str, name: str, text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    told = subprocess.run(["shellcheck", "--severity=style", "-"], input=text, text=True, capture_output=True)
    assert told.returncode == 0, told.stdout


def test_the_script_in_a_task_of_skypilot_is_sound() -> None:
    (task,) = [each for _, name, each in OBJECTS if name == "sky.yaml"]
    assert "ray stop" not in task["run"] and not {"6380", "8266"} & set(re.findall(r"\d+", task["run"]))
    subprocess.run(["bash", "-n"], input=task["run"], text=True, check=True)
    if shutil.which("shellcheck"):
        told = subprocess.run(["shellcheck", "--shell=bash", "-"], input=task["run"], text=True, capture_output=True)
        assert told.returncode == 0, told.stdout


def test_the_sweeps_in_all_texts_are_calls_of_this_program() -> None:
    seen = 0
    for site, _, text in texts():
        for call in re.findall(r"recyclelora (sweep [^&\n]*(?:\n +resources[^&\n]*)?)", text):
            given = parse(shlex.split(call.replace('"$@"', "").replace('"$which/$SLURM_ARRAY_TASK_COUNT"', "2/4")))
            assert given.slots and str(given.results).startswith(("/", "$part"))
            assert set(parse_overrides(given.overrides)) == {"resources.cpus", "resources.gpus"}, (site, call)
            seen += 1
    assert seen >= 8


@pytest.mark.parametrize("site", ["workstations", "cloud"])
def test_ray_takes_what_ray_up_is_given(site: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    (given,) = [each for here, name, each in OBJECTS if name == "ray-up.yaml" and here == site]
    validate_config(prepare_config(given))
    with pytest.raises(Exception, match="Additional properties are not allowed"):
        validate_config(prepare_config({**given, "max_worker": 1}))


def strict(schema: Any) -> Any:
    """The same schema, under which keys that it does not name are wrong, as the API server drops them."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


@functools.cache
def schema_of(kind: str) -> Any:
    path = SCHEMAS / f"ray.io_{kind.lower()}s.yaml"
    if not path.exists():
        pytest.skip(f"the schemas of KubeRay are not here ({path})")
    version = next(each for each in yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]["versions"] if each["name"] == "v1")
    return strict(version["schema"]["openAPIV3Schema"])


def faults(given: Any, schema: Any) -> list[str]:
    from jsonschema import Draft7Validator

    return [error.message for error in Draft7Validator(schema).iter_errors(given)]


@pytest.mark.parametrize("kind", ["RayJob", "RayCluster"])
def test_kuberay_takes_what_it_is_given(kind: str) -> None:
    schema = schema_of(kind)
    (given,) = [each for _, _, each in OBJECTS if each.get("kind") == kind]
    assert faults(given, schema) == []
    for spec in (given["spec"], given["spec"].get("rayClusterSpec", given["spec"])["workerGroupSpecs"][0]["template"]["spec"]):
        spec["shutdownAfterJobFinished"] = True
        assert "Additional properties are not allowed ('shutdownAfterJobFinished'" in faults(given, schema)[0]
        del spec["shutdownAfterJobFinished"]


def test_the_pods_of_mlflow_are_pods() -> None:
    """By the schema of pods in that of a RayCluster."""
    groups = schema_of("RayCluster")["properties"]["spec"]["properties"]["workerGroupSpecs"]
    pod, seen = groups["items"]["properties"]["template"]["properties"]["spec"], 0
    for _, _, each in OBJECTS:
        if each.get("kind") in ("Deployment", "StatefulSet"):
            assert faults(each["spec"]["template"]["spec"], pod) == []
            assert each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"]
            seen += 1
    assert seen == 2


def test_the_version_of_ray_is_the_locked_one() -> None:
    (locked,) = re.findall(r"^ray\S*==(\S+)", (REPO / "requirements.lock").read_text(), re.M)
    assert {profile(site).site.ray.version for site in SITES} == {locked}


# the texts at work

def test_ray_up_leaves_a_cluster_that_runs(tmp_path: Path) -> None:
    (up,) = [each for site, name, each in OBJECTS if site == "workstations" and name == "ray-up.yaml"]
    assert "ray stop" not in str(up)
    (command,) = up["worker_start_ray_commands"]
    ray = tmp_path / "ray"
    ray.write_text(f'#!/bin/sh\necho "$RAY_AUTH_MODE" "$@" >> {tmp_path}/calls\n')
    ray.chmod(0o755)
    command = command.replace("/srv/recyclelora/.venv/bin/ray", str(ray)).replace("ulimit -n 65536;", "")
    run = {"args": ["bash", "-c", command], "env": {**os.environ, "RAY_HEAD_IP": "192.0.2.99"}, "check": True}
    subprocess.run(**run)  # type: ignore[call-overload]
    assert (tmp_path / "calls").read_text() == "token start --address=192.0.2.99:6379 --num-cpus=16 --num-gpus=2\n"
    words = "x/raylet/raylet --node_id=1 --gcs-address=192.0.2.99:6379 --labels="
    with subprocess.Popen(["bash", "-c", 'exec -a "$0" sleep 60', words]) as running:
        time.sleep(0.3)
        subprocess.run(**run)  # type: ignore[call-overload]
        running.kill()
    assert (tmp_path / "calls").read_text().count("\n") == 1, "it was running"


@pytest.mark.parametrize(("mode", "content", "complaint"), [
    (0o644, "x", "others can read it; chmod 600"), (0o600, "", "no such file; make a token: (umask 077; ray get-auth-token"),
    (0o600, "x", "")])
def test_a_script_wants_its_token_for_itself(mode: int, content: str, complaint: str, tmp_path: Path) -> None:
    token, checkout = tmp_path / "token", tmp_path / "checkout"
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/recyclelora").write_text('#!/bin/sh\necho "$RAY_AUTH_MODE" "$RAY_ADDRESS" "$@"\n')
    (checkout / ".venv/bin/recyclelora").chmod(0o755)
    token.write_text(content)
    token.chmod(mode)
    (tmp_path / "profile.yaml").write_text(PAIR.replace("~/.ray/auth_token", str(token)).replace("/srv/recyclelora", str(checkout)))
    script = read_profile(tmp_path / "profile.yaml").render()["sweep.sh"]
    done = subprocess.run(["bash", "-c", script, "sweep.sh", "seed=3"], capture_output=True, text=True,
                          env={**os.environ, "SPACE": "other.yaml"})
    if complaint:
        assert done.returncode == BAD_INPUT and complaint in done.stderr
    else:
        assert done.stdout == ("token 192.0.2.10:6379 sweep other.yaml --results /srv/results --slots 4 resources.cpus=4 "
                               "resources.gpus=1 seed=3\n"), done.stderr


def test_render_writes_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(SITES["centre"] / "profile.yaml", tmp_path)
    words = ["render", str(tmp_path / "profile.yaml")]
    assert main(words) == DONE
    assert "==> sweep.sbatch <==\n#!/usr/bin/env bash" in capsys.readouterr().out
    assert main([*words, "--check"]) == SOME_FAILED
    assert capsys.readouterr().out.count("is missing") == 4
    assert main([*words, "--out", str(tmp_path)]) == DONE and main([*words, "--check"]) == DONE
    capsys.readouterr()
    text = (tmp_path / "submit.sh").read_text()
    for other_text, line in ((text + "more\n", 1 + text.count("\n")), (text.rstrip("\n"), text.count("\n")), ("", 1)):
        (tmp_path / "submit.sh").write_text(other_text)
        assert main([*words, "--check"]) == SOME_FAILED
        assert capsys.readouterr().out == f"{tmp_path}/submit.sh: differs from line {line} on\n"


@pytest.mark.slow
def test_mlflow_answers_under_the_names_of_its_service(tmp_path: Path, free_port: int) -> None:
    """As the probe asks; without the logins, whose library is not among this project's."""
    own = profile("kubernetes").sections["mlflow_server"]
    environment = {**os.environ, "MLFLOW_SERVER_ALLOWED_HOSTS": allowed_hosts(own),  # type: ignore[arg-type]
                   "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db", "MLFLOW_AUTH_ADMIN_USERNAME": "a",
                   "MLFLOW_AUTH_ADMIN_PASSWORD": "b"}
    probe = PROBE.replace(":5000", f":{free_port}")
    assert probe != PROBE
    server = subprocess.Popen([sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(free_port),
                               "--workers", "1"], env=environment, cwd=tmp_path, start_new_session=True)
    try:
        def asked(host: str) -> int:
            return subprocess.run([sys.executable, "-c", probe], env=environment | {"SERVER_NAME": host},
                                  capture_output=True).returncode

        end = time.monotonic() + 120
        while asked("mlflow.sweeps.svc:5000") and time.monotonic() < end:
            time.sleep(1)
        for host in ("mlflow", "mlflow:5000", "mlflow.sweeps.svc:5000", "mlflow.sweeps.svc.cluster.local:5000", "localhost:5000"):
            assert asked(host) == 0, host
        assert asked("attacker.example:5000") == 1
        request = urllib.request.Request(f"http://127.0.0.1:{free_port}/api/2.0/mlflow/experiments/search?max_results=1",
                                         headers={"Host": "mlflow.other.svc:5000"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=10)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
