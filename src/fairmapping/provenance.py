"""What images depend on, as plain JSON, so that a folder is only gone on with by the same model, call and map."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .detect import Detector
    from .mapping import FairMap
    from .quota import Quota

__all__ = ["drawing_settings", "map_digest", "map_settings"]

SCHEMA_VERSION = 1


def drawing_settings(pipe: Any, seed: int, call: Mapping[str, Any]) -> dict[str, Any]:
    """What an image depends on besides prompt, index and map."""
    scheduler = getattr(pipe, "scheduler", None)
    models = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    settings = {
        "schema_version": SCHEMA_VERSION,
        "pipeline": type(pipe).__name__,
        "models": {name: _weights(models[name]) for name in sorted(models)},
        "scheduler": None if scheduler is None else {"class": type(scheduler).__name__, **_public(scheduler.config)},
        "seed": seed,
        "call": dict(call),
    }
    return json.loads(json.dumps(settings, default=lambda value: getattr(value, "__qualname__", type(value).__name__)))


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without version and path; JSON has no infinity, which some schedulers have."""
    public = {name: value for name, value in config.items() if not name.startswith("_")}
    return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in public.items()}


def _weights(model: torch.nn.Module) -> str:
    """A digest of the first numbers of every tensor: tells a model from a finetuned, edited or quantised one."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        if tensor.device.type != "meta" and tensor.numel():  # offloaded weights have no numbers here
            start = tensor[(0,) * (tensor.ndim - 1)].reshape(-1)[:8]
            digest.update(start.double().cpu().numpy().tobytes())
    for name, layer in model.named_modules():
        if hasattr(layer, "merged_adapters"):  # a LoRA has its strength beside the weights, and may be switched off
            state = [getattr(layer, "scaling", {}), layer.active_adapters, layer.merged_adapters]
            digest.update(f"{name} {state} {layer.disable_adapters} ".encode())
    return digest.hexdigest()[:16]


def map_settings(
    fair_map: FairMap | None, strength: float, quota: Quota | None = None, detector: Detector | None = None
) -> dict[str, Any]:
    """The map by a digest of its weights, its strength, the quota where there is one, and the detector by a digest."""
    if fair_map is None:
        return {"map": None, "strength": None}
    settings: dict[str, Any] = {"map": map_digest(fair_map), "strength": float(strength)}
    settings["detector"] = "off" if detector is None else detector.digest
    return settings if quota is None else settings | {"quota": quota.settings()}


def map_digest(fair_map: FairMap) -> str:
    """The start of a digest of the map's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(fair_map.state_dict().items()):
        digest.update(name.encode() + tensor.detach().double().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
