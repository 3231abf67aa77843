"""Prompts and seeds to images, in memory or in the folder of a run (:mod:`fairmapping.runs`), which can be resumed."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import runs
from .attach import attached, is_attached
from .embed import check_pipeline, texts_of
from .policy import Attachment, Decided, DetectorSource, applied_by, detector_of, quota_of
from .progress import progress_bar, silenced
from .prompts import Prompt
from .provenance import drawing_settings, map_settings
from .receipts import KEY, Receipt
from .runs import Row

if TYPE_CHECKING:
    from PIL.Image import Image

    from .detect import Decision
    from .mapping import FairMap
    from .quota import Quota, QuotaSource

__all__ = ["Generated", "Row", "call_defaults", "check", "generate", "image_seed"]

_Draw = Callable[[Sequence[Row]], "list[Image]"]
_Explain = Callable[[Row], Receipt]

_OURS = {  # arguments of the pipeline's call that generate sets itself, and what to use instead
    "prompt": "prompts",
    "num_images_per_prompt": "images_per_prompt",
    "generator": "seed",
    "latents": "seed",
    "prompt_embeds": "prompts, and fair_map to change their embeddings",
    "output_type": "nothing: images are PIL images",
    "return_dict": "nothing: rows and images are returned",
}


@dataclass(frozen=True)
class Generated:
    """What :func:`generate` drew: ``rows`` in the order of prompts, then index. Iterating gives the rows.

    ``receipts`` say of each row what was done and why; saved PNG files carry them (:mod:`fairmapping.receipts`).
    """

    rows: list[Row]
    folder: Path | None
    drawn: list[Image]
    receipts: list[Receipt]

    @property
    def images(self) -> list[Image]:
        """The images in the order of ``rows``; read from the folder where there is one."""
        if self.folder is None:
            return self.drawn
        return [runs.read_image(self.folder / row.image) for row in self.rows]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def generate(
    pipe: Any,
    prompts: Sequence[str | Prompt],
    *,
    images_per_prompt: int = 1,
    out: str | os.PathLike[str] | None = None,
    fair_map: FairMap | None = None,
    strength: float = 1.0,
    quota: QuotaSource | None = None,
    detector: DetectorSource = "auto",
    seed: int = 0,
    batch_size: int = 16,
    arm: str | None = None,
    progress: bool = True,
    **call_kwargs: Any,
) -> Generated:
    """Draw ``images_per_prompt`` images of every prompt, with the map attached where ``fair_map`` is given.

    The noise of an image depends on ``seed``, its prompt and its index alone (:func:`image_seed`), not on its batch or
    the arm; so images of one prompt and index can be compared across arms. ``arm`` names this set of images within
    the folder, by default "mapped" with a map and "raw" without.

    With ``out``, images and manifest are written there as they are drawn, and what the folder has already is not drawn
    again; more prompts or images may be asked for than last time. Without, images stay in memory.

    A map with group shifts (route "sampled") moves every image towards groups of its own, which ``quota`` draws: see
    :func:`fairmapping.attach.attach`. They depend on the quota's seed (``seed``, unless a Quota brings its own), the
    prompt and the index alone, and ``Row.assigned`` holds them.

    Which prompts are mapped, and in which attributes, ``detector`` decides, as in :func:`fairmapping.attach.attach`;
    ``Row.mapped`` holds it. A Prompt that says it names a group is left alone in that attribute by group shifts,
    whatever the detector says.

    call_kwargs go to the pipeline (num_inference_steps, guidance_scale, ...); texts among them, such as
    negative_prompt, hold for every image. The embedded model has defaults of its own (:func:`call_defaults`).

    Raises ValueError for no prompts, a prompt given twice, a number out of range, a map of another encoder, a quota
    that the map cannot follow or that goes on from call to call, or a folder made with other settings; TypeError for an
    argument that the pipeline does not take; RuntimeError if a map is attached to ``pipe`` already or another process
    is at work on the folder.
    """
    given = {"images_per_prompt": images_per_prompt, "out": out, "seed": seed, "batch_size": batch_size, **call_kwargs}
    mapping: dict[str, Any] = {"fair_map": fair_map, "strength": strength, "quota": quota, "detector": detector}
    with _ready(pipe, prompts, arm=arm, **mapping, **given) as (rows, draw, explain, settle):
        receipts = [explain(row) for row in rows]
        if out is None:
            drawn: list[Image] = []
            with progress_bar(rows[0].arm, len(rows), "images", shown=progress) as advance:
                for start in range(0, len(rows), batch_size):
                    batch = rows[start : start + batch_size]
                    drawn += draw(batch)
                    advance(len(batch))
            return Generated(rows, None, drawn, receipts)
        folder = Path(out)
        with runs.locked(folder):
            settle()
            _complete(draw, explain, rows, folder, batch_size, progress)
        return Generated(rows, folder, [], receipts)


def check(pipe: Any, prompts: Sequence[str | Prompt], *, progress: bool = True, **options: Any) -> None:
    """Raise what :func:`generate` would raise for these arguments; nothing is drawn or written."""
    with _ready(pipe, prompts, **options):
        pass


@contextmanager
def _ready(
    pipe: Any,
    prompts: Sequence[str | Prompt],
    *,
    images_per_prompt: int = 1,
    out: str | os.PathLike[str] | None = None,
    fair_map: FairMap | None = None,
    strength: float = 1.0,
    quota: QuotaSource | None = None,
    detector: DetectorSource = "auto",
    seed: int = 0,
    batch_size: int = 16,
    arm: str | None = None,
    **call_kwargs: Any,
) -> Iterator[tuple[list[Row], _Draw, _Explain, Callable[[], None]]]:
    """The map attached and everything checked: the rows to draw, what draws a batch of them, what tells how one came
    about, and what writes the settings down."""
    if is_attached(pipe):
        raise RuntimeError(
            "a map is attached to this pipeline already; detach(pipe) it, and pass fair_map here instead"
        )
    check_pipeline(pipe)
    arm = ("raw" if fair_map is None else "mapped") if arm is None else arm
    rows = _plan(prompts, images_per_prompt, arm, seed, in_folder=out is not None)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least 1 is needed")
    call = _checked_call(pipe, call_defaults(pipe) | call_kwargs)
    drawn_by, decides = quota_of(fair_map, quota, seed=seed), detector_of(fair_map, detector)
    plan, decided, decisions = None, None, {}
    if fair_map is not None:
        plan, texts = Attachment(fair_map, strength, drawn_by, decides), texts_of(prompts)
        decisions = dict(zip(texts, plan.decide(texts), strict=True))
        rows = [replace(row, mapped=_mapped_in(fair_map, row, decisions[row.prompt])) for row in rows]
        rows = rows if drawn_by is None else _assigned(rows, drawn_by, images_per_prompt)
        decided = Decided()

    def explain(row: Row) -> Receipt:
        if plan is None:
            return Receipt(row.prompt)
        return plan.receipt(row.prompt, decisions[row.prompt], row.mapped, row.assigned)

    def draw(batch: Sequence[Row]) -> list[Image]:
        if decided is not None:
            decided.applied, decided.cells = [row.mapped for row in batch], [row.assigned for row in batch]
        return _draw(pipe, batch, call)

    context = nullcontext() if fair_map is None else attached(pipe, fair_map, strength=strength, quota=decided)
    with context, silenced(pipe):
        settings = map_settings(fair_map, strength, drawn_by, decides)
        run = (Path(out or ""), drawing_settings(pipe, seed, call), arm, settings)
        if out is not None:
            runs.compare(*run)
        yield rows, draw, explain, lambda: runs.settle(*run)


def _mapped_in(fair_map: FairMap, row: Row, decision: Decision | None) -> tuple[str, ...]:
    """The attributes in which the map moves this row's prompt; group shifts leave alone what the row says it names."""
    applied, named = applied_by(fair_map, decision), dict(row.groups) if fair_map.groups else {}
    return tuple(name for name in applied if name not in named)


