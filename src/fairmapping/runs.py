"""The folder of a run: settings.json, manifest.jsonl with a :class:`Row` a line, images/<arm>/<prompt>/<index>.png.

An image counts as done once its line stands in the manifest, and a line is written after the image is whole on disk;
so a run killed at any moment leaves a folder that the same call completes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "Row",
    "append",
    "compare",
    "is_whole",
    "locked",
    "read_image",
    "read_manifest",
    "save_image",
    "settle",
    "slug",
    "write_text",
]

_LOCK = ".lock"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_SHOWN = 12  # differences of settings in one error; two quotas can differ in a hundred keywords
_held: set[Path] = set()  # by this process


@dataclass(frozen=True)
class Row:
    """One image: what was asked, with which seed, and where it lies (a path within the folder, "" in memory).

    ``mapped``: the attributes in which a map moved its prompt; ``assigned``: the groups that a quota drew for it,
    ((attribute, group), ...).
    """

    image: str
    arm: str
    prompt: str
    keyword: str
    template: str
    groups: tuple[tuple[str, str], ...]
    index: int
    seed: int
    assigned: tuple[tuple[str, str], ...] = ()
    mapped: tuple[str, ...] = ()


def slug(text: str) -> str:
    """A folder name that a person can read, one per text: the start of a digest keeps like texts apart."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """This process alone works on the folder, which is made where it is missing. Within one process it nests.

    A lock left by a process that is gone is taken over. Raises RuntimeError where another one is at work.
    """
    path = folder.resolve() / _LOCK
    if path in _held:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    me = {"pid": os.getpid(), "host": socket.gethostname()}
    while True:
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(me, file)
            break
        except FileExistsError:
            try:
                owner = json.loads(path.read_text(encoding="utf-8"))
                gone = owner["host"] == me["host"] and (owner["pid"] == me["pid"] or not _alive(owner["pid"]))
            except FileNotFoundError:
                continue
            except (ValueError, KeyError, TypeError):
                owner, gone = {}, False
            if not gone:
                who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
                raise RuntimeError(
                    f"{who} is at work on {folder}; wait for it or give another folder. "
                    f"If it is no longer running, delete {path} and call again"
                ) from None
            path.unlink(missing_ok=True)
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, signal 0 is Ctrl-C; the message of locked() says what to delete
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def settle(folder: Path, settings: dict[str, Any], arm: str, mapping: dict[str, Any]) -> None:
    """Write settings.json, or compare with the one that is there. Raises ValueError naming every difference."""
    arms = compare(folder, settings, arm, mapping)
    if arm not in arms:
        text = json.dumps(settings | {"arms": arms | {arm: mapping}}, indent=2) + "\n"
        write_text(folder / "settings.json", text)


def compare(folder: Path, settings: dict[str, Any], arm: str, mapping: dict[str, Any]) -> dict[str, Any]:
    """The arms of the run that is there, if any. Raises ValueError naming every difference to its settings."""
    path = folder / "settings.json"
    arms: dict[str, Any] = {}
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            arms = found.pop("arms", {})
        except (ValueError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no settings of a run ({error}); restore it, or give another folder"
            ) from error
        differences = _differences(found, settings) + _differences({arm: arms.get(arm, mapping)}, {arm: mapping})
        if differences:
            more = [f"and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else []
            raise ValueError(
                f"{folder} was made with other settings ({'; '.join(differences[:_SHOWN] + more)}); "
                "give the same settings to go on with it, or another folder"
            )
    return arms


def _differences(there: Any, now: Any, name: str = "") -> list[str]:
    """["call.guidance_scale is 7.5 there and 5.0 now", ...]"""
    if isinstance(there, dict) and isinstance(now, dict):
        keys = [*there, *(key for key in now if key not in there)]
        return [d for key in keys for d in _differences(there.get(key), now.get(key), f"{name}.{key}".lstrip("."))]
    return [] if there == now else [f"{name} is {_brief(there)} there and {_brief(now)} now"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def read_manifest(folder: Path) -> list[Row]:
    """The rows of the manifest, if there is one; a torn last line is cut off. Raises ValueError for any other."""
    path = folder / "manifest.jsonl"
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    rows = []
    for number, line in enumerate(whole.decode().splitlines(), start=1):
        try:
            values = json.loads(line)
            values = {"assigned": (), "mapped": ()} | values  # what was written before there were quotas and detectors
            for field in ("groups", "assigned"):
                values[field] = tuple((name, group) for name, group in values[field])
            values["mapped"] = tuple(values["mapped"])
            rows.append(Row(**{item.name: values[item.name] for item in fields(Row)}))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"line {number} of {path} is no row of a manifest ({error!r}); restore or remove it"
            ) from error
    return rows


def append(path: Path, rows: Sequence[Row]) -> None:
    with _naming(path), path.open("ab") as file:  # one write, on disk before the next batch
        file.write("".join(json.dumps(asdict(row)) + "\n" for row in rows).encode())


def save_image(image: Image, path: Path, texts: Mapping[str, str]) -> None:
    """The whole image or none of it, with ``texts`` as its text metadata. What a kill leaves half written has a fixed
    name, so that drawing the image again takes its place."""
    from PIL.PngImagePlugin import PngInfo

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    with _naming(path):
        image.save(partial, format="PNG", pnginfo=info)
        os.replace(partial, path)


def is_whole(path: Path) -> bool:
    """Whether there is a PNG from first to last bytes; what lies between is not read, so thousands are quick."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_PNG_START))
            file.seek(-len(_PNG_END), os.SEEK_END)
            return start == _PNG_START and file.read() == _PNG_END
    except OSError:  # missing, or shorter than its end
        return False


def read_image(path: Path) -> Image:
    """The image as RGB. Raises FileNotFoundError where it is gone, ValueError where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise ValueError(
            f"{path} is no readable image ({error}); delete it, and the same call draws it again"
        ) from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What goes wrong in the middle of writing (a full disk) does not name the file by itself."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text(path: Path, text: str) -> None:
    """The whole file or none of it, also where two processes write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with _naming(path):
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
