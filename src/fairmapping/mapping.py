"""FairMap: one small linear map of prompt embeddings, saved as two files and a model card.

Li et al., "Fair Text-to-Image Diffusion via Fair Mapping" (arXiv 2311.17695), train a chain of linear layers on top of
a frozen text encoder. Without activations the chain is one matrix, and that matrix is what is kept.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn

from . import mapfile
from .detect import Detector
from .lowrank import LowRank, Weight, change
from .mapconfig import SCHEMA_VERSION, MapConfig, model_card, probe_distance
from .prompts import Cell
from .shifts import GroupShifts

__all__ = ["PROBE_TOLERANCE", "SCHEMA_VERSION", "FairMap", "MapConfig", "check_strength"]

PROBE_TOLERANCE = 0.05  # rounding to half precision moves a probe by about 0.01


class FairMap(nn.Module, ModelHubMixin):
    """x -> x W + b on every token embedding, and p -> p Wp + bp on the pooled one where the map has a pooled part.

    Row vectors: ``weight`` is (D, D) and stands on the right, so ``weight[i, j]`` says how much of input i goes to
    output j (the transpose of ``nn.Linear.weight``). ``bias`` is (D,), and zero in a map made by
    :func:`fairmapping.fit`. ``pooled_weight`` (P, P) and ``pooled_bias`` (P,) are None without a pooled part. Either
    weight may be a :class:`fairmapping.lowrank.LowRank` instead, which is applied without becoming a square matrix.

    Padding: in CLIP-like encoders the rows of padding are not zero and the denoiser attends to them, so they are mapped
    as all others. Where padding is zero it must stay zero, so the bias is added to rows that hold something only.

    ``detector`` decides which prompts the map is for. By default it serves the keywords of ``config``, and all known
    occupations where there are none.

    A map may have group ``shifts`` besides (and ``pooled_shifts``), which move each row towards a cell of its own: see
    :class:`fairmapping.shifts.GroupShifts`. Fitted by route="sampled", its W is the identity and all it does is shift.

    Raises ValueError for tensors of the wrong shape or with values that are not finite.
    """

    weight: Weight
    bias: Tensor
    pooled_weight: Weight | None
    pooled_bias: Tensor | None
    shifts: GroupShifts | None
    pooled_shifts: GroupShifts | None

    def __init__(
        self,
        weight: Weight,
        bias: Tensor | None = None,
        *,
        pooled_weight: Weight | None = None,
        pooled_bias: Tensor | None = None,
        shifts: GroupShifts | None = None,
        pooled_shifts: GroupShifts | None = None,
        config: MapConfig | None = None,
        detector: Detector | None = None,
    ) -> None:
        super().__init__()
        if pooled_weight is None and pooled_bias is not None:
            raise ValueError("pooled_bias without pooled_weight; give both or neither")
        for prefix, matrix, vector in (("", weight, bias), ("pooled_", pooled_weight, pooled_bias)):
            matrix, vector = (None, None) if matrix is None else _checked(matrix, vector, prefix)
            if isinstance(matrix, LowRank):
                self.add_module(f"{prefix}weight", matrix)
            else:
                self.register_buffer(f"{prefix}weight", matrix)
            self.register_buffer(f"{prefix}bias", vector)
        self.config = config or MapConfig()
        widths = (("", self.width, shifts), ("pooled_", self.pooled_width, pooled_shifts))
        for prefix, width, own in widths:
            if own is not None and own.width != width:
                raise ValueError(f"{prefix}shifts are {own.width} wide beside {prefix}weight {width} wide")
        if pooled_shifts is not None and (shifts is None or shifts.groups != pooled_shifts.groups):
            raise ValueError("pooled_shifts need shifts of the same groups beside them")
        self.shifts, self.pooled_shifts = shifts, pooled_shifts
        self._detector = detector
        self.pictures: tuple[bytes, ...] = ()  # PNG files of the model card, as config.pictures tells

    @property
    def detector(self) -> Detector:
        """Which prompts the map is for; see :class:`fairmapping.detect.Detector`. May be replaced by another."""
        if self._detector is None:
            groups = {name: list(words) for name, words in (self.config.attributes or self.groups).items()}
            self._detector = Detector(self.config.keywords or None, groups or ("gender", "race"))
        return self._detector

    @detector.setter
    def detector(self, detector: Detector) -> None:
        self._detector = detector

    @classmethod
    def identity(cls, width: int, pooled_width: int | None = None) -> FairMap:
        """The map that changes nothing."""
        pooled = None if pooled_width is None else LowRank.identity(pooled_width)
        return cls(LowRank.identity(width), pooled_weight=pooled)

    @property
    def width(self) -> int:
        """D, the width of the embeddings."""
        return len(self.weight)

    @property
    def pooled_width(self) -> int | None:
        """P, the width of the pooled embeddings, or None without a pooled part."""
        return None if self.pooled_weight is None else len(self.pooled_weight)

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The attributes and their groups that the map has shifts for; empty without shifts."""
        return {} if self.shifts is None else dict(self.shifts.groups)

    def forward(
        self,
        sequence: Tensor,
        mask: Tensor | None = None,
        strength: float = 1.0,
        cells: Sequence[Cell] | None = None,
    ) -> Tensor:
        """Map ``sequence`` (..., D), in its own dtype and on its own device.

        ``strength`` moves that part of the way: 1 is the whole map, and 0 returns the input, bit for bit. ``mask``
        (...,) is True on rows that are text even should they be all zero; it matters only to a map with a bias or
        shifts. ``cells``, for a sequence (B, L, D), are the groups that each of the B is moved towards, () for none.
        Raises ValueError if the width is not D, strength is no number, or there is no shift for a cell.
        """
        self._check_cells(cells)
        rows = None
        if cells is not None or bool(self.bias.any()):
            rows = sequence.ne(0).any(-1, keepdim=True)
            if mask is not None:
                rows = rows | mask.bool().unsqueeze(-1)
        moved = _move(sequence, self.weight, self.bias, rows, strength, "embeddings")
        return _shifted(moved, sequence, self.shifts, cells, rows, strength)

    def map_pooled(self, pooled: Tensor, strength: float = 1.0, cells: Sequence[Cell] | None = None) -> Tensor:
        """Map ``pooled`` (..., P), or (B, P) towards ``cells``; without a pooled part, return it as it is."""
        self._check_cells(cells)
        if self.pooled_weight is None or self.pooled_bias is None:
            return pooled
        rows = pooled.ne(0).any(-1, keepdim=True)
        moved = _move(pooled, self.pooled_weight, self.pooled_bias, rows, strength, "pooled embeddings")
        return _shifted(moved, pooled, self.pooled_shifts, cells, rows, strength)

    def _check_cells(self, cells: Sequence[Cell] | None) -> None:
        if cells is not None and self.shifts is None:
            raise ValueError(
                "cells were given to a map without group shifts; fit one with fit(..., route='sampled'), or leave "
                "cells (and the quota) out"
            )

    def check_encoder(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise ValueError, with the difference, if the map was made for a text encoder with another fingerprint."""
        widths = (
            ("embeddings", self.width, fingerprint["width"]),
            ("pooled embeddings", self.pooled_width, fingerprint["pooled_width"]),
        )
        for what, own, other in widths:
            if own is not None and own != other:
                raise ValueError(
                    f"the map is for {what} {own} wide, and this pipeline's are {other or 'not there'}; "
                    "use the pipeline it was fitted on, or fit a map for this one"
                )
        distance = self.encoder_distance(fingerprint)
        if distance > PROBE_TOLERANCE:
            names = [" + ".join(x["encoders"]) for x in (self.config.encoder, fingerprint)]
            who = f"another {names[0]}" if names[0] == names[1] else f"{names[0]}, and this pipeline has {names[1]}"
            raise ValueError(
                f"the map was fitted for {who}: they embed the same prompts differently (relative distance "
                f"{distance:.2g}, allowed {PROBE_TOLERANCE}); "
                "use the pipeline it was fitted on, or fit a map for this one"
            )

    def encoder_distance(self, fingerprint: Mapping[str, Any]) -> float:
        """How far a fingerprint is from the map's own encoder (:func:`fairmapping.mapconfig.probe_distance`); 0 where
        the map does not know its encoder."""
        own = self.config.encoder
        return probe_distance(own, fingerprint, pooled=self.pooled_width is not None) if own else 0.0

    def extra_repr(self) -> str:
        pooled = "" if self.pooled_width is None else f", pooled_width={self.pooled_width}"
        rank = f", rank={self.weight.rank}" if isinstance(self.weight, LowRank) else ""
        return f"width={self.width}{rank}{pooled}, route={self.config.route!r}, keywords={len(self.config.keywords)}"

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        config: Any = None,
        model_card_kwargs: Any = None,
        **hub: Any,
    ) -> Path:
        """Write config.json, model.safetensors, the detector's two files and README.md, a model card with its pictures
        (:func:`fairmapping.showcase.showcase`), into the folder; return it.

        Files of these names are replaced, each only when all are written. config.json comes last and holds the
        checksums of the others, so a reader never takes a half-written map for a whole one. With ``push_to_hub`` the
        map goes to ``repo_id`` besides (by default the folder's name); ``hub`` are arguments of
        :meth:`push_to_hub`, which takes the map there alone. ``config`` and ``model_card_kwargs`` are the mixin's, and
        not used: a map brings its own.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.named_buffers()}
        parts = (("", self.weight, self.bias, self.shifts),
                 ("pooled_", self.pooled_weight, self.pooled_bias, self.pooled_shifts))  # fmt: skip
        for prefix, weight, bias, own in parts:
            if own is not None and _is_identity(weight, bias):  # the width of the shifts tells it
                for name in [name for name in tensors if name.startswith((f"{prefix}weight", f"{prefix}bias"))]:
                    del tensors[name]
        card = model_card(self.config, self.width, self.pooled_width)
        folder = mapfile.write(save_directory, tensors, self.config, self.detector, card, self.pictures)
        if push_to_hub:
            ModelHubMixin.push_to_hub(self, repo_id or folder.name, **hub)
        return folder

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, revision: str | None = None, **hub: Any
    ) -> FairMap:
        """Read a map from a folder, or from the Hugging Face hub ("name/my-map", at ``revision``).

        ``hub`` are arguments of the download: token, cache_dir, force_download, local_files_only.
        Raises FileNotFoundError where there is no map, ValueError for one that is damaged or of a newer schema.
        """
        source = pretrained_model_name_or_path
        tensors, config, detector, pictures = mapfile.read(source, revision, **hub)
        made: dict[str, Any] = {}
        for prefix in ("", "pooled_"):
            shifts = mapfile.parts_of(tensors, f"{prefix}shifts", ("down", "up", "bias"))
            weight = mapfile.parts_of(tensors, f"{prefix}weight", ("down", "up"))
            if shifts is not None:
                groups = {name: list(config.attributes.get(name, ())) for name in config.shifted or config.attributes}
                made[f"{prefix}shifts"] = GroupShifts(groups, **shifts)
            if weight is not None:
                made[f"{prefix}weight"] = LowRank(**weight)
            elif shifts is not None and f"{prefix}weight" not in tensors:
                made[f"{prefix}weight"] = LowRank.identity(made[f"{prefix}shifts"].width)
        unknown = set(tensors) - ({"weight", "bias", "pooled_weight", "pooled_bias"} - set(made))
        if not {"weight"} & (set(tensors) | set(made)) or unknown:
            found = ", ".join(sorted(tensors)) or "nothing"
            raise ValueError(
                f"the weights in {source} hold {found}; a map holds weight and bias, or shifts, and at most "
                "their pooled twins; save or fetch it again"
            )
        found = cls(**(made | tensors), config=config, detector=detector)
        found.pictures = pictures
        return found