def _assigned(rows: list[Row], quota: Quota, count: int) -> list[Row]:
    """The rows with the groups that ``quota`` draws for each, of the attributes in which it is mapped."""
    if quota.scope != "prompt":
        raise ValueError(
            f"a quota per {quota.scope} goes on from call to call, and what generate draws depends on the seed, the "
            "prompt and the index alone; use a Quota(scope='prompt'), or attach the map and call the pipeline"
        )
    cells = {  # a plain string is its own keyword, and may hold one that has targets of its own
        row.prompt: quota.sequence(row.prompt, quota.targets.keyword_in(row.keyword), count)
        for row in rows
        if not row.index
    }
    return [
        replace(row, assigned=tuple(pair for pair in cells[row.prompt][row.index] if pair[0] in row.mapped))
        for row in rows
    ]


def _complete(
    draw: _Draw, explain: _Explain, rows: Sequence[Row], folder: Path, batch_size: int, progress: bool
) -> None:
    """Draw and list what the folder lacks."""
    listed = {row.image for row in runs.read_manifest(folder)}
    missing = {row.image for row in rows if row.image not in listed or not runs.is_whole(folder / row.image)}
    with progress_bar(rows[0].arm, len(rows), "images", done=len(rows) - len(missing), shown=progress) as advance:
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            if not any(row.image in missing for row in batch):
                continue
            # The whole batch is drawn again and only what is missing kept: its size can change the last bits of an
            # image, and a resumed run should end in the very files of an undisturbed one.
            pairs = zip(batch, draw(batch), strict=True)
            new = [(row, image) for row, image in pairs if row.image in missing]
            for row, image in new:
                runs.save_image(image, folder / row.image, {KEY: explain(row).to_json()})
            runs.append(folder / "manifest.jsonl", [row for row, _ in new if row.image not in listed])
            advance(len(new))


