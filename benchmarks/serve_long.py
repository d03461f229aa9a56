"""Does a server that runs for long keep its memory, its files and its threads?

    python benchmarks/serve_long.py [--predictions 10000] [--explanations 500] [--clients 4]
                                    [--method occlusion] [--out long.csv]

`cxresnet serve` runs in a process of its own; the same drawn images go to `/predict`, then to
`/explain`. Memory (VmRSS), open files and threads of the server are read every fiftieth of each
part, and a line is fitted to what comes after the first fifth, when caches and pools are full.
Exit code 1 where a request failed, where the line says more than 5 MiB in a thousand requests, or
where files or threads grew by more than the clients can explain. Nothing here is a timing: other
work on the machine does no harm.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import itertools
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from serve_load import draw_images, read_memory_mib, serving

_SAMPLES = 50
_WARM_UP = 0.2
_MOST_MIB = 5.0
"""In a thousand requests, beyond what the interval of the slope allows."""


@dataclass(frozen=True)
class Sample:
    """What the server holds after some requests."""

    part: str
    requests: int
    seconds: float
    memory_mib: float
    open_files: int
    threads: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--explanations", type=int, default=500)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--method", default="occlusion")
    parser.add_argument("--side", type=int, default=512, help="of the drawn images, in pixels")
    parser.add_argument("--run", help="default: the bundled network")
    parser.add_argument("--out", type=Path, help="a CSV file with every sample")
    options = parser.parse_args()
    images = draw_images(options.side)
    parts = {
        "predict": ("/predict", options.predictions),
        "explain": (f"/explain?method={options.method}", options.explanations),
    }
    samples: list[Sample] = []
    failed = 0
    with serving(options.run) as (process, port):
        for part, (route, count) in parts.items():
            asked = Requests(port, route, images, count)
            samples += watch(part, asked, process.pid, options.clients)
            failed += asked.failed
    if options.out:
        write(samples, options.out)
    grew = [describe(part, samples, options.clients) for part, (_, count) in parts.items() if count]
    print(f"{failed} of {options.predictions + options.explanations} requests failed")
    return int(failed > 0 or any(grew))


class Requests:
    """Requests that several clients share."""

    def __init__(self, port: int, route: str, images: Sequence[bytes], count: int) -> None:
        self._port, self._route, self._images = port, route, images
        self._numbers = iter(range(count))
        self._lock = threading.Lock()
        self.count = count
        self.done = self.failed = 0

    def send_all(self) -> None:
        """Send until there is none left, over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        while (number := self._take()) is not None:
            if not self._send(connection, self._images[number % len(self._images)]):
                connection.close()
        connection.close()

    def _take(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)

    def _send(self, connection: http.client.HTTPConnection, content: bytes) -> bool:
        try:
            connection.request("POST", self._route, content, {"Content-Type": "image/png"})
            answer = connection.getresponse()
            answer.read()
            fine = answer.status == 200
        except (OSError, http.client.HTTPException):
            fine = False
        with self._lock:
            self.done += 1
            self.failed += not fine
        return fine


def watch(part: str, asked: Requests, process_id: int, clients: int) -> Iterator[Sample]:
    """Send the requests, and sample the server on the way."""
    threads = [threading.Thread(target=asked.send_all) for _ in range(clients)]
    start = time.monotonic()
    for one in threads:
        one.start()
    step = max(1, asked.count // _SAMPLES)
    due = itertools.count(step, step)
    after = next(due)
    while any(one.is_alive() for one in threads):
        if asked.done >= after:
            yield take_sample(part, asked.done, time.monotonic() - start, process_id)
            after = next(number for number in due if number > asked.done)
        time.sleep(0.02)
    for one in threads:
        one.join()


def take_sample(part: str, requests: int, seconds: float, process_id: int) -> Sample:
    """Read what the server holds now."""
    process = Path("/proc") / str(process_id)
    return Sample(
        part,
        requests,
        round(seconds, 1),
        round(read_memory_mib(process_id), 1),
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
    )


def describe(part: str, samples: Sequence[Sample], clients: int) -> bool:
    """Print what became of memory, files and threads; true where they grew."""
    own = [one for one in samples if one.part == part]
    late = own[int(len(own) * _WARM_UP) :]
    slope, error = fit_slope(
        [one.requests / 1000 for one in late], [one.memory_mib for one in late]
    )
    files = late[-1].open_files - late[0].open_files
    threads = late[-1].threads - late[0].threads
    print(
        f"{part}: {own[-1].requests} requests in {own[-1].seconds:.0f} s; memory "
        f"{own[0].memory_mib:.0f} -> {late[0].memory_mib:.0f} -> {late[-1].memory_mib:.0f} MiB, "
        f"{slope:+.2f} ± {1.96 * error:.2f} MiB in a thousand requests; "
        f"open files {files:+d}, threads {threads:+d}"
    )
    return slope - 1.96 * error > _MOST_MIB or files > clients or threads > clients


def fit_slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Fit a line; gives its slope and the standard error."""
    design = np.column_stack([np.ones(len(x)), x])
    line, *_ = np.linalg.lstsq(design, np.asarray(y), rcond=None)
    residuals = np.asarray(y) - design @ line
    variance = residuals @ residuals / max(1, len(x) - 2)
    spread = float(np.sum((np.asarray(x) - np.mean(x)) ** 2))
    return float(line[1]), float(np.sqrt(variance / spread))


def write(samples: Sequence[Sample], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(one.name for one in fields(Sample))
        table.writerows(map(astuple, samples))


if __name__ == "__main__":
    sys.exit(main())
