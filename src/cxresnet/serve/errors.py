"""Why a request is refused: a status, a word for programs, a sentence for people."""

from __future__ import annotations

from cxresnet.core.errors import CXResnetError


class RequestError(CXResnetError):
    """A request that is not answered as asked.

    Attributes:
        status: Of HTTP.
        code: The reason in one word.
        retry_seconds: When to come again; 0 where that would not help.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_seconds: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_seconds = retry_seconds


def build_busy_error(retry_seconds: int) -> RequestError:
    """Build the answer to a request that finds the queue full."""
    return RequestError(
        429,
        "busy",
        f"The server is busy. Send the request again in {retry_seconds} s.",
        retry_seconds=retry_seconds,
    )


class DeliveryError(CXResnetError):
    """Objects that another DICOM node has not taken; they stay in their folder.

    Attributes:
        is_unreachable: The whole node is down or lets nobody in, so that others need not be tried.
    """

    def __init__(self, message: str, *, is_unreachable: bool = False) -> None:
        super().__init__(message)
        self.is_unreachable = is_unreachable
