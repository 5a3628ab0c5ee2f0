"""mixup: train on blends of two images with the same blend of their labels.

Zhang, Cisse, Dauphin, Lopez-Paz: "mixup: Beyond Empirical Risk Minimization", ICLR 2018,
https://arxiv.org/abs/1710.09412.
"""

import torch
from monai.transforms import Randomizable
from torch import Tensor


class MixUp(Randomizable):
    """Blend each image of a batch with another one; the part is drawn from Beta(alpha, alpha) for each image.

    MONAI has a transform of this name, which takes neither labels of shape (N, K) nor tensors on a GPU.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, data: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Blend images (N, C, H, W) and class probabilities (N, K) alike."""
        weight = torch.from_numpy(self.R.beta(self.alpha, self.alpha, len(data)).astype("float32")).to(data.device)
        other = torch.from_numpy(self.R.permutation(len(data))).to(data.device)
        images, labels = weight[:, None, None, None], weight[:, None]
        return images * data + (1 - images) * data[other], labels * targets + (1 - labels) * targets[other]
