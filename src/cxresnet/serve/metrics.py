"""Numbers for Prometheus; no label holds anything that a client chose."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from cxresnet.serve.answers import ImageAnswer

METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Media type of `render`."""

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cxresnet_requests_total",
            "Requests that were answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "cxresnet_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._images = Counter(
            "cxresnet_images_total",
            "Images, by what became of them.",
            ("outcome",),
            registry=self._registry,
        )
        self._batches = Histogram(
            "cxresnet_batch_images",
            "Images that went through the network at once.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )
        self._queues = Gauge(
            "cxresnet_queue_jobs", "Jobs that wait.", ("queue",), registry=self._registry
        )
        self._open = Gauge("cxresnet_requests_open", "Requests under way.", registry=self._registry)

    def count_request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the pattern of one of ours, or "other"."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_open(self, change: int) -> None:
        """Count requests that begin (1) or end (-1)."""
        self._open.inc(change)

    def count_image(self, answer: ImageAnswer) -> None:
        """Count an image by what became of it."""
        abstained = "abstained" if answer.decision == "abstain" else "decided"
        self._images.labels("refused" if answer.refused else abstained).inc()

    def count_batch(self, images: int) -> None:
        """Count a batch."""
        self._batches.observe(images)

    def watch_queues(self, **queues: Callable[[], int]) -> None:
        """Ask each queue for its length whenever the numbers are rendered."""
        for name, measure in queues.items():
            self._queues.labels(name).set_function(measure)

    def render(self) -> bytes:
        """Render all numbers as Prometheus reads them."""
        return generate_latest(self._registry)
