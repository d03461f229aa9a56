"""Every error a user can cause, as one tree.

CXResnetError                 one clear sentence with the way out
├── ConfigError               the config, a flag or a preset is wrong
├── SourceError               the films or the table cannot be used as they are
│   ├── EmptySourceError      no film found
│   ├── ClassMapError         a folder or label that no class claims, or too few classes
│   └── UnsafePathError       a path that leaves its folder
├── FilmError                 one film cannot be used; `code` says why (see rejected.csv)
├── SplitError                the films cannot be split as asked
├── DatasetError              a prepared dataset is missing, incomplete or altered
├── SealedTestError           somebody reached for the test split
├── RunFolderError            the output folder cannot be used
├── StorageError              disk full, read-only, not permitted
├── CheckpointError           weights are missing, torn, altered or of another kind
├── TrainingError             training cannot go on (not a number, out of memory)
├── ModelModeError            a network in the wrong mode was handed over
└── MissingExtraError         an optional dependency is not installed
"""

from __future__ import annotations

__all__ = [
    "CXResnetError",
    "CheckpointError",
    "ClassMapError",
    "ConfigError",
    "DatasetError",
    "EmptySourceError",
    "FilmError",
    "MissingExtraError",
    "ModelModeError",
    "RunFolderError",
    "SealedTestError",
    "SourceError",
    "SplitError",
    "StorageError",
    "TrainingError",
    "UnsafePathError",
]


class CXResnetError(Exception):
    """Something a user can mend; the message says what, and the way out.

    The command line prints the message alone and exits with `exit_code`.
    """

    exit_code = 2


class ConfigError(CXResnetError):
    """The config, a flag or a preset is wrong."""


class SourceError(CXResnetError):
    """The films or the table cannot be used as they are."""


class EmptySourceError(SourceError):
    """No film was found."""


class ClassMapError(SourceError):
    """A folder or label that no class claims, or fewer than two classes."""


class UnsafePathError(SourceError):
    """A path in a table or archive that leaves its folder."""


class FilmError(CXResnetError):
    """One film cannot be used; the others go on.

    Attributes:
        code: One short word for `rejected.csv`, for example "truncated" or "not-an-image".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[FilmError], tuple[str, str]]:
        """Survive the way back from a worker process, code included."""
        return (type(self), (self.code, str(self)))


class SplitError(CXResnetError):
    """The films cannot be split as asked."""


class DatasetError(CXResnetError):
    """A prepared dataset is missing, incomplete or altered."""


class SealedTestError(CXResnetError):
    """Somebody reached for the test split outside of `evaluate`."""


class RunFolderError(CXResnetError):
    """The output folder cannot be used."""


class StorageError(CXResnetError):
    """The disk is full or read-only, or the file may not be written."""

    exit_code = 3


class CheckpointError(CXResnetError):
    """Weights are missing, torn, altered, or of another kind."""


class TrainingError(CXResnetError):
    """Training cannot go on."""


class ModelModeError(CXResnetError):
    """A network was handed over in the wrong mode."""


class MissingExtraError(CXResnetError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs an extra: pip install "cxresnet[{extra}]"')
        self.extra = extra
