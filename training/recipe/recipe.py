"""A recipe: everything that decides a training run, as one checked YAML file."""

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from models.card import Content, Name, Task
from models.scope import ImagingModality
from models.section import Text
from training.errors import TrainingError
from training.recipe.augmentation_spec import AugmentationSpec
from training.recipe.dataset_specs import DatasetName, DtdSpec, FolderSpec, OdirSpec, OfficeHomeSpec
from training.recipe.network_spec import NetworkSpec
from training.recipe.section import Section


class Provenance(Section):
    """Description of the data on the card. For a published file, its own description is used first."""

    name: Text | None = None
    """Default: the name of the file or folder."""
    licence: Text = "not stated"
    source: Text = "local data"


class InputChoice(Section):
    """How an image becomes the network's input: see :class:`models.card.InputSpec`."""

    size: int = Field(default=28, ge=8)
    """Height and width in pixels. For MedMNIST it also names the file: 28, 64, 128 or 224."""
    channels: Literal[1, 3] = 3
    content: Content = "all"
    crop: Literal["centre-square", "none"] = "centre-square"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"


class OptimiserSpec(Section):
    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """``adam`` adds the weight decay to the gradient (L2), ``adamw`` shrinks the weights themselves."""
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    """Not applied to SRM's parameters, as in the authors' code."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of ``sgd``."""
    nesterov: bool = True
    """Nesterov momentum, for ``sgd`` with momentum."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Gradient clipping: largest norm of the whole gradient."""


