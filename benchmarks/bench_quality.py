"""How far real street pictures are from counting as unusable.

    python benchmarks/bench_quality.py DIR...

Each DIR holds pictures. For each check of ``capture/quality.py`` prints the largest share of
tiles that agreed on any picture; at ``tiles_fraction`` a picture becomes unusable.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from lsm_monitor.capture.quality import QualityRules
from lsm_monitor.capture.thumbnail import thumbnail
from lsm_monitor.commands import pictures


def main() -> None:
    """Print one row per folder."""
    rules = QualityRules()
    print(f"| pictures | count | dark | overexposed | blank | limit {rules.tiles_fraction:g} |")
    print("|---|---|---|---|---|---|")
    for folder in map(Path, sys.argv[1:]):
        shares = []
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in pictures.SUFFIXES:
                tiles = thumbnail(pictures.read_rgb(path)).tiles()
                means = tiles.mean(axis=1)
                dark = np.mean(means < rules.dark_luma)
                bright = np.mean(means > rules.bright_luma)
                flat = np.mean(tiles.std(axis=1) < rules.flat_luma)
                shares.append((dark, bright, flat))
        worst = np.max(shares, axis=0)
        unusable = int(np.sum(np.max(shares, axis=1) >= rules.tiles_fraction))
        cells = " | ".join(f"{share:.2f}" for share in worst)
        print(f"| {folder.parent.name} | {len(shares)} | {cells} | {unusable} unusable |")


if __name__ == "__main__":
    main()
