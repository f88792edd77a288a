"""Face photos to sketches and sketches to face photos, both ways, with a CycleGAN.

    from facesketch import Translator

    sketch = Translator().to_sketch("portrait.jpg")  # file, PIL or numpy in, PIL out

Importing this package does not import torch; inference never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facesketch.framing import translate_faces
    from facesketch.translator import Translator

__all__ = ["Translator", "__version__", "translate_faces"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the translator on first use, so that `facesketch --help` stays instant."""
    if name == "Translator":
        from facesketch.translator import Translator  # noqa: PLC0415

        return Translator
    if name == "translate_faces":
        from facesketch.framing import translate_faces  # noqa: PLC0415

        return translate_faces
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
