"""How much of the bare model's speed is left behind the server, and how long do clients wait?

    python benchmarks/serve_load.py --clients 32 --seconds 60

The same images go through `Model.predict`, in this process alone, and then from many clients at
once, each with a connection of its own that it keeps, through `cxresnet serve` in another process.
Clients and server share the machine, as they would not in earnest. Exit code 1 where a request
failed, or where less than 80 % of the speed is left.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import cxresnet
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.lesions import encode_png
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms

_BATCH = 16
_AIM = 0.8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--side", type=int, default=512, help="of the drawn images, in pixels")
    parser.add_argument("--run", help="default: the bundled network")
    options = parser.parse_args()
    images = draw_images(options.side)
    bare = measure_bare(images, run=options.run, seconds=options.seconds / 3)
    with serving(options.run) as (process, port):
        before = read_memory_mib(process.pid)
        waits, errors, seconds = load(port, images, options.clients, options.seconds)
        after = read_memory_mib(process.pid)
    served = len(waits) / seconds
    middle, late = (1000 * float(np.percentile(waits, share)) for share in (50, 99))
    print(
        f"bare model {bare:.1f} images/s, server {served:.1f} images/s ({served / bare:.0%}) with "
        f"{options.clients} clients for {seconds:.0f} s; {len(waits)} answers, {errors} errors; "
        f"p50 {middle:.0f} ms, p99 {late:.0f} ms; memory {before:.0f} -> {after:.0f} MiB"
    )
    return 1 if errors or served < _AIM * bare else 0


def draw_images(side_px: int) -> list[bytes]:
    settings = PhantomSettings(images_per_class=8, side_px=side_px, seed=11)
    return [
        encode_png(draw_phantom(plan, settings).pixels)
        for plan in itertools.islice(plan_phantoms(settings), 24)
    ]


def measure_bare(images: Sequence[bytes], *, run: str | None, seconds: float) -> float:
    """Measure images per second of `Model.predict`, in batches like those of the server."""
    model = cxresnet.load(run)
    flow = itertools.cycle(images)
    model.predict(list(itertools.islice(flow, _BATCH)))
    start, count = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        model.predict(list(itertools.islice(flow, _BATCH)))
        count += _BATCH
    return count / (time.monotonic() - start)


@contextlib.contextmanager
def serving(run: str | None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "cxresnet", "-q", "serve", "--port", "0"]
    command += ["--run", run] if run else []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        found = re.search(r":(\d+) ", process.stdout.readline())
        port = int(found[1])
        while not is_ready(port):
            time.sleep(0.2)
        yield process, port
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.suppress(OSError), contextlib.closing(connection):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


def load(
    port: int, images: Sequence[bytes], clients: int, seconds: float
) -> tuple[list[float], int, float]:
    """Ask from many threads; returns seconds each answer took, errors, and seconds over all."""
    waits: list[float] = []
    errors: list[str] = []
    start = time.monotonic()

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for at in itertools.count(number):
            if time.monotonic() - start > seconds:
                break
            began = time.monotonic()
            try:
                content = images[at % len(images)]
                connection.request("POST", "/predict", content, {"Content-Type": "image/png"})
                answer = connection.getresponse()
                found = json.loads(answer.read())
                if answer.status != 200 or found["images"][0]["refused"]:
                    errors.append(str(answer.status))
                waits.append(time.monotonic() - began)
            except OSError as error:
                errors.append(type(error).__name__)
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return waits, len(errors), time.monotonic() - start


def read_memory_mib(process_id: int) -> float:
    text = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
