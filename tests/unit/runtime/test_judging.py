from __future__ import annotations

from pathlib import Path

import pytest

from lsm_engines.plans import PlanKey, PlanStore
from lsm_monitor.config.models import ModelConfig
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.runtime.judging import batch_deadline_s, open_segmenter


def test_whoever_opens_the_model_hears_of_the_plan_that_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, told = PlanKey("encoder", "tensorrt", {}), list[str]()

    def build_a_plan(_bundle: str, *, plans: PlanStore, **_: object) -> None:
        plans.obtain(key, Path.touch)

    monkeypatch.setattr(Segmenter, "open", build_a_plan)  # a real one would take a minute
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    open_segmenter(ModelConfig(), max_batch=1, on_progress=told.append)
    assert told == [f"building plan {key.name}"]
    assert (tmp_path / "plans" / key.name / "plan").exists()


def test_only_where_a_full_batch_is_cheap_a_frame_waits_for_others() -> None:
    assert batch_deadline_s("cpu") == 0.0
    assert 0.0 < batch_deadline_s("cuda") <= 0.05
