"""Prometheus metrics: names with the prefix ``retina_`` and base units."""

from collections.abc import Sequence
from typing import NamedTuple

import onnxruntime
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

from service import __version__
from service.observing.statistics import SharedStatistics, Statistics
from service.workers.metrics import Together, share
from service.workers.seat import Seat
from service.workers.sums import Sums

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REASONS = ("too-many-requests", "queue-full", "timeout")
SHIFTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
VERDICTS = ("usual", "unusual", "unlike")
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class ModelLabels(NamedTuple):
    """The labels that identify the series of a loaded model."""

    name: str
    version: str
    digest: str
    provider: str
    classes: tuple[str, ...]
    plan: tuple[tuple[str, int], ...] = ()
    """The settings of its plan, by name."""


class ModelMetrics:
    """The series of one model. Holding them saves the look-up of labels for each request."""

    def __init__(self, metrics: "Metrics", model: ModelLabels) -> None:
        labels = (model.name, model.version)
        self.predictions = [metrics.predictions.labels(*labels, label) for label in model.classes]
        self.statistics = metrics.statistics_of(model)
        self.queue_length = metrics.queue_length.labels(*labels)
        self.queue_seconds = metrics.queue_seconds.labels(*labels)
        self.decode_seconds = metrics.decode_seconds.labels(*labels)
        self.inference_seconds = metrics.inference_seconds.labels(*labels)
        self.encode_seconds = metrics.encode_seconds.labels(*labels)
        self.batch_size = metrics.batch_size.labels(*labels)
        self.images = metrics.images.labels(*labels)
        self.style_shift = metrics.style_shift.labels(*labels)
        self.style_verdicts = {verdict: metrics.style_verdicts.labels(*labels, verdict) for verdict in VERDICTS}
        metrics.model_info.labels(*labels, model.digest, model.provider).set(1)
        metrics.model_loaded.labels(*labels).set_to_current_time()
        for setting, value in model.plan:
            metrics.model_plan.labels(*labels, setting).set(value)

    def answered(self, predicted: Sequence[int]) -> None:
        """Count predicted images by the index of their most probable class."""
        self.images.inc(len(predicted))
        for index in predicted:
            self.predictions[index].inc()

    def shifted(self, shift: float, verdict: str) -> None:
        """An image has this style shift."""
        self.style_shift.observe(shift)
        self.style_verdicts[verdict].inc()

    def encoded(self, seconds: float) -> None:
        """An answer has been written."""
        self.encode_seconds.observe(seconds)
        self.statistics.compute_output.add(seconds)


