"""What a map is and how it was fitted: its config.json, and the model card that tells a person the same."""

from __future__ import annotations

import html
import json
import math
import platform
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = [
    "MOST_PICTURES",
    "SCHEMA_VERSION",
    "MapConfig",
    "model_card",
    "picture_name",
    "probe_distance",
    "read_config",
    "truncation",
    "versions",
]

SCHEMA_VERSION = 4
MOST_PICTURES = 16  # on a model card


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """What a map is, how it was fitted and what it did to the language bias; plain JSON.

    ``encoder`` is the fingerprint of the text encoder (empty: unknown, not checked). ``attributes`` maps each attribute
    to its groups and the adjective put before the keyword. Language bias is the standard deviation of the distances
    from the neutral prompt to its attribute-specific versions over their mean, averaged over ``keywords`` (``bias_*``)
    or over ``held_out`` (``held_out_bias_*``). ``loss`` is what was minimised, text + weight * fair, and ``loss_bound``
    is the value below which no linear map can get it (None where it was not computed).

    ``rank`` is that of the map, or of its shifts; None: a square matrix. Where a square matrix was fitted and a map of
    low rank was kept in its place, ``truncated`` says what that costs: ``lost``, the part of the change that is not
    made (root mean square over the embeddings); ``bias_after``, what the square map would have reached; ``difference``,
    how far its mapped embeddings are from this map's, over their length; the last two ``held_out_`` as well.
    Losses are those of the square matrix.

    ``shifted`` names the attributes that the map has group shifts for, in their order; empty: all, if any.
    ``route`` is how the map was fitted (see :func:`fairmapping.fit`), ``targets`` what shares it was fitted for, or
    draws the groups from (:meth:`fairmapping.targets.Targets.to_dict`). Routes that go through the denoiser report
    their ``loss`` as a part of what it is without the map, and ``images``, how many were drawn; ``judge`` is the one
    that a calibration asked, and ``rounds`` its figures round by round. ``pictures`` tells how those on the model card
    were drawn (:func:`fairmapping.showcase.showcase`): model, prompts, which of them were mapped, seed, call.
    """

    encoder: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    keywords: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    templates: list[str] = field(default_factory=list)
    route: str = "none"
    shifted: list[str] = field(default_factory=list)
    targets: dict[str, Any] = field(default_factory=dict)
    rank: int | None = None
    truncated: dict[str, Any] = field(default_factory=dict)
    images: int | None = None
    judge: str | None = None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    solver: str | None = None
    distance: str | None = None
    weight: float | None = None
    ridge: float | None = None
    depth: int | None = None
    steps: int | None = None
    lr: float | None = None
    seed: int | None = None
    loss: float | None = None
    loss_text: float | None = None
    loss_fair: float | None = None
    loss_bound: float | None = None
    bias_before: dict[str, float] = field(default_factory=dict)
    bias_after: dict[str, float] = field(default_factory=dict)
    held_out_bias_before: dict[str, float] = field(default_factory=dict)
    held_out_bias_after: dict[str, float] = field(default_factory=dict)
    relative_change: float | None = None
    held_out_relative_change: float | None = None
    pictures: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def read_config(content: bytes, path: Path) -> tuple[MapConfig, dict[str, str]]:
    """The configuration in a config.json, read from ``path``, and the checksums of the files it was written with.

    Raises ValueError for what is no map's configuration, or one of a newer schema.
    """
    try:
        values = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no readable JSON ({error}); save or fetch the map again") from error
    written = values.get("schema_version") if isinstance(values, dict) else None
    if type(written) is not int or written < 1:
        raise ValueError(f"{path} has no schema_version, so it is no map's; give the folder of a saved map")
    if written > SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema_version {written} and this fairmapping reads up to {SCHEMA_VERSION}; "
            "upgrade it: pip install --upgrade fairmapping"
        )
    # schemas 1 and 2 had one checksum
    before = {"model.safetensors": values.pop("weights_sha256")} if "weights_sha256" in values else {}
    checksums = values.pop("sha256", before)
    if not isinstance(checksums, dict):
        raise ValueError(f"{path}: sha256 is {checksums!r}, no dict; save or fetch the map again")
    if written == 1:
        values.setdefault("route", "text")  # there was no other
    known = {item.name for item in fields(MapConfig)}
    if unknown := sorted(set(values) - known):
        warnings.warn(
            f"{path} has entries unknown to this fairmapping, left out: {', '.join(unknown)}; upgrade it to use them",
            stacklevel=3,
        )
    config = MapConfig(**{name: value for name, value in values.items() if name in known})
    for item in fields(MapConfig):
        own, kind = getattr(config, item.name), type(getattr(MapConfig(), item.name))
        if kind in (list, dict) and type(own) is not kind:
            raise ValueError(f"{path}: {item.name} is {own!r}, no {kind.__name__}; save or fetch the map again")
    if config.encoder and not all(isinstance(config.encoder.get(key), list) for key in ("encoders", "probe")):
        raise ValueError(f"{path}: encoder lacks the lists encoders and probe; save or fetch the map again")
    for name in ("probe", "pooled_probe"):
        own = config.encoder.get(name, [])
        if not isinstance(own, list) or not all(type(number) in (int, float) for number in own):
            raise ValueError(f"{path}: {name} of the encoder is no list of numbers; save or fetch the map again")
    told = config.pictures
    if told and not (
        all(isinstance(told.get(name), list) and len(told[name]) <= MOST_PICTURES for name in ("prompts", "mapped"))
        and len(told["prompts"]) == len(told["mapped"])
        and isinstance(told.get("call"), dict)
    ):
        raise ValueError(f"{path}: pictures is no account of pictures ({str(told)[:80]}); save or fetch the map again")
    return config, checksums


