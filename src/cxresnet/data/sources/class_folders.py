"""Images in class folders: `normal/image.png`, with or without train, val and test around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import ClassMapError
from cxresnet.core.labels import fold_label
from cxresnet.core.printable import make_printable
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.masks import SidecarManifest, find_manifest_folder, read_sidecar_manifest
from cxresnet.data.sources.source import (
    AbstractStore,
    AbstractStoredSource,
    Rejection,
    ScanResult,
    is_packed_name,
    read_split,
)
from cxresnet.data.sources.table_file import ImageRow

# Class folders as a pure function, from the names of files to the class and split of each image.
#
# It is used for folders, archives and dataset presets. A path is read folder by folder:
# `chest_xray/train/PNEUMONIA/images/image.png` has a wrapper, a split, a class and a folder of
# images.


_IMAGE_SUFFIXES = {
    "png", "jpg", "jpeg", "jpe", "jfif", "bmp", "tif", "tiff", "webp", "gif", "dcm", "dicom", "",
}  # fmt: skip
_DOCUMENT_SUFFIXES = {
    "txt", "csv", "tsv", "json", "xml", "md", "rst", "html", "htm", "pdf", "doc", "docx", "xls",
    "xlsx", "parquet", "py", "ipynb", "toml", "yaml", "yml", "log", "ini", "cfg", "bib", "sha256",
    "md5", "license",
}  # fmt: skip
_DOCUMENT_NAMES = {"readme", "license", "licence", "copying", "dicomdir", "changelog", "makefile"}
_IMAGE_FOLDERS = {"images", "image", "imgs", "img", "films"}
_LUNG_FOLDERS = {"masks", "mask", "lungs", "lungmasks"}
_LESION_FOLDERS = {"lesions", "lesionmasks", "infectionmasks"}


@dataclass(frozen=True, kw_only=True)
class PlacedImage:
    """One image and what its path tells.

    Attributes:
        path: Of the file.
        class_name: Of its class folder; "" where no folder says.
        folder: The folder that nobody claims, where there is no class; "" for an image outside of
            all folders.
        given_split: "train", "val" or "test" after a folder of that name, else "".
        lung_mask: Path of the mask in a `masks` folder beside, else "".
        lesion_mask: Path of the mask in a `lesions` folder beside, else "".
    """

    path: str
    class_name: str
    folder: str = ""
    given_split: str = ""
    lung_mask: str = ""
    lesion_mask: str = ""


@dataclass(frozen=True)
class Layout:
    """Where every file belongs.

    Attributes:
        images: In the order of the paths.
        ignored: Images in folders that the class map leaves out.
        not_images: Files that by their name are neither an image nor a paper beside images.
    """

    images: tuple[PlacedImage, ...]
    ignored: tuple[str, ...] = ()
    not_images: tuple[str, ...] = ()


def is_image_name(path: str) -> bool | None:
    """Tell an image by its file name: true, false, or None for a paper that lies beside images."""
    name = path.rpartition("/")[2].casefold()
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    if suffix in _DOCUMENT_SUFFIXES or stem in _DOCUMENT_NAMES:
        return None
    return suffix in _IMAGE_SUFFIXES


def lay_out_class_folders(
    paths: Iterable[str], class_map: ClassMap, known_images: Container[str] = ()
) -> Layout:
    """Find each image's class, split and masks from the names of its folders.

    The deepest folder that a class claims decides; a folder that is left out leaves out all below.

    Args:
        paths: Relative, with "/" between the parts.
        class_map: Which folder means which class.
        known_images: Paths that are images whatever their name says.

    Returns:
        Every image, also those whose class no folder says; whether that is an error is the
        caller's to say, for a manifest may know.
    """
    images: list[str] = []
    not_images: list[str] = []
    masks: dict[str, dict[str, str]] = {"lung": {}, "lesion": {}}
    for path in paths:
        kind = find_mask_kind(path, class_map)
        is_image = path in known_images or is_image_name(path)
        if is_image and kind:
            masks[kind][_make_pair_key(path, class_map)] = path
        elif is_image:
            images.append(path)
        elif is_image is False:
            not_images.append(path)
    tree = _Tree(images, class_map)
    placed: list[PlacedImage] = []
    ignored: list[str] = []
    for path in images:
        image = _place(path, class_map, tree=tree, masks=masks)
        if image is None:
            ignored.append(path)
        else:
            placed.append(image)
    return Layout(tuple(placed), tuple(ignored), tuple(not_images))


def _place(
    path: str, class_map: ClassMap, *, tree: _Tree, masks: dict[str, dict[str, str]]
) -> PlacedImage | None:
    """Place one image; None if it is left out."""
    folders = _split_folders(path)
    claims = [claim for claim in map(class_map.find, folders) if claim is not None]
    if "" in claims:
        return None
    splits = [split for split in map(read_split, folders) if split]
    key = _make_pair_key(path, class_map)
    return PlacedImage(
        path=path,
        class_name=claims[-1] if claims else "",
        folder="" if claims else tree.name_unclaimed_folder(folders),
        given_split=splits[0] if splits else "",
        lung_mask=masks["lung"].get(key, ""),
        lesion_mask=masks["lesion"].get(key, ""),
    )


def _split_folders(path: str) -> list[str]:
    return path.split("/")[:-1]


def find_mask_kind(path: str, class_map: ClassMap) -> str:
    """Tell a mask by its folder: "lung", "lesion", or "" for anything else."""
    for folder in _split_folders(path):
        if class_map.find(folder) is None:
            if fold_label(folder) in _LUNG_FOLDERS:
                return "lung"
            if fold_label(folder) in _LESION_FOLDERS:
                return "lesion"
    return ""


def _make_pair_key(path: str, class_map: ClassMap) -> str:
    """Make the key that an image and its mask share: no `images` or `masks` folder, no suffix."""
    special = _IMAGE_FOLDERS | _LUNG_FOLDERS | _LESION_FOLDERS
    folders = [
        folder
        for folder in _split_folders(path)
        if class_map.find(folder) is not None or fold_label(folder) not in special
    ]
    name = path.rpartition("/")[2]
    return "/".join([*folders, name.rpartition(".")[0] or name])


class _Tree:
    """The folders of all images, to name the one that should have been a class."""

    def __init__(self, paths: Iterable[str], class_map: ClassMap) -> None:
        claimed: set[tuple[str, ...]] = set()
        for path in paths:
            folders = _split_folders(path)
            depths = [n for n, folder in enumerate(folders) if class_map.find(folder) is not None]
            claimed.update(tuple(folders[:depth]) for depth in depths[-1:])
        self.above_classes = claimed

    def name_unclaimed_folder(self, folders: Sequence[str]) -> str:
        """Name the folder beside those of classes, else the deepest that is nothing else.

        Returns:
            "" for an image that lies loose in the folder around all classes.
        """
        around = self.above_classes and {above[: len(folders)] for above in self.above_classes}
        if around == {tuple(folders)}:
            return ""
        beside = [
            folder
            for depth, folder in enumerate(folders)
            if tuple(folders[:depth]) in self.above_classes
        ]
        names = [
            folder
            for folder in (beside or folders)
            if not read_split(folder) and fold_label(folder) not in _IMAGE_FOLDERS
        ]
        return names[-1] if names else ""


class ClassFoldersSource(AbstractStoredSource):
    """A folder or archive with one folder of images for each class.

    Where a `manifest.csv` lies in the folder or in the one above it, and its rows name these
    images, patients, sources, views, splits and masks are taken from it, and classes for images
    that lie in no class folder.
    """

    def __init__(
        self,
        root: Path | AbstractStore,
        class_map: ClassMap | None = None,
        *,
        use_manifest: bool = True,
        require_two_classes: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened yet.

        Args:
            root: A folder, or another store.
            class_map: Which folder means which class; by default what we know.
            use_manifest: Take what a `manifest.csv` beside the images says.
            require_two_classes: False where other sources are joined: a single class is then no
                error.
        """
        if isinstance(root, Path):
            root = open_image_folder(root, use_manifest=use_manifest)
        super().__init__(
            root, class_map or build_class_map(), require_two_classes=require_two_classes
        )
        self.use_manifest = use_manifest

    def list_records(self) -> ScanResult:
        """List the images and ask the manifest beside them; see `AbstractStoredSource.scan`."""
        listing = self.store.list_members()
        manifest = read_sidecar_manifest(self.store, listing.members) if self.use_manifest else None
        masks = manifest.list_masks() if manifest else set()
        layout = lay_out_class_folders(
            (member for member in listing.members if member not in masks),
            self.class_map,
            self.known_images,
        )
        rows = manifest.rows if manifest else {}
        images = [self._describe(image, rows.get(image.path)) for image in layout.images]
        self._check_folders(layout.images, images)
        kept = tuple(image for image in images if image.class_name)
        without_class = (image.image_id for image in images if not image.class_name)
        return ScanResult(
            kept,
            (*listing.rejections, *_list_rejections(layout, without_class)),
            tuple(_make_warnings(layout, kept, manifest, self.class_map)),
            listing.find_classes(self.class_map),
        )

    def _describe(self, image: PlacedImage, row: ImageRow | None) -> ImageRecord:
        """Join path and manifest; the class folder decides on the class."""
        class_name = image.class_name
        if not class_name and row is not None and row.label:
            class_name = self.class_map.require(row.label)
        return ImageRecord(
            image_id=make_printable(image.path),
            location=image.path,
            class_name=class_name,
            source=(row.source if row else "") or self.name,
            patient_id=row.patient_id if row else "",
            given_split=image.given_split or (row.given_split if row else ""),
            view=row.view if row else "",
            age_years=row.age_years if row else "",
            sex=row.sex if row else "",
            lung_mask=(row.lung_mask if row else "") or image.lung_mask,
            lesion_mask=(row.lesion_mask if row else "") or image.lesion_mask,
        )

    def _check_folders(self, placed: Sequence[PlacedImage], images: Sequence[ImageRecord]) -> None:
        """Refuse images in folders without a class, and a folder without any class folder.

        Raises:
            ClassMapError: Says what was probably meant.
        """
        unknown = {
            make_printable(where.folder)
            for where, image in zip(placed, images, strict=True)
            if where.folder and not image.class_name
        }
        if unknown:
            raise ClassMapError(f"'{self.name}': {self.class_map.explain_unknown(unknown)}")
        if images and not any(image.class_name for image in images):
            raise ClassMapError(
                f"'{self.name}' has {len(images)} images but no class folders. Put the images of "
                "each class into a folder of their own, or give a table with file and class."
            )


