"""Settings: layers, origins, contradictions, and what a trial's fingerprint depends on."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from recyclelora.config import Config, fingerprint, flatten, identity
from recyclelora.documents import Plain
from recyclelora.errors import InputError
from recyclelora.methods import DEFAULT
from recyclelora.settings import Settings, known_keys, parse_overrides, read_settings

ROOT = Path(__file__).resolve().parent.parent


def resolve(*overrides: str) -> Config:
    return Settings().override(parse_overrides(overrides), "command line").resolve()


def test_defaults_are_the_papers() -> None:
    flat = flatten(Config())
    expected = {
        "adapter.main.rank": 32, "adapter.sub.rank": 4, "adapter.alpha": 1.0, "adapter.scaling": "shared",
        "adapter.main.end": "minor", "adapter.sub.end": "major", "adapter.main.lr_multiplier": 1.0,
        "adapter.sub.lr_multiplier": 0.5, "adapter.skip_blocks": 0, "training.lr": 1e-4, "training.weight_decay": 0.05,
        "training.weight_decay_end": 1e-5, "training.power": 0.9, "training.iterations": 40000, "data.batch_size": 4,
        "data.crop": [512, 512], "evaluation.window": [512, 512], "evaluation.stride": [341, 341], "head.queries": 100,
        "head.width": 256, "head.points": 12544, "head.decoder_layers": 9, "head.pixel_layers": 6}
    assert {key: flat[key] for key in expected} == expected


def test_a_dump_resolves_to_itself() -> None:
    for overrides in ([], ["adapter.init=kaiming"], ["adapter.method=frozen"], ["adapter.sub.rank=0"],
                      ["adapter.scaling=2.0"]):
        config = resolve(*overrides)
        again = Settings(flatten(config)).resolve()
        assert again == config and flatten(again) == flatten(config)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments" / "bases").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs_resolve(path: Path) -> None:
    config = read_settings(path).resolve()
    assert Settings(flatten(config)).resolve() == config


def test_nested_and_dotted_keys_are_one(tmp_path: Path) -> None:
    (tmp_path / "nested.yaml").write_text("adapter: {main: {rank: 8}}\nadapter.sub.rank: 2\n")
    config = read_settings(tmp_path / "nested.yaml").resolve()
    assert (config.adapter.main.rank, config.adapter.sub.rank) == (8, 2)
    (tmp_path / "twice.yaml").write_text("adapter: {main: {rank: 8}}\nadapter.main.rank: 2\n")
    with pytest.raises(InputError, match=r"twice.yaml:2: adapter.main.rank: given twice"):
        read_settings(tmp_path / "twice.yaml")


def test_another_method_starts_from_its_own_defaults() -> None:
    settings = Settings({"adapter.init": "svd", "adapter.main.rank": 8}, {"adapter.init": "f:1", "adapter.main.rank": "f:2"})
    assert flatten(settings.override({"adapter.method": "frozen"}, "x").resolve())["adapter.method"] == "frozen"
    assert settings.override({"adapter.method": "recyclelora"}, "x").resolve().adapter.main.rank == 8


@pytest.mark.parametrize(("overrides", "complaint"), [
    (["adapter.main.rnak=8"], "adapter.main.rnak: unknown setting; did you mean adapter.main.rank?"),
    (["adaptor.main.rank=8"], "adaptor.main.rank: unknown setting; did you mean adapter.main.rank?"),
    (["adapter.main.rank=eight"], "adapter.main.rank: 'eight': must be a whole number"),
    (["adapter.main.rank=8.0"], "adapter.main.rank: 8.0: must be a whole number"),
    (["adapter.main.rank=true"], "adapter.main.rank: True: must be a whole number"),
    (["adapter.main.rank=-1"], "adapter.main.rank: -1"),
    (["adapter.main=8"], "adapter.main: is a group of settings, not a value"),
    (["adapter.main.rank=0", "adapter.sub.rank=0"], "use adapter.method: frozen"),
    (["adapter.init=kaimin"], "adapter.init: 'kaimin': must be 'rrqr', 'svd' or 'kaiming'"),
    (["adapter.init=kaiming", "adapter.main.end=minor"], "adapter.main.end: means nothing when adapter.init is kaiming"),
    (["adapter.main.end=middle"], "adapter.main.end: 'middle'"),
    (["adapter.sub.rank=0", "adapter.sub.lr_multiplier=1.0"], "means nothing when adapter.sub.rank is 0"),
    (["adapter.sub.rank=0", "adapter.sub.end=major"], "means nothing when adapter.sub.rank is 0"),
    (["adapter.method=lora"], "adapter.method: 'lora' is not known; known: recyclelora, frozen, rein"),
    (["adapter.method=frozen", "adapter.init=svd"], "is no setting of adapter.method frozen"),
    (["adapter.method=rein", "adapter.init=svd"], "is no setting of adapter.method rein"),
    (["adapter.method=rein", "adapter.tokens=50"], "adapter.tokens: 50 tokens cannot make the 100 queries"),
    (["adapter.method=rein", "adapter.rank=101"], "adapter.rank: 101 is above adapter.tokens (100)"),
    (["adapter.method=rein", "adapter.link=1"], "adapter.link: 1"),
    (["adapter.scaling=own"], "adapter.scaling: 'own': must be 'shared' or 'per_adapter'"),
    (["adapter.scaling=0.5", "adapter.alpha=2.0"], "adapter.alpha: means nothing when adapter.scaling is 0.5"),
    (["adapter.scaling=-1"], "adapter.scaling: -1"),
    (["adapter.roles=[qkv, qkv]"], "adapter.roles: name each role once"),
    (["adapter.roles=[]"], "adapter.roles: name each role once, and at least one"),
    (["adapter.roles=[query]"], "adapter.roles: 'query'"),
    (["backbone.resize=bilinear"], "backbone.resize: 'bilinear': must be 'plain' or 'flexible'"),
    (["training.lr=.nan"], "training.lr: nan: must be a finite number"),
    (["training.lr=.inf"], "training.lr: inf: must be a finite number"),
    (["training.lr=0"], "training.lr: 0: must be greater than 0"),
    (["training.warmup=50000"], "training.warmup: 50000 must be less than training.iterations"),
    (["training.warmup_start=0.1"], "training.warmup_start: means nothing when training.warmup is 0"),
    (["training.warmup=5", "training.warmup_start=2.0"], "training.warmup_start: 2.0"),
    (["training.precision=float8"], "training.precision: 'float8'"),
    (["training.accumulate=3"], "training.accumulate: 3 does not divide data.batch_size (4)"),
    (["training.accumulate=0"], "training.accumulate: 0"),
    (["training.compile=1"], "training.compile: 1"),
    (["training.ema_momentum=0.1"], "training.ema_momentum: means nothing when training.ema_start is left out"),
    (["training.ema_start=5", "training.ema_momentum=1.0"], "training.ema_momentum: 1.0"),
    (["training.ema_start=50000"], "training.ema_start: 50000 is after training.iterations (40000)"),
    (["evaluation.size=reni"], "must be 'full', 'half' or 'full-1024'"),
    (["evaluation.scales=[]"], "evaluation.scales: name each scale once, and at least one"),
    (["evaluation.scales=[1.0, 1.0]"], "evaluation.scales: name each scale once"),
    (["evaluation.flip=2"], "evaluation.flip: 2"),
    (["adapter.method=frozen", "adapter.weight_decay_multiplier=1.0"], "is no setting of adapter.method frozen"),
    (["data.targets=[a, a]"], "data.targets: name each target domain once"),
    (["data.targets=cityscapes"], "data.targets: 'cityscapes': must be a list"),
    (["data.source=../secret"], "data.source: '../secret': may have letters, digits"),
    (["data.source=gtav+gtav"], "data.source: 'gtav+gtav': join the names of different domains by one +"),
    (["data.source=gtav+"], "data.source: 'gtav+': join the names"),
    (["data.train_images=0"], "data.train_images: 0"),
    (["data.train_images=all"], "data.train_images: 'all': must be a whole number or must be a list"),
    (["data.train_images=[5]"], "data.train_images: [5]: a number for data.source gtav is needed"),
    (["data.source=gtav+synthia", "data.train_images=5"], "data.train_images: 5: a list with a number or null for each of gtav+synthia"),
    (["data.source=gtav+synthia", "data.train_images=[5]"], "data.train_images: [5]: 2 entries for data.source gtav+synthia"),
    (["data.source=gtav+synthia", "data.train_images=[5, 0]"], "data.train_images"),
    (["data.crop=[512]"], "data.crop"),
    (["data.scales=[2.0, 0.5]"], "data.scales: [2.0, 0.5]: the first is above the second"),
    (["data.base=[1024, 2048]"], "data.base: means nothing when data.resize is edges; leave it out"),
    (["data.resize=ratio", "data.base=[1024, 0]"], "data.base"),
    (["data.resize=shortest"], "data.resize: 'shortest': must be 'edges' or 'ratio'"),
    (["data.label_resize=pillow"], "data.label_resize: 'pillow': must be 'nearest' or 'cv2'"),
    (["data.pad=white"], "data.pad: 'white': must be 'black' or 'mean'"),
    (["resources.workers=-1"], "resources.workers: -1"),
    (["evaluation.stride=[600, 600]"], "evaluation.stride: (600, 600) is above evaluation.window"),
    (["evaluation.selection=best"], "evaluation.selection: 'best': must be 'last', 'source_val' or 'oracle'"),
    (["head.width=100"], "head.width: 100 must be a multiple of 32"),
    (["resources.gpus=2"], "resources.gpus: 2"),
    (["seed=-1"], "seed: -1"),
    (["adapter=3"], "adapter"),
    (["training"], "expected an override such as"),
    (["seed=1", "seed=2"], "seed: given twice"),
    (["seed.x=1", "seed=2"], "seed"),
])
def test_bad_settings_say_what_is_wrong(overrides: list[str], complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(*overrides)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_a_complaint_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("training:\n  lr: 1e-4\n  warmpu: 5\n")
    with pytest.raises(InputError) as caught:
        read_settings(tmp_path / "wrong.yaml").resolve()
    assert str(caught.value) == f"{tmp_path}/wrong.yaml:3: training.warmpu: unknown setting; did you mean training.warmup?"


def name(config: Config, weights: str = "w", data: str = "d") -> str:
    return fingerprint(config, weights_sha256=weights, data={"train": data})


OTHER = {  # another legal value of each setting
    "seed": 1, "backbone.name": "dinov2_base", "backbone.patch_size": 14, "backbone.resize": "flexible",
    "backbone.weights": "x.safetensors",
    "adapter.method": "frozen", "adapter.init": "svd", "adapter.main.rank": 8, "adapter.main.end": "major",
    "adapter.main.lr_multiplier": 2.0, "adapter.sub.rank": 2, "adapter.sub.end": "minor",
    "adapter.sub.lr_multiplier": 1.0, "adapter.scaling": "per_adapter", "adapter.alpha": 2.0, "adapter.roles": ["proj"],
    "adapter.skip_blocks": 1, "adapter.weight_decay_multiplier": 1.0, "head.width": 64, "head.queries": 20, "head.pixel_layers": 2, "head.pixel_ffn": 64,
    "head.decoder_layers": 3, "head.decoder_ffn": 64, "head.attention_heads": 4, "head.points": 64, "head.start": "transformers",
    "data.source": "synthia", "data.targets": ["acdc"], "data.train_images": 5, "data.crop": [256, 256],
    "data.scales": [1.0, 2.0], "data.resize": "ratio", "data.base": [1024, 2048], "data.pad": "mean", "data.label_resize": "cv2", "data.batch_size": 2, "training.iterations": 10, "training.lr": 1e-3,
    "training.weight_decay": 0.1, "training.weight_decay_end": 0.0, "training.power": 1.0, "training.warmup": 5,
    "training.schedule": "mmengine", "evaluation.absent_classes": "zero",
    "training.warmup_start": 1e-6, "training.decay_queries": False, "training.accumulate": 2, "training.compile": True,
    "training.ema_start": 4, "training.ema_momentum": 0.5, "evaluation.scales": [0.5, 1.0], "evaluation.flip": True,
    "resources.activation_checkpointing": True, "training.start": "0123456789abcdef",
    "training.clip": 1.0, "training.precision": "bfloat16", "evaluation.size": [512, 1024],
    "evaluation.window": [1024, 1024], "evaluation.stride": [256, 256], "evaluation.split": "test",
    "evaluation.images": 5, "evaluation.every": 5, "evaluation.selection": "source_val", "resources.cpus": 2.0,
    "resources.gpus": 0.5, "resources.workers": 2, "resources.checkpoint_every": 5, "resources.hung_after": 60.0,
    "resources.time_limit": 2.0}


def settings_for(key: str) -> Settings:
    """The defaults, with what the setting needs to mean something."""
    return Settings(dict(NEEDED.get(key, {})))


def test_every_setting_is_in_the_table_above() -> None:
    """The settings of other methods than the default are found by their types, in test_methods."""
    assert set(OTHER) == known_keys(DEFAULT)


NEEDED: dict[str, dict[str, Plain]] = {  # what else must be set for a setting to mean something
    "data.base": {"data.resize": "ratio"},
    "training.warmup_start": {"training.warmup": 5}, "training.ema_momentum": {"training.ema_start": 4}}


@pytest.mark.parametrize("key", sorted(OTHER))
def test_the_fingerprint_holds_what_changes_the_result_and_nothing_else(key: str) -> None:
    base = settings_for(key)
    changed = base.override({key: OTHER[key]}, "x").resolve()
    assert changed != base.resolve(), "the value must be another one"
    machine = key == "backbone.weights" or key.startswith("resources.")
    assert (name(changed) == name(base.resolve())) == machine


def test_subsets_of_several_sources_are_part_of_the_identity() -> None:
    configs = [resolve("data.source=gtav+synthia", f"data.train_images={images}")
               for images in ("null", "[12403, null]", "[null, 12403]", "[5, 5]")]
    assert len({name(config) for config in configs}) == 4 and configs[1].data.sources == ("gtav", "synthia")
    assert flatten(configs[1])["data.train_images"] == [12403, None]
    assert name(resolve("data.source=gtav+synthia", "data.train_images=[null, null]")) == name(configs[0])
    again = Settings(flatten(configs[1])).resolve()
    assert again == configs[1] and name(resolve("data.source=synthia+gtav")) != name(configs[0])


def test_the_fingerprint_holds_weights_and_data_and_no_order() -> None:
    assert len({name(Config()), name(Config(), weights="v"), name(Config(), data="e")}) == 3
    shuffled = Settings(dict(reversed(flatten(Config()).items()))).resolve()
    assert name(shuffled) == name(Config())
    assert name(resolve("training.lr=1")) == name(resolve("training.lr=1.0")), "1 and 1.0 are one rate"


def test_settings_are_frozen_all_the_way() -> None:
    def walk(owner: object) -> None:
        assert owner.__dataclass_params__.frozen  # type: ignore[attr-defined]
        for item in fields(owner):  # type: ignore[arg-type]
            if is_dataclass(getattr(owner, item.name)):
                walk(getattr(owner, item.name))
    walk(Config())
    assert "resources.cpus" not in identity(Config())


@pytest.mark.parametrize(("changes", "gone"), [
    ({"adapter.sub.rank": 0}, {"adapter.sub.lr_multiplier"}), ({"adapter.main.rank": 0}, {"adapter.main.lr_multiplier"}),
    ({"adapter.method": "frozen"}, {"adapter.main.lr_multiplier", "adapter.sub.lr_multiplier"})])
def test_an_override_clears_what_it_makes_meaningless(changes: dict[str, Plain], gone: set[str]) -> None:
    scenes = read_settings(ROOT / "experiments" / "bases" / "scenes.yaml")
    changed = scenes.override(changes, "command line")
    assert gone <= scenes.values.keys() and not gone & changed.values.keys() and not gone & changed.origins.keys()
    changed.resolve()
    with pytest.raises(InputError, match="command line: adapter.sub.lr_multiplier: means nothing when adapter.sub.rank is 0"):
        scenes.override({"adapter.sub.rank": 0, "adapter.sub.lr_multiplier": 0.5}, "command line").resolve()


@pytest.mark.parametrize(("before", "override"), [
    ({"training.warmup": 5, "training.warmup_start": 0.1}, {"training.warmup": 0}),
    ({"training.ema_start": 5, "training.ema_momentum": 0.1}, {"training.ema_start": None}),
    ({"data.resize": "ratio", "data.base": [64, 64]}, {"data.resize": "edges"}),
    ({"adapter.main.end": "major"}, {"adapter.init": "kaiming"}), ({"adapter.alpha": 2.0}, {"adapter.scaling": 0.5})])
def test_every_rule_clears_its_setting(before: dict[str, Plain], override: dict[str, Plain]) -> None:
    Settings(before).resolve()
    Settings(before).override(override, "x").resolve()
    with pytest.raises(InputError, match="means nothing when"):
        Settings({**before, **override}).resolve()


@pytest.mark.parametrize(("override", "complaint"), [
    ("training.iterations.x=3", "command line: training.iterations.x: unknown setting; did you mean training.iterations?"),
    ("training.iterations=[1]", "command line: training.iterations: [1]: must be a whole number"),
    ("training=3", "command line: training: is a group of settings, not a value; give one of them, such as training.accumulate"),
    ("training={}", "command line: training: holds no settings; leave it out"),
    ("training={iterations: {x: 3}}", "command line: training.iterations.x: unknown setting"),
    ("data.crop=[112]", "command line: data.crop: [112]: expected 2 values, as in [512, 512]"),
    ("data.crop=[112, 112, 112]", "command line: data.crop: [112, 112, 112]: expected 2 values, as in [512, 512]"),
    ("data.source=../x", "command line: data.source: '../x': may have letters, digits, '.', '_', '+' and '-' only"),
    ("adapter.method=", "command line: adapter.method: no method is given; known: recyclelora, "),
    ("adapter.method=x", "command line: adapter.method: 'x' is not known; known: recyclelora, "),
    ("adapter={method: rein, rank: 101}", "command line: adapter.rank: 101 is above adapter.tokens (100)"),
])
def test_overrides_say_what_is_wrong_and_where(override: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(override)
    assert str(caught.value).startswith(complaint)


def test_what_a_method_brings_is_complained_of_where_the_method_is_chosen() -> None:
    with pytest.raises(InputError, match="^command line: adapter.tokens: 100 tokens cannot make the 20 queries"):
        Settings().override({"head.queries": 20}, "a.yaml:1").override({"adapter.method": "rein"}, "command line").resolve()


def test_a_group_as_override_is_its_settings() -> None:
    """Whatever the base has: what else is in the group stays, and another method clears what is another's."""
    base = Settings().override({"training.lr": 1.0, "adapter.main.rank": 4}, "base")
    changed = base.override(parse_overrides(["training={iterations: 3, power: 1}", "adapter={method: frozen}"]), "command line")
    assert changed.values == {"training.lr": 1.0, "training.iterations": 3, "training.power": 1, "adapter.method": "frozen"}
    with pytest.raises(InputError, match="training.lr: given twice"):
        parse_overrides(["training.lr=1", "training={lr: 2}"])
