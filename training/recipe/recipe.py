"""A recipe: everything that decides a training run."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.card import Content, Name, Task
from models.scope import ImagingModality
from models.section import Text
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
    workers: int | None = Field(default=None, ge=0)
    """Processes that decode images where ``cache`` is false. Null: one for each CPU that affinity and cgroup allow; 0
    decodes in a thread of the training process."""
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
    accumulate: int = Field(default=1, ge=1)
    """Parts into which each process divides its batch, one after another, if the whole does not fit into memory."""
    validation_batch_size: int | None = Field(default=None, ge=1)
    """Images that validation takes at once. Null: as many as evaluation, 128 at 224 px and fewer of larger images."""
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
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """The other two are autocast; weights, SRM's pooling, loss and validation stay float32. ``float16`` is for GPUs
    without bfloat16: its loss is scaled, and a step whose gradient overflows is left out."""
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
