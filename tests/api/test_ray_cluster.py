"""`prepare` and `predict` on a Ray cluster of two workers, one of which is killed half-way.

Nothing is lost, nothing is there twice, and every byte is that of one machine without Ray.
"""

from __future__ import annotations

import filecmp
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cxresnet
from cxresnet.api.ray_executor import connecting_to_ray
from cxresnet.cli.app import run_command_line
from cxresnet.core.config import DataConfig
from cxresnet.core.executor import AbstractExecutor, AbstractWork, Item, Result
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import open_source

pytest.importorskip("ray", reason='Ray is not installed: pip install "cxresnet[ray]"')
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONFIG = DataConfig(side_px=32, common_side_px=48, workers=1)
PERSON = "miller-jane"
"""In each file name; it must not reach Ray's logs."""
_WORKER = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False}


class TwoWorkers:
    """A cluster of two worker machines on this one; the first is the head, too.

    Attributes:
        folder: Where Ray keeps logs and sockets.
        address: HOST:PORT.
    """

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"no_monitor": True, "include_dashboard": False, **_WORKER},
            shutdown_at_exit=False,
        )
        self._second: Any = None
        self.fill()
        self.address: str = self._cluster.address

    def fill(self) -> None:
        """Start the second worker if it is not there."""
        if self._second is None:
            self._second = self._cluster.add_node(**_WORKER)

    def kill_one(self) -> None:
        """Kill the second worker with all its processes, as a power cut would."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    def stop(self) -> None:
        self._cluster.shutdown()


def _start_without_dashboard(patch: pytest.MonkeyPatch) -> None:
    """Let machines start without what only the dashboard needs.

    It takes most of the time. Of its agent Ray waits for no more than fifteen seconds, which is too
    short on a busy machine; so what it would say is said before.
    """
    from ray import _raylet
    from ray._private.node import Node

    start = Node.start_raylet

    def say_ports_and_start(node: Any, *words: Any, **options: Any) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        node._ray_params.runtime_env_agent_port = port
        for name, number in (
            (_raylet.RUNTIME_ENV_AGENT_PORT_NAME, port),
            (_raylet.METRICS_AGENT_PORT_NAME, -1),
            (_raylet.METRICS_EXPORT_PORT_NAME, -1),
            (_raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME, -1),
        ):
            _raylet.persist_port(node._session_dir, node._node_id, name, number)
        start(node, *words, **options)

    patch.setattr(Node, "start_raylet", say_ports_and_start)
    patch.setattr(Node, "start_api_server", lambda *_, **__: None)


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoWorkers]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: it holds sockets
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        _start_without_dashboard(patch)
        started = TwoWorkers(folder)
        yield started
        started.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes: PNG, BMP (decoded in a process of its own), and what is no image."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for number in range(160):
        name = f"{PERSON}-{number:03d}"
        place = folder / ("normal" if number % 2 else "covid")
        place.mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (60, 60), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{name}.{'bmp' if number % 40 == 3 else 'png'}")
    (folder / "normal" / f"{PERSON}-text.png").write_text("no image")
    (folder / "covid" / f"{PERSON}-empty.png").touch()
    return folder


class KillingHalfWay(AbstractExecutor):
    """Passes results on, and kills a worker machine once."""

    def __init__(self, inner: AbstractExecutor, cluster: TwoWorkers, after: int) -> None:
        self._inner = inner
        self._cluster = cluster
        self._after = after

    def run(self, work: AbstractWork[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        for number, result in enumerate(self._inner.run(work, items)):
            if number == self._after:
                self._cluster.kill_one()
            yield result


def _list_differing(one: Path, other: Path) -> list[str]:
    """Names of the files that are not equal, byte for byte, or are in one folder only."""
    names = sorted({path.name for folder in (one, other) for path in folder.iterdir()})
    _, differing, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    return differing + missing


def test_a_dataset_is_that_of_one_machine_although_a_worker_is_killed(
    cluster: TwoWorkers, images: Path, tmp_path: Path
) -> None:
    source = open_source(str(images))
    alone = run_prepare(source, config=CONFIG, out=tmp_path / "alone" / "d")
    cluster.fill()
    with connecting_to_ray(cluster.address) as executor:
        killing = KillingHalfWay(executor, cluster, after=60)
        shared = run_prepare(source, config=CONFIG, out=tmp_path / "shared" / "d", executor=killing)
    assert (shared.record.images.kept, shared.record.images.rejected) == (160, 2)
    # Only the time at which they were made, and the checksum of the file that it stands in, differ.
    same_time = {"created_utc": alone.record.created_utc}
    assert shared.record.model_copy(update=same_time) == alone.record
    assert set(_list_differing(alone.path, shared.path)) <= {"dataset.json", "checksums.json"}


def test_predictions_are_those_of_one_machine_although_a_worker_is_killed(
    cluster: TwoWorkers, images: Path
) -> None:
    cluster.fill()
    model = cxresnet.load(gate=False)
    files = sorted(path for path in images.rglob("*") if path.is_file())
    alone = list(model.predict_each(files))
    with connecting_to_ray(cluster.address) as executor:
        killing = KillingHalfWay(executor, cluster, after=60)
        shared = list(model.predict_each(files, executor=killing))
    assert shared == alone
    assert sum(one.refused for one in alone) == 2


def test_the_command_writes_the_same_table_and_leaves_no_name_in_the_logs(
    cluster: TwoWorkers,
    images: Path,
    hostile_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Paths are relative to the current folder, from which no worker imports anything."""
    cluster.fill()
    folder = hostile_folder / "images"
    folder.mkdir()
    for path in sorted((images / "normal").iterdir())[:12]:
        shutil.copy(path, folder)  # noise, which the gate refuses
    settings = PhantomSettings(images_per_class=1, side_px=160, seed=99)
    for number, plan in enumerate(plan_phantoms(settings)):
        drawn = draw_phantom(plan, settings).pixels
        Image.fromarray(drawn).save(folder / f"{PERSON}-{number}.png")
    monkeypatch.chdir(hostile_folder)
    words = ["predict", "images", "--format", "csv"]
    assert run_command_line([*words, "--out", "alone.csv"]) == 0
    with_ray = ["--engine", "ray", "--ray-address", cluster.address]
    assert run_command_line([*words, *with_ray, "--out", "shared.csv"]) == 0
    assert Path("shared.csv").read_bytes() == Path("alone.csv").read_bytes()
    assert not Path("ran.txt").exists()
    shown = capfd.readouterr()
    assert "ray" not in (shown.out + shown.err).replace("X-ray", "").lower()
    assert _find_in_logs(cluster, PERSON) == []