def probe_distance(own: Mapping[str, Any], other: Mapping[str, Any], *, pooled: bool) -> float:
    """How far the probes of two fingerprints are apart, as a part of the longer of both; the larger of the distances of
    the sequence and, with ``pooled``, of the pooled embeddings. Infinite where they cannot be compared."""
    distances = [0.0]
    for name in ("probe", "pooled_probe"):
        if name == "pooled_probe" and not (pooled and name in own and name in other):
            continue  # maps of before know one probe
        first, second = own[name], other[name]
        scale = max(math.hypot(*first), math.hypot(*second)) or 1.0
        far = math.dist(first, second) / scale if len(first) == len(second) else math.inf
        distances.append(math.inf if math.isnan(far) else far)
    return max(distances)


def model_card(config: MapConfig, width: int, pooled_width: int | None) -> str:
    """The README.md of a saved map: what it is for, its figures, the keywords it was fitted on, words of caution."""
    encoder = " + ".join(config.encoder.get("encoders", ())) or "unknown text encoder"
    pooled = "" if pooled_width is None else f", pooled embeddings {pooled_width} wide"
    groups = [
        f"{name}: " + ", ".join(group if group == word else f"{group} ({word})" for group, word in words.items())
        for name, words in config.attributes.items()
    ]
    settings = (
        "route",
        "solver",
        "distance",
        "weight",
        "ridge",
        "depth",
        "rank",
        "steps",
        "lr",
        "images",
        "judge",
        "seed",
    )
    losses = ("loss", "loss_text", "loss_fair", "loss_bound", "seconds")
    used = [
        f"{name}: {_shown(getattr(config, name))}" for name in settings + losses if getattr(config, name) is not None
    ]
    words = (("templates", config.templates), ("fitted keywords", config.keywords), ("held-out", config.held_out))
    used += groups + [f"{len(values)} {what}: {', '.join(values)}" for what, values in words if values]
    used += [f"{name} {number}" for name, number in config.versions.items()]
    return _CARD.format(
        encoder=encoder,
        widths=f"{width} wide{pooled}",
        figures=_figures(config) + _pictures(config.pictures),
        settings="\n".join(f"- {line}" for line in used),
    )


_CARD = """---
library_name: fairmapping
tags: [fair-mapping, text-to-image, fairness]
---

# A fair map of prompt embeddings

For {encoder}, embeddings {widths}. The diffusion model stays frozen, and the map costs one matrix product per prompt
(Fair Mapping, Li et al., arXiv 2311.17695).

```python
import fairmapping as fm
fair = fm.FairMap.from_pretrained("path/to/this/folder")
with fm.attached(pipe, fair):
    images = pipe("a portrait of a doctor").images
```
{figures}
## Caution

Equal distances between texts are not equal shares among images: audit the images too (`fm.audit`). The figures are
about the groups, keywords and templates listed here and need not hold for others.

## How it was fitted

{settings}
"""


