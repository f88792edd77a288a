"""Whether a run can be validated, on how many images, and how often. Needs no extra."""

from __future__ import annotations

from facesketch.config import TrainConfig
from facesketch.data.dataset import Domains, epoch_steps, find_domains
from facesketch.data.pens import numbers_by_style
from facesketch.errors import DataError, MissingExtraError, MissingPackageError
from facesketch.images import Domain

NUM_IMAGES = 200
"""Images of each domain that are measured, where there are as many."""

MIN_IMAGES = 50
"""Fewer say too little: the standard error of a KID of 50 was a tenth of it, of 200 a 25th."""


def interval(config: TrainConfig, domains: Domains) -> int:
    """Return the steps from one validation to the next; `domains` are those of training."""
    return max(1, round(config.validate_every * epoch_steps(config, domains)))


def num_images(config: TrainConfig, domains: Domains) -> dict[Domain, int]:
    """Return how many images of each domain are measured.

    Of several styles, as many sketches of each: the one with the fewest says how many.

    Raises:
        DataError: If a style has none.
    """
    by_style = numbers_by_style(domains.sketches, config)
    each = min(NUM_IMAGES // len(by_style), *map(len, by_style))
    return {"photo": min(NUM_IMAGES, len(domains.photos)), "sketch": each * len(by_style)}


def plan_text(config: TrainConfig, domains: Domains) -> str:
    """Say in a line when and on what a run with these images is validated, or why it is not."""
    val = find_domains(config, "val")
    reason = why_not(config, val)
    if reason is not None or val is None:
        return f"none: {reason}"
    counts = num_images(config, val)
    return (
        f"every {interval(config, domains):,} steps and at the end, on {counts['photo']} photos "
        f"and {counts['sketch']} sketches"
    )


def why_not(config: TrainConfig, domains: Domains | None) -> str | None:
    """Say why a run is not validated; None where it is.

    Args:
        config: Settings.
        domains: The validation split, if there is one.
    """
    if not config.validate_every:
        return "validate_every is 0"
    if domains is None:
        return (
            "there is no validation split, which is ROOT/val of --data ROOT, or --val-photos and "
            "--val-sketches"
        )
    too_few = _too_few(config, domains)
    if too_few is not None:
        return too_few
    from facesketch.evaluation.mobilenet import INSTALL_LINE, weights_path  # noqa: PLC0415

    try:
        import facesketch.validation.measure  # noqa: PLC0415
        import facesketch.validation.plot  # noqa: F401, PLC0415

        weights_path()
    except ImportError:
        needed = str(MissingExtraError("measuring", "train,evaluate"))
        return f"{needed}, and  {INSTALL_LINE}"
    except MissingPackageError as error:
        return str(error)
    return None


def _too_few(config: TrainConfig, domains: Domains) -> str | None:
    """Say which images are missing to validate; None where there are enough."""
    try:
        counts = num_images(config, domains)
    except DataError as error:
        return str(error)
    for domain, count in counts.items():
        if count < MIN_IMAGES:
            styles = ", the same number of each style" if config.styles else ""
            root = domains.folder(domain).root
            return f"{root} gives {count} images{styles}, and {MIN_IMAGES} are needed"
    return None
