from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from facesketch.models import (  # noqa: E402
    CompactGenerator,
    PatchDiscriminator,
    ResNetGenerator,
    generator,
)
from facesketch.models.layers import WSConv2d, fold, load_folded  # noqa: E402

pytestmark = pytest.mark.train


def num_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize(("name", "count"), [("resnet9", 11_378_179), ("resnet6", 7_837_699)])
def test_resnets_have_the_parameters_of_the_paper(name: str, count: int, upsample: str) -> None:
    assert num_parameters(generator(name, 3, 3, upsample)) == count


def test_discriminator_has_the_parameters_of_the_paper() -> None:
    assert num_parameters(PatchDiscriminator(3)) == 2_764_737


def paper_resnet(x: Tensor, weights: Iterator[Tensor], num_blocks: int) -> Tensor:
    """Zhu et al. 2017, appendix 7.2, written out with functions instead of modules."""

    def conv(x: Tensor, **kind: int) -> Tensor:
        return F.conv2d(x, next(weights), next(weights), **kind)

    def reflect(x: Tensor, by: int) -> Tensor:
        return F.pad(x, (by, by, by, by), mode="reflect")

    x = F.relu(F.instance_norm(conv(reflect(x, 3))))  # c7s1-64
    x = F.relu(F.instance_norm(conv(x, stride=2, padding=1)))  # d128
    x = F.relu(F.instance_norm(conv(x, stride=2, padding=1)))  # d256
    for _ in range(num_blocks):  # R256
        inner = F.relu(F.instance_norm(conv(reflect(x, 1))))
        x = x + F.instance_norm(conv(reflect(inner, 1)))
    for _ in range(2):  # u128, u64
        x = F.conv_transpose2d(
            x, next(weights), next(weights), stride=2, padding=1, output_padding=1
        )
        x = F.relu(F.instance_norm(x))
    return torch.tanh(conv(reflect(x, 3)))  # c7s1-3


@torch.no_grad()
def test_resnet9_computes_what_the_paper_describes() -> None:
    torch.manual_seed(0)
    model = generator("resnet9", 3, 3, "transpose")
    x = torch.rand(2, 3, 32, 40) * 2 - 1
    weights = iter(model.parameters())
    expected = paper_resnet(x, weights, 9)
    assert next(weights, None) is None
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim == 4]
    assert shapes == [
        (64, 3, 7, 7),
        (128, 64, 3, 3),
        (256, 128, 3, 3),
        *[(256, 256, 3, 3)] * 18,
        (256, 128, 3, 3),  # transposed: (in, out, k, k)
        (128, 64, 3, 3),
        (3, 64, 7, 7),
    ]


def test_discriminator_layers_are_those_of_the_paper() -> None:
    layers = [m for m in PatchDiscriminator(3).modules() if isinstance(m, nn.Conv2d)]
    seen = [(m.in_channels, m.out_channels, m.kernel_size, m.stride) for m in layers]
    assert seen == [
        (3, 64, (4, 4), (2, 2)),
        (64, 128, (4, 4), (2, 2)),
        (128, 256, (4, 4), (2, 2)),
        (256, 512, (4, 4), (1, 1)),
        (512, 1, (4, 4), (1, 1)),
    ]
    norms = [m for m in PatchDiscriminator(3).modules() if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == 3  # none after the first and the last convolution


def test_one_verdict_of_the_discriminator_sees_70_by_70_pixels() -> None:
    model = PatchDiscriminator(1, filters=4)
    for name, module in list(model.layers.named_children()):
        if isinstance(module, nn.InstanceNorm2d):  # its statistics span the whole picture
            model.layers[int(name)] = nn.Identity()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.01)
    x = torch.ones(1, 1, 128, 128, requires_grad=True)
    verdicts = model(x)
    verdicts[0, 0, 7, 7].backward()
    rows, columns = torch.nonzero(x.grad[0, 0], as_tuple=True)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (70, 70)


