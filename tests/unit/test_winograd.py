"""Convolutions in tiles: the same as plain ones, forwards and backwards, where they are used."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

import torch.nn.functional as F  # noqa: E402

from facesketch.memory_layout import layout_of, pick_layout  # noqa: E402
from facesketch.models import ResNetGenerator, winograd  # noqa: E402
from facesketch.models.winograd import WinogradConv2d, winograd_conv2d  # noqa: E402

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def random_input(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    """Normal numbers that want a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


@pytest.mark.parametrize("size", [(4, 4), (8, 4), (12, 16)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_result_and_gradients_are_those_of_a_convolution(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    x = random_input(2, 3, size[0] + 2, size[1] + 2)
    weight = random_input(5, 3, 3, 3, seed=1)
    laid_out = x.detach().contiguous(memory_format=layout).requires_grad_()
    result, expected = winograd_conv2d(laid_out, weight), F.conv2d(x, weight)
    torch.testing.assert_close(result, expected)
    toward = random_input(2, 5, *size, seed=2).detach()
    got = torch.autograd.grad(result, (laid_out, weight), toward)
    torch.testing.assert_close(got, torch.autograd.grad(expected, (x, weight), toward))


def test_float32_is_exact_enough() -> None:
    x = random_input(1, 256, 18, 18, dtype=torch.float32)
    weight = random_input(256, 256, 3, 3, dtype=torch.float32, seed=1)
    exact = F.conv2d(x.double(), weight.double())
    assert (winograd_conv2d(x, weight) - exact).abs().max() < 3e-5 * exact.abs().max()


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_needs_no_gradient_gets_none(frozen: int) -> None:
    inputs = [random_input(1, 2, 6, 6), random_input(2, 2, 3, 3, seed=1)]
    inputs[frozen].requires_grad_(False)
    winograd_conv2d(*inputs).sum().backward()
    assert [tensor.grad is None for tensor in inputs] == [frozen == 0, frozen == 1]


def test_second_derivatives_are_refused() -> None:
    x, weight = random_input(1, 1, 6, 6), random_input(1, 1, 3, 3, seed=1)
    (grad,) = torch.autograd.grad(winograd_conv2d(x, weight).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_the_blocks_of_a_resnet_use_it_while_they_train(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = ResNetGenerator(3, 3, 2, "transpose", filters=4), torch.rand(1, 3, 32, 48)
    sizes = []

    def counted(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        sizes.append(x.shape[2:])
        return winograd_conv2d(x, weight)

    monkeypatch.setattr(winograd, "winograd_conv2d", counted)
    in_tiles = network(image)
    assert sizes == [(10, 14)] * 4
    torch.testing.assert_close(in_tiles, network.eval()(image), atol=1e-5, rtol=0)
    assert len(sizes) == 4


@pytest.mark.parametrize("case", ["evaluation", "other sizes", "float64", "bfloat16"])
def test_elsewhere_it_is_a_plain_convolution(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(winograd, "winograd_conv2d")
    conv, x = WinogradConv2d(2, 3), torch.rand(1, 2, 10, 10)
    if case == "evaluation":
        conv.eval()
    elif case == "other sizes":
        x = x[..., 1:]
    elif case == "float64":
        conv, x = conv.double(), x.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "bfloat16"):
        assert torch.equal(conv(x), F.conv2d(x, conv.weight, conv.bias))


@pytest.mark.parametrize(
    ("generator", "device", "precision", "is_last"),
    [
        ("compact", CPU, torch.float32, True),
        ("resnet9", CPU, torch.float32, False),
        ("resnet6", CPU, torch.float32, False),
        ("resnet9", CPU, torch.bfloat16, True),
        ("resnet9", CUDA, torch.float32, True),
    ],
)
def test_layouts(
    generator: str, device: torch.device, precision: torch.dtype, is_last: bool
) -> None:
    layout = pick_layout(generator, device, precision)  # type: ignore[arg-type]
    assert (layout == torch.channels_last) == is_last
    assert layout_of(torch.rand(2, 3, 4, 4).contiguous(memory_format=layout)) == layout
