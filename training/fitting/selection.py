"""The best epoch so far, and early stopping."""

from typing import Any

from torch import Tensor, nn

from training.recipe import Recipe


class Selection:
    """The best epoch by one validation figure, the higher the better. Of equal epochs, the first."""

    def __init__(self, recipe: Recipe) -> None:
        self.figure = recipe.select_by
        self.patience = recipe.patience
        self.epoch = 0
        self.value = float("-inf")
        self.network: dict[str, Tensor] = {}

    def update(self, epoch: int, figures: dict[str, float], network: nn.Module) -> bool:
        """Store the figures of an epoch, and a copy of the network if they are the best so far."""
        value = figures[self.figure]
        if self.epoch and not value > self.value:
            return False
        self.epoch, self.value = epoch, value
        self.network = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        return True

    def exhausted(self, epoch: int) -> bool:
        """Whether ``patience`` epochs have passed since the best."""
        return bool(self.patience) and epoch - self.epoch >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "value": self.value, "network": self.network}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.value, self.network = state["epoch"], state["value"], state["network"]
