"""How many pictures per second a machine can judge, and whether that is enough.

``lsm-engines bench`` measures it and leaves it beside the plans; nobody else takes the time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

CAPACITY_FILE = "capacity.json"
INTERVALS_S = (5, 10, 30, 60)
USABLE_SHARE = 0.7
"""Of what the machine can do at best: cameras do not send in turn, and floods come together."""
_CONNECTION_CORES = 0.005
"""What reading one camera costs, 1080p25 at 4 Mbit/s over TCP: benchmarks/results.md."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was measured, and for what it is true.

    Attributes:
        machine: In words.
        model: Name and version of the bundle.
        measured: When, ISO 8601.
        pictures_per_second: From key frame to mask, by the engine's name: ``openvino-bf16``.
    """

    machine: str
    model: str
    measured: str
    pictures_per_second: Mapping[str, float]

    def write(self, folder: Path) -> Path:
        """Write it to ``folder``, which is made; return the file.

        Raises:
            OSError: It cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / CAPACITY_FILE
        fresh = path.with_suffix(".tmp")
        fresh.write_text(json.dumps(asdict(self)) + "\n")
        fresh.replace(path)
        return path


def read_capacity(folder: Path) -> Capacity | None:
    """Return what was measured last; ``None`` if nothing was, or it cannot be read."""
    try:
        found = json.loads((folder / CAPACITY_FILE).read_bytes())
        rates = {str(name): float(rate) for name, rate in found["pictures_per_second"].items()}
        machine, model, measured = (str(found[n]) for n in ("machine", "model", "measured"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return Capacity(machine, model, measured, rates)


def with_decoding(masks_per_s: float, device: str, *, key_frame_s: float, cores: int) -> float:
    """Return pictures per second from key frame to mask.

    Args:
        masks_per_s: From picture to mask.
        device: Where the model runs; on ``cpu`` it needs the cores that decode, too.
        key_frame_s: Time of a core for decoding a key frame.
        cores: That decode.
    """
    mask_s, picture_s = 1.0 / masks_per_s, key_frame_s / cores
    return 1.0 / (mask_s + picture_s if device == "cpu" else max(mask_s, picture_s))


def busy_share(pictures_per_s: float, intervals_s: Iterable[float], *, cores: int) -> float:
    """Return how busy cameras keep a machine; 1 is all it can do.

    Args:
        pictures_per_s: From key frame to mask, when nothing else runs.
        intervals_s: Of each camera.
        cores: Of the machine.
    """
    connection = _CONNECTION_CORES / cores
    return sum(1.0 / (pictures_per_s * each) + connection for each in intervals_s)


def cameras_carried(pictures_per_s: float, interval_s: float, *, cores: int) -> int:
    """Return how many cameras can be judged every ``interval_s`` seconds."""
    return int(USABLE_SHARE / busy_share(pictures_per_s, [interval_s], cores=cores))
