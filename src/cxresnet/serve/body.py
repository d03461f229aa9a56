"""Reads images from the body of a request: into memory, within limits, without any name.

Starlette would write what is larger than a megabyte to the disk. Here nothing of an upload ever
reaches it. Names of files are not even looked at: they may name people, and nothing needs them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from cxresnet.serve.errors import RequestError, build_busy_error
from cxresnet.serve.settings import ServeSettings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

IMAGE_FIELD = "images"
"""Name of the form field that holds an image; it may stand there several times."""

_RAW_TYPES = ("application/octet-stream", "application/dicom", "image/")
_MAX_HEADER_BYTES = 8192
_MAX_BOUNDARY_BYTES = 200
_DRAIN_SECONDS = 1.0


class ByteBudget:
    """Bytes that all requests together may hold; used from the event loop alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held

    @contextmanager
    def open(self) -> Iterator[Share]:
        """Open the share of one request; what it took is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.taken

    def take(self, count: int) -> None:
        """Take bytes.

        Raises:
            RequestError: 429; there are no more.
        """
        if self._held + count > self._limit:
            raise build_busy_error(2)
        self._held += count


@dataclass
class Share:
    """What one request took of the budget."""

    budget: ByteBudget
    taken: int = 0

    def take(self, count: int) -> None:
        """Take bytes; see `ByteBudget.take`."""
        self.budget.take(count)
        self.taken += count


async def read_images(
    request: Request, settings: ServeSettings, share: Share, *, max_images: int
) -> list[bytes]:
    """Read the images of a request, one or more.

    Args:
        request: Its body is a form (`multipart/form-data`) or the bytes of one image.
        settings: The limits.
        share: Of the bytes that all requests may hold.
        max_images: In this request.

    Raises:
        RequestError: 400, 408, 411, 413, 415, 422 or 429; the message says what to change.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1").casefold()
    chunks = _read_chunks(request, settings, share)
    if media_type == "multipart/form-data":
        images = await _read_form(options.get(b"boundary", b""), chunks, max_images=max_images)
    elif media_type.startswith(_RAW_TYPES):
        images = [b"".join([chunk async for chunk in chunks])]
    else:
        raise RequestError(
            415,
            "media-type",
            f"Send a form (multipart/form-data) with the image in the field '{IMAGE_FIELD}', or "
            "the bytes of one image as application/octet-stream, application/dicom or image/….",
        )
    if not images:
        raise RequestError(422, "no-image", f"The form has no field '{IMAGE_FIELD}'.")
    return images


async def _read_chunks(
    request: Request, settings: ServeSettings, share: Share
) -> AsyncIterator[bytes]:
    """Yield the body piece by piece, as long as it stays within size and time."""
    _refuse_encoding(request)
    if _get_length(request) > settings.max_body_bytes:
        await _drain(request)
        raise _build_size_error(settings)
    end = time.monotonic() + settings.body_seconds
    stream = request.stream()
    size = 0
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), max(end - time.monotonic(), 0.001))
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RequestError(
                408, "slow", f"The request took more than {settings.body_seconds:g} s to arrive."
            ) from error
        except ClientDisconnect as error:
            raise RequestError(400, "cut-off", "The request ended before its end.") from error
        size += len(chunk)
        if size > settings.max_body_bytes:
            await _drain(request)
            raise _build_size_error(settings)
        share.take(len(chunk))
        yield chunk


def _refuse_encoding(request: Request) -> None:
    """Refuse a packed body: what it unpacks to is not known."""
    if request.headers.get("content-encoding", "identity").casefold() != "identity":
        raise RequestError(415, "encoding", "Send the body as it is, without Content-Encoding.")


def _get_length(request: Request) -> int:
    try:
        return int(request.headers.get("content-length", "0"))
    except ValueError as error:
        raise RequestError(400, "length", "The header Content-Length is no number.") from error


def _build_size_error(settings: ServeSettings) -> RequestError:
    return RequestError(
        413,
        "too-large",
        f"The request has more than {settings.max_body_bytes / 2**20:g} MiB. Send fewer or smaller "
        "images.",
    )


async def _drain(request: Request) -> None:
    """Read a little more, so that the client has time to look at the answer before the end."""

    async def read() -> None:
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return

    try:
        await asyncio.wait_for(read(), _DRAIN_SECONDS)
    except TimeoutError:
        return


async def _read_form(
    boundary: bytes, chunks: AsyncIterator[bytes], *, max_images: int
) -> list[bytes]:
    if not 0 < len(boundary) <= _MAX_BOUNDARY_BYTES:
        raise _build_form_error()
    form = _Form(max_images)
    parser = MultipartParser(boundary, form.callbacks)
    try:
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except MultipartParseError as error:
        raise _build_form_error() from error
    if not form.is_complete:
        raise _build_form_error()
    return [bytes(image) for image in form.images]


def _build_form_error() -> RequestError:
    return RequestError(400, "form", "The form is damaged, or cut off.")


@dataclass
class _Form:
    """Gathers the images of a form while it is read."""

    max_images: int
    images: list[bytearray] = field(default_factory=list)
    is_complete: bool = False
    _name: bytes = b""
    _header_name: bytes = b""
    _header_value: bytes = b""
    _header_bytes: int = 0

    @property
    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_name,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._start_image,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._name, self._header_bytes = b"", 0

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def _count(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise RequestError(400, "form", "A part of the form has too long a head.")

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._name = options.get(b"name", b"")
        self._header_name = self._header_value = b""

    def _start_image(self) -> None:
        if self._name != IMAGE_FIELD.encode():
            raise RequestError(
                422, "field", f"The form has a field that is not called '{IMAGE_FIELD}'."
            )
        if len(self.images) == self.max_images:
            raise RequestError(
                413, "too-many", f"The request has more images than {self.max_images}."
            )
        self.images.append(bytearray())

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.images[-1] += data[start:end]

    def _end(self) -> None:
        self.is_complete = True
