"""The folder of a saved map: weights, configuration, the detector and a card, written whole and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from .detect import Detector, Lexicon, default_lexicon
from .mapconfig import MOST_PICTURES, MapConfig, picture_name, read_config

__all__ = ["parts_of", "read", "write"]

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
DETECTOR, LEXICON = "detector.json", "lexicon.json.gz"
PICTURES = [picture_name(index) for index in range(MOST_PICTURES)]
FILES = [CONFIG, WEIGHTS, DETECTOR, LEXICON, CARD, *PICTURES]
# More than any map of an encoder holds; what is larger is not read into memory.
LARGEST = {CONFIG: 64 * 2**20, DETECTOR: 64 * 2**20, LEXICON: 16 * 2**20, WEIGHTS: 8 * 2**30}
LARGEST |= dict.fromkeys(PICTURES, 8 * 2**20)


def write(
    folder: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    config: MapConfig,
    detector: Detector,
    card: str,
    pictures: Sequence[bytes] = (),
) -> Path:
    """Write the files into ``folder`` and return it. Raises FileExistsError where a file is in its place."""
    from safetensors.torch import save

    folder = Path(folder)
    if folder.is_file():
        raise FileExistsError(f"{folder} is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        WEIGHTS: save(dict(tensors), metadata={"format": "pt"}),
        LEXICON: detector.lexicon.content,
        DETECTOR: _json(detector.to_dict()),
        CARD: card.encode(),
        **dict(zip(PICTURES, pictures, strict=False)),
    }
    signed = (WEIGHTS, DETECTOR, *PICTURES[: len(pictures)])
    checksums = {name: hashlib.sha256(contents[name]).hexdigest() for name in signed}
    contents[CONFIG] = _json(asdict(config) | {"sha256": checksums})
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        for name, content in contents.items():
            (Path(temporary) / name).write_bytes(content)
        for name in contents:
            os.replace(Path(temporary) / name, folder / name)
    for name in PICTURES[len(pictures) :]:  # of a map that was here before
        (folder / name).unlink(missing_ok=True)
    return folder


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read(
    folder_or_hub_id: str | os.PathLike[str], revision: str | None, **hub: Any
) -> tuple[dict[str, Tensor], MapConfig, Detector | None, tuple[bytes, ...]]:
    """The tensors, the configuration, the detector (None for a map saved before there were any) and the model card's
    pictures, none where one of them is gone.

    Raises FileNotFoundError where there is none, ValueError for one that is damaged or of a newer schema.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder_or_hub_id)
    if not os.path.isdir(folder):  # which, unlike Path.is_dir, has an answer for a name too long to be one
        folder = _download(os.fspath(folder_or_hub_id), revision, hub)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; a saved map has {CONFIG} and {WEIGHTS}")
    config, checksums = read_config(_content(folder, CONFIG), folder / CONFIG)
    content = _checked(folder, WEIGHTS, checksums)
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(
            f"{folder / WEIGHTS} is no readable safetensors file ({error}); save or fetch it again"
        ) from error
    pictures = _pictures(folder, checksums, len(config.pictures.get("prompts", ())))
    if not pictures:
        config = replace(config, pictures={})
    return tensors, config, _detector(folder, checksums) if DETECTOR in checksums else None, pictures


def parts_of(tensors: dict[str, Tensor], what: str, parts: tuple[str, ...]) -> dict[str, Tensor] | None:
    """The tensors ``what``.``parts``, which are taken out, or None without any."""
    names = [name for name in tensors if name.startswith(f"{what}.")]
    found = {name.removeprefix(f"{what}."): tensors.pop(name) for name in names}
    if found and set(found) != set(parts):
        needed = f"{', '.join(parts[:-1])} and {parts[-1]}"
        raise ValueError(f"of the map's {what} there are {', '.join(sorted(found))}; {needed} are needed")
    return found or None


def _content(folder: Path, name: str) -> bytes:
    """The bytes of a file. Raises ValueError for one of an absurd size."""
    size = (folder / name).stat().st_size
    if size > LARGEST[name]:
        raise ValueError(f"{folder / name} has {size:,} bytes, more than any map's ({LARGEST[name]:,}); it is not read")
    return (folder / name).read_bytes()


def _checked(folder: Path, name: str, checksums: Mapping[str, str]) -> bytes:
    """The bytes of a file, which are those that the configuration was written with."""
    content = _content(folder, name)
    if name in checksums and hashlib.sha256(content).hexdigest() != checksums[name]:
        raise ValueError(f"{folder / name} is not the file that {CONFIG} was written with; save or fetch the map again")
    return content


def _pictures(folder: Path, checksums: Mapping[str, str], count: int) -> tuple[bytes, ...]:
    """The pictures as they are: nothing decodes them. They are no part of what the map does, so they may be missing."""
    names = PICTURES[:count]
    if not all(name in checksums and (folder / name).is_file() for name in names):
        return ()
    contents = tuple(_checked(folder, name, checksums) for name in names)
    for name, content in zip(names, contents, strict=True):
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"{folder / name} is no PNG file; save or fetch the map again")
    return contents


def _detector(folder: Path, checksums: Mapping[str, str]) -> Detector:
    for name in (DETECTOR, LEXICON):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; save or fetch the map again")
    content = _content(folder, LEXICON)
    same = hashlib.sha256(content).hexdigest() == default_lexicon().digest  # mostly so, and then it is read already
    try:
        table = json.loads(_checked(folder, DETECTOR, checksums))
        return Detector.from_dict(table, default_lexicon() if same else Lexicon(content))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{folder / DETECTOR} is no readable JSON ({error}); save or fetch the map again") from error
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _download(hub_id: str, revision: str | None, hub: Mapping[str, Any]) -> Path:
    """The local copy of a map on the hub."""
    from huggingface_hub import errors, snapshot_download

    if hub_id.count("/") > 1 or hub_id.startswith((".", "/", "~")) or "\\" in hub_id:  # what no hub id looks like
        raise FileNotFoundError(f"there is no folder {hub_id}")
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=FILES, **hub))
    except (errors.HFValidationError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as error:
        raise FileNotFoundError(
            f"there is no folder {hub_id}, and no map of that name could be fetched from the Hugging Face hub: {error}"
        ) from error
