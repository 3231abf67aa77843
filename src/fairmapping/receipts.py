"""What was done to one image, told to whoever asks: kept with a pipeline's last call, and inside saved PNG files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .prompts import Cell

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["KEY", "Receipt", "read_receipt"]

KEY = "fairmapping"  # of the text in a PNG file
LONGEST = 1_000_000  # characters of it that are read


@dataclass(frozen=True)
class Receipt:
    """How an image came about.

    ``mapped`` names the attributes in which its ``prompt`` was moved (none: the image is as the model draws it),
    ``moved_towards`` the groups, for a map with group shifts, and ``targets`` the shares that they were drawn by.
    ``map`` is a digest of the map's weights ("" without a map), ``route`` how it was fitted and ``strength`` how far it
    was applied. ``decision`` is the detector's (:meth:`fairmapping.detect.Decision.to_dict`); None where it was off.
    """

    prompt: str
    map: str = ""
    route: str = ""
    strength: float = 0.0
    mapped: tuple[str, ...] = ()
    moved_towards: Cell = ()
    targets: dict[str, dict[str, float]] = field(default_factory=dict)
    decision: dict[str, Any] | None = None

    @property
    def reason(self) -> str:
        """One line: what was done, and why."""
        if not self.map:
            return "drawn without a map"
        why = self.decision["reason"] if self.decision else "the detector was off"
        if not self.mapped:
            return why if why.startswith("left alone") else f"left alone: {why}"
        if not self.strength:
            return "left alone: the map's strength was 0"
        towards = " and ".join(f"{group} ({attribute})" for attribute, group in self.moved_towards)
        return f"mapped in {' and '.join(self.mapped)}{f', towards {towards}' if towards else ''}: {why}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=True, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """Raises ValueError for what :meth:`to_json` did not write."""
        try:
            table = json.loads(text)
            known = {item.name: table[item.name] for item in fields(cls)}
            known["mapped"] = tuple(str(name) for name in known["mapped"])
            known["moved_towards"] = tuple((str(name), str(group)) for name, group in known["moved_towards"])
            texts = [known["prompt"], known["map"], known["route"], (known["decision"] or {"reason": ""})["reason"]]
            if not all(isinstance(text, str) for text in texts) or not isinstance(known["targets"], dict):
                raise TypeError("an entry is of another type")
            known["strength"] = float(known["strength"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"this is no receipt of fairmapping ({error!r})") from error
        return cls(**known)


def read_receipt(path: str | os.PathLike[str]) -> Receipt:
    """The receipt in a PNG file that :func:`fairmapping.generate` saved.

    Raises FileNotFoundError where there is no file, ValueError for a file that is no image or has no receipt.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            text = _text_of(image)
    except (UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is no readable image ({error})") from error
    if text is None:
        raise ValueError(f"{path} has no receipt: it was not saved by fairmapping, or its text was taken off since")
    return Receipt.from_json(text)


def _text_of(image: Image) -> str | None:
    text = image.info.get(KEY)
    return text[:LONGEST] if isinstance(text, str) else None
