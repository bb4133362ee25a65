"""The segmentor against transformers' own Mask2Former, against slow literal twins, and its own promises."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor
from transformers.models.mask2former.modeling_mask2former import Mask2FormerPixelDecoder

from recyclelora.models.pyramid import block_features, feature_pyramid
from recyclelora.models.segmentor import SMALL, HeadShape, Segmentor, build_segmentor
from recyclelora.models.timm_backbones import build_backbone

CLASSES = 5
TINY = HeadShape(hidden=32, queries=6, pixel_layers=1, pixel_ffn=32, decoder_layers=2, decoder_ffn=48, heads=4,
                 points=48)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only wait for one another on tensors this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_vit(patch: int = 8, size: tuple[int, int] = (48, 64)) -> nn.Module:
    torch.manual_seed(3)
    vit = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=size, patch_size=patch, embed_dim=24,
                            depth=4, num_heads=2, init_values=1.0, dynamic_img_size=True)
    return vit.requires_grad_(False).eval()


def tiny_segmentor(shape: HeadShape = TINY, seed: int = 0, **vit: int | tuple[int, int]) -> Segmentor:
    backbone = tiny_vit(**vit)
    torch.manual_seed(seed)
    return build_segmentor(backbone, num_classes=CLASSES, head=shape)


def some_batch(size: int = 3, height: int = 48, width: int = 64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Blocks of 8 x 8 pixels of one class, some ignored; the last image holds one class only."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES + 1, (size, height // 8, width // 8), generator=generator)
    labels[-1] = 2
    labels = labels.masked_fill(labels == CLASSES, 255).repeat_interleave(8, 1).repeat_interleave(8, 2)
    return torch.randn(size, 3, height, width, generator=generator), labels


class Encoder(nn.Module):
    """What transformers' Mask2Former asks of a backbone, over our pyramid."""

    def __init__(self, segmentor: Segmentor) -> None:
        super().__init__()
        self.vit, self.blocks = segmentor.vit, segmentor.blocks

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(feature_maps=feature_pyramid(block_features(self.vit, pixel_values, self.blocks)))


def transformers_twin(segmentor: Segmentor) -> Mask2FormerForUniversalSegmentation:
    """transformers' whole model with the segmentor's weights: its loss, its matcher, its forward pass."""
    shape, width = segmentor.shape, segmentor.vit.embed_dim
    config = Mask2FormerConfig(
        num_labels=CLASSES, feature_size=shape.hidden, mask_feature_size=shape.hidden, hidden_dim=shape.hidden,
        encoder_feedforward_dim=shape.pixel_ffn, encoder_layers=shape.pixel_layers, num_queries=shape.queries,
        decoder_layers=shape.decoder_layers + 1, dim_feedforward=shape.decoder_ffn, train_num_points=shape.points,
        num_attention_heads=shape.heads, no_object_weight=shape.no_object_weight, class_weight=shape.class_weight,
        mask_weight=shape.mask_weight, dice_weight=shape.dice_weight, oversample_ratio=shape.oversample,
        importance_sample_ratio=shape.importance)
    twin = Mask2FormerForUniversalSegmentation(config)
    twin.model.pixel_level_module.encoder = Encoder(segmentor)
    twin.model.pixel_level_module.decoder = Mask2FormerPixelDecoder(config, feature_channels=[width] * 4)
    head = segmentor.head
    twin.model.pixel_level_module.decoder.load_state_dict(head.pixel_decoder.state_dict())
    twin.model.transformer_module.load_state_dict(head.transformer_module.state_dict())
    twin.class_predictor.load_state_dict(head.class_predictor.state_dict())
    return twin.train()


def twin_parameters(twin: nn.Module) -> dict[str, nn.Parameter]:
    """The twin's head under our names."""
    names = {"model.pixel_level_module.decoder.": "pixel_decoder.", "model.transformer_module.": "transformer_module.",
             "class_predictor.": "class_predictor."}
    return {ours + name.removeprefix(theirs): parameter for name, parameter in twin.named_parameters()
            for theirs, ours in names.items() if name.startswith(theirs)}