def _find_in_logs(cluster: TwoWorkers, text: str) -> list[str]:
    """Name the files of Ray that hold a text."""
    logs = [path for path in cluster.folder.rglob("*") if path.is_file()]
    assert any("worker" in path.name for path in logs)
    return [path.name for path in logs if text.encode() in path.read_bytes()]


def test_ctrl_c_stops_the_work_everywhere_and_it_can_be_continued(
    cluster: TwoWorkers, tmp_path: Path
) -> None:
    cluster.fill()
    out = tmp_path / "d"
    options = ("--set=data.side_px=32", "--set=data.common_side_px=48", "--set=data.workers=1")
    words = [
        *(sys.executable, "-m", "cxresnet", "prepare", "phantoms:images_per_class=60,side_px=48"),
        *options,
        *("--out", str(out), "--engine", "ray", "--ray-address", cluster.address),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / ".d.partial" / "decoded" / "journal.jsonl"
    while not journal.is_file() or journal.stat().st_size == 0:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped by Ctrl-C" in said
    assert "Traceback" not in said
    done = journal.read_text().count("\n")
    assert 0 < done < 180
    assert _list_commands(cluster) == {"cxresnet"}
    continued = run_prepare(open_source(words[4]), config=CONFIG, out=out)
    whole = run_prepare(open_source(words[4]), config=CONFIG, out=tmp_path / "whole" / "d")
    assert continued.record.dataset_hash == whole.record.dataset_hash


def _list_commands(cluster: TwoWorkers) -> set[str]:
    """List the command lines that the cluster knows of; ours name files."""
    from ray._raylet import GcsClient

    return {
        job.entrypoint for job in GcsClient(address=cluster.address).get_all_job_info().values()
    }
