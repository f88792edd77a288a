"""Every error that facesketch raises on purpose.

FacesketchError
├── UsageError            the request itself is wrong (exit code 2)
│   └── ConfigError       a setting has a bad value or contradicts another
├── MissingExtraError     an optional dependency is not installed
├── MissingPackageError   a package that no extra can name is not installed
├── ImageError            one picture cannot be used
│   ├── ImageTooLargeError
│   └── NotAnImageError   it is no picture at all, or of a kind that is not read
├── DataError             a data set cannot be used
├── DownloadError         something could not be fetched
├── WeightsError          generator files are missing, broken or of another kind
├── CheckpointError       a training checkpoint is missing, broken or from other settings
│   └── OtherVersionError it is whole, and of another version of facesketch
├── TrainingError         training cannot go on
│   ├── NonFiniteLossError
│   └── OutOfMemoryError
└── ExportError           an exported model differs from the trained one, or cannot be written

Each message is one sentence that names the file or the field and says what to do.
"""


class FacesketchError(Exception):
    """Base of all errors raised on purpose; its text is meant for the person at the keyboard."""

    exit_code = 1


class UsageError(FacesketchError):
    """The request itself is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting has a bad value or contradicts another one."""


class MissingExtraError(FacesketchError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: run  pip install 'facesketch[{extra}]'")


class MissingPackageError(FacesketchError):
    """A package is not installed that no extra can name, its own requirements being impossible."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(f"{what} are not installed: run  {command}")


class ImageError(FacesketchError):
    """One picture cannot be used."""


class ImageTooLargeError(ImageError):
    """A picture has more pixels than allowed."""


class NotAnImageError(ImageError):
    """What was given is no picture, or of a kind that is not read."""


class DataError(FacesketchError):
    """A data set cannot be used."""


class DownloadError(FacesketchError):
    """Something could not be fetched."""


class WeightsError(FacesketchError):
    """Generator files are missing, broken or of another kind."""


class CheckpointError(FacesketchError):
    """A training checkpoint is missing, broken or was made with other settings."""


class OtherVersionError(CheckpointError):
    """A checkpoint is whole, and was written by another version of facesketch."""


class TrainingError(FacesketchError):
    """Training cannot go on."""


class NonFiniteLossError(TrainingError):
    """A loss became NaN or infinite; the optimizer did not step."""


class OutOfMemoryError(TrainingError):
    """The device ran out of memory."""


class ExportError(FacesketchError):
    """An exported model differs from the trained one, or cannot be written where it should."""
