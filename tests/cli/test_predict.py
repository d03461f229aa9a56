"""`cxresnet predict`: which files are read, and what is shown or written of the predictions."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from cxresnet.cli.app import run_command_line
from cxresnet.cli.images import list_files
from cxresnet.core.errors import EmptySourceError, ImageError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.decode.limits import DecodeLimits
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.predict import predictor as predictor_module
from cxresnet.predict.decision import (
    DECISION_NAME,
    build_plain_decision,
    compute_network_hash,
    write_decision,
)

CLASS_NAMES = ("normal", "covid-19")
VERDICT = "Verdict on the data: RED."
CHINESE = "肺炎.png"


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_hidden_files_and_folders_are_passed_over_and_the_rest_is_sorted(tmp_path: Path) -> None:
    _touch(*(tmp_path / name for name in ("b/2.png", "a/1.png", "c.png")))
    _touch(*(tmp_path / name for name in (".hidden.png", "b/.cache/d/e/f/3.png")))
    named = tmp_path / "b" / "2.png"
    found = list(list_files([named, tmp_path]))
    assert found == [named, tmp_path / "a/1.png", tmp_path / "b/2.png", tmp_path / "c.png"]


def test_what_prepare_leaves_out_is_left_out(tmp_path: Path) -> None:
    left_behind = ("__MACOSX/x/1.png", "Thumbs.db", "a/desktop.ini", "a/._1.png", "@eaDir/1.png")
    _touch(tmp_path / "a" / "1.png", *(tmp_path / name for name in left_behind))
    found = [file.relative_to(tmp_path).as_posix() for file in list_files([tmp_path])]
    assert found == ["a/1.png"] == list(FolderStore(tmp_path).list_members().members)


def test_only_names_below_the_named_folder_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / ".cache" / "__MACOSX"
    _touch(hidden / "1.png", hidden / "a" / "2.png", hidden / ".3.png")
    monkeypatch.chdir(hidden / "a")
    assert list(list_files([hidden])) == [hidden / "1.png", hidden / "a" / "2.png"]
    assert list(list_files([Path("..")])) == [Path("../1.png"), Path("../a/2.png")]
    assert list(list_files([Path(), Path("../.3.png")])) == [Path("2.png"), Path("../.3.png")]


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path / ".hidden.png")
    with pytest.raises(EmptySourceError, match="holds no file, or only hidden ones"):
        list(list_files([tmp_path]))


def _write_decision(run: RunFolder, threshold: float) -> None:
    plain = build_plain_decision(CLASS_NAMES, network=compute_network_hash(run))
    # The network is not trained and gives nearly one half: log-odds of 1 make it .731 and .269.
    point = plain.operating_point.model_copy(update={"shifts": (1.0, 0.0)})
    changes = {
        "operating_point": point,
        "set_thresholds": (threshold, threshold),
        "nominal_coverage": 0.9,
    }
    write_decision(run.evaluate / DECISION_NAME, plain.model_copy(update=changes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threshold", "in_set"), [(0.5, "normal"), (0.0, "normal|covid-19"), (1.1, "")]
)
def test_the_decision_of_the_run_decides_or_abstains(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str], threshold: float, in_set: str
) -> None:
    _write_decision(run, threshold)
    assert (
        run_command_line(
            ["predict", str(images), "--no-gate", "--run", str(run.path), "--format=csv"]
        )
        == 0
    )
    output = capsys.readouterr()
    decided, refused = csv.DictReader(io.StringIO(output.out))
    assert decided["predicted_class"] == "normal"
    assert decided["prediction_set"] == in_set
    assert decided["decision"] == ("normal" if in_set == "normal" else "abstain")
    assert float(decided["probability_normal"]) == pytest.approx(0.731, abs=0.02)
    assert decided["refused"] == ""
    assert (decided["gate"], "Nothing checked" in decided["note"]) == ("not checked", True)
    assert (refused["decision"], refused["probability_normal"]) == ("", "")
    assert refused["refused"]
    assert "not evaluated yet" not in output.err
    assert VERDICT in output.err
    assert "--no-gate" in output.err


def test_a_run_that_was_not_evaluated_says_so_and_never_abstains(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "predict",
        str(images / "image.png"),
        "--no-gate",
        "--run",
        str(run.path),
        "--format=json",
    ]
    assert run_command_line(arguments) == 0
    output = capsys.readouterr()
    assert "This network was not evaluated yet" in " ".join(output.err.split())
    (row,) = json.loads(output.out)
    assert row["decision"] == row["predicted_class"] == row["prediction_set"]


@pytest.mark.slow
def test_a_table_shows_decisions_probabilities_and_refusals(
    run: RunFolder,
    images: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _write_decision(run, 0.0)
    monkeypatch.chdir(images)  # a short path is not folded in the table
    assert run_command_line(["predict", ".", "--no-gate", "--run", str(run.path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "abstain 0.7" in shown
    assert "letter.txt refused – – 3" in shown
    assert "1 Nothing checked that this is a chest X-ray." in shown
    assert shown.count("Nothing checked") == 1
    assert "Give one of: " in shown
    assert "Possible: normal or covid-19." in shown
    assert "from its threshold on (normal 0.000, covid-19 0.000)" in shown


def test_a_class_that_is_not_the_most_probable_is_explained(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = build_plain_decision(CLASS_NAMES, network=compute_network_hash(run))
    point = plain.operating_point.model_copy(update={"weights": (0.01, 3.0), "shifts": (1.0, 0.0)})
    write_decision(
        run.evaluate / DECISION_NAME, plain.model_copy(update={"operating_point": point})
    )
    words = ["predict", str(images / "image.png"), "--no-gate", "--run", str(run.path)]
    assert run_command_line(words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "largest weighted probability (normal × 0.01, covid-19 × 3.00)" in shown


@pytest.mark.slow
def test_noise_is_refused_unless_nothing_is_to_be_checked(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(images / "image.png"), "--run", str(run.path), "--format=json"]
    assert run_command_line(words) == 2
    output = capsys.readouterr()
    (row,) = json.loads(output.out)
    assert (row["gate"], row["decision"], row["probability_normal"]) == ("refused", "", None)
    assert "frontal chest X-ray" in row["refused"]
    assert "Nothing checks" not in output.err


def test_where_every_file_is_refused_the_command_fails(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = str(images / "letter.txt")
    assert run_command_line(["predict", letter, letter, "--no-gate", "--run", str(run.path)]) == 2
    assert "2 of 2 were refused" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_name_that_the_console_lacks_is_escaped(
    run: RunFolder, images: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (images / "image.png").rename(images / CHINESE)
    monkeypatch.chdir(images)  # a short path is not folded in the table
    shown, said = (io.TextIOWrapper(io.BytesIO(), encoding="cp1252") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", said)
    words = ["predict", CHINESE, "--no-gate", "--run", str(run.path), "--format", form]
    assert run_command_line(words) == 0
    shown.flush()
    assert rb"\u80ba\u708e.png" in shown.buffer.getvalue()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_a_name_that_is_no_text_is_escaped(
    run: RunFolder, images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = images / os.fsdecode(b"caf\xe9.png")
    (images / "image.png").rename(name)
    words = ["predict", str(name), "--no-gate", "--run", str(run.path), "--format=csv"]
    assert run_command_line(words) == 0
    assert r"caf\xe9.png" in capfd.readouterr().out
    assert run_command_line([*words, "--out", str(tmp_path / "found.csv")]) == 0
    assert r"caf\xe9.png" in (tmp_path / "found.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_written_file_keeps_utf_8_whatever_the_console_lacks(
    run: RunFolder, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "image.png").rename(images / CHINESE)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    out = tmp_path / "结果.csv"
    words = ["predict", str(images), "--no-gate", "--run", str(run.path), "--out", str(out)]
    assert run_command_line(words) == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [Path(row["file"]).name for row in rows] == ["letter.txt", CHINESE]
    assert rows[1]["decision"] == rows[1]["predicted_class"]
    assert run_command_line([*words, "--format", "json"]) == 0
    assert [one["file"] for one in json.loads(out.read_text("utf-8"))] == [r["file"] for r in rows]


@pytest.mark.slow
def test_a_name_is_neither_a_formula_nor_a_command(
    run: RunFolder, images: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    formula = "=cmd|' C'!A0.png"
    (images / "image.png").rename(images / formula)
    (images / "letter.txt").rename(images / "b\x1b[2J.png")
    monkeypatch.chdir(images)
    words = ["predict", formula, "b\x1b[2J.png", "--no-gate", "--run", str(run.path)]
    assert run_command_line([*words, "--format", "csv"]) == 0
    shown = capfd.readouterr().out
    first, second = csv.DictReader(io.StringIO(shown))
    assert (first["file"], second["file"]) == (f"'{formula}", r"b\x1b[2J.png")
    assert f'\n"{formula}' not in shown
    assert float(first["probability_normal"]) > 0
    assert run_command_line(words) == 0
    assert "\x1b" not in capfd.readouterr().out


@pytest.mark.slow
def test_whatever_an_image_does_costs_that_image_alone(
    run: RunFolder, images: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    decode = predictor_module.decode_image
    faults = [ValueError("Jane Miller"), MemoryError(), OSError(5, "Input/output error")]
    for number in range(len(faults)):
        (images / f"bad-{number}.png").write_bytes(b"bad" * (number + 1))

    def decode_or_fail(content: bytes, **options: object) -> object:
        if content.startswith(b"bad"):
            raise faults[len(content) // 3 - 1]
        return decode(content, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(predictor_module, "decode_image", decode_or_fail)
    long = str(images / ("x" * 300))
    words = ["predict", long, str(images), "--no-gate", "--run", str(run.path), "--format", "csv"]
    assert run_command_line(words) == 0
    output = capfd.readouterr()
    rows = {Path(row["file"]).name: row for row in csv.DictReader(io.StringIO(output.out))}
    assert len(rows) == 6
    assert rows["image.png"]["decision"]
    assert "ValueError" in rows["bad-0.png"]["refused"]
    assert "memory" in rows["bad-1.png"]["refused"]
    assert "Input/output error" in rows["bad-2.png"]["refused"]
    assert "too long" in rows["x" * 300]["refused"]
    assert "Traceback" not in output.err
    assert "Jane" not in output.out + output.err


def test_a_folder_that_cannot_be_read_is_named(
    images: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    locked = images / "locked"
    locked.mkdir()
    look = os.scandir

    def look_or_fail(path: str) -> object:
        if os.fspath(path) == str(locked):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", look_or_fail)
    found = list(list_files([images]))
    assert [file.name for file in found] == ["image.png", "letter.txt"]
    assert f"'{locked}' cannot be read: Permission denied" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "explain", "lungs"])
def test_what_decoding_may_take_can_be_changed(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(_: bytes, *, limits: DecodeLimits, **__: object) -> None:
        raise ImageError("too-slow", f"{limits.memory_mib} MiB and {limits.seconds} s.")

    monkeypatch.setattr("cxresnet.data.decode.decoder.decode_isolated", refuse)
    Image.new("L", (64, 64), 80).save(tmp_path / "a.bmp")
    out = [] if command == "predict" else ["--out", str(tmp_path / "out")]
    limits = ["--decode-memory-mib", "100", "--decode-seconds", "7"]
    run_command_line([command, str(tmp_path / "a.bmp"), *out, *limits])
    said = capsys.readouterr()
    assert "100 MiB and 7.0 s." in said.out + said.err
