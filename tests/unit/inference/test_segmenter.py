from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lsm_engines import EngineError, EngineRequest, build_engine
from lsm_engines.plans import PlanStore
from lsm_monitor.errors import BundleError, ConfigError, InferenceError
from lsm_monitor.inference.batch_times import BatchStage, BatchTimes
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.model.bundle import load_bundle, save_bundle, stored_state
from lsm_monitor.model.graphs import encoder_graph, head_graph
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts, SpatialPromptParts
from lsm_monitor.model.postprocess import (
    MASK_MAX_SIDE_PX,
    WaterRule,
    capped_hw,
    logits_to_frame,
    to_frame,
)
from lsm_monitor.model.segmentation import Segmentation
from lsm_monitor.types import CameraId, Frame, FrameStamp, ModelIdentity
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model, shrink_sam

START = datetime(2026, 7, 1, tzinfo=UTC)


def frame(height: int, width: int, seed: int = 0) -> Frame:
    stamp = FrameStamp(CameraId(f"camera-{seed}"), 0, seed, 0.0, START, 0.0)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(stamp, pixels)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(folder, MANIFEST, stored_state(EVERYTHING, lively_model(EVERYTHING)))
    return folder


def open_segmenter(bundle: Path, max_batch: int = 3) -> Segmenter:
    return Segmenter.open(
        str(bundle), backend="torch", device="cpu", threads=0, max_batch=max_batch
    )


def segmenter_of(model: LsmAdapter, max_batch: int = 1) -> Segmenter:
    request, plans = EngineRequest("cpu", max_batch=max_batch), PlanStore()
    head = head_graph(model)
    return Segmenter(
        encoder=build_engine("torch", encoder_graph(model), request, plans),
        head=None if head is None else build_engine("torch", head, request, plans),
        model=model,
        water_rule=WaterRule(0.5, 0.5, 0.0),
        identity=ModelIdentity("made-here", "0", "", "torch-fp32"),
    )


@pytest.fixture
def segmenter(bundle: Path) -> Iterator[Segmenter]:
    segmenter = open_segmenter(bundle)
    yield segmenter
    segmenter.close()


def test_frames_of_mixed_sizes_keep_their_order_stamp_and_aspect(segmenter: Segmenter) -> None:
    frames = [frame(48, 64, 1), frame(90, 50, 2), frame(720, 1280, 3), frame(33, 33, 4)]
    masks = segmenter.segment(frames)
    assert [mask.stamp for mask in masks] == [each.stamp for each in frames]
    assert [mask.probability.shape for mask in masks] == [
        (48, 64),
        (90, 50),
        (360, MASK_MAX_SIDE_PX),
        (33, 33),
    ]


def test_masks_are_float32_probabilities_with_the_bundles_threshold(
    segmenter: Segmenter,
) -> None:
    (mask,) = segmenter.segment([frame(48, 64)])
    assert mask.probability.dtype == np.float32
    assert mask.probability.min() >= 0.0
    assert mask.probability.max() <= 1.0
    assert mask.threshold == 0.625
    assert mask.inference_ms > 0.0


def test_each_stage_of_a_batch_is_timed_and_together_they_are_the_whole(
    bundle: Path,
) -> None:
    ticks = itertools.count()
    times = BatchTimes(lambda: float(next(ticks)))
    segmenter = open_segmenter(bundle, max_batch=2)
    segmenter.segment([frame(48, 64), frame(90, 50), frame(33, 33)], times)
    assert times.seconds == dict.fromkeys(BatchStage, 2.0)  # one tick per stage and call


@pytest.mark.parametrize("size_hw", [(48, 64), (90, 50), (720, 1280)])
def test_a_mask_is_what_the_whole_model_says_about_the_picture(
    segmenter: Segmenter, bundle: Path, size_hw: tuple[int, int]
) -> None:
    """The two halves, the engine between them and the preprocessing make one model."""
    one = frame(*size_hw)
    model = load_bundle(bundle).model
    prepared = model.preprocessor(one.image)
    with torch.inference_mode():
        logits = model(prepared.image[None], prepared.equalised[None]).logits
    size = capped_hw(size_hw, MASK_MAX_SIDE_PX)
    expected = logits_to_frame(logits, prepared.letterbox, size)[0, 0].numpy()
    (mask,) = segmenter.segment([one])
    assert expected.std() > 0.01
    np.testing.assert_allclose(mask.probability, expected, atol=1e-4)


