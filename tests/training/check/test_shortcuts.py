"""Classes that can be told apart without the retina: found where they are planted, and not where they are not."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.check.pictures import entry, picture, scans
from training.check.scan import Scan, scan
from training.check.shortcuts import Shortcut, find_shortcuts, shortcut_findings
from training.check.source import Entry, read_source


def of_kind(found: list[Shortcut], kind: str) -> Shortcut:
    return next(shortcut for shortcut in found if shortcut.kind == kind)


def faked(count: int, seed: int = 0) -> tuple[list[Entry], list[Scan]]:
    """Entries of two classes at random, and the scan of one picture for all."""
    random = np.random.default_rng(seed)
    labels = random.choice(["ill", "healthy"], count)
    return [entry(n, picture(0), label) for n, label in enumerate(labels)], scans([picture(0)]) * count


def test_a_class_of_a_size_of_its_own_is_found() -> None:
    entries, found = faked(120)
    random = np.random.default_rng(1)
    half_square = [
        scan._replace(width=64 if e.label == "ill" and random.random() < 0.5 else 96, height=64)
        for e, scan in zip(entries, found, strict=True)
    ]
    (shortcut,) = find_shortcuts(entries, half_square)
    # Half of the ill are known by their size and nobody else is: (1 + 1/2) / 2.
    assert shortcut.kind == "size"
    assert shortcut.balanced_accuracy == pytest.approx(0.75, abs=0.05)
    assert shortcut.interval[0] < shortcut.balanced_accuracy < shortcut.interval[1]
    assert shortcut.classes["ill"].mistaken == 0
    (finding,) = shortcut_findings([shortcut])
    assert (finding.severity, finding.check) == ("warning", "shortcuts")
    assert "image size alone" in finding.message


def test_sizes_that_say_nothing_raise_no_alarm() -> None:
    entries, found = faked(200)
    random = np.random.default_rng(2)
    (shortcut,) = find_shortcuts(entries, [s._replace(width=int(random.integers(60, 90))) for s in found])
    assert shortcut.balanced_accuracy == pytest.approx(0.5, abs=0.12)
    assert shortcut_findings([shortcut]) == []


def test_a_size_for_each_patient_is_no_shortcut() -> None:
    # Split by image, a tree would know each patient's size and so the class; it must not.
    random = np.random.default_rng(3)
    label_of = random.choice(["ill", "healthy"], 60)
    patients = np.repeat(np.arange(60), 10)
    entries = [entry(n, picture(0), label_of[p], patient=f"p{p}") for n, p in enumerate(patients)]
    width = random.permutation(60) + 50
    base = scans([picture(0)])[0]
    (shortcut,) = find_shortcuts(entries, [base._replace(width=int(width[p])) for p in patients])
    assert shortcut_findings([shortcut]) == []


def test_what_is_the_same_in_all_images_is_not_measured() -> None:
    assert find_shortcuts(*faked(60)) == []


def test_a_class_of_few_images_is_left_out() -> None:
    entries, found = faked(60)
    entries[:3] = [e._replace(label="rare") for e in entries[:3]]
    found[:3] = [s._replace(width=10) for s in found[:3]]
    found[5] = found[5]._replace(width=11)
    assert set(of_kind(find_shortcuts(entries, found), "size").classes) == {"ill", "healthy"}


def test_quality_and_border_are_found_in_real_files(tmp_path: Path) -> None:
    entries = []
    for number in range(40):
        path = tmp_path / f"{number}.jpg"
        image = picture(number)
        if number % 2:
            image.paste(0, (0, 0, 6, 48))
        image.save(path, quality=60 if number % 2 else 90)
        entries.append(entry(number, path, "ab"[number % 2]))
    found = find_shortcuts(entries, [s for s in scan(entries) if isinstance(s, Scan)])
    assert {shortcut.kind for shortcut in found if shortcut.suspicious} == {"encoding", "border"}
    assert of_kind(found, "encoding").balanced_accuracy == 1


def test_square_scans_of_macular_edema_are_found(shared_data: Path) -> None:
    source = read_source(shared_data / "oct")
    entries = [e for number, e in enumerate(source.entries) if e.label == "DME" or number % 8 == 0]
    size = of_kind(find_shortcuts(entries, [s for s in scan(entries) if isinstance(s, Scan)]), "size")
    assert size.suspicious
    assert size.classes["DME"].recognised == pytest.approx(0.5, abs=0.06)  # half of DME is square
    assert size.classes["DME"].mistaken < 0.05


def test_ocular_has_one_size_and_one_encoding(shared_data: Path) -> None:
    entries = read_source(shared_data / "ocular").entries[::10]
    kinds = {shortcut.kind for shortcut in find_shortcuts(entries, [s for s in scan(entries) if isinstance(s, Scan)])}
    assert kinds <= {"border"}
