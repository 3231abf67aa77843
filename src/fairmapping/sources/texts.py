"""The prompt, and the seed where it is told, that a tool wrote beside an image or into it.

Beside it: a JSON file of the same name ({"prompt": ..., "seed": ...}, a ComfyUI graph, InvokeAI's, Civitai's), or a
text file (a caption, or what AUTOMATIC1111's web UI calls its parameters). In a PNG: the text chunks of these tools,
and the receipt of fairmapping itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..receipts import KEY, Receipt
from .tables import whole_number

__all__ = ["Told", "told_by_json", "told_by_png", "told_by_text"]

_PROMPTS = ("prompt", "positive_prompt", "caption", "text")
_LONGEST = 5_000_000  # bytes of a file beside an image; more is no prompt
_HOPS = 8  # from a sampler to the text that it was given, in a graph of ComfyUI


class Told(NamedTuple):
    """The prompt of an image, and its seed (None: not told)."""

    prompt: str
    seed: int | None = None


def told_by_json(path: Path) -> Told | None:
    """Of a JSON file beside an image; None where it tells no prompt. Raises ValueError where it is no JSON."""
    return _of_value(_parsed(_read(path)))


def told_by_text(path: Path) -> Told | None:
    """Of a text file beside an image; None where it is empty. Raises ValueError where it is no text in UTF-8."""
    return _of_parameters(_read(path))


def told_by_png(path: Path) -> Told | None:
    """Of the text chunks of an image; None where they tell no prompt, or the file is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            info = {name: text for name, text in image.info.items() if isinstance(text, str) and text.strip()}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None  # whether it can be read is found out when it is judged
    try:
        if KEY in info:
            return Told(Receipt.from_json(info[KEY]).prompt)
        if "parameters" in info:
            return _of_parameters(info["parameters"])
        for name in ("prompt", "invokeai_metadata", "sd-metadata", "Comment"):
            if name in info and (told := _of_text(info[name], plain=name == "prompt")):
                return told
    except ValueError:
        return None
    return Told(info["Description"].strip()) if "Description" in info else None


def _read(path: Path) -> str:
    if path.stat().st_size > _LONGEST:
        raise ValueError(f"{path} has more than {_LONGEST:,} bytes; that is no prompt")
    return path.read_text(encoding="utf-8-sig")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error


def _of_text(text: str, *, plain: bool) -> Told | None:
    """JSON, or where that may be (`plain`), the prompt itself."""
    try:
        return _of_value(_parsed(text))
    except ValueError:
        return Told(text.strip()) if plain else None


def _of_parameters(text: str) -> Told | None:
    """The web UI's parameters: the prompt, then "Negative prompt: ..." and "Steps: 20, ..., Seed: 7, ..."."""
    prompt = re.split(r"^(?:Negative prompt:|Steps: \d)", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
    seed = re.search(r"^Steps: \d.*?\bSeed: (\d+)", text, re.MULTILINE)
    return Told(prompt, int(seed[1]) if seed else None) if prompt else None


def _of_value(value: Any, depth: int = 2) -> Told | None:
    if not isinstance(value, Mapping):
        return None
    if any(isinstance(node, Mapping) and "class_type" in node for node in value.values()):
        return _of_graph(value)
    for name in _PROMPTS:
        if isinstance(value.get(name), str) and value[name].strip():
            return Told(value[name].strip(), whole_number(value.get("seed")))
    if isinstance(value.get("parameters"), str):
        return _of_parameters(value["parameters"])
    inner = (_of_value(part, depth - 1) for part in value.values() if depth)
    return next((told for told in inner if told), None)


def _of_graph(graph: Mapping[str, Any]) -> Told | None:
    """Of a ComfyUI graph: the text that the sampler's positive input comes from, hop by hop."""
    for node in graph.values():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(inputs, Mapping) or "positive" not in inputs:
            continue
        link = inputs["positive"]
        for _ in range(_HOPS):
            if isinstance(link, str):
                seed = next((inputs[name] for name in ("seed", "noise_seed") if name in inputs), None)
                return Told(link.strip(), whole_number(seed)) if link.strip() else None
            source = graph.get(str(link[0])) if isinstance(link, list) and link else None
            given = source.get("inputs") if isinstance(source, Mapping) else None
            if not isinstance(given, Mapping):
                break
            names = ("text", "text_g", "conditioning", "positive", "string", "value")
            link = next((given[name] for name in names if name in given), None)
    return None
