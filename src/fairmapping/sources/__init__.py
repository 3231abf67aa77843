"""What somebody else made, audited like what was drawn here: a folder of images, or a table of labels.

Whatever cannot be used (a broken image, a row without a prompt, a label that is no group) is counted and told in
``settings["source"]["notes"]``, which the command prints and the report repeats.
"""

from __future__ import annotations

from .images import audit_images
from .labels import audit_labels

__all__ = ["audit_images", "audit_labels"]
