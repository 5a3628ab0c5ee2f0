"""``create_recalibration``: every name, what all modules share, and what it refuses."""

import pytest
import torch

from models.recalibration import (
    GatherExcite,
    Recalibration,
    SqueezeExcitation,
    StyleRecalibration,
    create_recalibration,
)


@pytest.mark.parametrize(
    ("name", "kind"), [("srm", StyleRecalibration), ("se", SqueezeExcitation), ("ge", GatherExcite)]
)
def test_builds_each_kind_by_name(name: str, kind: type[Recalibration]) -> None:
    module = create_recalibration(name, 32, spatial_size=5)
    assert type(module) is kind
    x = torch.randn(3, 32, 5, 5)
    y, gate = module(x)
    assert gate.shape == (3, 32)
    assert ((gate > 0) & (gate < 1)).all()
    assert torch.equal(y, x * gate[:, :, None, None])
    assert torch.equal(module.eval().gate(x), module(x)[1])


def test_none_gives_no_module() -> None:
    assert create_recalibration("none", 32) is None


@pytest.mark.parametrize("correction", [0, 1])
def test_correction_reaches_srm(correction: int) -> None:
    module = create_recalibration("srm", 4, correction=correction)
    assert isinstance(module, StyleRecalibration)
    assert module.correction == correction


def test_srm_has_no_bias_by_default() -> None:
    module = create_recalibration("srm", 4)
    assert isinstance(module, StyleRecalibration)
    assert module.correction == 1


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown recalibration 'eca': choose one of srm, se, ge, none"):
        create_recalibration("eca", 4)


def test_gather_excite_needs_a_size() -> None:
    with pytest.raises(ValueError, match="'ge' needs spatial_size"):
        create_recalibration("ge", 4)


def test_a_module_must_define_its_gate() -> None:
    class Ungated(Recalibration):
        pass

    with pytest.raises(NotImplementedError, match=r"Ungated must define gate\(\)"):
        Ungated()(torch.zeros(1, 1, 1, 1))


@pytest.mark.parametrize("name", ["srm", "se", "ge"])
def test_adds_the_shortcut_of_a_block(name: str) -> None:
    module = create_recalibration(name, 8, spatial_size=6)
    assert module is not None
    module.eval()
    x, shortcut = torch.randn(3, 8, 6, 6), torch.randn(3, 8, 6, 6)
    y, gate = module(x, shortcut)
    torch.testing.assert_close(y, x * gate[:, :, None, None] + shortcut)
    assert torch.equal(gate, module(x)[1])
