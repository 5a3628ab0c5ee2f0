"""Networks with random weights whose answers differ as a trained one's do."""

import torch

from models.architecture import Architecture
from models.resnet import ResNet


def random_network(architecture: Architecture, seed: int) -> ResNet:
    """A network whose gates and logits differ from image to image, as a trained one's do."""
    torch.manual_seed(seed)
    network = ResNet(architecture)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("cfc"):
                value.normal_(0, 2)
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return network.eval()
