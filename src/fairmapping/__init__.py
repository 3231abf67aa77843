"""Assess the demographic bias of text-to-image models, mitigate it by Fair Mapping, and show what changed.

Names load on first use, so ``import fairmapping`` stays light.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_MODULE_OF = {
    "FairMap": "mapping",
    "Prompt": "prompts",
    "Attribute": "prompts",
    "Group": "prompts",
    "Audit": "audit",
    "Decision": "detect",
    "Detector": "detect",
    "LanguageBias": "bias",
    "FairMapBlock": "modular",
    "Quality": "quality",
    "Receipt": "receipts",
    "encode": "embed",
    "measure": "bias",
    "Quota": "quota",
    "Targets": "targets",
    "compose": "compose",
    "fit": "fit",
    "load": "pipelines",
    "attach": "attach",
    "detach": "attach",
    "attached": "attach",
    "map_embeds": "attach",
    "receipts": "attach",
    "with_map": "modular",
    "read_receipt": "receipts",
    "generate": "generate",
    "showcase": "showcase",
    "audit": "audit",
    "AuditCard": "cards",
    "audit_card": "cards",
    "audit_images": "sources",
    "audit_labels": "sources",
    "comparison": "compare",
    "quality": "quality",
    "report": "report",
}
_MODULES = ("lists", "metrics", "portraits", "prompts", "judges")

__all__ = ["__version__", *_MODULE_OF, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Importing a submodule binds it on its package; where a public function has that name, the function keeps it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULE_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
