"""The model card: what it holds, and every rule it refuses by."""

import json
from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from models.card import Card, StyleReference

Fields = dict[str, Any]
REQUIRED = (
    "name",
    "version",
    "description",
    "task",
    "labels",
    "input",
    "architecture",
    "blocks",
    "gate_reference",
    "training_data",
    "measured",
    "calibration",
    "parity",
    "intended_use",
    "limits",
    "source_commit",
    "libraries",
    "recipe",
    "created",
)


def changed(fields: Fields, path: str, value: object) -> Fields:
    """The fields with another value at ``path``, such as ``measured.results.0.metric``."""
    result = deepcopy(fields)
    *folders, last = path.split(".")
    place: Any = result
    for step in folders:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return result


def sets(fields: Fields, **changes: object) -> Fields:
    """The fields with prediction sets, as a card of version 2 has them."""
    measured = {
        "data": "x",
        "split": "test",
        "images": 40,
        "coverage": 0.92,
        "interval": [0.85, 0.98],
        "by_label": {"normal": 0.95, "drusen": 0.9, "oedema": 0.8},
        "mean_set_size": 1.3,
    }
    conformal = {
        "method": "lac",
        "coverage": 0.9,
        "thresholds": [0.3, 0.2, 0.1],
        "calibrated_on": "validation split",
        "guarantee": "on average",
        "measured": measured,
    }
    return {
        **fields,
        "schema_version": 3,
        "style": None,
        "scope": None,
        "initial_weights": None,
        "conformal": {**conformal, **changes},
    }


def without_gates(fields: Fields) -> Fields:
    return {**fields, "blocks": [], "gate_reference": None}


def test_survives_json(card_fields: Fields) -> None:
    card_fields["style"] = card_fields["scope"] = card_fields["initial_weights"] = None
    card = Card.model_validate_json(json.dumps(card_fields))
    assert json.loads(card.model_dump_json()) == card_fields
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_an_earlier_card_says_nothing_of_class_frequencies(card_fields: Fields) -> None:
    """Its errors are then known to be at those of the split: there is no number of images that a weighting left."""
    for part, names in {"calibration": ("ece_interval", "effective_images"), "measured": ("effective_images",)}.items():
        for name in names:
            del card_fields[part][name]
    del card_fields["measured"]["reliability"][0]["share"]
    card = Card.model_validate(card_fields)
    assert card.calibration.effective_images is None
    assert card.measured.effective_images is None
    assert card.measured.reliability is not None
    assert card.measured.reliability[0].share is None


def test_survives_json_with_prediction_sets(card_fields: Fields) -> None:
    card = Card.model_validate_json(json.dumps(sets(card_fields)))
    assert json.loads(card.model_dump_json()) == sets(card_fields)


def test_a_card_of_the_first_version_has_no_prediction_sets(card_fields: Fields) -> None:
    del card_fields["conformal"]  # as the cards of that version are
    card = Card.model_validate_json(json.dumps(card_fields))
    assert (card.schema_version, card.conformal) == (1, None)
    with pytest.raises(ValidationError, match="conformal: a card with prediction sets has schema_version 2 or 3"):
        Card.model_validate(changed(sets(card_fields), "schema_version", 1))


def test_new_cards_are_of_the_third_version(card_fields: Fields) -> None:
    del card_fields["schema_version"]
    assert Card.model_validate(card_fields).schema_version == 3


STYLE: Fields = {
    "method": "m",
    "blocks": ["input", "layer1.0"],
    "training_images": 20,
    "validation_images": 5,
    "validation_quantiles": [-1.0, 0.0, 0.5, 2.0, 3.0],
    "usual_up_to": 2.5,
    "unlike_beyond": 6.0,
    "rule": "r",
}


def test_a_style_reference_needs_the_third_version(card_fields: Fields) -> None:
    styled = {**card_fields, "style": STYLE}
    card = Card.model_validate({**styled, "schema_version": 3})
    assert card.outputs[3:] == ("style_shift", "style_shift_by_block")
    assert Card.model_validate_json(card.model_dump_json()) == card
    for version in (1, 2):
        with pytest.raises(ValidationError, match="style: a card with a style reference has schema_version 3"):
            Card.model_validate({**styled, "conformal": None, "schema_version": version})