def _is_identity(weight: Weight | None, bias: Tensor | None) -> bool:
    if weight is None or bias is None or bool(bias.any()):
        return False
    return weight.rank == 0 if isinstance(weight, LowRank) else torch.equal(weight, torch.eye(len(weight)))


def _checked(matrix: Weight, vector: Tensor | None, prefix: str) -> tuple[Weight, Tensor]:
    """Detached copies of a map's two parts, float32 at least, or ValueError."""
    shape = (len(matrix),) * 2 if isinstance(matrix, LowRank) else tuple(matrix.shape)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"{prefix}weight has shape {shape}; a square matrix (D, D) is needed")
    vector = torch.zeros(shape[0]) if vector is None else vector
    if tuple(vector.shape) != shape[:1]:
        raise ValueError(f"{prefix}bias has shape {tuple(vector.shape)}; {shape[:1]} is needed beside weight {shape}")
    for name, tensor in (("weight", matrix), ("bias", vector)):
        if isinstance(tensor, Tensor) and not (tensor.is_floating_point() and bool(tensor.isfinite().all())):
            raise ValueError(
                f"{prefix}{name} ({tensor.dtype}) holds values that are not finite floats; fit the map again"
            )
    if isinstance(matrix, Tensor):
        matrix = matrix.detach().float().clone()
    return matrix, vector.detach().float().clone()


