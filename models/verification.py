"""How far a package's graph is from the network that was trained. No torch here."""

from pydantic import Field

from models.section import Section, Text


class Parity(Section):
    """How far the ONNX file is from PyTorch, at worst. Of an INT8 package: the float32 graph that it was made from."""

    batch_sizes: list[int]
    worst_difference: dict[str, float]
    """Output name to the largest absolute difference; the style shift's is relative where its value is above 1."""
    opset: int = Field(ge=20)


class Difference(Section):
    """One figure of how an INT8 graph differs from the float32 graph that it was made from."""

    figure: Text
    value: float
    limit: float | None
    """The value must lie below it, or there is no package; None where there is no limit."""

    @property
    def accepted(self) -> bool:
        return self.limit is None or round(self.value, 9) < self.limit


class Quantisation(Section):
    """How a float32 graph became one with 8-bit convolutions, and what that changed.

    All other figures of the card were measured with the float32 network.
    """

    method: Text
    calibration_images: int = Field(ge=1)
    """Training images from which the range of each 8-bit tensor was taken."""
    convolutions: list[Text] = Field(min_length=1)
    """Those in 8 bits, by their names in the network."""
    left_in_float: list[Text]
    """Convolutions that stayed in float32, since they changed the answers most."""
    validation_images: int = Field(ge=1)
    differences: list[Difference] = Field(min_length=1)
    """On the validation images."""
