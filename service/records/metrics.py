"""The series of records, in the registry of the application."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.observing.metrics import SECONDS


class RecordMetrics:
    """The metrics of prediction records."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.written = Counter(
            "retina_records_written_total", "Prediction records that were committed.", registry=registry
        )
        self.lost = Counter(
            "retina_records_lost_total",
            "Answers without a record, by reason: queue-full, refused by the database, or shutdown.",
            ("reason",),
            registry=registry,
        )
        self.failures = Counter(
            "retina_records_commit_failures_total",
            "Commits that failed because the database was unavailable.",
            registry=registry,
        )
        self.deleted = Counter(
            "retina_records_deleted_total",
            "Prediction records deleted at the end of their retention.",
            registry=registry,
        )
        self.withdrawn = Counter(
            "retina_records_withdrawn_total",
            "Prediction records taken back, because their answers were not sent: the commit took too long.",
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "retina_records_commit_duration_seconds",
            "Time to commit the records that waited together.",
            buckets=SECONDS,
            registry=registry,
        )
        self.queue_length = Gauge(
            "retina_records_queue_length",
            "Prediction records that are not committed yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        for reason in ("queue-full", "refused", "shutdown"):  # so that an alert sees the first loss as a rise from 0
            self.lost.labels(reason)