def image_seed(seed: int, prompt: str, index: int) -> int:
    """The seed of the torch.Generator that draws image ``index`` of ``prompt``: 63 bits of a digest of all three.

    Prompts do not share their noise, so images of different prompts are independent draws; arms do share it.
    """
    digest = hashlib.sha256(f"{seed} {index} {prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def call_defaults(pipe: Any) -> dict[str, Any]:
    """Arguments of the call that this pipeline is meant to be used with: those of the embedded model, else none."""
    from . import portraits

    return dict(portraits.DEFAULTS) if portraits.is_portraits(pipe) else {}


def _plan(prompts: Sequence[str | Prompt], count: int, arm: str, seed: int, *, in_folder: bool) -> list[Row]:
    """Every row that is asked for, in order."""
    texts = texts_of(prompts)
    asked = [p if isinstance(p, Prompt) else Prompt(text=p, keyword=p) for p in prompts]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise ValueError(f"the prompt {twice!r} is given twice; for more images of it raise images_per_prompt")
    for name, value in (("images_per_prompt", count), ("seed", seed)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; a whole number is needed")
    if count < 1:
        raise ValueError(f"images_per_prompt is {count}; at least 1 is needed")
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", arm):
        raise ValueError(f"arm is {arm!r}; it names a folder: letters, digits, '.', '_' and '-'")
    return [
        Row(
            image=f"images/{arm}/{runs.slug(prompt.text)}/{index:04d}.png" if in_folder else "",
            arm=arm,
            prompt=prompt.text,
            keyword=prompt.keyword,
            template=prompt.template,
            groups=tuple((name, group) for name, group in prompt.groups),
            index=index,
            seed=image_seed(seed, prompt.text, index),
        )
        for prompt in asked
        for index in range(count)
    ]


def _checked_call(pipe: Any, call: dict[str, Any]) -> dict[str, Any]:
    """``call`` if the pipeline takes it, before anything is drawn or written."""
    parameters = inspect.signature(type(pipe).__call__).parameters
    for name, value in call.items():
        if name in _OURS:
            raise TypeError(f"{name} is set by generate; use {_OURS[name]}")
        if name not in parameters:
            raise TypeError(
                f"{type(pipe).__name__} takes no argument {name!r}; it takes {', '.join(list(parameters)[1:])}"
            )
        if _is_text(name) and not isinstance(value, (str, type(None))):
            raise TypeError(f"{name} is {type(value).__name__}; give one string, which holds for every image")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}; give a finite number")
        if name == "num_inference_steps" and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{name} is {value!r}; at least 1 step is needed")
    return call


def _is_text(name: str) -> bool:
    return re.fullmatch(r"(negative_)?prompt(_\d+)?", name) is not None


def _draw(pipe: Any, rows: Sequence[Row], call: Mapping[str, Any]) -> list[Image]:
    """One call of the pipeline. Noise is drawn on the CPU, so it is the same on every device."""
    texts = {name: [value] * len(rows) for name, value in call.items() if _is_text(name) and value is not None}
    generators = [torch.Generator("cpu").manual_seed(row.seed) for row in rows]
    return pipe(prompt=[row.prompt for row in rows], generator=generators, **(dict(call) | texts)).images
