"""Opening the records when the service starts. SQLAlchemy is imported here, and only if records are kept."""

import logging
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from service.records.errors import RecordsError, UnavailableError
from service.records.kept import Records
from service.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

logger = logging.getLogger(__name__)


def engine_of(settings: Settings) -> "Engine":
    """Return the engine of the database in the settings, or of the default one.

    Raises:
        RecordsError: if the address is invalid.
    """
    from service.records.database import default_url, open_engine

    url = settings.records_url
    return open_engine(default_url() if url is None else url.get_secret_value())


def open_records(settings: Settings, registry: CollectorRegistry) -> Records | None:
    """Open the database of records and check its schema. None if records are off.

    Raises:
        RecordsError: if the address or the schema is not usable, or if records are required and the database can't be
            reached.
    """
    if settings.records == "off":
        return None
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs its set-up and each check of the schema
    from service.records.metrics import RecordMetrics
    from service.records.recorder import Recorder
    from service.records.store import Store

    store = Store(engine_of(settings))
    try:
        store.prepare()
    except UnavailableError as error:
        if settings.records == "required":
            raise RecordsError(
                f"The records' database can't be reached, and RETINA_RECORDS=required: {error}"
            ) from None
        logger.error("the records' database can't be reached; records wait for it: %s", error)
    recorder = Recorder(
        store,
        RecordMetrics(registry),
        queue_size=settings.records_queue_size,
        retention_days=settings.records_retention_days,
    )
    logger.info("prediction records (%s) in %s", settings.records, store.engine.url.render_as_string())
    return Records(store, recorder, required=settings.records == "required", timeout_s=settings.records_timeout_s)
