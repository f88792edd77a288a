"""Images that could not be read while a run trains: named once each, and few, or the run ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from facesketch import images
from facesketch.config import max_broken
from facesketch.data.dataset import Broken, Domains
from facesketch.errors import DataError, ImageError

_log = logging.getLogger(__name__)


class BrokenImages:
    """Every broken image met, once; iterates over them in that order."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains
        self._by_path: dict[str, Broken] = {}

    def __iter__(self) -> Iterator[Broken]:
        return iter(self._by_path.values())

    def add(self, met: Sequence[Broken]) -> None:
        """Warn of those that are new.

        Raises:
            DataError: If there are more than `max_broken` of a domain.
        """
        new = {item.path: item for item in met if item.path not in self._by_path}
        for item in new.values():
            _log.warning("Skipped a broken image: %s", item.reason)
        self._by_path |= new
        for domain in dict.fromkeys(item.domain for item in met):  # of a resumed run, old ones too
            names = [item.path for item in self if item.domain == domain]
            folder = self._domains.folder(domain)
            limit = max_broken(len(folder))
            if len(names) > limit:
                raise DataError(
                    f"{len(names)} of {len(folder)} images in {folder.root} are broken, more than "
                    f"{limit} (for instance {names[0]}); `facesketch data check` finds them. "
                    "Replace them under the same names, and pack them again if they were packed; "
                    "without them only a new run can begin."
                )

    def state_dict(self) -> list[dict[str, Any]]:
        """Return them for a checkpoint."""
        return [vars(item) for item in self]

    def load_state_dict(self, saved: Iterable[dict[str, Any]]) -> None:
        """Take those of a checkpoint that are still broken, wherever they are now."""
        still = filter(None, (self._read_again(Broken(**item)) for item in saved))
        self._by_path = {item.path: item for item in still}

    def _read_again(self, known: Broken) -> Broken | None:
        """Return what is wrong with an image now; None if it has been repaired."""
        if known.index < 0:
            return known
        folder = self._domains.folder(known.domain)
        (source,) = folder.fetch([known.index])
        try:
            images.open_image(source)
        except ImageError as error:
            return replace(known, path=folder.label(known.index), reason=str(error))
        return None