@pytest.mark.parametrize(
    ("shape", "expected"), [((2, 3, 256, 256), (2, 1, 30, 30)), ((1, 1, 32, 64), (1, 1, 2, 6))]
)
def test_discriminator_judges_a_map_of_patches(
    shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert PatchDiscriminator(shape[1], 4)(torch.zeros(shape)).shape == expected


@pytest.mark.parametrize("name", ["compact", "resnet6"])
@pytest.mark.parametrize(("channels_in", "channels_out"), [(3, 1), (1, 3), (3, 3)])
@torch.no_grad()
def test_generators_keep_the_size_of_the_picture(
    name: str, channels_in: int, channels_out: int
) -> None:
    model = generator(name, channels_in, channels_out)
    side = 5 * model.size_multiple
    out = model(torch.zeros(1, channels_in, side, 32))
    assert out.shape == (1, channels_out, side, 32)


@torch.no_grad()
def test_generators_answer_within_range_and_treat_pictures_one_by_one() -> None:
    torch.manual_seed(0)
    model = CompactGenerator(3, 1)
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    together = model(x)
    assert together.abs().max() <= 1
    torch.testing.assert_close(
        together, torch.cat([model(one[None]) for one in x]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("channels_in", "channels_out"), [(3, 1), (1, 3), (3, 3)])
def test_compact_stays_within_its_budget_at_256_px(channels_in: int, channels_out: int) -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = CompactGenerator(channels_in, channels_out)
        model(torch.zeros(1, channels_in, 256, 256))
    assert 1e9 < counter.get_total_flops() / 2 <= 2.5e9
    assert num_parameters(model) <= 3e6


@torch.no_grad()
def interior(model: nn.Module, side: int) -> Tensor:
    """Translate a plain picture; the middle, where no border is seen, (C, 16, 16)."""
    out = model(torch.full((1, 3, side, side), 0.3))[0]
    start = side // 2 - 8
    return out[:, start : start + 16, start : start + 16]


def spread(pixels: Tensor) -> float:
    return float((pixels - pixels[:, :1, :1]).abs().max())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_fresh_compact_generator_puts_no_checkerboard_on_a_plain_picture(seed: int) -> None:
    torch.manual_seed(seed)
    pixels = interior(CompactGenerator(3, 3), 288)
    assert spread(pixels) < 1e-5


def test_resize_convolution_has_no_checkerboard_where_the_transposed_one_has() -> None:
    torch.manual_seed(0)
    plain = ResNetGenerator(3, 3, 1, "resize", filters=8)
    board = ResNetGenerator(3, 3, 1, "transpose", filters=8)
    assert spread(interior(plain, 96)) < 1e-5
    assert spread(interior(board, 96)) > 1e-3


@pytest.fixture
def trained() -> CompactGenerator:
    """A compact generator whose gains and biases are not those of a fresh one."""
    torch.manual_seed(0)
    model = CompactGenerator(3, 1)
    for name, parameter in model.named_parameters():
        if name.endswith(("gain", "bias")):
            nn.init.normal_(parameter, 0.0 if name.endswith("bias") else -0.5, 0.3)
    return model


@torch.no_grad()
def test_folding_weight_standardisation_changes_nothing(trained: CompactGenerator) -> None:
    x = torch.rand(2, 3, 48, 32) * 2 - 1
    folded = fold(trained)
    assert not [name for name, _ in folded.named_parameters() if name.endswith("gain")]
    assert not [m for m in folded.modules() if isinstance(m, WSConv2d)]
    torch.testing.assert_close(folded(x), trained(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_folded_weights_load_into_a_model_that_trains_on(trained: CompactGenerator) -> None:
    x = torch.rand(2, 3, 48, 32) * 2 - 1
    again = CompactGenerator(3, 1)
    load_folded(again, [fold(trained).state_dict()])
    torch.testing.assert_close(again(x), trained(x), rtol=1e-4, atol=1e-5)


@pytest.fixture
def styled(trained: CompactGenerator) -> CompactGenerator:
    """A compact generator of three styles that have grown apart."""
    model = CompactGenerator(3, 1, num_styles=3)
    model.load_state_dict(trained.state_dict(), strict=False)
    for name, parameter in model.named_parameters():
        if "style_" in name:
            nn.init.normal_(parameter, 1.0 if name.endswith("gain") else 0.0, 0.3)
    return model


@torch.no_grad()
def test_every_style_folds_into_a_network_of_its_own(styled: CompactGenerator) -> None:
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    together = styled(x, torch.tensor([2, 0, 1]))
    for number, style in enumerate((2, 0, 1)):
        alone = fold(styled, style)(x[number : number + 1])
        torch.testing.assert_close(alone, together[number : number + 1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(styled(x[1:2]), together[1:2], rtol=1e-4, atol=1e-5)
    assert (styled(x[:1]) - together[:1]).abs().max() > 1e-3


@torch.no_grad()
def test_folded_styles_load_into_one_network_again(styled: CompactGenerator) -> None:
    x, style = torch.rand(3, 3, 32, 32) * 2 - 1, torch.tensor([0, 1, 2])
    again = CompactGenerator(3, 1, num_styles=3)
    load_folded(again, [fold(styled, number).state_dict() for number in range(3)])
    torch.testing.assert_close(again(x, style), styled(x, style), rtol=1e-3, atol=1e-4)
    load_folded(again, [fold(styled, 1).state_dict()])
    same = styled(x, torch.ones(3, dtype=torch.long))
    torch.testing.assert_close(again(x, style), same, rtol=1e-3, atol=1e-4)


def test_load_folded_names_a_missing_tensor(trained: CompactGenerator) -> None:
    state = fold(trained).state_dict()
    del state["stem.weight"]
    with pytest.raises(KeyError, match=r"stem\.weight"):
        load_folded(CompactGenerator(3, 1), [state])


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (CompactGenerator(3, 1), CompactGenerator(3, 3)),
        # A weight of one channel would spread over three without a word.
        tuple(ResNetGenerator(n, n, 1, "resize", filters=4) for n in (1, 3)),
    ],
)
def test_load_folded_refuses_other_channels(source: nn.Module, target: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        load_folded(target, [fold(source).state_dict()])
