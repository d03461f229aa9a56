from __future__ import annotations

import gzip
import io
import multiprocessing
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from cxresnet.core.errors import ImageError, SourceError
from cxresnet.data.sources import archive as archive_module
from cxresnet.data.sources import tar_index
from cxresnet.data.sources.archive import open_archive
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.open import open_source

KINDS = ["zip", "tar", "tar.gz", "tgz"]


def add_to_tar(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def build_archive(tmp_path):
    """Write an archive of the given kind, with names taken as they are."""

    def build(kind: str, files: dict[str, bytes]):
        path = tmp_path / f"covid.set.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
        else:
            with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as archive:
                for name, content in files.items():
                    add_to_tar(archive, name, content)
        return path

    return build


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_reads_as_the_folder_it_was_made_of(build_archive, tmp_path, tiny_png, kind):
    files = {
        "set/train/Normal/images/a.png": tiny_png,
        "set/train/Normal/masks/a.png": tiny_png + b"m",
        "set/test/COVID/images/b.png": tiny_png + b"b",
        "__MACOSX/set/._a.png": b"",
        "set/README.txt": b"",
    }
    archive = ClassFoldersSource(open_archive(build_archive(kind, files)))
    root = tmp_path / "covid.set"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    assert archive.scan() == ClassFoldersSource(root).scan()
    for record in archive.scan().records:
        assert archive.read(record.location) == files[record.location]
    (tmp_path / "left").mkdir()
    assert not list((tmp_path / "left").iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_in_the_archive_is_used(build_archive, tiny_png, kind):
    manifest = b"file,patient_id,lung_mask\nNormal/a.png,p1,lungs/a.png\nCOVID/b.png,p2,\n"
    files = {
        "set/Normal/a.png": tiny_png, "set/COVID/b.png": tiny_png, "set/lungs/a.png": tiny_png,
        "set/manifest.csv": manifest,
    }  # fmt: skip
    source = ClassFoldersSource(open_archive(build_archive(kind, files)))
    records = source.scan().records
    assert [record.patient_id for record in records] == ["p2", "p1"]
    assert source.read(records[1].lung_mask) == tiny_png


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_climb_out_are_rejected_and_cannot_be_read(build_archive, tiny_png, kind):
    files = {
        "Normal/a.png": tiny_png, "COVID/b.png": tiny_png,
        "../../COVID/slip.png": tiny_png, "/COVID/root.png": tiny_png,
    }  # fmt: skip
    source = ClassFoldersSource(open_archive(build_archive(kind, files)))
    found = source.scan()
    assert [record.image_id for record in found.records] == ["COVID/b.png", "Normal/a.png"]
    assert [row.code for row in found.rejections] == ["unsafe-path", "unsafe-path"]
    with pytest.raises(ImageError, match="is not in"):
        source.read("../../COVID/slip.png")


def test_links_and_devices_in_a_tar_are_rejected(tmp_path, tiny_png):
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        add_to_tar(archive, "Normal/a.png", tiny_png)
        for name, kind in [("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("c", tarfile.CHRTYPE)]:
            info = tarfile.TarInfo(f"Normal/{name}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    listing = open_archive(path).list_members()
    assert listing.members == ("Normal/a.png",)
    assert [row.code for row in listing.rejections] == ["not-an-image"] * 3


def test_a_link_in_a_zip_is_rejected(tmp_path, tiny_png):
    path = tmp_path / "images.zip"
    link = zipfile.ZipInfo("Normal/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Normal/a.png", tiny_png)
        archive.writestr(link, "/etc/passwd")
    listing = open_archive(path).list_members()
    assert listing.members == ("Normal/a.png",)
    assert [row.code for row in listing.rejections] == ["not-an-image"]


def test_what_would_unpack_to_far_too_much_is_rejected_unread(tmp_path, tiny_png):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Normal/a.png", tiny_png)
        archive.writestr("Normal/bomb.png", bytes(2**21))  # zeros: packed about 1000 times
    store = open_archive(path)
    assert [(row.image_id, row.code) for row in store.list_members().rejections] == [
        ("Normal/bomb.png", "too-large")
    ]
    with pytest.raises(ImageError):
        store.read_member("Normal/bomb.png")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stated_size_over_the_limit_is_rejected(build_archive, monkeypatch, kind):
    monkeypatch.setattr(archive_module, "MAX_FILE_BYTES", 10)
    files = {"Normal/a.png": b"0123456789", "Normal/b.png": b"0123456789a"}
    listing = open_archive(build_archive(kind, files)).list_members()
    assert listing.members == ("Normal/a.png",)
    assert [row.code for row in listing.rejections] == ["too-large"]


def test_a_packed_tar_that_unpacks_to_far_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_index, "_BOMB_BYTES", 2**20)
    path = tmp_path / "images.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        add_to_tar(archive, "Normal/a.png", bytes(2**22))
    with pytest.raises(SourceError, match="more than 200 times"):
        open_archive(path).list_members()


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize("header", ["pax", "long name"])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path, kind, header):
    path = tmp_path / f"images.{kind}"
    info = tarfile.TarInfo("Normal/a.png" if header == "pax" else "a" * 2**21)
    info.pax_headers = {"comment": "x" * 2**21} if header == "pax" else {}
    style = tarfile.PAX_FORMAT if header == "pax" else tarfile.GNU_FORMAT
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w", format=style) as archive:
        archive.addfile(info)
    with pytest.raises(SourceError, match=r"a header of it states 2,097,\d\d\d bytes"):
        open_archive(path).list_members()


def add_header(kind: bytes, body: bytes) -> bytes:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(body)
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512)


def make_holed_header() -> bytes:
    """The header of a file whose holes are listed in further headers."""
    header = bytearray(add_header(tarfile.GNUTYPE_SPARSE, b""))
    header[482], header[148:156] = 1, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (add_header(tarfile.XHDTYPE, b"13 comment=x\n") * 2000, "hundreds of headers"),
        (add_header(tarfile.GNUTYPE_LONGNAME, b"name\0") * 2000, "hundreds of headers"),
        (add_header(tarfile.XHDTYPE, b"9" * 5000 + b" a=b\n"), "not a readable tar"),
        (add_header(tarfile.XHDTYPE, b"22 GNU.sparse.map=a,b\n"), "not a readable tar"),
        (make_holed_header(), "very many holes"),
    ],
)  # fmt: skip
def test_headers_that_no_tool_writes_are_refused(tmp_path, headers, message):
    path = tmp_path / "images.tar"
    path.write_bytes(headers + add_header(tarfile.REGTYPE, b"x") + bytes(1024))
    with pytest.raises(SourceError, match=message):
        open_archive(path).list_members()


