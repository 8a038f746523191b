"""What Prometheus may ask: requests, their time, batches, and which model answers."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one server; a registry of its own, so that several servers of a process do not mix them up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "recs_predict_requests_total", "Predict requests by status.", ["status"], registry=self.registry
        )
        self._statuses: dict[int, Counter] = {}  # `labels` is slow
        self._seconds = Histogram(
            "recs_predict_seconds", "From the head of a request to its answer.", buckets=SECONDS, registry=self.registry
        )
        self._rows = Histogram("recs_batch_rows", "Rows a call of the model.", buckets=ROWS, registry=self.registry)
        self._model = Gauge("recs_model_info", "1 for the model that answers.", ["version"], registry=self.registry)

    def predicted(self, status: int, seconds: float) -> None:
        """Counts an answered predict request."""
        if status not in self._statuses:
            self._statuses[status] = self._requests.labels(str(status))
        self._statuses[status].inc()
        self._seconds.observe(seconds)

    def called(self, rows: int) -> None:
        """Counts a call of the model."""
        self._rows.observe(rows)

    def ready(self, version: str, waiting: Callable[[], float]) -> None:
        """Says which model answers, and how many rows wait for it."""
        self._model.labels(version).set(1)
        gauge = Gauge("recs_waiting_rows", "Rows that wait for the model.", registry=self.registry)
        gauge.set_function(waiting)

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self.registry)
