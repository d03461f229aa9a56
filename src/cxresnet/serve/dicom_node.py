"""A DICOM node: takes radiographs by C-STORE, and writes or sends back what the network says.

An image is checked and classified before its sender gets an answer, so that the status of C-STORE
says whether it can be used. What is written of it is made afterwards, one image at a time; until
then the image lies in the folder `received`, so that what was taken is answered even where the node
is killed: at its next start. Both queues are bounded; a sender that finds one full is told to come
again (status A700). Log lines name an image by its SHA-256: no name, number, date or UID of a
patient is written anywhere but into these images and the objects themselves.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import socketserver
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from cxresnet import __version__
from cxresnet.api.classifier import Model
from cxresnet.api.prediction import Prediction
from cxresnet.core.errors import ConfigError, ImageError, StorageError, explain_image_fault
from cxresnet.core.files import atomic_write, write_bytes
from cxresnet.data.decode.decoder import decode_image
from cxresnet.serve.dicom_objects import AnsweredImage, build_objects, choose_method
from cxresnet.serve.dicom_outbox import REPORT_FILE, Outbox
from cxresnet.serve.dicom_report import MANUFACTURER
from cxresnet.serve.dicom_settings import NodeSettings
from cxresnet.serve.dicom_source import describe_author, read_source
from cxresnet.serve.errors import RequestError
from cxresnet.serve.lanes import Lane

_logger = logging.getLogger(__name__)

TAKEN = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX for presentation",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX for processing",
}
"""SOP classes that are classified; an image of any other is refused with the reason."""

_TRANSFER_SYNTAXES = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
]
"""Not the deflated one: it could unpack to anything, and radiographs are not sent in it."""

_GATE_CODES = ("not-an-x-ray", "not-a-chest-x-ray", "rotated", "inverted")
"""Reasons of `predict/image_gate.py`: the image can be read, and has a report that says why."""

SUCCESS, BUSY, NOT_SUPPORTED, NOT_UNDERSTOOD = 0x0000, 0xA700, 0x0122, 0xC000
RECEIVED = "received"

_LONGEST_COMMENT = 64
_SHOWN_DIGITS = 12


@dataclass(frozen=True, eq=False)
class _Received:
    """An image that was received and can be used, or that the gate refused."""

    content: bytes
    source: Dataset
    prediction: Prediction

    @cached_property
    def image_sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Node:
    """Listens, classifies, and delivers.

    Attributes:
        port: That it listens on; known once it has started.
    """

    def __init__(self, model: Model, settings: NodeSettings) -> None:
        self.port = settings.port
        self._model, self._settings = model, settings
        self._author = describe_author(model)
        network = copy.deepcopy(model.predictor.model)  # some methods hang hooks into it
        self._explaining = replace(model, predictor=replace(model.predictor, model=network))
        self._method = settings.method or choose_method(model)
        self._checks = Lane("DICOM images", self._check, capacity=settings.queue_images)
        self._objects = Lane("DICOM objects", self._answer, capacity=settings.queue_images)
        self._bytes_of: dict[Any, int] = {}
        self._outbox: Outbox | None = None
        self._is_closing = threading.Event()
        self._server: Any = None

    def start(self) -> None:
        """Begin to listen, in threads of its own.

        Raises:
            ConfigError: The address is not one of this machine, or somebody else listens there.
        """
        for name in ("pynetdicom", "pydicom", "highdicom"):  # their lines quote values of tags
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        entity = _build_entity(self._settings)
        handlers = [
            (evt.EVT_C_ECHO, _answer_echo),
            (evt.EVT_C_STORE, self._take),
            (evt.EVT_DATA_RECV, self._count_bytes),
            (evt.EVT_DIMSE_RECV, self._reset_bytes),
            (evt.EVT_CONN_CLOSE, self._reset_bytes),
            (evt.EVT_REJECTED, _log_rejected),
        ]
        limit = 4 * self._settings.max_associations

        class Server(ThreadedAssociationServer):  # type: ignore[misc]  # skipped by mypy
            """Closes connections beyond a limit unheard: each costs two threads."""

            def verify_request(self, *_: Any) -> bool:
                return len(entity.active_associations) < limit

            def shutdown(self) -> None:
                """Stop to listen; pynetdicom's own looks for a server that it started itself."""
                socketserver.BaseServer.shutdown(self)

        address = (self._settings.host, self._settings.port)
        kept = self._list_kept()  # before anything new can lie there
        try:
            self._server = entity.make_server(address, evt_handlers=handlers, server_class=Server)
        except OSError as error:
            raise ConfigError(
                f"The node cannot listen on {address[0]}, port {address[1]} "
                f"({error.strerror or error}). Choose another with --host or --port."
            ) from error
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        self._entity = entity
        if self._settings.send_to is not None:
            self._outbox = Outbox(self._settings.send_to, self._settings)
        threading.Thread(target=self._resume, args=(kept,), name="DICOM kept", daemon=True).start()

    def close(self) -> int:
        """Take nothing more, finish what was taken, end, and say how many images were not sent."""
        self._is_closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        try:
            self._checks.close()
            self._objects.close()
            return 0 if self._outbox is None else self._outbox.close()
        finally:
            if self._server is not None:
                for association in self._entity.active_associations:
                    association.abort()

    def _take(self, event: Any) -> Dataset:
        """Answer C-STORE; whatever goes wrong is a status and a line of the log."""
        try:
            return self._take_image(event)
        except ImageError as error:
            return _refuse(NOT_UNDERSTOOD, error.code, str(error))
        except RequestError:
            return _refuse(BUSY, "busy", "The queue is full. Send the image again later.")
        except StorageError as error:
            return _refuse(BUSY, "storage", str(error))
        except Exception as error:  # noqa: BLE001  one image must not end the node
            return _refuse(NOT_UNDERSTOOD, "unexpected", f"It failed with {type(error).__name__}.")

    def _take_image(self, event: Any) -> Dataset:
        kind = str(event.request.AffectedSOPClassUID)
        if kind not in TAKEN:
            name = UID(kind).name if UID(kind).is_valid and UID(kind).name != kind else "unknown"
            return _refuse(
                NOT_SUPPORTED, "class", f"Takes CR and DX images alone, not the class {name}."
            )
        content = event.encoded_dataset()
        (checked,) = self._checks.submit([content])
        received: _Received = checked.result(self._settings.answer_seconds)
        self._queue(received)
        _logger.info(
            "Took image %s (%s, %d bytes).",
            received.image_sha256[:_SHOWN_DIGITS],
            TAKEN[kind],
            len(content),
        )
        return _status(SUCCESS)

    def _queue(self, received: _Received) -> Future[None]:
        """Keep the image until its objects are written, and have them made.

        Raises:
            RequestError: The queue is full.
            StorageError: The disk is full, or the folder may not be written.
        """
        kept = self._find_kept(received)
        is_new = not kept.is_file()
        if is_new:
            write_bytes(kept, received.content)
        try:
            (made,) = self._objects.submit([received])
        except RequestError:
            if is_new:
                kept.unlink(missing_ok=True)
            raise
        return made

    def _find_kept(self, received: _Received) -> Path:
        return self._settings.out / RECEIVED / f"{received.image_sha256}.dcm"

    def _list_kept(self) -> list[Path]:
        """List the images that an earlier run took and could not answer before it ended."""
        return sorted((self._settings.out / RECEIVED).glob("[!.]*.dcm"))

    def _resume(self, kept: Sequence[Path]) -> None:
        for path in kept:
            try:
                self._answer_again(path)
            except Exception as error:  # noqa: BLE001  the next image has its turn
                shown = path.name[:_SHOWN_DIGITS]
                _logger.error(  # noqa: TRY400  no names
                    "Image %s: not taken up again. %s It stays in '%s'.",
                    shown,
                    _explain(error),
                    RECEIVED,
                )

    def _answer_again(self, path: Path) -> None:
        """Answer a kept image in its turn; where the node ends before, its next start does."""
        content = path.read_bytes()
        while not self._is_closing.is_set():
            try:
                (checked,) = self._checks.submit([content])
                self._queue(checked.result()).result()
            except RequestError:  # new images have filled the queue
                self._is_closing.wait(1.0)
            else:
                return

    def _check(self, contents: Sequence[bytes]) -> list[_Received]:
        """Classify images, and read what their objects keep of the header.

        Raises:
            ImageError: One cannot be used, for another reason than the gate's.
        """
        found = []
        for content in contents:
            prediction = self._model.predict(content)
            if prediction.refused and prediction.code not in _GATE_CODES:
                raise ImageError(prediction.code, prediction.reason)
            found.append(_Received(content, read_source(content), prediction))
        return found

    def _answer(self, images: Sequence[_Received]) -> list[None]:
        """Build, write and send the objects of images; what fails is a line of the log."""
        for received in images:
            shown = received.image_sha256[:_SHOWN_DIGITS]
            try:
                names = self._deliver(received)
                self._find_kept(received).unlink(missing_ok=True)
                _logger.info("Image %s: wrote %s.", shown, ", ".join(names))
            except Exception as error:  # noqa: BLE001  the next image has its turn
                reason = _explain(error)
                _logger.error(  # noqa: TRY400  no names
                    "Image %s: no answer. %s It stays in '%s' for the next start.",
                    shown,
                    reason,
                    RECEIVED,
                )
        return [None] * len(images)

    def _deliver(self, received: _Received) -> list[str]:
        """Write the objects of an image, and have them sent; their names.

        What was written when the same bytes came before is sent again: same UIDs, same contents.
        """
        folder = self._find_folder(received)
        queued: AbstractContextManager[None] = nullcontext()
        if self._outbox is not None:
            queued = self._outbox.queue(folder.name)
        with queued:
            if not (folder / REPORT_FILE).is_file():
                self._write(received, folder)
        return sorted(path.name for path in folder.glob("*.dcm"))

    def _find_folder(self, received: _Received) -> Path:
        network = self._author.network_hash[:_SHOWN_DIGITS]
        return self._settings.out / f"{received.image_sha256[: 2 * _SHOWN_DIGITS]}-{network}"

    def _write(self, received: _Received, folder: Path) -> None:
        """Write the objects, the report last: where it is, the others are."""
        answer = self._complete(received)
        objects = build_objects(
            answer, author=self._author, preprocessing=self._model.predictor.preprocessing
        )
        for name, built in objects.items():
            with atomic_write(folder / f"{name}.dcm") as stream:
                built.save_as(stream, enforce_file_format=True)

    def _complete(self, received: _Received) -> AnsweredImage:
        """Add what objects need beside the prediction: pixels and attribution map."""
        answer = AnsweredImage(received.source, received.image_sha256, received.prediction)
        if not received.prediction.refused:
            preprocessing = self._model.predictor.preprocessing
            decoded = decode_image(
                received.content,
                min_side_px=max(preprocessing.min_side_px, 1024),
                any_body_part=self._model.predictor.any_body_part,
                limits=self._model.predictor.limits,
            )
            explanation = self._explaining.explain(received.content, self._method)
            answer = replace(answer, explanation=explanation, pixels=decoded.pixels)
        return answer

    def _count_bytes(self, event: Any) -> None:
        """Break an association whose message grows beyond the limit, before it fills the memory."""
        before = self._bytes_of.get(event.assoc, 0)
        count = self._bytes_of[event.assoc] = before + len(event.data)
        limit = self._settings.max_image_bytes
        if before <= limit < count:
            _logger.warning("Refused: too-large. A message has more than %d bytes.", limit)
            event.assoc.abort()

    def _reset_bytes(self, event: Any) -> None:
        self._bytes_of.pop(event.assoc, None)


def _build_entity(settings: NodeSettings) -> AE:
    entity = AE(ae_title=settings.aet)
    entity.implementation_version_name = f"{MANUFACTURER.upper()}_{__version__}"
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.allowed)
    entity.maximum_associations = settings.max_associations
    entity.acse_timeout = settings.wait_seconds
    entity.dimse_timeout = settings.wait_seconds
    entity.network_timeout = settings.wait_seconds
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, _TRANSFER_SYNTAXES)
    return entity


def _answer_echo(_event: Any) -> int:
    return SUCCESS


def _log_rejected(_event: Any) -> None:
    _logger.warning("Refused: association. Too many at once, another title, or not on --allow.")


def _refuse(status: int, code: str, reason: str) -> Dataset:
    _logger.warning("Refused: %s. %s", code, reason)
    return _status(status, comment=f"{code}: {reason}")


def _status(status: int, *, comment: str = "") -> Dataset:
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment.encode("ascii", "replace").decode()[:_LONGEST_COMMENT]
    return answer


def _explain(error: Exception) -> str:
    try:
        return str(explain_image_fault(error))
    except Exception as ours:  # noqa: BLE001  a sentence of ours, as of a full disk
        return str(ours)
