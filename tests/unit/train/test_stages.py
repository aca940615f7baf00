"""What each stage learns, and what it must leave alone (Sec. 3.5 of the paper)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lsm_monitor.model.build import build_model
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts
from lsm_train.class_loss import ClassTeaching
from lsm_train.config import LossesSection, PromptNoiseSection
from lsm_train.data import DRY, IGNORED, WATER
from lsm_train.stages import TRAINED, Stage, StageName, segment, trained_state
from lsm_train.surfaces import possible_classes
from tests.unit.model.models import EVERYTHING, NO_PROMPTS, lively_model, shrink_sam

STAGES: tuple[StageName, ...] = ("small", "large", "joint", "one_stage")
# What is trained by gradient, by the beginnings of the names.
LEARNED: dict[StageName, tuple[str, ...]] = {
    "small": ("head.small_model.",),
    "large": (
        "encoder.adapter.",
        "head.neck.",
        "head.mask_decoder.",
        "head.prompt_encoder.no_mask_embed.",
    ),
    "joint": (
        "head.mask_decoder.",
        "head.prompt_encoder.",
        "head.semantic_prompter.projector.",
        "head.style_prompter.",
        "head.combiner.",
    ),
    "one_stage": ("encoder.adapter.", "head."),
}
# The stem and the first three stages of the small model's encoder.
FROZEN_FEATURES = (
    "head.small_model.features.stem.",
    *(f"head.small_model.features.stages.{index}." for index in range(3)),
)
# The mask decoder makes one mask of SAM's four, and judges none; the prompt encoder is asked
# for masks, not for points.
UNUSED = (
    "head.mask_decoder.output_hypernetworks_mlps.1.",
    "head.mask_decoder.output_hypernetworks_mlps.2.",
    "head.mask_decoder.output_hypernetworks_mlps.3.",
    "head.mask_decoder.iou_prediction_head.",
    "head.prompt_encoder.point_embeddings.",
    "head.prompt_encoder.not_a_point_embed.",
)
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
BatchOf = Callable[[int | None], Batch]


def is_learned(stage: StageName, name: str) -> bool:
    return name.startswith(LEARNED[stage]) and not name.startswith(FROZEN_FEATURES)


@pytest.fixture
def batch_of() -> BatchOf:
    """Two noisy pictures: half water, or all of one label."""

    def make(label: int | None) -> Batch:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(2, 3, 64, 64, generator=generator)
        labels = torch.full((2, 64, 64), DRY if label is None else label, dtype=torch.uint8)
        if label is None:
            labels[:, 32:] = WATER
        return images, images.flip(-1), labels

    return make


def stage_of(name: StageName, model: LsmAdapter) -> Stage:
    stage = Stage(name, model, LossesSection())
    stage.set_training_mode()
    return stage


@pytest.mark.parametrize("name", STAGES)
def test_exactly_what_the_paper_names_can_be_trained(
    name: StageName, model: LsmAdapter
) -> None:
    stage = stage_of(name, model)
    wanted = {key for key, _ in model.named_parameters() if is_learned(name, key)}
    found = {key for key, p in model.named_parameters() if p.requires_grad}
    assert found == wanted
    assert wanted
    assert {id(p) for p in stage.parameters()} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("name", STAGES)
def test_gradients_reach_everything_that_is_learned_and_nothing_else(
    name: StageName, model: LsmAdapter, batch_of: BatchOf
) -> None:
    stage_of(name, model)(*batch_of(None)).backward()
    reached = {key for key, p in model.named_parameters() if p.grad is not None}
    learned = {key for key, _ in model.named_parameters() if is_learned(name, key)}
    unused = UNUSED if name == "large" else (*UNUSED, "head.prompt_encoder.no_mask_embed.")
    assert reached == {key for key in learned if not key.startswith(unused)}


@pytest.mark.parametrize("name", STAGES)
def test_a_step_leaves_everything_else_as_it_is_bit_for_bit(
    name: StageName, model: LsmAdapter, batch_of: BatchOf
) -> None:
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    stage = stage_of(name, model)
    optimiser = torch.optim.SGD([p for p in stage.parameters() if p.requires_grad], 0.1)
    stage(*batch_of(None)).backward()
    optimiser.step()
    stage.finish_step()
    moved = {key for key, t in model.state_dict().items() if not torch.equal(t, before[key])}
    stored = tuple(f"{prefix}." for prefix in TRAINED[name])
    assert {key for key in moved if not key.startswith(stored)} == set()
    assert not [key for key in moved if key.startswith(FROZEN_FEATURES)]
    # Statistics of batch norm: only the small model's pyramid has any that may move.
    statistics = {key for key in moved if "running" in key or "num_batches" in key}
    assert all(key.startswith("head.small_model.pyramid.") for key in statistics)
    assert bool(statistics) == (name in {"small", "one_stage"})
    assert ("head.semantic_prompter.prototypes" in moved) == (name in {"joint", "one_stage"})
    assert any(is_learned(name, key) for key in moved)


def test_prototypes_move_by_momentum_alone_and_stay_of_unit_length(
    model: LsmAdapter, batch_of: BatchOf
) -> None:
    prompter = model.head.semantic_prompter
    assert prompter is not None
    before = prompter.prototypes.clone()
    stage = stage_of("joint", model)
    stage(*batch_of(None)).backward()
    assert torch.equal(prompter.prototypes, before)
    assert prompter.prototypes.grad is None
    stage.finish_step()
    moved = (prompter.prototypes * before).sum(-1)
    assert (moved < 1.0).any()
    assert (moved > 0.999).all()
    torch.testing.assert_close(
        prompter.prototypes.norm(dim=-1), torch.ones(prompter.prototypes.shape[:2])
    )


@pytest.mark.parametrize("name", STAGES)
def test_dry_pictures_teach_every_stage(
    name: StageName, model: LsmAdapter, batch_of: BatchOf
) -> None:
    loss = stage_of(name, model)(*batch_of(DRY))
    loss.backward()
    assert torch.isfinite(loss)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0.0


@pytest.mark.parametrize("name", STAGES)
def test_a_batch_of_nothing_but_ignored_pixels_costs_and_teaches_nothing(
    name: StageName, model: LsmAdapter, batch_of: BatchOf
) -> None:
    stage = stage_of(name, model)
    loss = stage(*batch_of(IGNORED))
    loss.backward()
    stage.finish_step()
    assert loss == 0.0
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_one_stage_training_adds_the_small_models_loss_by_its_weight(
    model: LsmAdapter, batch_of: BatchOf
) -> None:
    batch = batch_of(None)
    model.eval()
    assert model.head.small_model is not None
    with torch.no_grad():
        without, once, twice = (
            float(Stage("one_stage", model, LossesSection(small=weight))(*batch))
            for weight in (0.0, 1.0, 2.0)
        )
        small = float(model.head.small_model.loss(batch[0], batch[2]))
    assert once == pytest.approx(without + small)
    assert twice == pytest.approx(without + 2 * small)


def test_a_disturbed_mask_prompts_otherwise_and_teaches_the_same_parts(
    model: LsmAdapter, batch_of: BatchOf
) -> None:
    batch = batch_of(None)
    noise = PromptNoiseSection(confidence=0.7, error=1.0, dropped_share=0.1)
    stage = Stage("joint", model, LossesSection(), noise)
    stage.set_training_mode()
    model.zero_grad()
    torch.manual_seed(0)
    loss = stage(*batch)
    loss.backward()
    assert loss != Stage("joint", model, LossesSection())(*batch)
    assert model.head.small_model is not None
    assert all(p.grad is None for p in model.head.small_model.parameters())


@pytest.mark.parametrize("kind", ["box", "points"])
def test_boxes_and_points_without_a_mask_are_those_of_a_dry_street(
    kind: str, batch_of: BatchOf
) -> None:
    parts = EVERYTHING.model_dump() | {"spatial_prompt": {"kind": kind}}
    model = lively_model(ModelParts.model_validate(parts))
    batch = batch_of(None)
    gone = PromptNoiseSection(confidence=0.0, error=0.0, dropped_share=0.999)
    torch.manual_seed(0)
    small = model.head.small_model
    assert small is not None
    with torch.no_grad():
        disturbed = float(Stage("joint", model, LossesSection(), gone)(*batch))
        small.get_parameter("pyramid.logits.weight").zero_()
        small.get_parameter("pyramid.logits.bias").fill_(-10.0)
        assert disturbed == float(Stage("joint", model, LossesSection())(*batch))


def test_the_decoder_learns_from_its_own_logits_whatever_say_the_small_model_has(
    batch_of: BatchOf,
) -> None:
    batch = batch_of(None)
    losses: list[float] = []
    for say in (0.0, 0.9):
        model = build_model(EVERYTHING.model_copy(update={"small_model_say": say}))
        model.load_state_dict(lively_model(EVERYTHING).state_dict())
        with torch.no_grad():
            losses.append(float(Stage("joint", model, LossesSection()).eval()(*batch)))
    assert losses[0] == losses[1]


def test_a_checkpoint_holds_all_that_its_stage_changes_and_no_frozen_encoder(
    model: LsmAdapter,
) -> None:
    for name in STAGES:
        state = trained_state(name, model)
        assert {key for key, _ in model.named_parameters() if is_learned(name, key)} <= set(
            state
        )
        assert not [key for key in state if key.startswith("encoder.image_encoder.")]
    assert "head.semantic_prompter.prototypes" in trained_state("joint", model)


def test_the_branches_are_the_whole_model_and_its_halves(
    model: LsmAdapter, batch_of: BatchOf
) -> None:
    images, equalised, _ = batch_of(None)
    model.eval()
    with torch.no_grad():
        whole = model(images, equalised)
        large = model(images, equalised, prompted=False)
        assert torch.equal(segment(model, "whole", images, equalised), whole.logits)
        assert torch.equal(segment(model, "small", images, equalised), whole.small_logits)
        assert torch.equal(segment(model, "large", images, equalised), large.logits)


def test_a_model_without_a_small_model_has_no_small_branch(model: LsmAdapter) -> None:
    model.head.small_model = None
    with pytest.raises(ValueError, match="has no small model"):
        segment(model, "small", torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "sam_vit_b"])
def test_a_class_wise_model_has_no_parameter_that_is_trained_for_nothing(
    encoder: str, batch_of: BatchOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_sam(monkeypatch)
    torch.manual_seed(0)
    parts = NO_PROMPTS.model_dump() | {
        "image_encoder": encoder,
        "encoder_adapter": {"kind": "he", "equalisation": "off", "band": "low"},
        "block_adapters": True,
        "decoder": "classwise",
    }
    model = build_model(ModelParts.model_validate(parts))
    possible = possible_classes(model.head.classwise.classes if model.head.classwise else ())
    teaching = ClassTeaching(possible, (~possible.all(1)).float())
    stage = Stage("large", model, LossesSection(), teaching=teaching)
    stage.set_training_mode()
    learned = {key: p for key, p in model.named_parameters() if p.requires_grad}
    for parameter in learned.values():  # what starts at zero hides what comes before it
        torch.nn.init.normal_(parameter, std=0.1)
    stage(*batch_of(None)).backward()
    assert {key for key, p in learned.items() if p.grad is None or not p.grad.any()} == set()
    assert {key.split(".")[1] for key in learned} == {
        "adapter",
        "block_adapters",
        "mask_decoder",
        "prompt_encoder",
    } | ({"neck"} if encoder == "efficientnet_lite0" else set())


def test_a_class_wise_sam_learns_what_one_mask_token_needs() -> None:
    parts = NO_PROMPTS.model_dump() | {
        "image_encoder": "sam_vit_b",
        "input_size_px": 1024,
        "encoder_adapter": {"kind": "he", "equalisation": "off", "band": "low"},
        "block_adapters": True,
        "decoder": "classwise",
    }
    with torch.device("meta"):
        model = build_model(ModelParts.model_validate(parts))
        Stage("large", model, LossesSection())
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    idle = 552_036
    assert learned == 63_312 + 7_100_928 + 4_576_836 - idle + 256 == 11_189_296
