"""The command line of the service: ``python -m service`` serves, ``--help`` lists the other commands."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import track

from models.package import PackageError
from service.inference.errors import UnknownModelError
from service.inference.execution import execution_of
from service.inference.plans import TuningError
from service.inference.providers import ProviderError
from service.records import commands as records
from service.records.errors import RecordsError
from service.scoring.errors import ScoringError
from service.scoring.workers import workers_of
from service.security import keys_command
from service.security.key_file import KeyFileError
from service.settings import SettingsError, load_settings
from service.storage.mirror import mirror_of
from service.workers.places import places

app = typer.Typer(help="Serve retinal image classifiers over HTTP, or predict offline.", add_completion=False)
app.add_typer(keys_command.app, name="keys")
app.add_typer(records.app, name="records")
app.command()(records.audit)
logger = logging.getLogger("service")
stderr = Console(stderr=True, highlight=False)

RepositoryOption = Annotated[
    str | None,
    typer.Option(
        "--repository",
        help="Model repository, a folder or an address; default: RETINA_MODEL_REPOSITORY, or the included models.",
    ),
]
ProviderOption = Annotated[
    str | None,
    typer.Option(help="auto, or cpu, cuda, tensorrt, openvino in fall-back order. Default: RETINA_PROVIDER."),
]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Default: RETINA_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: RETINA_PORT, or 8000.")] = None,
    repository: RepositoryOption = None,
    provider: ProviderOption = None,
) -> None:
    """Serve the models of a repository. Every setting is described in docs/settings.md."""
    if context.invoked_subcommand is not None:
        return
    from service.app import create_app
    from service.observing import logs, tracing
    from service.server import run

    settings = load_settings(host=host, port=port, model_repository=repository, provider=provider)
    found = places(settings)
    if len(found) > 1:
        if sys.platform == "win32":
            raise SettingsError("Windows has no sockets that processes share: set RETINA_WORKERS=1")
        from service.workers.supervisor import supervise

        supervise(settings, found)
    found[0].take()
    with logs.serving(settings):
        tracing.start()
        application = create_app(settings)
        try:
            run(application, settings)
        except Exception:  # its text may quote a request, so only the log may show it
            logger.critical("the service ended by an error", exc_info=True)
            raise SystemExit(1) from None


@app.command(hidden=True)
def worker(task: str) -> None:
    """Serve as one of several workers. Their supervisor starts it."""
    from service.workers.worker import work

    work(json.loads(task))


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="Image files.")],
    model: Annotated[str | None, typer.Option(help="Model name; needed if the repository has several.")] = None,
    version: Annotated[str | None, typer.Option(help="Default: the highest.")] = None,
    output: Annotated[Literal["csv", "json"], typer.Option(help="Format of the answer.")] = "csv",
    frame: Annotated[
        int | None,
        typer.Option(
            min=1, help="DICOM frame or TIFF page, from 1. Default: the middle frame of a DICOM file, else 1."
        ),
    ] = None,
    weights: Annotated[Literal["full", "summary", "none"], typer.Option(help="Of the JSON answer.")] = "full",
    activation_map: Annotated[bool, typer.Option(help="Add the activation maps to the JSON answer.")] = False,
    repository: RepositoryOption = None,
    provider: ProviderOption = None,
) -> None:
    """Predict files without a server. If files fail, they are listed at the end and the exit status is 1."""
    from service.offline import Failure, choose, predict_files, write

    settings = load_settings(model_repository=repository, provider=provider)
    one_by_one = settings.model_copy(update={"streams": 1})
    chosen = choose(settings, execution_of(one_by_one), model, version)
    answers = predict_files(chosen, files, settings, frame=frame, weights=weights, activation_map=activation_map)
    done = list(track(answers, "predict", total=len(files), console=stderr, disable=not stderr.is_terminal))
    print(write(chosen, [answer for answer in done if not isinstance(answer, Failure)], output))
    failures = [answer for answer in done if isinstance(answer, Failure)]
    for failure in failures:
        stderr.print(f"{failure.file}: {failure.reason}", style="red", markup=False, soft_wrap=True)
    if failures:
        raise SystemExit(1)


@app.command()
def score(
    source: Annotated[str, typer.Argument(help="Folder, CSV manifest, Parquet, or an address such as s3://...")],
    to: Annotated[str, typer.Option(help="Folder of the results. A run that was stopped goes on there.")],
    model: Annotated[str | None, typer.Option(help="Model name; needed if the repository has several.")] = None,
    version: Annotated[str | None, typer.Option(help="Default: the highest.")] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Files in a part of the results. Default: 4096, or as before.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=1, help="DICOM frame or TIFF page of every file, from 1. Default: as in predict.")
    ] = None,
    image_column: Annotated[str | None, typer.Option(help="Of Parquet. Default: image or bytes.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Of Parquet. Default: id, name, file and the like.")] = None,
    engine: Annotated[
        Literal["here", "ray"], typer.Option(help="This process, or a Ray cluster: RAY_ADDRESS, else this machine's.")
    ] = "here",
    workers: Annotated[
        str | None, typer.Option(help="Of Ray: 4, or 1-16. Default: 1 and more as there is room.", metavar="N[-M]")
    ] = None,
    worker_cpus: Annotated[float | None, typer.Option(min=0.1, help="CPUs of a worker. Default: 1.")] = None,
    worker_gpus: Annotated[float | None, typer.Option(min=0, help="GPUs of a worker. Default: 0.")] = None,
    repository: RepositoryOption = None,
    provider: ProviderOption = None,
) -> None:
    """Score every image of a source into Parquet files (docs/scoring.md).

    The exit status is 0, 1 if files failed or the run can't start, and 130 after Ctrl-C. The same command goes on.
    """
    settings = load_settings(model_repository=repository, provider=provider)
    try:
        from service.scoring.command import score_source

        if engine == "ray":
            import ray.data  # noqa: F401
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("pyarrow", "fsspec", "ray"):
            raise
        extra = "ray" if engine == "ray" else "score"
        raise ScoringError(f"{missing} is not installed: pip install 'retina-srm[{extra}]'") from None
    status = score_source(
        source,
        to,
        settings,
        model=model,
        version=version,
        rows=rows,
        frame=frame,
        image_column=image_column,
        id_column=id_column,
        workers=workers_of(engine, workers, worker_cpus, worker_gpus),
        stderr=stderr,
    )
    raise SystemExit(status)


@app.command()
def tune(
    model: Annotated[str | None, typer.Argument(help="Model name. Default: every model.")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of a measurement; there are 3 of each point.")] = 1.0,
    output: Annotated[Path | None, typer.Option(help="Default: tuning.json in the repository.")] = None,
    repository: RepositoryOption = None,
    provider: ProviderOption = None,
) -> None:
    """Measure how each model runs best on this machine, and write it to a file that the service reads at its start.

    Run it on the machine that will serve, while nothing else runs there. Of several workers it measures one.
    """
    from service.tuning_command import tune_models

    settings = load_settings(model_repository=repository, provider=provider)
    if settings.store is not None and output is None:
        raise SettingsError(f"The models are copied from {settings.store}: name the file to write with --output")
    mirror_of(settings)
    place = places(settings)[0]
    place.take()
    settings = settings.model_copy(update={"threads": place.threads})
    tune_models(settings, only=model, seconds=seconds, output=output)


def main() -> None:
    """Run the command line. A mistake in settings, models or records gives one sentence, not a traceback."""
    try:
        app()
    except (
        SettingsError,
        KeyFileError,
        PackageError,
        ProviderError,
        RecordsError,
        ScoringError,
        TuningError,
        UnknownModelError,
    ) as error:
        stderr.print(f"Error: {error}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