def check_strength(strength: float) -> None:
    """Raises ValueError for one that is no number."""
    if not math.isfinite(strength):
        raise ValueError(f"strength is {strength}; give a number, 0 for none of the map and 1 for all of it")


def _move(x: Tensor, weight: Weight, bias: Tensor, rows: Tensor | None, strength: float, what: str) -> Tensor:
    """x + strength * (x (W - I) + b); the bias on ``rows`` only, on none of them where that is None."""
    if not x.is_floating_point() or x.ndim == 0 or x.shape[-1] != len(weight):
        raise ValueError(f"{what} are {x.dtype} of shape {tuple(x.shape)}; the map takes floats (..., {len(weight)})")
    check_strength(strength)
    if strength == 0:
        return x
    delta = change(x, weight)
    if rows is not None:
        delta = delta + bias.to(x) * rows
    return x + strength * delta


def _shifted(
    moved: Tensor,
    x: Tensor,
    shifts: GroupShifts | None,
    cells: Sequence[Cell] | None,
    rows: Tensor | None,
    strength: float,
) -> Tensor:
    """``moved`` + strength * the shift of x, on ``rows`` only."""
    if shifts is None or cells is None or strength == 0:
        return moved
    return moved + strength * (shifts(x, cells) * (1 if rows is None else rows)).to(moved.dtype)
