from __future__ import annotations

import logging
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from lsm_engines import EngineError, Graph, export
from lsm_engines.export import OPSET, onnx_file
from lsm_engines.plans import PlanStore
from tests.engines.small_graphs import mixer_graph


class CountsItsBatch(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (images.reshape(len(images), -1),)


class Hesitates(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (images if images.sum() > 0 else -images,)


class NeedsWhatOnnxHasNot(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (torch.special.i1(images),)


def graph_of(module: nn.Module) -> Graph:
    return Graph("odd", module, {"images": (3, 4, 4)}, ("out",), fingerprint=repr(module))


@pytest.fixture(scope="module")
def path(plans: PlanStore) -> Path:
    return onnx_file(mixer_graph(), plans)


def dimensions(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_only_the_batch_is_open(path: Path) -> None:
    graph = onnx.load(path).graph
    assert {value.name: dimensions(value) for value in (*graph.input, *graph.output)} == {
        "images": ["batch", 3, 16, 16],
        "weights": ["batch", 8],
        "fine": ["batch", 8, 8, 8],
        "coarse": ["batch", 8],
    }


def test_the_operators_are_of_a_fixed_release(path: Path) -> None:
    assert [(each.domain, each.version) for each in onnx.load(path).opset_import] == [
        ("", OPSET)
    ]


def test_what_can_be_computed_beforehand_is(path: Path) -> None:
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == 1


def test_the_file_does_not_tell_where_it_was_made(path: Path) -> None:
    content = path.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b"small_graphs" not in content


def test_the_same_graph_gives_the_same_file(path: Path, tmp_path: Path) -> None:
    again = onnx_file(mixer_graph(), PlanStore(tmp_path))
    assert again != path
    assert again.read_bytes() == path.read_bytes()


def test_a_graph_is_exported_once(
    path: Path, plans: PlanStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.onnx, "export")
    assert onnx_file(mixer_graph(), plans) == path


def test_exporting_tells_the_user_nothing(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler()])
    monkeypatch.setattr(root, "level", logging.INFO)
    onnx_file(mixer_graph(), PlanStore(tmp_path))
    output = capfd.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert all(line.startswith("plan mixer-onnx-") for line in lines), lines
    assert not recwarn.list


@pytest.mark.parametrize(
    ("module", "why"),
    [
        pytest.param(CountsItsBatch(), "fixes the batch of images to 2", id="batch"),
        pytest.param(Hesitates(), "data-dependent", id="control-flow"),
        pytest.param(NeedsWhatOnnxHasNot(), "No ONNX function found", id="operator"),
    ],
)
def test_what_cannot_be_exported_is_named_with_the_reason(
    module: nn.Module, why: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=rf"^graph 'odd' cannot be exported to ONNX: .*{why}"):
        onnx_file(graph_of(module), PlanStore(tmp_path))


def test_a_graph_that_one_file_cannot_hold_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_LARGEST_BYTES", 100)
    with pytest.raises(EngineError, match=r"'mixer'.* its 10\d\d bytes are more than"):
        onnx_file(mixer_graph(), PlanStore(tmp_path))


def test_an_invalid_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_rubbish(_program: object, path: Path, **_: object) -> None:
        onnx.save(onnx.helper.make_model(onnx.GraphProto()), path)

    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", save_rubbish)
    with pytest.raises(EngineError, match="'mixer' cannot be exported"):
        onnx_file(mixer_graph(), PlanStore(tmp_path))
    assert not [*tmp_path.rglob("plan")]