def test_a_map_of_holes_is_not_read(tmp_path):
    """Reading this one would go on to the end of the archive, whatever that unpacks to."""
    path = tmp_path / "images.tar"
    records = (
        b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
        b"30 GNU.sparse.name=Normal/a.p\n28 GNU.sparse.realsize=100\n"
    )
    holed = add_header(tarfile.REGTYPE, b"999999999\n".ljust(512, b"\n"))
    whole = add_header(tarfile.REGTYPE, b"x")
    path.write_bytes(add_header(tarfile.XHDTYPE, records) + holed + whole + bytes(1024))
    entries = tar_index.index_tar(path, 0, 0).entries
    assert next(entry.is_special for entry in entries)


def _state_size(size: bytes) -> bytes:
    """Build the header of a file whose size field holds anything, with its checksum."""
    header = bytearray(tarfile.TarInfo("a.png").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size.ljust(12, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _add_size(size: str) -> bytes:
    """Build a PAX header that states a size for the file that follows."""
    body = f"{len(size) + 10} size={size}\n"
    body = f"{len(body.encode())} size={size}\n"
    return add_header(tarfile.XHDTYPE, body.encode())


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (_add_size("9" * 5000), "there is no header of a file"),
        (_add_size("nan"), "there is no header of a file"),
        (_add_size("0"), "there is no header of a file"),
        (_add_size("-5120"), "states -5,120 bytes"),
        (_add_size("9" * 30), "unexpected end of data"),
        (_state_size(b"zzz") + b"\0" * 512, "there is no header of a file"),
        (_state_size(b"\xff" * 12), "states -1 bytes"),
        (b"A" * 200, "there is no header of a file"),
    ],
)
def test_an_odd_size_never_ends_the_list_of_files_without_a_word(tmp_path, kind, bad, message):
    """A file with a size that is no number counts as empty, and what followed it was left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add_to_tar(archive, "first.png", b"1" * 10)
        end = archive.offset
        add_to_tar(archive, "last.png", b"2" * 600)
        content = buffer.getvalue()[: archive.offset]
    odd = content[:end] + bad + content[end:] + bytes(1024)
    path = tmp_path / f"odd.{kind}"
    path.write_bytes(gzip.compress(odd) if kind == "tar.gz" else odd)
    with pytest.raises(SourceError, match=rf"'odd.{kind}' is not a readable tar.*{message}"):
        open_archive(path).list_members()


def test_names_longer_than_a_header_holds_are_read(tmp_path):
    for style in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / f"images-{style}.tar"
        with tarfile.open(path, "w", format=style) as archive:
            add_to_tar(archive, "Normal/" + "a" * 200 + ".png", b"content")
        (member,) = open_archive(path).list_members().members
        assert open_archive(path).read_member(member) == b"content"


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_no_more_is_unpacked_than_a_zip_states(tmp_path, method):
    """32 MiB, of which the directory admits 1,000 bytes."""
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("Normal/a.png", bytes(2**25))
        info = archive.getinfo("Normal/a.png")
        info.file_size, info.CRC = 1000, zlib.crc32(bytes(1000))
    store = open_archive(path)
    assert store.list_members().members == ("Normal/a.png",)
    tracemalloc.start()
    assert len(store.read_member("Normal/a.png")) <= 1000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**23 if method == zipfile.ZIP_DEFLATED else 2**26


def test_a_second_file_of_the_same_name_never_takes_the_place_of_the_first(tmp_path):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Normal/a.png", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("Normal/a.png", b"second")
    store = open_archive(path)
    assert store.read_member("Normal/a.png") == b"first"
    assert [row.code for row in store.list_members().rejections] == ["duplicate-name"]


def test_a_file_without_a_name_is_rejected_alone(tmp_path, tiny_png):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("normal/a.png", tiny_png)
        archive.writestr("pneumonia/b.png", tiny_png)
        archive.writestr("normal/c.png", tiny_png)
    # The length of the second name in the directory becomes 0, its letters a comment.
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 28 : entry + 34] = struct.pack("<HHH", 0, 0, 12)
    path.write_bytes(content)
    found = open_source(str(path)).scan()
    assert len(found.records) == 2
    assert [(one.code, one.reason) for one in found.rejections] == [
        ("unsafe-path", "It has no name.")
    ]


def test_a_file_locked_with_a_password_is_rejected(build_archive, tiny_png):
    path = build_archive("zip", {"Normal/a.png": tiny_png})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(content)
    assert [row.code for row in open_archive(path).list_members().rejections] == ["encrypted"]


def test_a_damaged_image_is_an_image_error(build_archive, tiny_png):
    path = build_archive("zip", {"Normal/a.png": tiny_png})
    path.write_bytes(path.read_bytes().replace(b"IHDR", b"IHDX"))
    with pytest.raises(ImageError, match="cannot be unpacked") as caught:
        open_archive(path).read_member("Normal/a.png")
    assert caught.value.code == "damaged"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_is_cut_off_is_refused(build_archive, kind):
    noise = np.random.default_rng(0).bytes(300_000)
    path = build_archive(kind, {"Normal/a.png": noise})
    path.write_bytes(path.read_bytes()[:150_000])
    with pytest.raises(SourceError, match=r"not a readable (zip|tar) archive.*Download it again"):
        open_archive(path).list_members()


def test_an_image_cut_off_in_a_tar_is_never_handed_out(build_archive):
    path = build_archive("tar", {"Normal/a.png": b"x" * 300_000})
    path.write_bytes(path.read_bytes()[:150_000])
    store = open_archive(path)
    with pytest.raises((ImageError, SourceError)):
        store.read_member("Normal/a.png")


@pytest.mark.parametrize("name", ["images.rar", "images.tar.xz", "images.7z"])
def test_other_archives_are_refused_with_the_way_out(tmp_path, name):
    with pytest.raises(SourceError, match="Unpack it and give the folder"):
        open_archive(tmp_path / name)


def test_an_archive_that_is_not_there_or_none_is_refused(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        open_archive(tmp_path / "gone.zip").list_members()
    (tmp_path / "text.tar").write_bytes(b"this is no archive" * 100)
    with pytest.raises(SourceError, match="not a readable tar archive"):
        open_archive(tmp_path / "text.tar").list_members()


def test_an_archive_written_anew_is_read_anew(build_archive):
    path = build_archive("zip", {"Normal/a.png": b"old"})
    store = open_archive(path)
    assert store.read_member("Normal/a.png") == b"old"
    build_archive("zip", {"Normal/a.png": b"newer"})
    assert store.read_member("Normal/a.png") == b"newer"


@pytest.mark.parametrize(("parts", "most"), [(1, 2000), (3, 2000), (1, 4)])
def test_images_are_read_in_any_order_from_the_middle_of_a_packed_tar(
    tmp_path, monkeypatch, parts, most
):
    monkeypatch.setattr(tar_index, "_MIN_STEP_BYTES", 100_000)
    monkeypatch.setattr(tar_index, "_MAX_POINTS", most)
    noise = np.random.default_rng(1)
    files = {f"Normal/{number:02}.png": noise.bytes(40_000 + number) for number in range(30)}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            add_to_tar(archive, name, content)
    plain = stream.getvalue()
    step = len(plain) // parts + 1
    path = tmp_path / "images.tar.gz"
    # Several gzip files in a row, as parallel packers write, with zeros behind them.
    packed = (gzip.compress(plain[i : i + step]) for i in range(0, len(plain), step))
    path.write_bytes(b"".join(packed) + bytes(512))
    store = pickle.loads(pickle.dumps(open_archive(path)))  # noqa: S301
    for name in reversed(files):
        assert store.read_member(name) == files[name]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_processes_that_share_an_archive_do_not_move_each_others_place(build_archive, kind):
    noise = np.random.default_rng(2)
    files = {f"Normal/{number:03}.png": noise.bytes(20_000) for number in range(200)}
    store = open_archive(build_archive(kind, files))
    assert len(store.list_members().members) == 200  # opened before the fork, on purpose
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(store.read_member, files, chunksize=5) == list(files.values())


def test_a_zip_of_a_version_to_come_is_refused_with_a_sentence(build_archive):
    path = build_archive("zip", {"normal/a.png": b"x"})
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 6
    content[place : place + 2] = (999).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not a readable zip archive"):
        open_archive(path).list_members()


def test_a_member_packed_in_an_unknown_way_or_damaged_is_refused_alone(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", bytes(range(256)) * 8)
        archive.writestr("b.png", bytes(range(256)) * 8)
    content = bytearray(path.read_bytes())
    first = content.index(b"a.png") + len(b"a.png")
    content[first + 4 : first + 9] = b"\xff" * 5  # the properties of LZMA
    second = content.rindex(b"PK\x01\x02") + 10
    content[second : second + 2] = (77).to_bytes(2, "little")  # the method
    path.write_bytes(content)
    store = open_archive(path)
    for member in store.list_members().members:
        with pytest.raises(ImageError, match="cannot be unpacked"):
            store.read_member(member)
        with pytest.raises(ImageError, match="cannot be unpacked"):
            store.read_head(member)


@pytest.mark.slow
def test_bzip2_that_unpacks_to_more_than_is_stated_takes_no_memory(tmp_path):
    """A step of 4 KiB of it may hold gigabytes."""
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("Normal/a.png", bytes(2**25))
        archive.writestr("Normal/b.png", b"whole")
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\1\2")
    content[place + 24 : place + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    store = open_archive(path)
    assert store.read_member("Normal/b.png") == b"whole"
    tracemalloc.start()
    with pytest.raises(ImageError, match="cannot be unpacked"):
        store.read_member("Normal/a.png")
    with pytest.raises(ImageError, match="cannot be unpacked"):
        store.read_head("Normal/a.png")
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
