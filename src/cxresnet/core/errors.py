"""Every error a user can cause, as one tree.

CXResnetError                 one clear sentence that says what to do
├── ConfigError               the config, a flag or a preset is wrong
├── SourceError               the images or the table cannot be used as they are
│   ├── EmptySourceError      no image found
│   ├── ClassMapError         a folder or label without a class, or too few classes
│   └── UnsafePathError       a path that leaves its folder
├── ImageError                one image cannot be used; `code` gives the reason (see rejected.csv)
├── SplitError                the images cannot be split as configured
├── DatasetError              a prepared dataset is missing, incomplete or altered
├── HeldOutTestError          the test set was accessed without permission
├── RunFolderError            the output folder cannot be used
├── StorageError              disk full, read-only, not permitted
├── OutputClosedError         whoever read the standard output, such as `head`, has stopped
├── CheckpointError           weights are missing, torn, altered or of another kind
├── TrainingError             training cannot continue (not a number, out of memory)
├── ModelModeError            a network is in the wrong mode
├── ClusterError              the machines that share the work failed
└── MissingExtraError         an optional dependency is not installed
"""

from __future__ import annotations

import logging

_logger = logging.getLogger(__name__)


class CXResnetError(Exception):
    """Something a user can fix; the message says what, and how.

    The command line prints the message alone and exits with `exit_code`.
    """

    exit_code = 2


class ConfigError(CXResnetError):
    """The config, a flag or a preset is wrong."""


class SourceError(CXResnetError):
    """The images or the table cannot be used as they are."""


class EmptySourceError(SourceError):
    """No image was found."""


class ClassMapError(SourceError):
    """A folder or label that no class claims, or fewer than two classes."""


class UnsafePathError(SourceError):
    """A path in a table or archive that leaves its folder."""


class ImageError(CXResnetError):
    """One image cannot be used; the others can.

    Attributes:
        code: One short word for `rejected.csv`, for example "truncated" or "not-an-image".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        """Survive the way back from a worker process, code included."""
        return (type(self), (self.code, str(self)))


class SplitError(CXResnetError):
    """The images cannot be split as configured."""


class DatasetError(CXResnetError):
    """A prepared dataset is missing, incomplete or altered."""


class HeldOutTestError(CXResnetError):
    """Somebody reached for the test split outside of `evaluate`."""


class RunFolderError(CXResnetError):
    """The output folder cannot be used."""


class StorageError(CXResnetError):
    """The disk is full or read-only, or the file may not be written."""

    exit_code = 3


class OutputClosedError(CXResnetError):
    """Whoever read the standard output, such as `head`, has stopped; no message is shown."""

    exit_code = 141  # 128 + SIGPIPE, as a shell reports it


class CheckpointError(CXResnetError):
    """Weights are missing, torn, altered, or of another kind."""


class TrainingError(CXResnetError):
    """Training cannot continue."""


class ModelModeError(CXResnetError):
    """A network was handed over in the wrong mode."""


class ClusterError(CXResnetError):
    """The machines that share the work failed."""

    exit_code = 3


class MissingExtraError(CXResnetError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs an extra: pip install "cxresnet[{extra}]"')
        self.extra = extra


CODES_OF_THE_MACHINE = frozenset(
    {"missing", "unreadable", "damaged", "missing-extra", "unexpected"}
)
"""Codes of faults that another machine may not have: it sees the file, or has the package."""


def explain_image_fault(error: Exception) -> ImageError:
    """Turn whatever an image did into its `ImageError`, so that it costs no other image.

    The text of an unexpected error is not shown: it may quote what names a person.

    Raises:
        ConfigError: It is one, which no image is to blame for.
        StorageError: The same.
    """
    if isinstance(error, ConfigError | StorageError):
        raise error
    if isinstance(error, ImageError):
        return error
    if isinstance(error, CXResnetError):
        code = "missing-extra" if isinstance(error, MissingExtraError) else "unexpected"
        return ImageError(code, str(error))
    if isinstance(error, MemoryError):
        return ImageError("too-large", "The image needs more memory than there is. Reduce it.")
    if isinstance(error, OSError):
        return ImageError("unreadable", f"The file cannot be read: {error.strerror}.")
    _logger.debug("An image failed unexpectedly.", exc_info=error)
    return ImageError(
        "unexpected",
        f"It failed with {type(error).__name__}. Open and save it in another program, or leave it "
        "out.",
    )
