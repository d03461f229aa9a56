from __future__ import annotations

import os
import pickle

import pytest

from cxresnet.core.errors import ImageError, SourceError, UnsafePathError
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.source import MAX_FILE_BYTES


def test_hidden_files_and_what_systems_leave_behind_are_not_listed(build_tree):
    root = build_tree(
        ["a/x.png", ".DS_Store", "a/._x.png", ".git/y.png", "__MACOSX/a/z.png", "a/Thumbs.db"]
    )
    assert FolderStore(root).list_members().members == ("a/x.png",)


def test_links_in_circles_are_walked_once(build_tree):
    root = build_tree(["a/x.png", "b/y.png"])
    (root / "a" / "again").symlink_to(root)
    (root / "b" / "other").symlink_to(root / "a")
    (root / "b" / "self").symlink_to(root / "b" / "self")
    listing = FolderStore(root).list_members()
    assert listing.members == ("a/x.png", "b/y.png")
    assert [(refusal.image_id, refusal.code) for refusal in listing.rejections] == [
        ("b/self", "missing")
    ]


def test_a_link_that_leads_out_is_refused_and_one_that_stays_is_read(build_tree, tmp_path):
    root = build_tree(["a/x.png"])
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "a" / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "a" / "in.png").symlink_to(root / "a" / "x.png")
    store = FolderStore(root)
    listing = store.list_members()
    assert listing.members == ("a/in.png", "a/x.png")
    assert [refusal.code for refusal in listing.rejections] == ["unsafe-path"]
    assert store.read_member("a/in.png") == store.read_member("a/x.png")
    with pytest.raises(UnsafePathError, match="leads out of"):
        store.read_member("a/out.png")


def test_a_pipe_is_refused_and_never_opened(build_tree):
    root = build_tree(["a/x.png"])
    os.mkfifo(root / "a" / "pipe.png")
    store = FolderStore(root)
    assert [refusal.code for refusal in store.list_members().rejections] == ["not-an-image"]
    with pytest.raises(ImageError, match="is missing"):
        store.read_member("a/pipe.png")


def test_a_name_that_is_no_utf8_can_be_listed_and_read(build_tree, tiny_png):
    root = build_tree(["a/x.png"])
    (root / os.fsdecode(b"a/caf\xe9.png")).write_bytes(tiny_png)
    store = FolderStore(root)
    odd = next(member for member in store.list_members().members if "caf" in member)
    assert store.read_member(odd) == tiny_png


def test_members_may_reach_as_far_as_allowed_and_no_farther(build_tree, tmp_path):
    root = build_tree(["darkcovid/a.png", "lungs/a.png"])
    (tmp_path / "outside.png").write_bytes(b"x")
    store = FolderStore(root / "darkcovid", reach=root)
    assert store.has_file("../lungs/a.png")
    with pytest.raises(UnsafePathError):
        store.read_member("../../outside.png")
    with pytest.raises(UnsafePathError):
        FolderStore(root / "darkcovid").read_member("../lungs/a.png")


def test_a_file_that_vanished_is_an_image_error_with_a_code(build_tree):
    with pytest.raises(ImageError, match=r"'a/gone\.png' is missing") as caught:
        FolderStore(build_tree(["a/x.png"])).read_member("a/gone.png")
    assert caught.value.code == "missing"


def test_a_huge_file_is_refused_before_it_is_read(build_tree):
    root = build_tree(["a/x.png"])
    with (root / "a" / "huge.png").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="512 MiB"):
        FolderStore(root).read_member("a/huge.png")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match="There is no folder"):
        FolderStore(tmp_path / "nothing").list_members()


def test_a_store_survives_pickling(build_tree):
    store = pickle.loads(pickle.dumps(FolderStore(build_tree(["a/x.png"]))))  # noqa: S301
    assert store.find_member("a/./x.png") == "a/x.png"
    assert store.find_member("a/y.png") == ""


def test_links_are_followed_only_on_request_and_each_folder_once(build_tree, tmp_path):
    root = build_tree(["a/x.png"])
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "y.png").write_bytes(b"y")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "c").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "z.png").symlink_to(tmp_path / "elsewhere" / "deep" / "y.png")
    (refusal, *_) = FolderStore(root).list_members().rejections
    assert (refusal.image_id, refusal.code) == ("b", "unsafe-path")
    assert "--follow-links" in refusal.reason
    store = FolderStore(root, follow_links=True)
    listing = store.list_members()
    assert listing.members == ("a/x.png", "b/deep/y.png", "z.png")
    assert listing.rejections == ()
    assert store.read_member("b/deep/y.png") == b"y"
    with pytest.raises(UnsafePathError):
        store.read_member("../elsewhere/deep/y.png")


def test_a_path_that_begins_with_the_folder_itself_is_made_relative(build_tree, tmp_path):
    root = build_tree(["a/x.png"])
    (tmp_path / "linked").symlink_to(root)
    store = FolderStore(tmp_path / "linked")
    assert store.make_relative(str(root / "a" / "x.png")) == "a/x.png"
    assert store.make_relative(str(tmp_path / "linked" / "a" / "x.png")) == "a/x.png"
    assert store.make_relative("/images-2/x.png") == "/images-2/x.png"


def test_empty_folders_are_listed(build_tree):
    root = build_tree(["a/x.png"])
    (root / "b" / "c").mkdir(parents=True)
    assert FolderStore(root).list_members().empty_folders == ("b/c",)