def open_image_folder(root: Path, *, use_manifest: bool, follow_links: bool = False) -> FolderStore:
    """Open a folder as a store that may reach the masks of a manifest above it, and no farther."""
    reach = find_manifest_folder(root) if use_manifest else None
    return FolderStore(root, reach=reach, follow_links=follow_links)


def _reject(image_id: str, code: str, reason: str, *, class_name: str = "") -> Rejection:
    """Build a row of `rejected.csv`, its id printable."""
    return Rejection(
        image_id=make_printable(image_id), class_name=class_name, code=code, reason=reason
    )


def _list_rejections(layout: Layout, without_class: Iterator[str]) -> Iterator[Rejection]:
    for path in without_class:
        yield _reject(path, "no-class", "The image is in no class folder.")
    for path in layout.ignored:
        yield _reject(
            path,
            "ignored",
            "The image is in a folder that --classes or the dataset preset leaves out.",
        )
    for path in layout.not_images:
        reason = (
            "It is an archive that is not read here; unpack it and give the folder."
            if is_packed_name(path)
            else "The name of the file is not that of an image."
        )
        yield _reject(path, "not-an-image", reason)


def _make_warnings(
    layout: Layout,
    images: Sequence[ImageRecord],
    manifest: SidecarManifest | None,
    class_map: ClassMap,
) -> Iterator[str]:
    if layout.ignored:
        yield f"{len(layout.ignored)} images are in folders that are left out."
    validation = Counter(image.given_split for image in images)["val"]
    if 0 < validation < 50:
        yield (
            f"The given validation split has only {validation} images, too few to choose a network "
            "on. It is kept only with data.keep_given_split=true; otherwise all images are split "
            "again."
        )
    if manifest is None:
        return
    matched = sum(image.location in manifest.rows for image in images)
    yield (
        f"{manifest.place} beside the images was used for {matched} of {len(images)}: patients, "
        "sources, views, splits and masks come from it (--no-manifest leaves it out)."
    )
    if manifest.lost_masks:
        yield f"{manifest.place} names {manifest.lost_masks} masks that are not there."
    disagreements = [image for image in images if _disagrees(image, manifest, class_map)]
    if disagreements:
        yield (
            f"{len(disagreements)} images have another class in {manifest.place} than in their "
            f"folder, for example '{disagreements[0].image_id}'; the class of the folder was used."
        )


def _disagrees(image: ImageRecord, manifest: SidecarManifest, class_map: ClassMap) -> bool:
    row = manifest.rows.get(image.location)
    said = class_map.find(row.label) if row and row.label else None
    return said is not None and said != image.class_name
