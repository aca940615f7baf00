from __future__ import annotations

import torch

from lsm_monitor.model.spatial_prompt import NEGATIVE, PADDING, box_prompt, point_prompt
from lsm_train.config import PromptNoiseSection
from lsm_train.prompt_noise import disturb

LOGITS = torch.linspace(-8, 8, 400 * 16 * 16).reshape(400, 1, 16, 16)
NONE = PromptNoiseSection(confidence=0.0, error=0.0, dropped_share=0.0)


def test_no_noise_changes_nothing() -> None:
    assert torch.equal(disturb(LOGITS, NONE), LOGITS)


def test_the_confidence_stays_within_its_factor_and_keeps_every_sign() -> None:
    torch.manual_seed(0)
    factors = disturb(LOGITS, NONE.model_copy(update={"confidence": 0.7})) / LOGITS
    per_picture = factors.mean((1, 2, 3))
    torch.testing.assert_close(factors, per_picture[:, None, None, None].expand_as(factors))
    assert torch.exp(torch.tensor(-0.7)) <= per_picture.min() < 0.6
    assert 1.7 < per_picture.max() <= torch.exp(torch.tensor(0.7))


def test_every_picture_gets_errors_of_its_own_in_pieces() -> None:
    torch.manual_seed(0)
    error = disturb(LOGITS, NONE.model_copy(update={"error": 1.0})) - LOGITS
    assert 0.8 < error.mean((1, 2, 3)).std() < 1.2  # the bias
    neighbours = (error[..., 1:] - error[..., :-1]).std()
    assert neighbours < 0.7 * error.std()  # blobs, not grain


def test_the_share_of_pictures_without_a_mask_is_the_one_asked_for() -> None:
    torch.manual_seed(0)
    found = disturb(LOGITS, NONE.model_copy(update={"dropped_share": 0.25}))
    gone = (found == 0).flatten(1).all(1)
    assert 70 <= int(gone.sum()) <= 130
    assert torch.equal(found[~gone], LOGITS[~gone])


def test_logits_beyond_the_prompts_limit_are_limited_first() -> None:
    assert disturb(torch.full((1, 1, 4, 4), 50.0), NONE).max() == 10.0


def test_a_picture_without_a_mask_gets_no_box_and_no_point_on_water() -> None:
    noise = NONE.model_copy(update={"dropped_share": 0.999})
    for logits in (torch.full((4, 1, 16, 16), 9.0), torch.full((4, 1, 16, 16), -9.0)):
        found = disturb(logits, noise, kind="box")
        _, corners = box_prompt(found, threshold=0.5, per_component=False)
        assert (corners == PADDING).all()
        found = disturb(logits, noise, kind="points")
        _, points = point_prompt(found, threshold=0.5, grid=4)
        assert (points == NEGATIVE).all()
