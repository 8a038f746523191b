"""What the routes share: limits, figures, and the model once it is loaded."""

from dataclasses import dataclass, field
from typing import Any

from serving_image.batching import Batcher
from serving_image.households import Households
from serving_image.metrics import Metrics
from serving_image.model import Model
from serving_image.refusals import Refusal
from serving_image.rows import Limits, Reader, Row


class Loaded:
    """A model that answers.

    Args:
        model: Warmed up.
        release: release.json, or {} where the model came without.
        households: What the page may show; none without examples.
        service: Whose limits and figures these are.
    """

    def __init__(self, model: Model, release: dict[str, Any], households: Households | None, service: "Service"):
        self.model, self.release, self.households = model, release, households
        self.default_k = min(model.default_k, service.limits.k)
        self.reader = Reader(model.columns, service.limits, self.default_k, model.has_history)
        self.batcher: Batcher[Row, dict[str, Any]] = Batcher(
            model, service.max_batch, service.max_waiting, service.metrics.called
        )
        service.metrics.ready(self.version, lambda: float(self.batcher.rows))

    @property
    def version(self) -> str:
        return str(self.release.get("model_version", "unknown"))


@dataclass
class Service:
    """The state of one server.

    Args:
        limits: Of a request.
        max_batch: Rows of several requests that one call of the model takes.
        max_waiting: Rows that may wait for the model.
        body_seconds: How long a body may take to arrive.
    """

    limits: Limits = field(default_factory=Limits)
    max_batch: int = 256
    max_waiting: int = 1024
    body_seconds: float = 10.0
    metrics: Metrics = field(default_factory=Metrics)
    _loaded: Loaded | None = None

    def loaded(self) -> Loaded:
        """Raises Refusal, 503, as long as there is no model."""
        if self._loaded is None:
            expected, remedy = "a model that is ready", "Try again when the health route answers 200."
            raise Refusal(503, "the model", "still loading", expected, remedy, ((b"retry-after", b"1"),))
        return self._loaded

    def ready(self, model: Model, release: dict[str, Any], households: Households | None = None) -> None:
        """From now on requests are answered."""
        self._loaded = Loaded(model, release, households, self)

    def close(self) -> None:
        if self._loaded is not None:
            self._loaded.batcher.close()
