"""The tuning file: what a curve speaks for, when the file counts, and the command that writes it."""

import logging
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from service.__main__ import app, main
from service.inference import plans
from service.inference.execution import execution_of
from service.inference.plans import FILE_NAME, Measurement, Plan, Tuning, TuningError
from service.inference.providers import CPU
from service.inference.repository import Repository
from service.settings import Settings
from service.tuning import choose_plan


def point(streams: int, threads: int, batch: int, rate: float) -> Measurement:
    """A point whose runs take as long as its rate says."""
    return Measurement(
        streams=streams, threads=threads, batch=batch, images_per_second=rate, run_ms=1000 * streams * batch / rate
    )


def test_streams_that_answer_more_are_used_with_the_smallest_batch_that_is_about_the_best() -> None:
    curve = [point(1, 2, 1, 60), point(1, 2, 4, 62), point(2, 1, 1, 62), point(2, 1, 4, 75), point(2, 1, 16, 76)]
    assert choose_plan(curve) == Plan(threads=2, streams=2, stream_threads=1, batch=4, streams_from=2)


def test_streams_without_a_gain_are_not_used() -> None:
    curve = [point(1, 2, 1, 60), point(1, 2, 4, 75), point(2, 1, 1, 62), point(2, 1, 4, 76)]
    assert choose_plan(curve) == Plan(threads=2, streams=1, batch=4)


def test_a_lone_image_gets_the_threads_with_the_shortest_run() -> None:
    curve = [point(1, 4, 1, 40), point(2, 2, 1, 100), point(4, 1, 1, 90)]
    assert choose_plan(curve).threads == 2


def test_streams_begin_where_they_are_sooner_done_than_runs_on_all_cpus() -> None:
    """16 CPUs: a run of one image takes 27 ms on one and 4 ms on all, so 6 images take 24 ms on all and 7 take 28."""
    curve = [point(1, 16, 1, 250), point(16, 1, 1, 1000 * 16 / 27)]
    assert choose_plan(curve).streams_from == 7


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A repository that the test may write into."""
    return Path(shutil.copytree(repository, tmp_path / "copy"))


@pytest.fixture
def tuning(folder: Path) -> Tuning:
    """A file made here, for one package, with a plan that no default gives."""
    digest = next(iter(Repository.load(folder, execution_of(Settings(model_repository=folder))))).digest
    plan = Plan(threads=1, streams=3, batch=2, streams_from=3)
    tuned = plans.Tuned(name="any", version="1", provider=CPU, plan=plan, curve=[])
    return Tuning(processor=plans.processor(), threads=2, onnxruntime=onnxruntime.__version__, models={digest: tuned})


def loaded(folder: Path, **settings: int) -> dict[str, Plan]:
    found = Repository.load(folder, execution_of(Settings(model_repository=folder, **settings)))  # type: ignore[arg-type]
    return {model.digest: model.plan for model in found}


def test_the_service_runs_a_package_by_the_file_and_others_by_default(folder: Path, tuning: Tuning) -> None:
    (folder / FILE_NAME).write_text(tuning.model_dump_json())
    found = loaded(folder, threads=2)
    [(digest, tuned)] = tuning.models.items()
    assert found.pop(digest) == tuned.plan
    assert found
    assert set(found.values()) == {Plan(threads=2, streams=2, batch=4, streams_from=2)}


@pytest.mark.parametrize(("name", "value"), [("processor", "another"), ("threads", 64), ("onnxruntime", "1.0")])
def test_a_file_of_another_machine_is_named_in_the_log_and_not_used(
    folder: Path, tuning: Tuning, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    (folder / FILE_NAME).write_text(tuning.model_copy(update={name: value}).model_dump_json())
    with caplog.at_level(logging.WARNING):
        found = loaded(folder, threads=2)
    assert {plan.streams for plan in found.values()} == {2}
    assert f"{name} {value}" in caplog.text


def test_an_asked_number_of_streams_goes_before_the_file(folder: Path, tuning: Tuning) -> None:
    (folder / FILE_NAME).write_text(tuning.model_dump_json())
    assert {plan.streams for plan in loaded(folder, threads=2, streams=1).values()} == {1}


def test_a_plan_of_another_provider_is_not_used(folder: Path, tuning: Tuning) -> None:
    [(digest, tuned)] = tuning.models.items()
    other = tuning.model_copy(update={"models": {digest: tuned.model_copy(update={"provider": "Another"})}})
    (folder / FILE_NAME).write_text(other.model_dump_json())
    assert {plan.streams for plan in loaded(folder, threads=2).values()} == {2}


@pytest.mark.parametrize("content", ["no JSON", "{}", '{"processor": "x", "threads": 0, "onnxruntime": "1"}'])
def test_a_damaged_file_stops_the_start_and_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (folder / FILE_NAME).write_text(content)
    with pytest.raises(TuningError, match="delete it, or run `python -m service tune`"):
        loaded(folder)
    monkeypatch.setattr("sys.argv", ["service", "--repository", str(folder), "--port", "0"])
    with pytest.raises(SystemExit):
        main()
    assert "is not a tuning file" in capsys.readouterr().err


def test_streams_answer_as_runs_on_all_threads_do(folder: Path) -> None:
    model = next(iter(Repository.load(folder, execution_of(Settings(model_repository=folder, threads=2)))))
    spec = model.card.input
    images = np.random.default_rng(0).integers(0, 256, (3, spec.height, spec.width, spec.channels), dtype=np.uint8)
    assert model.beside is not model.outputs_of
    for ours, theirs in zip(model.beside(images), model.outputs_of(images), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_command_measures_every_model_and_keeps_what_the_file_says_of_others(folder: Path) -> None:
    written = CliRunner().invoke(app, ["tune", "colour", "--repository", str(folder), "--seconds", "0.01"])
    assert written.exit_code == 0, written.output
    assert "Plan of colour: one run at a time on" in written.output
    first = Tuning.model_validate_json((folder / FILE_NAME).read_bytes())
    assert {tuned.name for tuned in first.models.values()} == {"colour"}
    [tuned] = first.models.values()
    assert {(p.streams, p.threads) for p in tuned.curve if p.batch == 4} >= {(1, first.threads)}
    again = CliRunner().invoke(app, ["tune", "--repository", str(folder), "--seconds", "0.01"])
    assert again.exit_code == 0, again.output
    second = Tuning.model_validate_json((folder / FILE_NAME).read_bytes())
    assert first.models.keys() < second.models.keys()


def test_an_unknown_model_is_answered_with_the_known_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["service", "tune", "nobody", "--repository", str(folder)])
    with pytest.raises(SystemExit):
        main()
    assert "colour" in capsys.readouterr().err


def test_plans_in_words() -> None:
    plan = Plan(threads=8, streams=8, batch=4, streams_from=3)
    assert plans.in_words(plan) == (
        "one run at a time on 8 threads; from 3 images in work on, up to 8 runs at once, each on 1 thread and of up to "
        "4 images"
    )
    assert plans.in_words(Plan(threads=1, batch=16)) == "one run at a time on 1 thread, of up to 16 images"
