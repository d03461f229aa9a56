"""A real Orthanc server, configured as the how-to page says, sends, takes and keeps our objects.

Wanted are Debian's packages `orthanc` and `orthanc-dicomweb`. The program is looked for in
$CXRESNET_ORTHANC, then on the path and in /usr/sbin; the plugin in `share/orthanc/plugins` beside
it, or in the folder $CXRESNET_ORTHANC_PLUGINS.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import io
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cxresnet

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")
pytest.importorskip("highdicom", reason="the extra 'listen' is not installed")
pytest.importorskip("pynetdicom", reason="the extra 'listen' is not installed")

from cxresnet.serve.dicom_settings import Receiver  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    # pynetdicom leaves the socket of a refused connection to the garbage collection.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket"),
]

WAY = "NOT tested against Orthanc: apt-get install orthanc orthanc-dicomweb, or set"
PAGE = Path(__file__).parents[2] / "docs/how-to/dicom-node.md"
PATIENCE_SECONDS = 60.0
DICOM_JSON = {"Accept": "application/dicom+json"}
LOSSLESS = ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]


@dataclass(frozen=True)
class Orthanc:
    """An Orthanc that runs on this machine."""

    http_port: int
    dicom_port: int

    @property
    def receiver(self) -> Receiver:
        return Receiver("ORTHANC", "127.0.0.1", self.dicom_port)

    def ask(
        self, path: str, body: bytes | str | None = None, *, method: str = "", **headers: str
    ) -> tuple[bytes, str]:
        """Ask by HTTP; the body of the answer, and its media type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            verb = method or ("GET" if body is None else "POST")
            connection.request(verb, path, body=body, headers=named)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status < 300, (path, answer.status, content[:500])
            return content, answer.headers.get("Content-Type", "")
        finally:
            connection.close()

    def ask_json(self, path: str, body: bytes | str | None = None, **options: Any) -> Any:
        return json.loads(self.ask(path, body, **options)[0])

    def send_to_node(self, content: bytes, node: Any) -> dict[str, str]:
        """Upload an image, and have it sent to our node; Orthanc's ids of image and study."""
        place = {"AET": "CXRESNET", "Host": "127.0.0.1", "Port": node.port}
        self.ask("/modalities/cxresnet", json.dumps(place), method="PUT")
        stored = self.ask_json("/instances", content)
        done = self.ask_json("/modalities/cxresnet/store", stored["ID"])
        assert (done["InstancesCount"], done["FailedInstancesCount"]) == (1, 0)
        return {"study": stored["ParentStudy"], "patient": stored["ParentPatient"]}

    def list_images(self, study: str) -> list[str]:
        return [one["ID"] for one in self.ask_json(f"/studies/{study}/instances")]


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


def find_program() -> str:
    named = os.environ.get("CXRESNET_ORTHANC")
    found = named or shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(f"{WAY} CXRESNET_ORTHANC")
    return found


def find_plugins(program: str) -> list[str]:
    """Find the DICOMweb plugin; none where it is not installed."""
    beside = Path(program).resolve().parents[1] / "share" / "orthanc" / "plugins"
    folder = Path(os.environ.get("CXRESNET_ORTHANC_PLUGINS", beside))
    return [str(path) for path in sorted(folder.glob("*OrthancDicomWeb*"))[:1]]


def read_block(first: str, last: str) -> str:
    """Read a block of code of the how-to page by its first and last line."""
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(rf"^    {first}\n.*?^    {last}$", text, re.MULTILINE | re.DOTALL)
    return textwrap.dedent(found)


