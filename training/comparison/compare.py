"""Compare kinds of recalibration on a recipe: train missing runs, measure, test the differences, measure the cost."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from models.architecture import Architecture
from training.comparison.cost import multiply_adds, parameters, time_inference, time_training
from training.comparison.differences import METHOD, RESAMPLES, Key, check_same_data, differences, summarise
from training.comparison.parallel import Job, fit_all
from training.device import choose_device
from training.errors import TrainingError
from training.evaluation.evaluate import evaluate
from training.evaluation.figures import Figures
from training.evaluation.kept import Evaluation, evaluation_path
from training.fitting.resume import changed_keys, flat
from training.recipe import Recipe, load_recipe
from training.run import Run, library_versions, source_commit

Split = Literal["val", "test"]
# The device of a run and the texts of its card do not change the experiment.
FREE = {"device", "threads", "workers", "validation_batch_size", "checkpoint_every", "tracking", "provenance", "card"}


class Member(NamedTuple):
    """One run of a comparison."""

    kind: str
    seed: int
    recipe: Recipe
    folder: Path


def plan(recipe: str, overrides: Sequence[str], kinds: Sequence[str], seeds: int, runs: Path) -> list[Member]:
    """One member for each kind and seed, in ``<runs>/<name>-<kind>-<seed>``, where ``fit`` puts them too.

    Args:
        recipe: a shipped recipe's name, or a path.
        overrides: of the recipe, ``key=value``. ``{recalibration}`` in a value stands for the kind, so that each
            starts from initial weights of its own.
        kinds: names of recalibrations.
        seeds: how many, from the recipe's own seed on.
        runs: folder of the run folders.

    Raises:
        TrainingError: for a kind that is unknown or named twice, for an override of the recalibration, or for a folder
            that holds a run of another recipe.
    """
    if len(set(kinds)) < len(kinds):
        raise TrainingError(f"--recalibration {','.join(kinds)}: a kind is named twice")
    if any(override.partition("=")[0] == "network.recalibration" for override in overrides):
        raise TrainingError("--set network.recalibration is what is compared: name the kinds with --recalibration")
    first = load_recipe(recipe, overrides).seed
    own_overrides = {kind: [each.replace("{recalibration}", kind) for each in overrides] for kind in kinds}
    members = []
    for seed in range(
        first, first + seeds
    ):  # all kinds of a seed, then the next seed: the finished runs are always balanced
        for kind in kinds:
            own = load_recipe(recipe, [*own_overrides[kind], f"network.recalibration={kind}", f"seed={seed}"])
            members.append(Member(kind, seed, own, runs / f"{own.name}-{kind}-{seed}"))
    for member in members:
        check_same_recipe(member)
    return members


def check_same_recipe(member: Member) -> None:
    """Refuse a folder that holds a run of another recipe."""
    run = Run(member.folder)
    if not run.begun():
        return
    there, here = (flat(recipe.model_dump(mode="json", exclude=FREE)) for recipe in (run.recipe(), member.recipe))
    changes = [f"{key} is {there.get(key)!r} there and {here.get(key)!r} here" for key in changed_keys(here, there)]
    if changes:
        raise TrainingError(
            f"{member.folder} holds a run of another recipe ({'; '.join(changes)}): undo the change, name another "
            "folder with --runs, or remove that run"
        )


def compare(
    members: Sequence[Member],
    baseline: str,
    split: Split,
    *,
    jobs: int = 1,
    seconds: float = 30.0,
    report: Callable[[str], None] = print,
    progress: bool = False,
) -> dict[str, Any]:
    """Train and evaluate missing runs, and return the comparison, ready for JSON.

    A run that fails is named under ``failed``, and the others are compared without it.

    Args:
        members: as :func:`plan` gives them.
        baseline: the kind that the others are compared with.
        split: the split to measure. Opening the test split is logged in each run folder, as by ``evaluate``.
        jobs: how many runs to fit at once.
        seconds: for each of the two measurements of time; 0 for none.
        report: takes a line of progress.
        progress: show a bar for the run that is being fitted.

    Raises:
        TrainingError: if the baseline is not among the kinds, none of its runs is left, or the data are not the same.
    """
    kinds = list(dict.fromkeys(member.kind for member in members))
    if baseline not in kinds:
        raise TrainingError(f"--baseline {baseline} is not among the kinds compared: {', '.join(kinds)}")
    missing = [m for m in members if not (Run(m.folder).begun() and Run(m.folder).finished())]
    if len(missing) < len(members):
        report(f"{len(members) - len(missing)} of {len(members)} runs are finished and used as they are")
    failed = fit_all([Job(m.recipe, m.folder) for m in missing], workers=jobs, report=report, progress=progress)
    reports: dict[Key, Figures] = {}
    evaluations: dict[Key, Evaluation] = {}
    for member in members:
        if member.folder not in failed:
            try:
                key, run = (member.kind, member.seed), Run.open(member.folder)
                if member in missing or not evaluated(run, split):
                    report(f"{member.folder}: measuring on the {split} split")
                    evaluate(run, split)
                evaluations[key], reports[key] = Evaluation.read(run, split), run.metrics()[split]
            except TrainingError as error:
                failed[member.folder] = str(error)
                report(f"{member.folder}: FAILED: {error}")
    present = [kind for kind in kinds if any(key[0] == kind for key in reports)]
    if baseline not in present:
        raise TrainingError(f"every run of the baseline, {baseline}, failed; the messages above say why")
    check_same_data(reports, evaluations)
    found = differences(reports, evaluations, present, baseline)
    report("measuring parameters, operations and time")
    recipe, any_report = members[0].recipe, next(iter(reports.values()))
    folders = {kind: [m.folder for m in members if (m.kind, m.seed) in reports and m.kind == kind] for kind in present}
    cost, timing = weigh(
        {kind: Run(folders[kind][0]).facts().architecture for kind in present}, baseline, recipe, seconds
    )
    return {
        "name": recipe.name,
        "data": any_report.data,
        "md5": any_report.md5,
        "split": split,
        "images": any_report.images,
        "patients": any_report.patients,
        "baseline": baseline,
        "primary": recipe.select_by,
        "method": METHOD.format(
            baseline=baseline,
            unit="patients" if any_report.patients else "images",
            resamples=RESAMPLES,
            primary=recipe.select_by,
        ),
        "kinds": {
            kind: {
                "seeds": [seed for k, seed in reports if k == kind],
                "runs": [str(folder) for folder in folders[kind]],
                "figures": summarise(reports, kind),
                "differences": found.get(kind),
                "cost": cost[kind],
            }
            for kind in present
        },
        "timing": timing,
        "failed": {str(folder): reason for folder, reason in failed.items()},
        "source_commit": source_commit(),
        "libraries": library_versions(),
    }


def evaluated(run: Run, split: Split) -> bool:
    return split in run.metrics() and evaluation_path(run, split).is_file()


def weigh(
    architectures: Mapping[str, Architecture], baseline: str, recipe: Recipe, seconds: float
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:
    """The cost of each kind, and how the times were measured. None if they were not."""
    cost: dict[str, dict[str, Any]] = {
        kind: {"parameters": parameters(architecture), "multiply_adds": multiply_adds(architecture)}
        for kind, architecture in architectures.items()
    }
    if seconds <= 0:
        return cost, None
    device, batch_size = choose_device(recipe.device), recipe.batch_size
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    inference = time_inference(architectures, baseline, device, batch_size=batch_size, seconds=seconds)
    training = time_training(architectures, baseline, device, recipe.optimiser, batch_size=batch_size, seconds=seconds)
    for kind in cost:
        cost[kind] |= {"inference": inference[kind]._asdict(), "training": training[kind]._asdict()}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {torch.get_num_threads()}"
    return cost, {"device": name, "batch_size": batch_size, "seconds": seconds}
