"""The stages on a few tiny phantoms: what the parts about kills, flips and full disks disturb."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from faults.context import copy_anew, must_run

_SOURCE = (
    "phantoms:images_per_class=12,min_images_per_patient=1,max_images_per_patient=2,side_px=96"
)
_SETTINGS = (
    "data.side_px=32", "data.common_side_px=48", "data.workers=1", "model.widths=[8,16]",
    "model.depths=[1,1]", "train.epochs=2", "train.batch_size=8", "train.accelerator=cpu",
    "train.save_minutes=0", "evaluate.bootstrap_resamples=100", "explain.images_per_class=1",
    "explain.sanity_check_images=4", "explain.occlusion_window_share=0.5",
    "explain.occlusion_stride_share=0.5",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One command, from the folder before it to the folder after it.

    Attributes:
        name: Of the command, or what is told apart.
        before: Name of the state that it starts from.
        again: Options for the second attempt after a kill.
    """

    name: str
    before: str
    again: tuple[str, ...] = ()

    def list_arguments(self, folder: Path, *extra: str) -> list[str]:
        """List the words of the command line."""
        dataset, run, command = folder / "dataset", folder / "run", self.name.partition("-")[0]
        places = {
            "prepare": [_SOURCE, "--out", str(dataset)],
            "train": [str(dataset), "--out", str(run)],
        }
        sections = {"prepare": "data.", "train": "", "evaluate": "evaluate.", "explain": "explain."}
        section = sections.get(command)
        settings = [] if section is None else [s for s in _SETTINGS if s.startswith(section)]
        options = [word for setting in settings for word in ("--set", setting)]
        force = ["--force"] if self.name == "prepare-again" else []
        return [command, *places.get(command, [str(run)]), *options, *force, *extra]


STAGES = (
    Stage("prepare", "empty"),
    Stage("prepare-again", "explain"),
    Stage("train", "prepare", ("--resume",)),
    Stage("evaluate", "train"),
    Stage("explain", "evaluate"),
    Stage("report", "explain"),
)


_NAMES = ("rename", "replace", "unlink", "rmdir", "fsync")


class Renames:
    """Counts what changes the names in a folder, and dies at one of them."""

    def __init__(self, count_file: Path | None = None, *, die_at: int = 0, after: bool) -> None:
        self._count_file, self._die_at, self._after = count_file, die_at, after
        self.count = 0

    def install(self) -> None:
        """Wrap the functions of this process; its helpers write nothing that counts."""
        for name in _NAMES:
            setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._die_at and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            if self.count == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._count_file is not None:
                self._count_file.write_text(f"{self.count}")
            return result

        return change


def build_states(shared: Path) -> None:
    """Run every stage twice without a fault, and keep the folder after each; once for all parts.

    What is the same both times (all but times and durations) must be the same after a fault, too.
    Both times go on at once, the second a day later by its clock. The first also measures each
    stage: its seconds and its renames.
    """
    if (shared / "built").exists():
        return
    second = os.fork()
    if not second:
        code = 1
        try:
            _build_once(shared, "second")
            code = 0
        except SystemExit as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(code)
    try:
        _build_once(shared, "first")
    finally:
        _, status = os.waitpid(second, 0)
    if status:
        raise SystemExit("The stages could not be run a second time.")
    (shared / "built").touch()


def _build_once(shared: Path, attempt: str) -> None:
    folder = shared / f"building-{attempt}" / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copy_anew(folder, shared / attempt / "empty")
    for stage in sorted(STAGES, key=lambda one: one.name == "prepare-again"):
        copy_anew(shared / attempt / stage.before, folder)
        counter = Renames(shared / f"renames-{stage.name}", after=True)
        began = time.monotonic()
        must_run(
            stage.list_arguments(folder),
            first=counter.install if attempt == "first" else _set_clock_forward,
        )
        if attempt == "first":
            (shared / f"seconds-{stage.name}").write_text(f"{time.monotonic() - began}")
        copy_anew(folder, shared / attempt / stage.name)


class _Tomorrow(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=1)


def _set_clock_forward() -> None:
    """Let no time be the same both times, whatever the second in which it is read."""
    from cxresnet.data.dataset import held_out
    from cxresnet.data.prepare import assemble

    for module in (held_out, assemble):
        setattr(module, "datetime", _Tomorrow)  # noqa: B010


_OF_THE_MOMENT = re.compile(r"_utc$|seconds$|^access|^row_hash$|^previous_hash$|^files$")
"""Keys of JSON that may differ after a fault: times, durations, and accesses, which count."""
_COUNTS_ACCESSES = re.compile(r"opened \d+ times for scores")


def compute_digests(folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of every file below a folder without what is of the moment, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(_read_lasting(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "tensorboard"  # named by time and process
    }


def _read_lasting(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(_drop_moment(json.loads(content))).encode()
    if path.name == "history.csv":  # the last column is seconds
        return b"\n".join(line.rpartition(b",")[0] for line in content.splitlines())
    return content


def _drop_moment(value: Any) -> Any:
    if isinstance(value, dict):
        kept = ((name, one) for name, one in value.items() if not _OF_THE_MOMENT.search(name))
        return {name: _drop_moment(one) for name, one in kept}
    if isinstance(value, list):
        return [_drop_moment(one) for one in value if not _COUNTS_ACCESSES.search(str(one))]
    return value


@functools.cache
def read_expected(shared: Path, state: str) -> dict[str, str]:
    """Read the sums of all files that two undisturbed runs agree on."""
    first, second = (compute_digests(shared / attempt / state) for attempt in ("first", "second"))
    return {name: one for name, one in first.items() if second.get(name) == one}


def find_differences(shared: Path, state: str, folder: Path) -> list[str]:
    """Name the files that are missing or not as an undisturbed run leaves them."""
    found = compute_digests(folder)
    expected = read_expected(shared, state)
    missing = set(compute_digests(shared / "first" / state)) - set(found)
    return sorted(
        {name for name, one in expected.items() if found.get(name) != one}
        | {f"{name} (missing)" for name in missing}
        | set(find_leftovers(folder))
    )


def find_leftovers(folder: Path) -> Iterator[str]:
    """Name half-written files and working directories; a lock file holds nobody up."""
    for path in folder.rglob("*"):
        if path.name.endswith((".tmp", ".partial", ".replaced")):
            yield f"{path.relative_to(folder)} (left over)"


def count_accesses(dataset: Path) -> int:
    """Count the recorded accesses to the test set."""
    log = dataset / "test_access_log.csv"
    return len(log.read_text(encoding="utf-8").splitlines()) - 1 if log.is_file() else 0
