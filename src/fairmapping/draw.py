"""A pipeline made ready for an order: everything checked, the map attached, and a call for every block."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .attach import attached, is_attached
from .embed import check_pipeline
from .plan import Order, Plan
from .policy import Decided
from .progress import silenced
from .provenance import drawing_settings, map_settings
from .runs import Row

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Drawer", "call_defaults", "ready"]

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
class Drawer:
    """``settings``: what every image depends on; ``mapping``: what those of this arm do."""

    pipe: Any
    plan: Plan
    call: dict[str, Any]
    decided: Decided | None

    def __call__(self, rows: Sequence[Row]) -> list[Image]:
        """The images of a block: one call of the pipeline."""
        if self.decided is not None:
            self.decided.applied, self.decided.cells = [row.mapped for row in rows], [row.assigned for row in rows]
        return _draw(self.pipe, rows, self.call)

    @property
    def settings(self) -> dict[str, Any]:
        return drawing_settings(self.pipe, self.plan.order.seed, self.call)

    @property
    def mapping(self) -> dict[str, Any]:
        order = self.plan.order
        return map_settings(order.fair_map, order.strength, self.plan.quota, self.plan.detector)


@contextmanager
def ready(pipe: Any, order: Order, plan: Plan | None = None) -> Iterator[Drawer]:
    """Within, the order's map is attached to ``pipe``, which is silent. ``plan`` is that of the order, if there is one
    already. Raises what :func:`fairmapping.generate` does for arguments that are wrong."""
    if is_attached(pipe):
        raise RuntimeError(
            "a map is attached to this pipeline already; detach(pipe) it, and pass fair_map here instead"
        )
    check_pipeline(pipe)
    plan = Plan(order) if plan is None else plan
    call = _checked_call(pipe, call_defaults(pipe) | dict(order.call))
    decided = None if order.fair_map is None else Decided()
    context = (
        nullcontext()
        if order.fair_map is None
        else attached(pipe, order.fair_map, strength=order.strength, quota=decided)
    )
    with context, silenced(pipe):
        yield Drawer(pipe, plan, call, decided)


def call_defaults(pipe: Any) -> dict[str, Any]:
    """Arguments of the call that this pipeline is meant to be used with: those of the embedded model, else none."""
    from . import portraits

    return dict(portraits.DEFAULTS) if portraits.is_portraits(pipe) else {}


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
