"""An mmdet head under our names: every tensor is accounted for, and it computes what mmdet's modules compute."""

import pytest
import torch
from torch import Tensor, nn

from recyclelora.exchange.mmdet_names import from_mmdet, shape_of
from recyclelora.models.mask2former import SMALL, HeadShape, Mask2FormerHead
from tests import literal_mmdet
from tests.foreign_layouts import mmdet_head

SHAPE = HeadShape(hidden=64, queries=7, pixel_layers=2, pixel_ffn=48, decoder_layers=4, decoder_ffn=40, heads=8)


def random_head(shape: HeadShape = SHAPE, seed: int = 0) -> Mask2FormerHead:
    """Every tensor random, norms too, and of a size at which each matters to the output."""
    head = Mask2FormerHead(in_channels=[24] * 4, num_classes=19, shape=shape)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in head.named_parameters():
        flat = parameter.ndim == 1 or "embed" in name or "queries" in name
        nn.init.normal_(parameter, std=0.5 if flat else parameter[0].numel() ** -0.5, generator=generator)
        if parameter.ndim == 1 and name.endswith("weight"):
            parameter.data += 1
    return head


def pyramid() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 24, 24 // scale, 32 // scale, generator=generator) for scale in (1, 2, 4, 8)]


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_computes_what_mmdets_head_computes(seed: int) -> None:
    """Against a second implementation that reads mmdet's names: a swap of two layers, norms, projections or levels of
    one shape would show."""
    head = random_head(seed=seed)
    theirs = mmdet_head(head.state_dict())
    classes, masks = literal_mmdet.head(theirs, pyramid(), heads=8, pixel_layers=2, decoder_layers=4)
    other = random_head(seed=seed + 10)
    renamed, unknown = from_mmdet(theirs)
    assert unknown == []
    other.load_state_dict(renamed)
    found = other(pyramid())
    for ours, expected in ((found.classes[-1], classes), (found.masks[-1], masks)):
        assert torch.allclose(ours, expected, atol=1e-4 * float(expected.abs().max()))
    assert torch.equal(found.masks[-1], head(pyramid()).masks[-1]), "there and back, bit for bit"


@torch.no_grad()
@pytest.mark.parametrize("swap", [("norms.0.weight", "norms.2.weight"), ("query_feat.weight", "query_embed.weight"),
                                  ("input_convs.0.conv.weight", "input_convs.2.conv.weight")])
def test_the_second_implementation_notices_a_swap(swap: tuple[str, str]) -> None:
    head = random_head()
    theirs = mmdet_head(head.state_dict())
    one, other = (next(name for name in theirs if name.endswith(end)
                       and ("transformer_decoder.layers.0" in name or "norms" not in name)) for end in swap)
    theirs[one], theirs[other] = theirs[other], theirs[one]
    _, masks = literal_mmdet.head(theirs, pyramid(), heads=8, pixel_layers=2, decoder_layers=4)
    assert not torch.allclose(masks, head(pyramid()).masks[-1], rtol=0, atol=1e-2 * float(masks.abs().max()))


@pytest.mark.parametrize("shape", [HeadShape(), SMALL, SHAPE], ids=["paper", "small", "test"])
def test_every_tensor_is_accounted_for_on_both_sides(shape: HeadShape) -> None:
    with torch.device("meta"):
        head = Mask2FormerHead(in_channels=[1024] * 4, num_classes=19, shape=shape)
    ours = head.state_dict()
    theirs = mmdet_head(ours)
    assert len(theirs) == len(ours) - 4 * shape.decoder_layers  # self-attention: three weights and biases become one each
    renamed, unknown = from_mmdet(theirs)
    assert unknown == [] and renamed.keys() == ours.keys()
    assert all(renamed[name].shape == tensor.shape for name, tensor in ours.items())
    found, classes = shape_of(renamed)
    sizes = ("hidden", "queries", "pixel_layers", "pixel_ffn", "decoder_layers", "decoder_ffn", "heads")
    assert [getattr(found, size) for size in sizes] == [getattr(shape, size) for size in sizes]
    assert classes == 19
    for name in theirs:
        rest = {key: tensor for key, tensor in theirs.items() if key != name}
        assert from_mmdet(rest)[0].keys() < ours.keys(), f"without {name} something must be missing"


def test_the_papers_head_as_mmdet_lists_it() -> None:
    """Names written out from mmdet 3: shapes of the head at the paper's size."""
    with torch.device("meta"):
        head = Mask2FormerHead(in_channels=[1024] * 4, num_classes=19, shape=HeadShape())
    theirs = {name: tuple(tensor.shape) for name, tensor in mmdet_head(head.state_dict()).items()}
    for name, shape in {
        "pixel_decoder.input_convs.0.conv.weight": (256, 1024, 1, 1), "pixel_decoder.input_convs.2.gn.bias": (256,),
        "pixel_decoder.encoder.layers.5.self_attn.sampling_offsets.weight": (192, 256),
        "pixel_decoder.encoder.layers.5.self_attn.attention_weights.bias": (96,),
        "pixel_decoder.encoder.layers.0.ffn.layers.0.0.weight": (1024, 256),
        "pixel_decoder.encoder.layers.0.norms.1.weight": (256,), "pixel_decoder.level_encoding.weight": (3, 256),
        "pixel_decoder.lateral_convs.0.conv.weight": (256, 1024, 1, 1),
        "pixel_decoder.output_convs.0.conv.weight": (256, 256, 3, 3), "pixel_decoder.mask_feature.bias": (256,),
        "transformer_decoder.layers.8.cross_attn.attn.in_proj_weight": (768, 256),
        "transformer_decoder.layers.8.self_attn.attn.in_proj_bias": (768,),
        "transformer_decoder.layers.8.self_attn.attn.out_proj.weight": (256, 256),
        "transformer_decoder.layers.0.ffn.layers.1.weight": (256, 2048), "transformer_decoder.layers.0.norms.2.bias": (256,),
        "transformer_decoder.post_norm.weight": (256,), "query_embed.weight": (100, 256), "query_feat.weight": (100, 256),
        "level_embed.weight": (3, 256), "cls_embed.weight": (20, 256), "mask_embed.4.weight": (256, 256)}.items():
        assert theirs[name] == shape, name
    assert not [name for name in theirs if name.startswith(("pixel_decoder.lateral_convs.0.conv.b", "decoder_input_"))]


def test_names_of_no_mmdet_head() -> None:
    renamed, unknown = from_mmdet({"conv_seg.weight": torch.ones(1), "cls_embed.weight": torch.ones(1),
                                   "cls_embed.weight.x": torch.ones(1), "pixel_decoder.lateral_convs.1.gn.bias": torch.ones(1)})
    assert list(renamed) == ["class_predictor.weight"] and len(unknown) == 3