BOX = SpatialPromptParts(kind="box")
OTHER_PARTS = {
    "vit": {"image_encoder": "sam_vit_b"},
    "no-adapter": {"encoder_adapter": None},
    "no-equalisation": {"encoder_adapter": {"kind": "he", "equalisation": "off"}},
    "no-style": {"style_prompt": False},
    "no-small-model": {"small_model": None, "spatial_prompt": None},
    "head-is-no-graph": {"spatial_prompt": BOX.model_dump()},
}


@pytest.mark.parametrize("changes", OTHER_PARTS.values(), ids=OTHER_PARTS)
def test_a_model_of_other_parts_says_what_it_says_as_a_whole(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_sam(monkeypatch)
    model = lively_model(ModelParts.model_validate(EVERYTHING.model_dump() | changes))
    frames = [frame(48, 64), frame(90, 50, 1)]
    expected = []
    for one in frames:
        prepared = model.preprocessor(one.image)
        with torch.inference_mode():
            logits = model(prepared.image[None], prepared.equalised[None]).logits
        size_hw = (one.image.shape[0], one.image.shape[1])
        expected.append(logits_to_frame(logits, prepared.letterbox, size_hw)[0, 0].numpy())
    masks = segmenter_of(model, max_batch=2).segment(frames)
    for mask, whole in zip(masks, expected, strict=True):
        assert whole.std() > 0.005
        np.testing.assert_allclose(mask.probability, whole, atol=1e-4)


def test_what_counts_as_water_is_the_bundles_rule(bundle: Path, tmp_path: Path) -> None:
    state = stored_state(EVERYTHING, load_bundle(bundle).model)
    rule = WaterRule(threshold=0.5, core_threshold=0.6, core_share=0.4)
    water = {"threshold": 0.5, "core_threshold": 0.6, "core_share": 0.4}
    save_bundle(tmp_path / "strict", MANIFEST | {"water": water}, state)
    frames = [frame(48, 64, seed) for seed in range(3)]
    removed = 0
    for lax, strict in zip(
        open_segmenter(bundle).segment(frames),
        open_segmenter(tmp_path / "strict").segment(frames),
        strict=True,
    ):
        np.testing.assert_allclose(strict.probability, rule.apply(lax.probability), atol=1e-4)
        removed += int((strict.probability == 0.0).sum())
        assert strict.threshold == 0.5
    assert removed > 0


def test_a_frame_is_judged_the_same_alone_and_in_a_batch(segmenter: Segmenter) -> None:
    frames = [frame(48, 64, seed) for seed in range(3)]
    together = segmenter.segment(frames)
    for each, mask in zip(frames, together, strict=True):
        (alone,) = segmenter.segment([each])
        # Another batch size may pick another summation order: a few float32 roundings.
        np.testing.assert_allclose(alone.probability, mask.probability, atol=1e-4)


def test_more_frames_than_max_batch_are_judged_in_chunks(bundle: Path) -> None:
    frames = [frame(48, 64, seed) for seed in range(5)]
    chunked = open_segmenter(bundle, max_batch=2).segment(frames)
    whole = open_segmenter(bundle, max_batch=5).segment(frames)
    for one, other in zip(chunked, whole, strict=True):
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-4)


def test_no_frames_give_no_masks(segmenter: Segmenter) -> None:
    assert segmenter.segment([]) == []


def test_identity_is_the_bundles_and_the_engines(segmenter: Segmenter, bundle: Path) -> None:
    weights = load_bundle(bundle).manifest.weights
    assert segmenter.identity == ModelIdentity("tiny", "1.2.3", weights.sha256, "torch-fp32")


def test_warming_up_works_for_every_batch_size(segmenter: Segmenter) -> None:
    segmenter.warm_up()


def test_a_frame_that_is_no_picture_is_an_inference_error_that_names_the_camera(
    segmenter: Segmenter,
) -> None:
    bad = Frame(frame(4, 4, 7).stamp, np.zeros((4, 4), np.uint8))
    with pytest.raises(InferenceError, match="camera-7"):
        segmenter.segment([bad])


def not_a_number(_: nn.Module, __: object, segmentation: Segmentation) -> Segmentation:
    """Replace what a module returns, as a forward hook."""
    nan = torch.full_like(segmentation.logits, torch.nan)
    return replace(segmentation, logits=nan)