def literal_targets(labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    classes = [label[label != 255].unique() for label in labels]
    return [torch.stack([label == each for each in found]).float() if len(found) else torch.zeros(0, *label.shape)
            for label, found in zip(labels, classes, strict=True)], classes


# --- parity with transformers


@pytest.mark.parametrize("shape", [TINY, replace(TINY, queries=3), replace(TINY, no_object_weight=0.5, importance=0.5,
                                                                         oversample=2.0, class_weight=1.0,
                                                                         mask_weight=3.0, dice_weight=4.0)],
                         ids=["paper", "fewer queries than classes", "other settings"])
def test_loss_and_gradients_are_those_of_transformers(shape: HeadShape) -> None:
    segmentor = tiny_segmentor(shape)
    segmentor.vit.blocks[1].mlp.fc1.weight.requires_grad_()  # so that the gradient into the ViT is compared too
    twin = transformers_twin(segmentor)
    images, labels = some_batch()
    masks, classes = literal_targets(labels)

    torch.manual_seed(7)
    theirs = twin(images, mask_labels=masks, class_labels=classes).loss
    theirs.backward()
    into_vit = segmentor.vit.blocks[1].mlp.fc1.weight.grad.clone()
    segmentor.zero_grad()
    torch.manual_seed(7)
    ours = segmentor.train().loss(images, labels)
    ours["total"].backward()

    assert ours["total"].item() == pytest.approx(theirs.item(), rel=1e-5)
    assert ours["total"].item() == pytest.approx(sum(ours[part].item() for part in ("class", "mask", "dice")), rel=1e-6)
    expected = twin_parameters(twin)
    assert expected.keys() == dict(segmentor.head.named_parameters()).keys()
    for name, parameter in segmentor.head.named_parameters():
        assert torch.allclose(parameter.grad, expected[name].grad, rtol=1e-3, atol=2e-5), name
    assert into_vit.abs().max() > 0
    assert torch.allclose(segmentor.vit.blocks[1].mlp.fc1.weight.grad, into_vit, rtol=1e-3, atol=2e-5)


def test_the_three_losses_are_those_of_transformers() -> None:
    segmentor = tiny_segmentor()
    twin = transformers_twin(segmentor)
    images, labels = some_batch()
    with torch.no_grad():
        predictions = segmentor(images)
        torch.manual_seed(1)
        ours = segmentor.loss(images, labels)
        torch.manual_seed(1)
        others = [{"masks_queries_logits": masks, "class_queries_logits": classes}
                  for classes, masks in zip(predictions.classes[:-1], predictions.masks[:-1], strict=True)]
        theirs = twin.get_loss_dict(predictions.masks[-1], predictions.classes[-1], *literal_targets(labels), others)
    assert len(theirs) == 3 * 3  # initial queries and two layers
    for ours_name, name in (("class", "loss_cross_entropy"), ("mask", "loss_mask"), ("dice", "loss_dice")):
        expected = sum(value.item() for key, value in theirs.items() if key.startswith(name))
        assert ours[ours_name].item() == pytest.approx(expected, rel=1e-5)


def test_scores_are_those_of_transformers() -> None:
    segmentor = tiny_segmentor(patch=16, size=(384, 384)).eval()  # its post-processing resizes to 384 x 384 first
    twin = transformers_twin(segmentor).eval()
    images = torch.randn(2, 3, 384, 384)
    with torch.no_grad():
        raw = twin(images)
    expected = Mask2FormerImageProcessor().post_process_semantic_segmentation(
        raw, target_sizes=[(384, 384)] * 2, return_segmentation_scores=True)
    scores = segmentor.scores(images)
    assert scores.shape == (2, CLASSES, 384, 384) and not scores.requires_grad
    for ours, theirs in zip(scores, expected, strict=True):
        assert torch.allclose(ours, theirs["segmentation_scores"], atol=1e-5)
        assert (ours.argmax(0) == theirs["segmentation"]).float().mean() > 0.9999


def test_the_head_starts_as_transformers_does_where_that_is_asked_for() -> None:
    shape = replace(TINY, hidden=64, queries=40, pixel_ffn=128, decoder_ffn=128, start="transformers")
    segmentor = tiny_segmentor(shape)
    theirs = twin_parameters(Mask2FormerForUniversalSegmentation(transformers_twin(segmentor).config))  # as it comes
    compared = 0
    for name, ours in segmentor.head.named_parameters():
        same = theirs[name]
        if same.shape != ours.shape:  # the projections of its own backbone's maps
            assert name.startswith(("pixel_decoder.input_projections.", "pixel_decoder.adapter_1.")), name
            assert ours.std().item() == pytest.approx(0.02, rel=0.15)
        elif same.std() == 0 or name.endswith("sampling_offsets.bias"):
            assert torch.equal(ours, same), name
        elif ours.numel() >= 1000:
            compared += 1
            assert ours.std().item() == pytest.approx(same.std().item(), rel=0.15), name
            assert abs(ours.mean().item()) < 0.2 * ours.std().item(), name
    assert compared > 20


def test_images_without_a_label_teach_only_no_object() -> None:
    segmentor = tiny_segmentor()
    images, labels = some_batch()
    labels[0] = 255
    assert all(value.isfinite() for value in segmentor.loss(images, labels).values())
    losses = segmentor.loss(images, torch.full_like(labels, 255))
    losses["total"].backward()
    assert losses["mask"] == losses["dice"] == 0 and losses["class"] > 0
    assert segmentor.head.class_predictor.weight.grad.abs().sum() > 0


def test_the_points_come_from_torchs_seed() -> None:
    segmentor, (images, labels) = tiny_segmentor(), some_batch()

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        return segmentor.loss(images, labels)["mask"].item()

    assert loss(1) == loss(1) != loss(2)


# --- what is trained, and what stays


def test_the_vit_stays_bitwise_its_file_and_the_head_alone_is_trained(dinov2_small: Path) -> None:
    vit = build_backbone("dinov2_small", patch_size=None, image_size=(518, 518), weights=dinov2_small)
    segmentor = build_segmentor(vit, num_classes=CLASSES, head=TINY)
    assert {name for name, parameter in segmentor.named_parameters() if parameter.requires_grad} == \
           {f"head.{name}" for name, _ in segmentor.head.named_parameters()}
    assert {name.split(".")[0] for name, _ in segmentor.named_parameters()} == {"vit", "head"}
    optimiser = torch.optim.AdamW([p for p in segmentor.parameters() if p.requires_grad], lr=1e-3)
    segmentor.train().vit.eval()
    segmentor.loss(*some_batch(2, 56, 56))["total"].backward()
    optimiser.step()
    published = load_file(dinov2_small)
    assert segmentor.vit.state_dict().keys() == published.keys()
    for name, tensor in segmentor.vit.state_dict().items():
        assert torch.equal(tensor, published[name]), name
    assert all(parameter.grad is None for parameter in segmentor.vit.parameters())


def test_a_frozen_vit_builds_no_graph_and_a_trained_one_does() -> None:
    segmentor, (images, labels) = tiny_segmentor(), some_batch()
    seen: list[bool] = []
    segmentor.vit.blocks[2].register_forward_hook(lambda *args: seen.append(torch.is_grad_enabled()))
    segmentor.loss(images, labels)["total"].backward()
    segmentor.vit.blocks[3].mlp.fc1.weight.requires_grad_()
    segmentor.loss(images, labels)["total"].backward()
    assert segmentor.vit.blocks[3].mlp.fc1.weight.grad.abs().sum() > 0
    segmentor.scores(images)
    assert seen == [False, True, False]


def test_the_loss_falls_on_one_batch() -> None:
    segmentor, (images, labels) = tiny_segmentor(), some_batch()
    optimiser = torch.optim.AdamW([p for p in segmentor.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for step in range(30):
        torch.manual_seed(step)
        optimiser.zero_grad()
        loss = segmentor.loss(images, labels)["total"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(map(math.isfinite, losses)) and sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_every_head_parameter_learns() -> None:
    segmentor, (images, labels) = tiny_segmentor(), some_batch()
    optimiser = torch.optim.SGD(segmentor.head.parameters(), lr=1e-3)
    for _ in range(2):  # the weights that aim the deformable attention start at 0, and hide its level embedding once
        optimiser.zero_grad()
        segmentor.loss(images, labels)["total"].backward()
        optimiser.step()
    for name, parameter in segmentor.head.named_parameters():
        assert parameter.isfinite().all(), name
        if not name.endswith("k_proj.bias"):  # a softmax does not see it
            assert parameter.grad.abs().max() > 0, name


def test_a_query_that_sees_nothing_looks_everywhere() -> None:
    """Attention outside a query's own mask is shut, unless that leaves nothing: such a row is opened again. Masks that
    are empty everywhere then attend as masks that are full everywhere do."""
    segmentor, (images, _) = tiny_segmentor(), some_batch()
    with torch.no_grad():
        pyramid = feature_pyramid(block_features(segmentor.vit, images, segmentor.blocks))
        decoded = segmentor.head.pixel_decoder(list(pyramid))
        results = []
        for sign in (-1.0, 1.0):
            features = torch.full_like(decoded.mask_features, sign)
            for layer in segmentor.head.transformer_module.decoder.mask_predictor.mask_embedder.modules():
                if isinstance(layer, nn.Linear):  # every query's mask embedding is positive
                    layer.weight.zero_()
                    layer.bias.fill_(1.0)
            made = segmentor.head.transformer_module(multi_scale_features=decoded.multi_scale_features,
                                                     mask_features=features)
            assert all((masks.sign() == sign).all() for masks in made.masks_queries_logits)
            results.append(made.last_hidden_state)
    assert results[0].isfinite().all() and torch.equal(*results)


# --- construction


def test_the_heads_weights_depend_on_the_seed_only() -> None:
    one, same, other = tiny_segmentor(seed=1), tiny_segmentor(seed=1), tiny_segmentor(seed=2)
    states = [segmentor.head.state_dict() for segmentor in (one, same, other)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not torch.equal(states[0]["class_predictor.weight"], states[2]["class_predictor.weight"])
    vit = tiny_vit()
    torch.rand(1000)
    torch.manual_seed(1)
    again = build_segmentor(vit, num_classes=CLASSES, head=TINY).head.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in states[0].items())


def test_construction_says_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_segmentor(replace(TINY, hidden=96, heads=8))  # 12 a head, of which transformers warns
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_the_papers_head_has_the_published_size() -> None:
    with torch.device("meta"):
        vit = build_backbone("dinov2_large", patch_size=16, image_size=(512, 512), weights=None)
        segmentor = build_segmentor(vit, num_classes=19, head=HeadShape())
    head = segmentor.head
    assert {name for name, parameter in segmentor.named_parameters() if not parameter.is_meta} <= \
           {"head.pixel_decoder.level_embed"}  # made by transformers in a way that no device context reaches
    assert len(head.pixel_decoder.encoder.layers) == 6 and len(head.transformer_module.decoder.layers) == 9
    assert segmentor.blocks == (7, 11, 15, 23)
    assert (HeadShape().points, HeadShape().oversample, HeadShape().importance) == (12544, 3.0, 0.75)
    assert (HeadShape().class_weight, HeadShape().mask_weight, HeadShape().dice_weight) == (2.0, 5.0, 5.0)

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    linear = 256 * 256 + 256
    layer = 2 * 4 * linear + (256 * 2048 + 2048 + 2048 * 256 + 256) + 3 * 512  # two attentions, FFN, three norms
    assert count(head.transformer_module) == 9 * layer + 2 * 100 * 256 + 3 * 256 + 512 + 3 * linear == 14_458_624
    assert count(head.class_predictor) == 20 * 257
    with torch.device("meta"):
        small = build_segmentor(build_backbone("dinov2_small", patch_size=None, image_size=(112, 112), weights=None),
                                num_classes=19, head=SMALL)
    assert 50 * count(small.head) == pytest.approx(count(head), rel=0.1)


def test_a_saved_segmentor_scores_the_same() -> None:
    segmentor, other = tiny_segmentor(seed=1), tiny_segmentor(seed=2)
    images, _ = some_batch()
    assert not torch.equal(segmentor.scores(images), other.scores(images))
    other.load_state_dict(segmentor.state_dict())
    assert torch.equal(segmentor.scores(images), other.scores(images))


# --- sizes, dtypes, backbones


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (16, 88), (40, 56)])
def test_any_multiple_of_the_patch_size_works(size: tuple[int, int]) -> None:
    segmentor = tiny_segmentor()
    images, labels = some_batch(2, *size)
    assert segmentor.loss(images, labels)["total"].isfinite()
    scores = segmentor.scores(images)
    assert scores.shape == (2, CLASSES, *size)
    assert scores.min() >= 0 and scores.sum(1).max() <= TINY.queries


def test_train_and_eval_mode_give_the_same_loss() -> None:
    segmentor, (images, labels) = tiny_segmentor(), some_batch()
    losses = []
    for mode in (True, False):
        torch.manual_seed(0)
        segmentor.train(mode).vit.eval()
        losses.append(segmentor.loss(images, labels)["total"].item())
    assert losses[0] == losses[1]


def test_bfloat16_autocast_keeps_the_loss_in_float32() -> None:
    segmentor, (images, labels) = tiny_segmentor(), some_batch()
    torch.manual_seed(0)
    exact = segmentor.loss(images, labels)["total"]
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = segmentor.loss(images, labels)
    losses["total"].backward()
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert losses["total"].item() == pytest.approx(exact.item(), rel=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in segmentor.head.parameters())


@pytest.mark.parametrize(("name", "patch"), [("eva02_tiny", None), ("eva02_tiny", 16), ("dinov2_small_reg", 16)])
def test_other_backbones_train_one_step(name: str, patch: int | None) -> None:
    side = 4 * (patch or 14)
    vit = build_backbone(name, patch_size=patch, image_size=(side, side), weights=None)
    segmentor = build_segmentor(vit, num_classes=CLASSES, head=TINY)
    optimiser = torch.optim.AdamW([p for p in segmentor.parameters() if p.requires_grad], lr=1e-3)
    images = torch.randn(2, 3, side, side)
    labels = torch.arange(2)[:, None, None].expand(2, side, side).contiguous()
    before = segmentor.head.class_predictor.weight.detach().clone()
    segmentor.loss(images, labels)["total"].backward()
    optimiser.step()
    assert not torch.equal(segmentor.head.class_predictor.weight, before)
    assert segmentor.scores(images).isfinite().all()
