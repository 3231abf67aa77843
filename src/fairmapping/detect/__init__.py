"""Whether a prompt may be mapped: see :class:`Detector`."""

from .decision import Decision
from .detector import Detector
from .lexicon import Lexicon, default_lexicon
from .mentions import Mention

__all__ = ["Decision", "Detector", "Lexicon", "Mention", "default_lexicon"]