def _figures(config: MapConfig) -> str:
    if not config.bias_before:
        return ""
    lines = [
        *("", "## Language bias", ""),
        "Standard deviation of the distances from a neutral prompt to its attribute-specific versions over their mean; "
        "0 is even.",
        *("", "| attribute | keywords | n | before | after |", "|---|---|--:|--:|--:|"),
    ]
    parts = (
        ("fitted", config.keywords, config.bias_before, config.bias_after),
        ("held out", config.held_out, config.held_out_bias_before, config.held_out_bias_after),
    )
    for what, words, before, after in parts:
        lines += [f"| {name} | {what} | {len(words)} | {before[name]:.4f} | {after[name]:.4f} |" for name in before]
    if config.relative_change is not None:
        held = config.held_out_relative_change
        beside = "" if held is None else f" ({held:.1%} on held-out keywords)"
        lines += ["", f"Mapped embeddings are {config.relative_change:.1%} away from the originals on average{beside}."]
    if config.truncated:
        lines += ["", truncation(config)]
    return "\n".join([*lines, ""])


def picture_name(index: int) -> str:
    """The file of a model card's picture."""
    return f"picture-{index}.png"


def _pictures(told: Mapping[str, Any]) -> str:
    """The pictures with how they were drawn, so that anyone can draw them again."""
    if not told:
        return ""
    extra = "".join(f", {name}={value!r}" for name, value in told["call"].items())
    images, seed = told.get("images"), told.get("seed")
    call = f"fairmapping.generate(pipe, prompts, images_per_prompt={images}, seed={seed}{extra})"
    lines = [
        *("", "## Before and after", ""),
        f"Drawn by {_plain(told.get('model'))}. In each picture the upper row is drawn without the map and the lower "
        f"with it, at strength {_plain(told.get('strength'))}, from the same noise: `{_plain(call, code=True)}`. "
        f"{_plain(told.get('chosen'))} All images of these seeds are shown, none picked. So few say little about "
        "shares, and the model may draw them otherwise on another machine.",
    ]
    for index, (prompt, mapped) in enumerate(zip(told["prompts"], told["mapped"], strict=True)):
        done = f"mapped in {' and '.join(map(str, mapped))}" if mapped else "left alone by the detector"
        lines += ["", f"**{_plain(prompt)}**: {_plain(done)}", ""]
        lines.append(f"![{_plain(prompt)}: without the map above, with it below]({picture_name(index)})")
    return "\n".join([*lines, ""])


def _plain(text: Any, *, code: bool = False) -> str:
    """What a reader sees as this text, whatever marks of Markdown or HTML are in it."""
    line = " ".join(str(text).split())[:300]
    return line.replace("`", "'") if code else re.sub(r"([\\`*_\[\]~|!#])", r"\\\1", html.escape(line, quote=False))


def truncation(config: MapConfig) -> str:
    """What keeping a map of low rank in place of the square matrix costs, in one paragraph."""
    found, said = config.truncated, []
    for what in ("", "pooled_"):
        if found.get(f"{what}rank"):
            lost = f"leaves out {found[f'{what}lost']:.1%} of the change"
            said.append(f"Rank {found[f'{what}rank']} in place of a square matrix {lost}")
    for prefix, words in (("", "fitted"), ("held_out_", "held-out")):
        if f"{prefix}difference" in found:
            bias = ", ".join(f"{name} {value:.4f}" for name, value in found[f"{prefix}bias_after"].items())
            said.append(
                f"on the {words} keywords embeddings are {found[f'{prefix}difference']:.2%} of their length away from "
                f"the square map's, with which the language bias would be {bias}"
            )
    return "; ".join(said) + "."


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def versions() -> dict[str, str]:
    """What a map is fitted with."""
    found = {"python": platform.python_version()}
    for package in ("fairmapping", "torch", "diffusers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "from source" if package == "fairmapping" else "none"
    return found
