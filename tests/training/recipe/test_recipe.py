"""Recipes: what is accepted, what is refused, and how the refusal helps."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import training
from tests.training.tiny_data import recipe_content
from training.errors import TrainingError
from training.recipe import Recipe, check_recipe, load_recipe, shipped_recipes

SHIPPED = sorted((Path(training.__file__).parent / "recipes").glob("*.yaml"))


def write_recipe(folder: Path, **changes: Any) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_content(Path("data.npz"), **changes)))
    return str(path)


class TestShipped:
    def test_are_the_files_of_the_folder(self) -> None:
        assert SHIPPED
        assert shipped_recipes() == {path.stem: path for path in SHIPPED}

    @pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
    def test_load_by_name(self, path: Path) -> None:
        assert load_recipe(path.stem).name == yaml.safe_load(path.read_text())["name"]

    def test_name_the_kind_of_image_where_it_is_known(self) -> None:
        named = {name: load_recipe(name).card.modality for name in shipped_recipes()}
        fundus = dict.fromkeys(("acrima", "dr", "lag", "odir", "retinamnist"), "colour fundus photograph")
        scans = {"casia2": "anterior segment OCT", "octmnist": "OCT B-scan"}
        assert {name: kind for name, kind in named.items() if kind} == fundus | scans
        assert load_recipe("folder", ["card.modality=OCT B-scan"]).card.modality == "OCT B-scan"
        with pytest.raises(TrainingError, match=r"card\.modality"):
            load_recipe("folder", ["card.modality=OCT"])

    @pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
    def test_round_trip_through_yaml(self, path: Path, tmp_path: Path) -> None:
        recipe = load_recipe(path.stem, ["data=some/where", "network.initial_weights=start.pth"])
        copy = tmp_path / "resolved.yaml"
        copy.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        assert load_recipe(str(copy)) == recipe


class TestUnknownKey:
    @pytest.mark.parametrize(
        ("changes", "wrong", "near"),
        [
            ({"epoch": 3}, "epoch", "epochs"),
            ({"optimizer": {}}, "optimizer", "optimiser"),
            ({"network": {"dept": 18}}, "network.dept", "depth"),
            ({"augmentation": {"rotations": 10}}, "augmentation.rotations", "rotation"),
            ({"card": {"intended-use": "x"}}, "card.intended-use", "intended_use"),
            ({"loss": {"label_smooting": 0.1}}, "loss.label_smooting", "label_smoothing"),
        ],
    )
    def test_names_the_nearest_known_one(self, tmp_path: Path, changes: dict[str, Any], wrong: str, near: str) -> None:
        path = write_recipe(tmp_path, **changes)
        with pytest.raises(TrainingError) as caught:
            load_recipe(path)
        assert path in str(caught.value)
        assert f"{wrong}: unknown key" in str(caught.value)
        assert repr(near) in str(caught.value)

    def test_like_no_other_lists_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"schedule\.zzz: unknown key.*name.*warmup"):
            load_recipe(write_recipe(tmp_path, schedule={"zzz": 1}))


class TestOverride:
    @pytest.mark.parametrize(
        ("override", "keys", "value"),
        [
            ("epochs=7", "epochs", 7),
            ("network.depth=50", "network depth", 50),
            ("network.recalibration=none", "network recalibration", "none"),
            ("optimiser.learning_rate=3e-4", "optimiser learning_rate", 0.0003),
            ("augmentation.flip_vertical=true", "augmentation flip_vertical", True),
            ("calibration.target_prior=[0.5, 0.3, 0.2]", "calibration target_prior", [0.5, 0.3, 0.2]),
            ("data=folder/with=sign.npz", "data", Path("folder/with=sign.npz")),
            ("data=null", "data", None),
            ("schedule.name=constant", "schedule name", "constant"),  # the file has no such section
        ],
    )
    def test_sets_one_value(self, tmp_path: Path, override: str, keys: str, value: object) -> None:
        path = write_recipe(tmp_path)
        *sections, last = keys.split()

        def section(recipe: Recipe) -> Any:
            found: Any = recipe
            for name in sections:
                found = getattr(found, name)
            return found

        changed = load_recipe(path, [override])
        assert getattr(section(changed), last) == value
        assert getattr(section(load_recipe(path)), last) != value

    def test_leaves_the_rest_of_its_section(self, tmp_path: Path) -> None:
        recipe = load_recipe(write_recipe(tmp_path, network={"width": 0.75}), ["network.depth=34"])
        assert recipe.network.width == 0.75

    def test_later_one_wins(self, tmp_path: Path) -> None:
        assert load_recipe(write_recipe(tmp_path), ["epochs=3", "seed=5", "epochs=4"]).epochs == 4

    @pytest.mark.parametrize("override", ["epochs", "=3", "name.part=1", "epochs=[1", ""])
    def test_of_bad_form_is_quoted_in_the_error(self, tmp_path: Path, override: str) -> None:
        with pytest.raises(TrainingError) as caught:
            load_recipe(write_recipe(tmp_path), [override])
        assert f"--set {override!r}" in str(caught.value)

    def test_of_an_unknown_key_names_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"network\.witdh: unknown key; did you mean 'width'"):
            load_recipe(write_recipe(tmp_path), ["network.witdh=2"])


class TestValues:
    @pytest.mark.parametrize(
        ("override", "where"),
        [
            ("epochs=many", "epochs"),
            ("epochs=0", "epochs"),
            ("batch_size=1", "batch_size"),
            ("name=two words", "name"),
            ("name=../up", "name"),
            ("dataset=mnist", "dataset"),
            ("network.depth=19", "network.depth"),
            ("network.recalibration=cbam", "network.recalibration"),
            ("network.dropout=1", "network.dropout"),
            ("input.channels=2", "input.channels"),
            ("optimiser.learning_rate=-0.1", "optimiser.learning_rate"),
            ("augmentation.rotation=181", "augmentation.rotation"),
            ("ema_decay=1", "ema_decay"),
            ("card.limits=[]", "card.limits"),
            ("card.description='  '", "card.description"),
            ("network=18", "network"),
            ("fine_tuning.stage_decay=0", "fine_tuning.stage_decay"),
            ("precision=float8", "precision"),
            ("patience=-1", "patience"),
            ("tracking=wandb", "tracking"),
        ],
    )
    def test_that_do_not_fit_are_named_with_the_key(self, tmp_path: Path, override: str, where: str) -> None:
        value = yaml.safe_load(override.partition("=")[2])
        with pytest.raises(TrainingError) as caught:
            load_recipe(write_recipe(tmp_path), [override])
        faults = str(caught.value).splitlines()[1:]
        assert len(faults) == 1
        assert faults[0].strip().startswith(f"{where}: ")
        assert repr(value) in faults[0]

    def test_missing_ones_are_named(self, tmp_path: Path) -> None:
        content = recipe_content(Path("data.npz"))
        del content["name"], content["card"]["limits"]
        with pytest.raises(TrainingError) as caught:
            check_recipe(content, "here")
        assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == ["name", "card.limits"]

    def test_class_weights_with_logit_adjustment_are_refused(self, tmp_path: Path) -> None:
        path = write_recipe(tmp_path)
        load_recipe(path, ["loss.class_weights=balanced"])
        load_recipe(path, ["loss.logit_adjustment=1"])
        with pytest.raises(TrainingError, match="class_weights and logit_adjustment"):
            load_recipe(path, ["loss.class_weights=balanced", "loss.logit_adjustment=1"])

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"schedule": {"name": "step"}}, "milestones go with name: step"),
            ({"schedule": {"milestones": [3]}}, "milestones go with name: step"),
            ({"schedule": {"name": "step", "milestones": [6, 3]}}, "milestones must rise"),
            ({"folds": {"count": 1}}, "at least 2"),
            ({"folds": {"count": 5, "index": 5}}, "index below it"),
        ],
    )
    def test_that_contradict_each_other_are_refused(
        self, tmp_path: Path, changes: dict[str, Any], sentence: str
    ) -> None:
        with pytest.raises(TrainingError, match=sentence):
            load_recipe(write_recipe(tmp_path, **changes))

    @pytest.mark.parametrize("prior", [[1, 0, 0, 0, 0], [-1, 2, 1, 1, 1], [0, 0, 0, 0, 0], [], [float("inf"), 1]])
    def test_a_prior_that_has_no_logarithm_is_refused(self, tmp_path: Path, prior: list[float]) -> None:
        with pytest.raises(TrainingError, match="target_prior"):
            load_recipe(write_recipe(tmp_path, calibration={"target_prior": prior}))


class TestFile:
    @pytest.mark.parametrize(
        "text",
        ["name: [unclosed", "a: b: c", "\tname: x", "!!python/object/apply:os.getcwd []"],
        ids=["bracket", "colons", "tab", "python object"],
    )
    def test_that_is_not_plain_yaml(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(TrainingError, match=r"bad\.yaml is not valid YAML"):
            load_recipe(str(path))

    def test_that_is_not_yaml_names_the_line(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.yaml"
        path.write_text("name: mine\nepochs: 3\nnetwork: {depth: 18\nseed: 1\n")
        with pytest.raises(TrainingError, match=r"in line 4, column 5$"):
            load_recipe(str(path))

    def test_that_is_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(b"\x08\x0a\xff\xfe")
        with pytest.raises(TrainingError, match="not a recipe in UTF-8 text"):
            load_recipe(str(path))

    @pytest.mark.parametrize("text", ["", "- name: x\n", "just words\n", "3\n"])
    def test_that_is_not_a_mapping(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(TrainingError, match=r"bad\.yaml does not hold a recipe"):
            load_recipe(str(path), ["epochs=3"])

    @pytest.mark.parametrize(("name", "near"), [("retinmnist", "retinamnist"), ("RetinaMNIST2", "retinamnist")])
    def test_of_unknown_name_suggests_a_shipped_one(self, name: str, near: str) -> None:
        with pytest.raises(TrainingError, match=near) as caught:
            load_recipe(name)
        assert repr(name) in str(caught.value)

    def test_of_a_name_like_no_other_lists_the_shipped_ones(self) -> None:
        with pytest.raises(TrainingError) as caught:
            load_recipe("zzz/qqq.yaml")
        assert all(path.stem in str(caught.value) for path in SHIPPED)

    def test_that_is_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="neither a shipped recipe nor a file"):
            load_recipe(str(tmp_path))
