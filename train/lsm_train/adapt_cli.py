"""``lsm-train adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsm_monitor.model.bundle import load_bundle
from lsm_train.adapt import adapt
from lsm_train.adapt_config import AdaptRecipe
from lsm_train.city import read_city
from lsm_train.distributed import DeviceName
from lsm_train.recipe_file import read_recipe


def adapt_command(
    bundle: Annotated[str, typer.Argument(help="The deployed one: its name or folder.")],
    *,
    images: Annotated[Path, typer.Option(help="Folder of pictures of the city's cameras.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle; replaced.")],
    weak: Annotated[
        Path | None,
        typer.Option(help="What is known about some of them: JSON, or COCO boxes."),
    ] = None,
    guard: Annotated[
        list[Path] | None,
        typer.Option(help="Data set with masks that only judges; may be given repeatedly."),
    ] = None,
    dry: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of dry pictures that only judge; likewise."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML file, see config/train/adapt/default.yaml.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the new bundle; else the old.")] = None,
    version: Annotated[str | None, typer.Option(help="Default: the old, '+adapted'.")] = None,
    site: Annotated[str, typer.Option(help="Whose pictures they are, for the manifest.")] = (
        "own-cameras"
    ),
    licence: Annotated[str, typer.Option(help="Of the pictures.")] = "not for distribution",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[DeviceName, typer.Option(help="auto takes CUDA where it is.")] = "auto",
) -> None:
    """Fit a deployed bundle to a city's own cameras; refuses a model that got worse.

    Exits with 3 when the guard refuses, and then leaves nothing but OUT.report.json.
    """
    settings = AdaptRecipe() if recipe is None else read_recipe(recipe, AdaptRecipe)
    base = load_bundle(bundle)
    city = read_city(images, weak, guard=guard or [], dry=dry or [], recipe=settings)
    about = {
        "name": name or base.manifest.name,
        "version": version or f"{base.manifest.version}+adapted",
        "site": site,
        "licence": licence,
    }
    manifest = adapt(base, city, settings, out=out, about=about, seed=seed, device=device)
    typer.echo(manifest.model_dump_json(indent=2))
