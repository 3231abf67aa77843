"""Whether a prompt may be mapped: see :class:`Detector`."""

from .detector import Decision, Detector
from .lexicon import Lexicon, default_lexicon
from .mentions import Mention

__all__ = ["Decision", "Detector", "Lexicon", "Mention", "default_lexicon"]