@pytest.mark.parametrize(
    ("shift", "verdict", "percentile"),
    [
        (-2.0, "usual", 0.0),
        (0.25, "usual", 37.5),
        (0.5, "usual", 50.0),
        (2.5, "usual", 87.5),
        (2.6, "unusual", 90.0),
        (6.0, "unusual", 100.0),
        (6.1, "unlike", 100.0),
    ],
)
def test_a_verdict_follows_from_the_thresholds(shift: float, verdict: str, percentile: float) -> None:
    reference = StyleReference.model_validate(STYLE)
    assert reference.verdict(shift) == verdict
    assert reference.percentile(shift) == pytest.approx(percentile)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"usual_up_to": 7.0}, "above unlike_beyond"),
        ({"validation_quantiles": [1.0, 0.0]}, "do not ascend"),
        ({"blocks": []}, "at least 1"),
    ],
)
def test_a_style_reference_that_contradicts_itself(changes: Fields, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        StyleReference.model_validate(STYLE | changes)


@pytest.mark.parametrize(
    ("probabilities", "members"),
    [
        ([0.6, 0.35, 0.05], [0, 1]),
        ([0.2, 0.25, 0.55], [2, 1]),
        ([0.3, 0.2, 0.5], [2, 0, 1]),  # a threshold that is just reached lets in
        ([0.29, 0.19, 0.09], [0]),  # nothing reaches its threshold: the most probable is in all the same
    ],
)
def test_members_of_a_prediction_set(card_fields: Fields, probabilities: list[float], members: list[int]) -> None:
    conformal = Card.model_validate(sets(card_fields)).conformal
    assert conformal is not None
    assert conformal.members(probabilities) == members


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("conformal.thresholds", [0.1, 0.2], "conformal: thresholds needs one value for each of 3 labels"),
        ("task", "multi-label", "conformal: a multi-label task has no prediction sets"),
        ("conformal.thresholds.0", 1.1, "less than or equal to 1"),
        ("conformal.coverage", 1.0, "less than 1"),
        ("conformal.method", "magic", "'lac'"),
        ("conformal.measured.coverage", float("nan"), "finite number"),
        ("conformal.surprise", 1, "Extra inputs are not permitted"),
    ],
)
def test_prediction_sets_that_are_refused(card_fields: Fields, place: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Card.model_validate(changed(sets(card_fields), place, value))


def test_survives_json_without_recalibration(card_fields: Fields) -> None:
    card = Card.model_validate(without_gates(card_fields))
    assert Card.model_validate_json(card.model_dump_json()) == card
    assert card.gates == 0


def test_number_of_gates(card_fields: Fields) -> None:
    assert Card.model_validate(card_fields).gates == 5


@pytest.mark.parametrize("task", ["multi-class", "multi-label", "ordinal"])
def test_tasks(card_fields: Fields, task: str) -> None:
    assert Card.model_validate(changed(card_fields, "task", task)).task == task


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("labels", ["a", "b", "a"], "labels: two labels are the same"),
        ("labels", ["a", "b", " a "], "labels: two labels are the same"),
        ("labels", ["a", "b"], "labels: 2 labels for a network of 3 classes"),
        ("architecture.num_classes", 4, "labels: 3 labels for a network of 4 classes"),
        ("calibration.log_prior_shift", [0.0, 0.0], "calibration: .* one value for each of 3 labels"),
        ("calibration.target_prior", [0.25] * 4, "calibration: .* one value for each of 3 labels"),
        ("calibration.target_prior", [0.5, 0.3, 0.3], "calibration: target_prior sums to 1.1, not to 1"),
        ("measured.confusion", [[1, 2], [3, 4]], "measured: confusion needs 3 rows and columns"),
        ("measured.confusion.1", [9, 1], "measured: confusion needs 3 rows and columns"),
        ("input.channels", 1, "input: 1 channels for a network of 3"),
        ("blocks.0.offset", 1, "blocks: layer1.0 starts at 1, expected 0"),
        ("blocks.1.offset", 3, "blocks: layer1.1 starts at 3, expected 2"),
        ("blocks.1.offset", 0, "blocks: layer1.1 starts at 0, expected 2"),
        ("blocks.0.channels", 4, "blocks: layer1.1 starts at 2, expected 4"),
        ("gate_reference", None, "gate_reference: needed exactly where the network has recalibration"),
        ("blocks", [], "gate_reference: needed exactly where the network has recalibration"),
        ("gate_reference.mean", [0.5] * 4, "gate_reference: mean and std need one value for each of 5 gates"),
        ("gate_reference.std", [0.1] * 6, "gate_reference: mean and std need one value for each of 5 gates"),
        ("blocks.1.channels", 4, "gate_reference: mean and std need one value for each of 6 gates"),
    ],
)
def test_parts_that_contradict_each_other(card_fields: Fields, path: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Card.model_validate(changed(card_fields, path, value))


@pytest.mark.parametrize("field", REQUIRED)
def test_every_field_is_required(card_fields: Fields, field: str) -> None:
    del card_fields[field]
    with pytest.raises(ValidationError, match=rf"1 validation error for Card\n{field}\n  Field required"):
        Card.model_validate(card_fields)


def test_required_means_required() -> None:
    """Only what a card of an earlier schema, or a model of another kind, does not have."""
    optional = {"schema_version", "conformal", "style", "scope", "initial_weights", "quantisation"}
    assert Card.model_fields.keys() == {*REQUIRED, *optional}


@pytest.mark.parametrize(
    "place",
    [
        "",
        "input.",
        "architecture.",
        "blocks.0.",
        "gate_reference.",
        "training_data.",
        "measured.",
        "measured.results.0.",
        "calibration.",
        "parity.",
    ],
)
def test_unknown_fields_are_refused_everywhere(card_fields: Fields, place: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Card.model_validate(changed(card_fields, f"{place}surprise", 1))


@pytest.mark.parametrize("name", ["a", "oct", "OCT-v2.1_b", "7", "x" * 64])
def test_names(card_fields: Fields, name: str) -> None:
    assert Card.model_validate(changed(card_fields, "name", name)).name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../etc", "a/b", "a\\b", "-a", "_a", ".a", "a b", "a\n", "é", "a%00", "a\0", "x" * 65]
)
def test_names_that_are_no_folder(card_fields: Fields, name: str) -> None:
    with pytest.raises(ValidationError, match=r"name\n.*pattern"):
        Card.model_validate(changed(card_fields, "name", name))


@pytest.mark.parametrize("version", ["1", "20", "999999999"])
def test_versions(card_fields: Fields, version: str) -> None:
    assert Card.model_validate(changed(card_fields, "version", version)).version == version


@pytest.mark.parametrize("version", ["", "0", "01", "-1", "1.0", "v1", "1 ", "1\n", "²", "1" * 10, ".."])
def test_versions_that_triton_would_not_read(card_fields: Fields, version: str) -> None:
    with pytest.raises(ValidationError, match=r"version\n.*pattern"):
        Card.model_validate(changed(card_fields, "version", version))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 4),
        ("task", "regression"),
        ("labels", ["only"]),
        ("labels.1", "  "),
        ("description", ""),
        ("input.channels", 2),
        ("input.height", 0),
        ("input.crop", "top"),
        ("input.interpolation", "nearest"),
        ("architecture.depth", 19),
        ("architecture.recalibration", "eca"),
        ("architecture.correction", 2),
        ("architecture.dropout", 1.0),
        ("blocks.0.offset", -1),
        ("blocks.0.channels", 0),
        ("gate_reference.images", 0),
        ("measured.results", []),
        ("measured.perturbations.0.flagged", 1.1),
        ("measured.seeds", 0),
        ("measured.results.0.interval", [0.1]),
        ("calibration.temperature", 0),
        ("calibration.ece_after", -0.1),
        ("calibration.effective_images", 0),
        ("measured.reliability.0.share", 1.1),
        ("parity.opset", 19),
        ("limits", []),
    ],
)
def test_values_out_of_range(card_fields: Fields, path: str, value: object) -> None:
    with pytest.raises(ValidationError, match="1 validation error"):
        Card.model_validate(changed(card_fields, path, value))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "path",
    [
        "measured.results.0.value",
        "measured.results.0.interval.1",
        "calibration.temperature",
        "calibration.log_prior_shift.0",
        "calibration.target_prior.2",
        "calibration.ece_before",
        "gate_reference.mean.0",
        "parity.worst_difference.probabilities",
    ],
)
def test_values_that_json_does_not_have(card_fields: Fields, path: str, value: float) -> None:
    """They'd become null on the way into the file, which then could not be read."""
    with pytest.raises(ValidationError):
        Card.model_validate(changed(card_fields, path, value))


def test_defaults_of_the_input(card_fields: Fields) -> None:
    card = Card.model_validate(changed(card_fields, "input", {"height": 28, "width": 28, "channels": 3}))
    assert (card.input.crop, card.input.interpolation) == ("centre-square", "bicubic")


def test_does_not_change(card_fields: Fields) -> None:
    card = Card.model_validate(card_fields)
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        card.calibration.temperature = 2.0  # type: ignore[misc]