@contextlib.contextmanager
def running(folder: Path, **changes: Any) -> Iterator[Orthanc]:
    """Run Orthanc with the config of the page, in a folder and on ports of its own."""
    program = find_program()
    server = Orthanc(find_free_port(), changes.get("DicomPort", find_free_port()))
    config = json.loads(read_block("{", "}")) | {
        "StorageDirectory": str(folder / "storage"),
        "HttpPort": server.http_port,
        "DicomPort": server.dicom_port,
        "Plugins": find_plugins(program),
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(config | changes), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(path)], cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for(server, process, folder / "log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()


def _wait_for(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            server.ask("/system")
        except OSError:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            assert process.poll() is None, f"Orthanc has ended: {said}"
            assert time.monotonic() < end, f"Orthanc does not answer: {said}"
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def dicomweb(orthanc: Orthanc) -> Orthanc:
    """Orthanc, with the plugin."""
    if "dicom-web" not in orthanc.ask_json("/plugins"):
        pytest.skip(f"{WAY} CXRESNET_ORTHANC_PLUGINS")
    return orthanc


@dataclass(frozen=True)
class Exchange:
    """An image that went to our node, and what came back.

    Attributes:
        content: The image.
        ids: Orthanc's ids of its study and patient.
        written: Our objects, by the names of their files.
    """

    content: bytes
    ids: dict[str, str]
    written: dict[str, bytes]

    @property
    def source(self) -> Any:
        return pydicom.dcmread(io.BytesIO(self.content))

    @property
    def objects(self) -> dict[str, Any]:
        return {name: pydicom.dcmread(io.BytesIO(one)) for name, one in self.written.items()}


@pytest.fixture(scope="module")
def exchange(
    orthanc: Orthanc, model: cxresnet.Model, dicom: Any, kit: Any, drawn_dx: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Exchange:  # fmt: skip
    """Out by C-STORE, and our three objects back."""
    out = tmp_path_factory.mktemp("reports")
    with dicom.listening(model, out, send_to=orthanc.receiver) as node:
        ids = orthanc.send_to_node(drawn_dx[0], node)
        kit.wait_until(lambda: len(orthanc.list_images(ids["study"])) == 4)
    written = {path.stem: path.read_bytes() for path in out.glob("*/*.dcm")}
    assert sorted(written) == ["capture", "map", "report"]
    return Exchange(drawn_dx[0], ids, written)


def test_the_objects_come_back_as_they_were_written(orthanc: Orthanc, exchange: Exchange) -> None:
    assert orthanc.ask_json(f"/patients/{exchange.ids['patient']}")["Studies"] == [
        exchange.ids["study"]
    ]
    kept = {}
    for one in orthanc.list_images(exchange.ids["study"]):
        dataset = pydicom.dcmread(io.BytesIO(orthanc.ask(f"/instances/{one}/file")[0]))
        kept[str(dataset.SOPInstanceUID)] = dataset
    for ours in [exchange.source, *exchange.objects.values()]:
        theirs = kept.pop(str(ours.SOPInstanceUID))
        assert theirs.to_json_dict() == ours.to_json_dict()
    assert not kept


def test_study_patient_evidence_and_grid_are_those_of_the_image(exchange: Exchange) -> None:
    source, objects = exchange.source, exchange.objects
    for one in objects.values():
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
            assert one[keyword].value == source[keyword].value
        assert one.SeriesInstanceUID != source.SeriesInstanceUID
    evidence = [
        image.ReferencedSOPInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence",
                        "PertinentOtherEvidenceSequence")
        for study in objects["report"].get(keyword, [])
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    ]  # fmt: skip
    named = [source, objects["map"], objects["capture"]]
    assert sorted(evidence) == sorted(one.SOPInstanceUID for one in named)
    (origin,) = objects["capture"].SourceImageSequence
    assert origin.ReferencedSOPInstanceUID == source.SOPInstanceUID
    grid = objects["map"]
    assert (grid.Rows, grid.Columns) == (source.Rows, source.Columns)
    (shared,) = grid.SharedFunctionalGroupsSequence
    assert shared.PixelMeasuresSequence[0].PixelSpacing == source.ImagerPixelSpacing


def test_qido_finds_them_in_the_study(dicomweb: Orthanc, exchange: Exchange) -> None:
    source = exchange.source
    (study,) = dicomweb.ask_json(f"/dicom-web/studies?PatientID={source.PatientID}", **DICOM_JSON)
    assert study["0020000D"]["Value"] == [source.StudyInstanceUID]
    found = dicomweb.ask_json(
        f"/dicom-web/studies/{source.StudyInstanceUID}/instances", **DICOM_JSON
    )
    expected = {one.SOPInstanceUID: one.SOPClassUID for one in exchange.objects.values()}
    expected[source.SOPInstanceUID] = source.SOPClassUID
    assert {one["00080018"]["Value"][0]: one["00080016"]["Value"][0] for one in found} == expected


def test_what_stow_sends_wado_returns_byte_for_byte(dicomweb: Orthanc, exchange: Exchange) -> None:
    dicomweb.ask(f"/studies/{exchange.ids['study']}", method="DELETE")
    sent = [exchange.content, *exchange.written.values()]
    body, kind = join_parts(sent)
    answer = dicomweb.ask_json("/dicom-web/studies", body, Content_Type=kind, **DICOM_JSON)
    assert len(answer["00081199"]["Value"]) == len(sent)
    for content in sent:
        one = pydicom.dcmread(io.BytesIO(content))
        (found,) = dicomweb.ask_json(
            f"/dicom-web/studies/{one.StudyInstanceUID}/instances"
            f"?SOPInstanceUID={one.SOPInstanceUID}",
            **DICOM_JSON,
        )
        assert found["0020000E"]["Value"] == [one.SeriesInstanceUID]
        returned, kind = dicomweb.ask(
            f"/dicom-web/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}"
            f"/instances/{one.SOPInstanceUID}",
            Accept='multipart/related; type="application/dicom"; transfer-syntax=*',
        )
        assert split_parts(returned, kind) == [content]


def join_parts(parts: Sequence[bytes]) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + one + b"\r\n" for one in parts) + f"--{boundary}--\r\n".encode()
    return body, f'multipart/related; type="application/dicom"; boundary={boundary}'


def split_parts(body: bytes, kind: str) -> list[bytes]:
    boundary = re.search(r'boundary="?([^";]+)', kind)
    assert boundary is not None, kind
    between = body.split(b"--" + boundary[1].encode())[1:-1]
    return [one.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for one in between]


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_compressed_image_travels_as_it_is_and_gets_the_same_answer(
    syntax: str, orthanc: Orthanc, model: cxresnet.Model, dicom: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, drawn_dx: list[bytes],
) -> None:  # fmt: skip
    received: list[Any] = []
    monkeypatch.setattr(
        "cxresnet.serve.dicom_node.Node._deliver", lambda self, one: received.append(one) or []
    )
    image = dicom.wrap(
        pydicom.dcmread(io.BytesIO(drawn_dx[1])).pixel_array,
        StudyInstanceUID=pydicom.uid.generate_uid(),
        SOPInstanceUID=pydicom.uid.generate_uid(),
    )
    compressed = dicom.compress(image, syntax, tmp_path)
    with dicom.listening(model, tmp_path) as node:
        orthanc.send_to_node(compressed, node)
        node.close()
    sent, got = (
        pydicom.dcmread(io.BytesIO(one)).file_meta.TransferSyntaxUID
        for one in (compressed, received[0].content)
    )
    assert got == sent
    assert sent.is_compressed
    assert received[0].prediction == model.predict(image)


def test_the_script_of_the_page_sends_every_new_radiograph(
    model: cxresnet.Model, dicom: Any, kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    drawn_dx: list[bytes],
) -> None:  # fmt: skip
    find_program()
    dicom.skip_explaining(monkeypatch)
    script = tmp_path / "send.lua"
    script.write_text(read_block(r"function OnStoredInstance\(.*\)", "end"), encoding="utf-8")
    port = find_free_port()
    send_to = Receiver("ORTHANC", "127.0.0.1", port)
    with dicom.listening(model, tmp_path / "reports", send_to=send_to) as node:
        place = {"cxresnet": ["CXRESNET", "127.0.0.1", node.port]}
        options = {"DicomPort": port, "DicomModalities": place, "LuaScripts": [str(script)]}
        with running(tmp_path, **options) as server:
            stored = server.ask_json("/instances", drawn_dx[0])
            kit.wait_until(lambda: len(server.list_images(stored["ParentStudy"])) == 2)


def test_what_waited_arrives_when_orthanc_comes_up(
    model: cxresnet.Model, dicom: Any, kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    drawn_dx: list[bytes],
) -> None:  # fmt: skip
    find_program()
    dicom.skip_explaining(monkeypatch)
    out, port = tmp_path / "reports", find_free_port()
    send_to = Receiver("ORTHANC", "127.0.0.1", port)
    with dicom.listening(model, out, send_to=send_to, retry_seconds=0.2) as node:
        assert dicom.store(node.port, drawn_dx[0]) == [0]
        kit.wait_until(lambda: list(out.glob("*/report.dcm")))
        assert list((out / "unsent").iterdir())
        with running(tmp_path, DicomPort=port) as server:
            kit.wait_until(lambda: not list((out / "unsent").iterdir()))
            (kept,) = server.ask_json("/instances")
            tags = server.ask_json(f"/instances/{kept}/simplified-tags")
    (report,) = (pydicom.dcmread(path) for path in out.glob("*/report.dcm"))
    assert tags["SOPInstanceUID"] == report.SOPInstanceUID
    assert tags["PatientID"] == report.PatientID
    gc.collect()