def test_a_model_in_training_is_put_into_evaluation_mode(bundle: Path) -> None:
    model = load_bundle(bundle).model.train()
    segmenter_of(model)
    assert not any(module.training for module in model.modules())


def out_of_memory(*_: object) -> None:
    msg = "out of memory"
    raise RuntimeError(msg)


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        pytest.param(not_a_number, "model made-here: the logits are not finite", id="nan"),
        pytest.param(out_of_memory, "model made-here: .*out of memory", id="torch-fault"),
    ],
)
def test_a_model_that_fails_is_an_inference_error(
    bundle: Path, hook: Callable[..., object], message: str
) -> None:
    model = load_bundle(bundle).model
    segmenter = segmenter_of(model)
    model.head.register_forward_hook(hook)
    with pytest.raises(InferenceError, match=message):
        segmenter.segment([frame(48, 64)])


def test_a_closed_segmenter_raises_an_inference_error(bundle: Path) -> None:
    segmenter = open_segmenter(bundle)
    segmenter.close()
    segmenter.close()
    with pytest.raises(InferenceError, match="closed"):
        segmenter.segment([frame(48, 64)])


def test_a_head_outside_of_an_engine_fails_as_one_inside() -> None:
    model = lively_model(EVERYTHING.model_copy(update={"spatial_prompt": BOX}))
    model.head.register_forward_hook(out_of_memory)
    with pytest.raises(InferenceError, match="model made-here: out of memory"):
        segmenter_of(model).segment([frame(48, 64)])


def test_closing_frees_both_engines(bundle: Path) -> None:
    segmenter = open_segmenter(bundle)
    segmenter.close()
    for engine in (segmenter._encoder, segmenter._head):
        assert engine is not None
        with pytest.raises(EngineError, match="closed"):
            engine.run(*(torch.zeros(1, *shape) for shape in engine.spec.inputs.values()))


def test_a_missing_bundle_is_a_bundle_error() -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        open_segmenter(Path("does-not-exist"))


def test_a_backend_that_is_not_there_is_a_configuration_error(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="unknown engine backend 'abacus'"):
        Segmenter.open(str(bundle), backend="abacus", device="cpu", threads=0, max_batch=1)


def test_a_bundle_of_other_classes_than_its_decoders_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(bundle, tmp_path / "snow")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"water"\n  ]', '"snow"\n  ]'))
    with pytest.raises(BundleError, match="'classes' are not the decoder's: water"):
        open_segmenter(folder)


def test_a_model_of_water_alone_says_nothing_about_roads(bundle: Path) -> None:
    segmenter = open_segmenter(bundle)
    assert not segmenter.knows_roads
    assert segmenter.segment([frame(40, 60)])[0].road is None


def test_a_bundle_of_classes_gives_water_by_softmax_and_the_road(tmp_path: Path) -> None:
    parts = ModelParts.model_validate(EVERYTHING.model_dump() | {"decoder": "classwise"})
    model = lively_model(parts)
    with torch.no_grad():  # spread the classes' logits
        for parameter in model.head.mask_decoder.get_submodule("class_head").parameters():
            parameter.mul_(3.0)
    manifest = MANIFEST | {"classes": parts.classes, "parts": parts.model_dump()}
    save_bundle(tmp_path / "five", manifest, stored_state(parts, model))
    segmenter = open_segmenter(tmp_path / "five")
    assert segmenter.knows_roads
    picture = frame(48, 80)

    (mask,) = segmenter.segment([picture])

    stored = load_bundle(tmp_path / "five").model
    prepared = stored.preprocessor(picture.image)
    with torch.inference_mode():
        answer = stored(prepared.image[None], prepared.equalised[None])
        assert answer.class_logits is not None
        scores = answer.class_logits
        water = to_frame(answer.logits, prepared.letterbox, (48, 80)).sigmoid()[0, 0]
        dry, wet = scores[:, 1:2].exp(), scores[:, 2:3].exp()
        other, vehicle = scores[:, 0:1].exp(), scores[:, 4:5].exp()
        odds = ((dry + wet) / (other + vehicle)).log()
        road = to_frame(odds, prepared.letterbox, (48, 80))[0, 0] > 0
    np.testing.assert_allclose(mask.probability, water.numpy(), atol=1e-4)
    assert mask.road is not None
    assert mask.road.shape == mask.probability.shape
    assert mask.road.mean() == pytest.approx(road.numpy().mean(), abs=0.02)
    assert (mask.road == road.numpy()).mean() > 0.98
