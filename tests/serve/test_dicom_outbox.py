"""The other node is down, silent, breaks off or refuses: nothing is lost, and all is sent later."""

from __future__ import annotations

import contextlib
import gc
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cxresnet

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")
pytest.importorskip("highdicom", reason="the extra 'listen' is not installed")
pynetdicom = pytest.importorskip("pynetdicom", reason="the extra 'listen' is not installed")

from pynetdicom import sop_class  # noqa: E402

from cxresnet.serve.dicom_outbox import UNSENT, Outbox  # noqa: E402
from cxresnet.serve.dicom_settings import NodeSettings, Receiver  # noqa: E402

# pynetdicom leaves the socket of a refused connection to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")

CLASSES = {
    "capture": sop_class.SecondaryCaptureImageStorage,
    "report": sop_class.Comprehensive3DSRStorage,
}


@pytest.fixture(autouse=True)
def _collect_sockets() -> Iterator[None]:
    """Let none of those sockets be found in a test of another module."""
    yield
    gc.collect()


@pytest.fixture
def port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


@contextlib.contextmanager
def pacs(
    port: int,
    answer: Callable[[Any], int] = lambda event: 0,
    *,
    knows: tuple[str, ...] = (),
    takes: tuple[Any, ...] = tuple(CLASSES.values()),
) -> Iterator[list[str]]:
    """Another node; yields the UIDs of what it took."""
    taken: list[str] = []

    def take(event: Any) -> int:
        status = answer(event)
        if status in {0, 0xB000}:
            taken.append(str(event.request.AffectedSOPInstanceUID))
        return status

    entity = pynetdicom.AE(ae_title="PACS")
    entity.require_calling_aet = list(knows)
    for kind in takes:
        entity.add_supported_context(kind)
    handlers = [(pynetdicom.evt.EVT_C_STORE, take)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield taken
    finally:
        server.shutdown()


def write_objects(out: Path, name: str, *, is_whole: bool = True) -> list[str]:
    """Write an image's objects as the node does, with its mark; their UIDs, in order."""
    folder = out / name
    folder.mkdir(parents=True)
    (out / UNSENT).mkdir(exist_ok=True)
    (out / UNSENT / name).touch()
    uids = []
    for kind, uid in CLASSES.items():
        if kind == "report" and not is_whole:
            continue
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one.SOPClassUID, one.SOPInstanceUID = uid, pydicom.uid.generate_uid()
        one.save_as(folder / f"{kind}.dcm", enforce_file_format=True)
        uids.append(str(one.SOPInstanceUID))
    return uids


def build_outbox(out: Path, port: int, **settings: Any) -> Outbox:
    chosen = {"retry_seconds": 0.1, "wait_seconds": 5.0} | settings
    return Outbox(Receiver("PACS", "127.0.0.1", port), NodeSettings(out=out, **chosen))


def list_unsent(out: Path) -> list[str]:
    return sorted(path.name for path in (out / UNSENT).iterdir())


@pytest.mark.slow
def test_what_an_earlier_run_left_is_sent_when_the_other_node_comes_up(
    tmp_path: Path, port: int, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    uids = write_objects(tmp_path, "a") + write_objects(tmp_path, "b")
    outbox = build_outbox(tmp_path, port)
    kit.wait_until(lambda: "Images that wait to be sent to PACS: 2" in caplog.text)
    assert f"PACS cannot be reached at 127.0.0.1, port {port}" in caplog.text
    assert list_unsent(tmp_path) == ["a", "b"]
    with pacs(port) as taken:
        kit.wait_until(lambda: not list_unsent(tmp_path))
        assert outbox.close() == 0
    assert taken == uids
    assert (tmp_path / "a" / "report.dcm").is_file()


@pytest.mark.slow
def test_a_node_that_does_not_answer_holds_up_nothing(
    tmp_path: Path, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write_objects(tmp_path, "a")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outbox = build_outbox(tmp_path, silent.getsockname()[1], wait_seconds=0.3)
        kit.wait_until(lambda: "or does not answer. Check that it runs." in caplog.text)
        start = time.monotonic()
        assert outbox.close() == 1
    assert time.monotonic() - start < 5
    assert list_unsent(tmp_path) == ["a"]


@pytest.mark.slow
def test_what_was_broken_off_half_way_is_sent_whole(tmp_path: Path, port: int, kit: Any) -> None:
    uids = write_objects(tmp_path, "a")
    aborted: list[str] = []

    def break_off(event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid == uids[1] and not aborted:
            aborted.append(uid)
            event.assoc.abort()
        return 0

    with pacs(port, break_off) as taken:
        outbox = build_outbox(tmp_path, port)
        kit.wait_until(lambda: not list_unsent(tmp_path))
        assert outbox.close() == 0
    assert aborted == [uids[1]]
    assert taken[-2:] == uids


@pytest.mark.slow
def test_one_that_is_not_taken_stays_and_the_others_are_sent(
    tmp_path: Path, port: int, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = write_objects(tmp_path, "a"), write_objects(tmp_path, "b")
    statuses = {bad[0]: 0xA700, good[0]: 0xB000, good[1]: 0x0111}
    with pacs(port, lambda event: statuses.get(event.request.AffectedSOPInstanceUID, 0)):
        outbox = build_outbox(tmp_path, port)
        kit.wait_until(lambda: list_unsent(tmp_path) == ["a"])
        assert outbox.close() == 1
    assert "PACS did not take capture.dcm (status A700). Its own log says why." in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"knows": ("SOMEBODY",)}, "PACS does not let CXRESNET in. Enter this title"),
        ({"takes": (sop_class.SecondaryCaptureImageStorage,)}, "PACS takes no objects of the"),
    ],
)
def test_who_is_not_configured_for_us_is_told_what_to_enter(
    tmp_path: Path, port: int, kit: Any, options: Any, sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    write_objects(tmp_path, "a")
    with pacs(port, **options):
        outbox = build_outbox(tmp_path, port)
        kit.wait_until(lambda: sentence in caplog.text)
        assert outbox.close() == 1


@pytest.mark.slow
def test_a_damaged_file_does_not_end_the_outbox(
    tmp_path: Path, port: int, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write_objects(tmp_path, "a")
    (tmp_path / "a" / "capture.dcm").write_bytes(b"junk")
    write_objects(tmp_path, "b")
    with pacs(port):
        outbox = build_outbox(tmp_path, port)
        kit.wait_until(lambda: list_unsent(tmp_path) == ["a"])
        assert outbox.close() == 1
    assert "Image a: not sent. It failed with InvalidDicomError." in caplog.text


@pytest.mark.slow
def test_a_folder_without_report_is_not_sent(tmp_path: Path, port: int) -> None:
    write_objects(tmp_path, "a", is_whole=False)
    with pacs(port) as taken:
        assert build_outbox(tmp_path, port).close() == 0
    assert taken == []


@pytest.mark.slow
def test_what_could_not_be_written_does_not_wait(tmp_path: Path, port: int) -> None:
    outbox = build_outbox(tmp_path, port)
    with contextlib.suppress(OSError), outbox.queue("a"):
        raise OSError
    assert outbox.close() == 0
    assert list_unsent(tmp_path) == []


@pytest.mark.slow
def test_the_node_goes_on_answering_while_the_other_is_down(
    model: cxresnet.Model, tmp_path: Path, port: int, dicom: Any, drawn_dx: list[bytes],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    dicom.skip_explaining(monkeypatch)
    send_to = Receiver("PACS", "127.0.0.1", port)
    with dicom.listening(model, tmp_path, send_to=send_to) as node:
        assert dicom.store(node.port, *drawn_dx) == [0] * len(drawn_dx)
        assert node.close() == len(drawn_dx)
    assert caplog.text.count("wrote report.dcm") == len(drawn_dx)
    assert len(list_unsent(tmp_path)) == len(drawn_dx)
    with pacs(port) as taken, dicom.listening(model, tmp_path, send_to=send_to) as node:
        assert node.close() == 0
    assert len(taken) == len(drawn_dx)
    assert list_unsent(tmp_path) == []
