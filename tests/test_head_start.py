"""The start of the head, tensor by tensor, against mmdet's rules written out."""

import math

import pytest
import torch

from recyclelora.models.mask2former import HeadShape, Mask2FormerHead
from tests.foreign_layouts import mmdet_head
from tests.literal_start import laws, misfits

# The paper's widths, on which the laws of neighbouring tensors differ most, and one layer of each kind fewer than two
SHAPE = HeadShape(pixel_layers=2, decoder_layers=2)
RULES = laws(width=256, pixel_ffn=1024, decoder_ffn=2048)


def drawn(start: str, seed: int = 0, shape: HeadShape = SHAPE) -> Mask2FormerHead:
    torch.manual_seed(seed)
    return Mask2FormerHead(in_channels=[1024] * 4, num_classes=19, shape=HeadShape(**{**vars(shape), "start": start}))


@pytest.mark.parametrize("seed", [0, 1])
def test_every_tensor_starts_by_mmdets_rules(seed: int) -> None:
    state = mmdet_head(drawn("mmdet", seed).state_dict())
    assert misfits(state, RULES, heads=8) == []


def test_transformers_start_is_another_where_the_table_says_so() -> None:
    """Which also shows that the comparison can fail, tensor by tensor."""
    state = mmdet_head(drawn("transformers").state_dict())
    other = {"pixel_decoder.input_convs": "conv.weight", "pixel_decoder.lateral_convs": "conv.weight",
             "pixel_decoder.output_convs": "conv.weight", "pixel_decoder.mask_feature": "weight",
             "pixel_decoder.encoder.layers": ("0.0.weight", "0.0.bias", "layers.1.weight", "layers.1.bias"),
             "transformer_decoder.layers": ("attn.in_proj_weight", "attn.out_proj.weight", "0.0.weight", "0.0.bias",
                                            "layers.1.weight", "layers.1.bias"),
             "cls_embed": ("weight", "bias")}
    expected = {name for name in state for start, ends in other.items() if name.startswith(start) and name.endswith(ends)
                and "self_attn.sampling" not in name}
    assert set(misfits(state, RULES, heads=8)) == expected


@pytest.mark.parametrize(("name", "std"), [  # of the paper's head: mmdet 3.3.0's own init_weights, run once, gave these
    ("pixel_decoder.mask_projection.weight", .0626), ("pixel_decoder.input_projections.0.0.weight", .0395),
    ("pixel_decoder.adapter_1.0.weight", .0312), ("pixel_decoder.layer_1.0.weight", .0208),
    ("pixel_decoder.encoder.layers.1.fc1.weight", .0395), ("pixel_decoder.encoder.layers.1.fc1.bias", .0360),
    ("transformer_module.decoder.layers.1.self_attn.q_proj.weight", .0442),
    ("transformer_module.decoder.layers.1.cross_attn.in_proj_weight", .0442),
    ("transformer_module.decoder.layers.1.fc2.weight", .0295), ("transformer_module.decoder.layers.1.fc2.bias", .0129),
    ("class_predictor.weight", .0361)])
def test_spreads_are_those_that_mmdet_itself_drew(name: str, std: float) -> None:
    tensor = drawn("mmdet").state_dict()[name]
    assert float(tensor.std()) == pytest.approx(std, rel=0.01 + 4 / math.sqrt(2 * tensor.numel()))


@pytest.mark.parametrize("start", ["mmdet", "transformers"])
def test_a_start_depends_on_torchs_seed_alone(start: str) -> None:
    small = HeadShape(hidden=32, queries=6, pixel_layers=1, pixel_ffn=32, decoder_layers=1, decoder_ffn=32, heads=4)
    one, again, other = (drawn(start, seed, small).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(tensor, again[name]) for name, tensor in one.items())
    assert not torch.equal(one["class_predictor.weight"], other["class_predictor.weight"])