class ScheduleSpec(Section):
    name: Literal["cosine", "step", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Part of all steps during which the learning rate rises from 0."""
    milestones: list[Annotated[int, Field(ge=1)]] = Field(default=[])
    """Of ``step``: the epochs after which the learning rate is multiplied by ``factor``."""
    factor: float = Field(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def milestones_of_step(self) -> Self:
        if (self.name == "step") != bool(self.milestones):
            raise ValueError("milestones go with name: step, for example {name: step, milestones: [30, 60]}")
        if self.milestones != sorted(set(self.milestones)):
            raise ValueError("milestones must rise from one to the next")
        return self


class LossSpec(Section):
    """Cross-entropy, binary for each label where the task is multi-label, and how it meets class imbalance."""

    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: each class weighs the inverse of its frequency."""
    logit_adjustment: float = Field(default=0.0, ge=0)
    """tau of Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10: tau times the log
    prior is added to the logits in the loss, so that the network itself learns balanced logits (tau = 1)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    ordinal_sharpness: float = Field(default=0.0, ge=0)
    """beta of the soft targets softmax(-beta * |class - label|) for ordered grades (Diaz and Marathe, "Soft Labels for
    Ordinal Regression", CVPR 2019); 0 for hard targets."""
    mixup: float = Field(default=0.0, ge=0)
    """alpha of mixup (:mod:`training.data.mixup`); 0 for none."""
    cutmix: float = Field(default=0.0, ge=0)
    """alpha of CutMix; 0 for none. With mixup as well, each batch takes one of the two at random."""

    @model_validator(mode="after")
    def one_remedy(self) -> Self:
        if self.class_weights == "balanced" and self.logit_adjustment:
            raise ValueError("class_weights and logit_adjustment both correct the imbalance: use one of them")
        return self


class FineTuningSpec(Section):
    """How a network that starts from ``network.initial_weights`` is fine-tuned: frozen parts, lower learning rates."""

    freeze: list[str] = Field(default=[])
    """Parts that do not train, such as ``[conv1, bn1, layer1]``; their batch normalisation stays in evaluation mode."""
    stage_decay: float = Field(default=1.0, gt=0, le=1)
    """The learning rate's factor from each stage to the one before it: with 0.5, ``fc`` trains at the full rate,
    ``layer4`` at half, ``layer3`` at a quarter (Howard and Ruder, ACL 2018, section 3.2); 1 for one rate."""


class FoldSpec(Section):
    """One fold of a cross-validation; ``python -m training cross-validate`` runs them all."""

    count: int = Field(default=0, ge=0)
    """Number of folds; 0 for the data set's own split."""
    index: int = Field(default=0, ge=0)
    """The fold that is held out, counted from 0."""
    seed: int = 0
    """Seed of the division into folds. The seed of the recipe does not change the folds."""

    @model_validator(mode="after")
    def index_below_count(self) -> Self:
        if self.count == 1 or self.index >= max(self.count, 1):
            raise ValueError("needs a count of at least 2 and an index below it")
        return self


Frequency = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CalibrationSpec(Section):
    temperature: bool = True
    """Fit a temperature on the validation split (Guo et al., ICML 2017)."""
    target_prior: Literal["train", "uniform"] | Annotated[list[Frequency], Field(min_length=2)] = "train"
    """The class frequencies that the probabilities assume."""
    coverage: float | None = Field(default=0.9, gt=0, lt=1)
    """The fraction of new images whose prediction set should contain the label (:mod:`training.evaluation.conformal`);
    null for no sets."""


class CardText(Section):
    """The texts of the model card that are not measured."""

    description: Text
    intended_use: Text
    modality: ImagingModality | None = None
    """The kind of image, for the card's scope; the service checks DICOM files against it. Null: not checked."""
    limits: list[Text] = Field(min_length=1)


class Recipe(Section):
    """A training run from data to package."""

    name: Name
    dataset: DatasetName
    data: Path | None = None
    """The file or folder; by default the data set's own file name under ``data/``."""
    on_corrupt: Literal["fail", "skip"] = "fail"
    """Images that can't be read. ``fail`` names them and does not start; ``skip`` leaves them out and records them."""
    task: Task = "multi-class"
    input: InputChoice = InputChoice()
    cache: bool = True
    """Keep every decoded image on disk. With false, ``workers`` decode them anew in each epoch, and files are not read
    before the run starts, ``on_corrupt: skip`` apart: for data that do not fit on the disk."""
    workers: int = Field(default=4, ge=0)
    """Processes that decode images where ``cache`` is false; 0 decodes in the training process."""
    folder: FolderSpec = FolderSpec()
    odir: OdirSpec = OdirSpec()
    dtd: DtdSpec = DtdSpec()
    office_home: OfficeHomeSpec = OfficeHomeSpec()
    provenance: Provenance = Provenance()
    network: NetworkSpec = NetworkSpec()
    seed: int = 0
    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=64, ge=2)
    """Images per step, of all processes together if ``torchrun`` starts several."""
    optimiser: OptimiserSpec = OptimiserSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    loss: LossSpec = LossSpec()
    augmentation: AugmentationSpec = AugmentationSpec()
    fine_tuning: FineTuningSpec = FineTuningSpec()
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Of the exponential moving average of the weights that is validated and exported; 0 for none."""
    select_by: Literal["macro_auc", "balanced_accuracy", "accuracy", "macro_f1", "mcc", "odir_score"] = "macro_auc"
    """Which validation figure chooses the best epoch."""
    patience: int = Field(default=0, ge=0)
    """Stop after this number of epochs without a better ``select_by``. 0: never stop early."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint is evaluated and exported: the best epoch by ``select_by``, or the last, which a small
    validation split can't flatter."""
    checkpoint_every: int = Field(default=0, ge=0)
    """Steps between checkpoints, in addition to the one after each epoch. 0: only after each epoch."""
    folds: FoldSpec = FoldSpec()
    calibration: CalibrationSpec = CalibrationSpec()
    card: CardText
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0)
    """CPU threads for torch. 0: what ``OMP_NUM_THREADS`` says, or as many CPUs as affinity and cgroup allow. On a
    machine that others use too, fewer are faster than all."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """``bfloat16`` is autocast, on CPU and GPU; weights, SRM's pooling, loss and validation stay float32."""
    channels_last: bool = False
    """Memory format (N, H, W, C) on a GPU; on a CPU it stays off (:mod:`training.fitting.forward` says why)."""
    compile: bool = False
    """``torch.compile`` the network: the first step takes a minute or more, later ones are faster."""
    deterministic: bool = False
    """On a GPU, torch's deterministic algorithms alone: a run then repeats, and resumes, bit for bit."""
    sync_batch_norm: bool = False
    """With several processes, batch statistics over all of them, SRM's included, instead of each one's own."""
    tracking: Literal["none", "mlflow"] = "none"

    @model_validator(mode="after")
    def figures_of_the_task(self) -> Self:
        multi_label = self.task == "multi-label"
        if self.select_by not in ("macro_auc", "macro_f1") and multi_label != (self.select_by == "odir_score"):
            raise ValueError(f"select_by: {self.select_by} is no figure of a {self.task} task")
        if multi_label and self.loss.ordinal_sharpness:
            raise ValueError("loss.ordinal_sharpness is for ordered grades, not for a multi-label task")
        return self


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the project, by name."""
    folder = Path(str(resources.files("training") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_package_recipe(name_or_path: str | None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that reads a package's data, which the package does not hold.

    Raises:
        TrainingError: if none is named, or as :func:`load_recipe`.
    """
    if name_or_path is None:
        raise TrainingError("a package does not hold its data: name the recipe that reads them with --recipe")
    return load_recipe(name_or_path, overrides)


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or any recipe by path, and apply ``key.subkey=value`` overrides.

    Raises:
        TrainingError: for an unknown recipe or key (naming the nearest known one), or a value that does not fit.
    """
    shipped = shipped_recipes()
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        near = difflib.get_close_matches(name_or_path, shipped, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; shipped recipes: {', '.join(shipped)}"
        raise TrainingError(f"No recipe {name_or_path!r}: neither a shipped recipe nor a file{hint}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise TrainingError(f"{path} is not valid YAML: {problem or error}{where}") from None
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path} is not a recipe in UTF-8 text: {error}") from None
    if not isinstance(content, dict):
        raise TrainingError(f"{path} does not hold a recipe: expected keys and values, such as `name: my-model`")
    for override in overrides:
        apply_override(content, override)
    return check_recipe(content, str(path))


def check_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Validate a recipe's content; ``origin`` names it in errors."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        faults = "\n".join(f"  {describe_fault(fault)}" for fault in error.errors())
        raise TrainingError(f"{origin} is not a valid recipe:\n{faults}") from None


def apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise TrainingError(f"--set {override!r}: write it as key=value, for example --set epochs=10")
    *parents, last = key.split(".")
    target = content
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise TrainingError(f"--set {override!r}: {parent!r} holds a value, not further keys")
    try:
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise TrainingError(f"--set {override!r}: the value is not valid YAML: {error}") from None


def describe_fault(fault: Any) -> str:
    """Describe an error in one line. For an unknown key, name the nearest known one."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"{where or 'recipe'}: {fault['msg']} (got {fault['input']!r})"
    section: Any = Recipe
    for part in fault["loc"][:-1]:
        section = section.model_fields[part].annotation
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key; {hint}"
