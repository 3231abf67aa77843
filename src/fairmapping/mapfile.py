"""The folder of a saved map: config.json, model.safetensors and README.md, written whole and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from .mapconfig import MapConfig, read_config

__all__ = ["read", "write"]

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


def write(folder: str | os.PathLike[str], tensors: Mapping[str, Tensor], config: MapConfig, card: str) -> Path:
    """Write the three files into ``folder`` and return it. Raises FileExistsError where a file is in its place."""
    from safetensors.torch import save

    folder = Path(folder)
    if folder.is_file():
        raise FileExistsError(f"{folder} is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    weights = save(dict(tensors), metadata={"format": "pt"})
    values = asdict(config) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        contents = {WEIGHTS: weights, CARD: card.encode(), CONFIG: text.encode()}
        for name, content in contents.items():
            (Path(temporary) / name).write_bytes(content)
        for name in contents:
            os.replace(Path(temporary) / name, folder / name)
    return folder


def read(folder_or_hub_id: str | os.PathLike[str], revision: str | None) -> tuple[dict[str, Tensor], MapConfig]:
    """The tensors and the configuration of a saved map.

    Raises FileNotFoundError where there is none, ValueError for one that is damaged or of a newer schema.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder_or_hub_id)
    if not folder.is_dir():
        folder = _download(os.fspath(folder_or_hub_id), revision)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; a saved map has {CONFIG} and {WEIGHTS}")
    config, checksum = read_config(folder / CONFIG)
    content = (folder / WEIGHTS).read_bytes()
    if checksum and hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(
            f"{folder / WEIGHTS} is not the file that {CONFIG} was written with; save or fetch the map again"
        )
    try:
        return load(content), config
    except SafetensorError as error:
        raise ValueError(
            f"{folder / WEIGHTS} is no readable safetensors file ({error}); save or fetch it again"
        ) from error


def _download(hub_id: str, revision: str | None) -> Path:
    """The local copy of a map on the hub."""
    from huggingface_hub import errors, snapshot_download

    if hub_id.count("/") > 1 or hub_id.startswith((".", "/", "~")) or "\\" in hub_id:  # what no hub id looks like
        raise FileNotFoundError(f"there is no folder {hub_id}")
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    except (errors.HFValidationError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as error:
        raise FileNotFoundError(
            f"there is no folder {hub_id}, and no map of that name could be fetched from the Hugging Face hub: {error}"
        ) from error
