"""3x3 convolutions in a quarter of the multiplications, for training wide networks on a CPU.

F(4x4, 3x3) of Lavin & Gray 2016 (https://arxiv.org/abs/1509.09308, Eq. 8 and section 4.1):

    Y = A^T [ (G g G^T) * (B^T d B) ] A

for every tile d of 6x6 inputs, every kernel g and every tile Y of 4x4 outputs. Summed over the
channels, the products in the middle are 36 matrix products, forwards and for both gradients. A
picture is off by about 1e-5 of its largest value, where TF32 is by 1e-3.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

OUT = 4
"""Side of a tile of outputs."""

IN = OUT + 2
"""Side of a tile of inputs; neighbours overlap by two."""

Shape: TypeAlias = tuple[int, int, int]
"""Images, and tiles down and across each."""


def _on_both_axes(rows: list[list[float]]) -> Tensor:
    """Return the matrix that does to flattened squares what M X M^T does to squares."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix)


_INPUT = _on_both_axes(  # B^T
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = _on_both_axes(  # G
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OUTPUT = _on_both_axes(  # A^T
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution without padding that trains fast on a CPU; elsewhere it is a plain one.

    It takes half the time of oneDNN's at 256 channels, no less at 128, more at 64
    (benchmarks/train_step.py times the networks of the paper, which have 256).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, in, H + 2, W + 2) to (B, out, H, W); H and W of any size.

        Only multiples of 4, in float32 and while training, are convolved in tiles.
        """
        is_float32 = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        has_tiles = x.shape[2] % OUT == x.shape[3] % OUT == IN - OUT
        if not (self.training and x.device.type == "cpu" and is_float32 and has_tiles):
            return super().forward(x)
        assert self.bias is not None  # noqa: S101  # bias=True above
        return winograd_conv2d(x, self.weight) + self.bias[:, None, None]


def winograd_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve (B, in, H + 2, W + 2) by (out, in, 3, 3) to (B, out, H, W), H and W multiples of 4.

    Differentiable once.
    """
    return cast("Tensor", _Winograd.apply(x, weight))  # type: ignore[no-untyped-call]


class _Winograd(torch.autograd.Function):
    """Tensors inside are (36, T, C): places in a tile, tiles, channels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        shape = (x.shape[0], x.shape[2] // OUT, x.shape[3] // OUT)
        tiles = _transform(_INPUT, _cut(x))
        ctx.save_for_backward(tiles, weight)
        ctx.shape = shape
        return _join(_transform(_OUTPUT, torch.bmm(tiles, _kernels(weight))), shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        tiles, weight = ctx.saved_tensors
        grad_tiles = _transform(_OUTPUT.T, _cut_apart(grad, ctx.shape))
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            pieces = torch.bmm(grad_tiles, _kernels(weight).transpose(1, 2))
            grad_x = _add_up(_transform(_INPUT.T, pieces), ctx.shape)
        if ctx.needs_input_grad[1]:
            grad_kernels = torch.bmm(tiles.transpose(1, 2), grad_tiles)
            places = _transform(_KERNEL.T, grad_kernels)
            grad_weight = places.view(3, 3, *places.shape[1:]).permute(3, 2, 0, 1)
        return grad_x, grad_weight


def _transform(matrix: Tensor, places: Tensor) -> Tensor:
    """Multiply (M, N) by (N, T, C), all tiles and channels at once, to (M, T, C)."""
    flat = matrix.to(places.dtype) @ places.reshape(len(places), -1)
    return flat.view(-1, *places.shape[1:])


def _kernels(weight: Tensor) -> Tensor:
    """Transform (out, in, 3, 3) to (36, in, out)."""
    return _transform(_KERNEL, weight.permute(2, 3, 1, 0).flatten(0, 1))


def _cut(x: Tensor) -> Tensor:
    """Cut (B, C, H + 2, W + 2) into overlapping tiles, (36, T, C)."""
    last = x.permute(0, 2, 3, 1).contiguous()  # channels together: what is copied is in one piece
    tiles = last.unfold(1, IN, OUT).unfold(2, IN, OUT)  # (B, down, across, C, 6, 6)
    return tiles.permute(4, 5, 0, 1, 2, 3).reshape(IN * IN, -1, x.shape[1])


def _add_up(tiles: Tensor, shape: Shape) -> Tensor:
    """Put overlapping tiles back together, the gradient of `_cut`: (36, T, C) to (B, C, ...)."""
    batch, down, across = shape
    channels = tiles.shape[-1]
    tiles = tiles.view(IN, IN, *shape, channels).permute(2, 3, 0, 4, 1, 5)
    # Squares of 4x4: the last two rows and columns of a tile are the first of the next one.
    grid = tiles.new_zeros(batch, down + 1, OUT, across + 1, OUT, channels)
    grid[:, :down, :, :across] = tiles[:, :, :OUT, :, :OUT]
    grid[:, 1:, :2, :across] += tiles[:, :, OUT:, :, :OUT]
    grid[:, :down, :, 1:, :2] += tiles[:, :, :OUT, :, OUT:]
    grid[:, 1:, :2, 1:, :2] += tiles[:, :, OUT:, :, OUT:]
    whole = grid.view(batch, OUT * (down + 1), OUT * (across + 1), channels)
    return whole[:, : OUT * down + 2, : OUT * across + 2].permute(0, 3, 1, 2).contiguous()


def _cut_apart(images: Tensor, shape: Shape) -> Tensor:
    """Cut (B, C, H, W) into squares of 4x4, (16, T, C)."""
    batch, down, across = shape
    last = images.permute(0, 2, 3, 1).reshape(batch, down, OUT, across, OUT, -1)
    return last.permute(2, 4, 0, 1, 3, 5).reshape(OUT * OUT, -1, images.shape[1])


def _join(squares: Tensor, shape: Shape) -> Tensor:
    """Put squares of 4x4 together, (16, T, C) to (B, C, H, W), contiguous."""
    batch, down, across = shape
    channels = squares.shape[-1]
    grid = squares.view(OUT, OUT, *shape, channels).permute(2, 3, 0, 4, 1, 5)
    return grid.reshape(batch, OUT * down, OUT * across, channels).permute(0, 3, 1, 2).contiguous()