class Metrics:
    """All series of one application, in its own registry. With a seat, its values are shared with the other workers.

    ``multiprocess_mode`` says what a gauge is of all workers: the sum of what each has, or what is the same for each.
    """

    def __init__(self, seat: Seat | None = None) -> None:
        share(seat)
        self.registry = CollectorRegistry()
        self.together = None if seat is None else Together(self.registry, seat)
        self.sums = None if seat is None else Sums(seat)
        if seat is None:
            ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        if seat is None:
            GCCollector(registry=self.registry)
        by_model = ("model", "version")

        def histogram(name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            return Histogram(name, text, by_model, buckets=buckets, registry=self.registry)

        self.requests = Counter(
            "retina_requests_total",
            "Predictions, previews and channels by outcome: ok, client_error, rejected, disconnected or error.",
            ("model", "outcome"),
            registry=self.registry,
        )
        self.rejected = Counter(
            "retina_rejected_total",
            "Requests refused or abandoned, by reason: load, deadline or caller.",
            ("reason",),
            registry=self.registry,
        )
        for reason in REASONS:  # these series exist before the first event, so that a rate sees it
            self.rejected.labels(reason)
        self.images = Counter(
            "retina_images_total", "Images that were answered with a prediction.", by_model, registry=self.registry
        )
        self.predictions = Counter(
            "retina_predictions_total",
            "Images by their most probable label.",
            (*by_model, "label"),
            registry=self.registry,
        )
        self.style_shift = histogram(
            "retina_style_shift",
            "How unlike training the image's style is, in validation's standard deviations.",
            SHIFTS,
        )
        self.style_verdicts = Counter(
            "retina_style_verdicts_total",
            "Images by what their style shift says: usual, unusual or unlike.",
            (*by_model, "verdict"),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "retina_in_flight_requests",
            "Prediction requests in flight.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.queue_length = Gauge(
            "retina_queue_length",
            "Images that wait for the model.",
            by_model,
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.queue_limit = Gauge(
            "retina_queue_limit",
            "Limit of images that wait for one model.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.in_flight_limit = Gauge(
            "retina_in_flight_requests_limit",
            "Limit of prediction requests in flight.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.ready = Gauge(
            "retina_ready",
            "1 while the service accepts predictions, 0 while it shuts down.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        build = Gauge(
            "retina_build_info",
            "Versions of the service and of ONNX Runtime.",
            ("version", "onnxruntime"),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        build.labels(__version__, onnxruntime.__version__).set(1)
        self.model_info = Gauge(
            "retina_model_info",
            "A loaded model, with the execution provider that really runs it.",
            (*by_model, "digest", "provider"),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.model_loaded = Gauge(
            "retina_model_loaded_timestamp_seconds",
            "When a model was loaded, since the Unix epoch.",
            by_model,
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.model_plan = Gauge(
            "retina_model_plan",
            "How a model runs, by setting: threads of a lone run, streams, stream_threads, and images of a batch.",
            (*by_model, "setting"),
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self.decode_threads = Gauge(
            "retina_decode_threads", "Threads that decode images.", registry=self.registry, multiprocess_mode="livesum"
        )
        self.loads = Counter(
            "retina_model_loads_total",
            "Model packages by outcome: loaded, refused or unloaded.",
            ("model", "outcome"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "retina_request_duration_seconds",
            "Time from the request head to the response head.",
            ("model",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.decode_seconds = histogram("retina_decode_duration_seconds", "Time to decode and resize one image.")
        self.queue_seconds = histogram("retina_queue_duration_seconds", "Time that one image waits for the model.")
        self.inference_seconds = histogram("retina_inference_duration_seconds", "Time to run one batch.")
        self.encode_seconds = histogram("retina_encode_duration_seconds", "Time to write one answer.")
        self.batch_size = histogram("retina_batch_size_images", "Images in one batch.", tuple(map(float, IMAGES)))

    def text(self) -> bytes:
        """All series in Prometheus's text format, of the whole service."""
        return generate_latest(self.registry if self.together is None else self.together)

    def statistics_of(self, model: ModelLabels) -> Statistics:
        """The statistics of a model that is loaded."""
        if self.sums is None:
            return Statistics()
        return SharedStatistics(self.sums, (model.name, model.version, model.digest))

    def forget(self, model: ModelLabels, others: Sequence[ModelLabels]) -> None:
        """Drop the series of an unloaded model, except those shared with ``others`` of its name and version.

        With several workers the series are left out where they are read (:class:`service.workers.metrics.Together`).
        """
        if self.sums is not None:
            if not any((other.digest, other.provider) == (model.digest, model.provider) for other in others):
                self.model_info.labels(model.name, model.version, model.digest, model.provider).set(0)
            if not any(other.digest == model.digest for other in others):
                SharedStatistics(self.sums, (model.name, model.version, model.digest)).clear()
            return
        if not any((other.digest, other.provider) == (model.digest, model.provider) for other in others):
            self.model_info.remove(model.name, model.version, model.digest, model.provider)
        for label in set(model.classes).difference(*(other.classes for other in others)):
            self.predictions.remove(model.name, model.version, label)
        if not others:
            for series in (
                self.queue_length,
                self.images,
                self.queue_seconds,
                self.decode_seconds,
                self.inference_seconds,
                self.encode_seconds,
                self.batch_size,
                self.style_shift,
            ):
                series.remove(model.name, model.version)
            self.model_loaded.remove(model.name, model.version)
            for setting, _ in model.plan:
                self.model_plan.remove(model.name, model.version, setting)
            for verdict in VERDICTS:
                self.style_verdicts.remove(model.name, model.version, verdict)
