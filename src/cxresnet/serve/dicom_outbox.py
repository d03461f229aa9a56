"""What waits to be sent to another DICOM node, on the disk until that node has taken it.

Before the objects of an image are written, an empty file with the name of their folder is put into
the folder `unsent`; it is removed when all of them were taken. So nothing is lost where the other
node is down or this one ends: the next try, or the next start, sends what waits. The report is
written last; a folder without one is not whole and not sent. Whoever no longer wants an image to be
sent deletes its file from `unsent`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
)

from cxresnet.core.files import write_bytes
from cxresnet.serve.dicom_settings import NodeSettings, Receiver
from cxresnet.serve.errors import DeliveryError

_logger = logging.getLogger(__name__)

UNSENT = "unsent"
REPORT_FILE = "report.dcm"

_SENT = (Comprehensive3DSRStorage, ParametricMapStorage, SecondaryCaptureImageStorage)
_TAKEN = (0x0000, 0xB000, 0xB006, 0xB007, 0x0111)
"""Success, the warnings of C-STORE (stored, with something changed), and "is there already"."""

_LONGEST_PAUSE = 20
_SHOWN_DIGITS = 12


class Outbox:
    """Sends what waits, in a thread of its own, so that a slow receiver holds up nothing else.

    After a round in which something was not taken it pauses, each time twice as long, up to twenty
    times the first pause.
    """

    def __init__(self, receiver: Receiver, settings: NodeSettings) -> None:
        """Start the thread; what an earlier run left is sent first."""
        self._receiver, self._settings = receiver, settings
        self._folder = settings.out / UNSENT
        self._changed = threading.Condition()
        self._has_news = True
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="DICOM outbox", daemon=True)
        self._thread.start()

    @contextmanager
    def queue(self, name: str) -> Iterator[None]:
        """Have the objects sent that the block writes into the folder `name`.

        Raises:
            StorageError: The disk is full, or the folder may not be written.
        """
        mark = self._folder / name
        write_bytes(mark, b"")
        try:
            yield
        except BaseException:
            mark.unlink(missing_ok=True)
            raise
        with self._changed:
            self._has_news = True
            self._changed.notify()

    def close(self) -> int:
        """Send what is new, end the thread, and say how many images still wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        return len(self._list_waiting())

    def _run(self) -> None:
        pause = 0.0
        while self._wait(pause):
            left = self._send_all()
            first = self._settings.retry_seconds
            pause = min(max(2 * pause, first), _LONGEST_PAUSE * first) if left else 0.0
            if left:
                _logger.warning(
                    "Images that wait to be sent to %s: %d; next try in %.0f s.",
                    self._receiver.aet,
                    left,
                    pause,
                )

    def _wait(self, pause: float) -> bool:
        """Wait for something new, or for the end of a pause; say whether to try (again)."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or (self._has_news and not pause), timeout=pause or None
            )
            has_news, self._has_news = self._has_news, False
            return not self._is_closed or (has_news and not pause)

    def _list_waiting(self) -> list[Path]:
        """List the folders that wait and are whole."""
        if not self._folder.is_dir():
            return []
        names = sorted(one.name for one in self._folder.iterdir() if not one.name.startswith("."))
        folders = [self._settings.out / name for name in names]
        return [folder for folder in folders if (folder / REPORT_FILE).is_file()]

    def _send_all(self) -> int:
        """Send what waits, until the receiver cannot be reached; say how many images are left."""
        try:
            waiting, left = self._list_waiting(), 0
        except OSError as error:
            _logger.error("The folder '%s' cannot be read (%s).", UNSENT, error.strerror)  # noqa: TRY400
            return 1
        for at, folder in enumerate(waiting):
            try:
                self._send(folder)
            except DeliveryError as error:
                _log_failure(folder, str(error))
                if error.is_unreachable:
                    return left + len(waiting) - at
                left += 1
            except Exception as error:  # noqa: BLE001  one image must not end the outbox
                _log_failure(folder, f"It failed with {type(error).__name__}.")
                left += 1
        return left

    def _send(self, folder: Path) -> None:
        paths = sorted(folder.glob("*.dcm"))
        send(paths, self._receiver, aet=self._settings.aet, seconds=self._settings.wait_seconds)
        (self._folder / folder.name).unlink(missing_ok=True)
        _logger.info("Image %s: sent %d objects.", folder.name[:_SHOWN_DIGITS], len(paths))


def _log_failure(folder: Path, reason: str) -> None:
    _logger.error("Image %s: not sent. %s", folder.name[:_SHOWN_DIGITS], reason)


def send(paths: Sequence[Path], receiver: Receiver, *, aet: str, seconds: float) -> None:
    """Send objects to another node by C-STORE.

    Args:
        paths: Of the objects.
        receiver: The other node.
        aet: The title of this one.
        seconds: To wait for the other node to say something.

    Raises:
        DeliveryError: It cannot be reached, or does not take one of them.
    """
    entity = AE(ae_title=aet)
    entity.connection_timeout = entity.acse_timeout = seconds
    entity.dimse_timeout = entity.network_timeout = seconds
    for kind in _SENT:
        entity.add_requested_context(kind)
    association = entity.associate(receiver.host, receiver.port, ae_title=receiver.aet)
    if association.is_rejected:
        raise DeliveryError(
            f"{receiver.aet} does not let {aet} in. Enter this title, with its address and port, "
            "among the nodes that it knows.",
            is_unreachable=True,
        )
    if not association.is_established:
        raise _lose(receiver)
    try:
        for path in paths:
            _send_object(association, path, receiver)
    finally:
        association.release()


def _send_object(association: Any, path: Path, receiver: Receiver) -> None:
    dataset = dcmread(path)
    kinds = {str(one.abstract_syntax) for one in association.accepted_contexts}
    if association.is_established and dataset.SOPClassUID not in kinds:
        raise DeliveryError(
            f"{receiver.aet} takes no objects of the class {dataset.SOPClassUID.name}, as "
            f"{path.name} is. Enable this class there."
        )
    status = Dataset()
    if association.is_established:
        status = association.send_c_store(dataset)
    if "Status" not in status:
        raise _lose(receiver)
    if status.Status not in _TAKEN:
        raise DeliveryError(
            f"{receiver.aet} did not take {path.name} (status {status.Status:04X}). Its own log "
            "says why."
        )


def _lose(receiver: Receiver) -> DeliveryError:
    return DeliveryError(
        f"{receiver.aet} cannot be reached at {receiver.host}, port {receiver.port}, or does not "
        "answer. Check that it runs.",
        is_unreachable=True,
    )
