"""Let the strokes of drawings be an artist's, each where it was; teach photos of such drawings.

    python recipes/generators/refine.py runs/shipped14 runs/refined --judges runs/stage14 \
        --data DATA --drawing-steps 1200 --photo-steps 700

Through a cycle drawings take on ink, as that is what comes back from them. Here nothing comes back
through them: photo2sketch learns from its discriminator, and keeps, blurred by STD, to what it drew
before, so that strokes stay in their places and are free in what they look like. What it keeps to
is half the mean and half the darker of its drawings of a photo and of the mirrored one, so that a
line which only one of them has is there. Then sketch2photo learns of these drawings, which do not
change any more, with the weights that the settings of the discriminators' run give its losses.

The generators that begin here padded by zeros, which are mid-grey: the border of a dark photo was
an edge, and was drawn as a frame that no discriminator minded. The first two convolutions of the
compact generator pad by the values at the border now, and the outermost pixels are wanted as if the
photo went on, mirrored, beyond its border.

Writes a run like that of average.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesketch import checkpoint, losses
from facesketch.checkpoint import Checkpoint
from facesketch.config import TrainConfig
from facesketch.console import progress_bar
from facesketch.cyclegan import CycleGAN, Translated
from facesketch.data.batch import Batch
from facesketch.data.dataset import Domains, find_domains, make_loader
from facesketch.disturbances import Disturbances, gaussian_blur
from facesketch.export import trained_generator
from facesketch.models.layers import clean_paper
from facesketch.train_state import learning_rate_factor
from facesketch.weights_info import DIRECTIONS

STD = 1.5  # of the blur, pixels
LAMBDA_BLURRED = 30.0
LAMBDA_FAINT = 3.0  # of drawings before clean paper, where faint ink has a gradient
LAMBDA_TEACHER = 20.0  # of photos
MARGIN = 32  # pixels that a photo is carried on; a multiple of `size_multiple`
BORDER, FADE = 12, 8  # pixels without a frame, and those that lead over to what was drawn before
LEARNING_RATE, DISC_LEARNING_RATE = 1e-4, 2e-4
DECAY_START = 0.5  # share of the steps after which the first falls to zero
BETAS = (0.5, 0.999)
DECAY = 0.998  # of the average over steps


def main() -> None:
    """Train both generators, one after the other, and write the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--judges", type=Path, required=True, help="run whose discriminators judge")
    parser.add_argument("--data", required=True)
    parser.add_argument("--drawing-steps", type=int, required=True)
    parser.add_argument("--photo-steps", type=int, required=True)
    args = parser.parse_args()
    if checkpoint.list_checkpoints(args.out):
        parser.error(f"{args.out} holds a run already; give another folder")
    run, judges = checkpoint.load_latest(args.run), checkpoint.load_latest(args.judges)
    changes = {"data": args.data, "seed": run.settings.seed + 1, "lambda_nce": 0.0}
    config = judges.settings.model_copy(update=changes)
    domains = find_domains(config)
    if domains is None:
        parser.error(f"{args.data} has no train/photos and train/sketches")
    refiner = Refiner(run, judges, config)
    refiner.train_drawings(_batches(domains, config, args.drawing_steps), args.drawing_steps)
    checkpoint.save(args.out, **run.with_averages(refiner.averages()))
    refiner.train_photos(_batches(domains, config, args.photo_steps), args.photo_steps)
    print(checkpoint.save(args.out, **run.with_averages(refiner.averages())))


class Refiner:
    """Two generators in training, what they were, and the discriminators of another run."""

    def __init__(self, run: Checkpoint, judges: Checkpoint, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self._config = config
        self._model = CycleGAN(config)
        kept = self._model.state_dict()
        state = {name: value for name, value in judges.state["model"].items() if name in kept}
        self._model.load_state_dict(state)
        self._before: dict[str, nn.Module] = {}
        for direction in DIRECTIONS:
            self._model.generators()[direction].load_state_dict(run.generator_state(direction))
            self._before[direction] = _padded_by_zeros(trained_generator(run, direction))
        for network in self._model, *self._before.values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def averages(self) -> dict[str, Tensor]:
        """Return the tensors of both generators, as a checkpoint's `ema` has them."""
        return nn.ModuleDict(self._model.generators()).state_dict()

    def train_drawings(self, batches: Iterator[Batch], num_steps: int) -> None:
        """Train photo2sketch, and leave it at its average over steps."""
        network, before = self._model.gen_photo2sketch, self._before["photo2sketch"]
        judge, threshold = self._model.disc_sketch, self._config.clean_paper
        network.paper_threshold = before.paper_threshold = 0.0  # type: ignore[assignment]
        training = _Training(network, judge, num_steps)
        for batch, disturb in self._steps("photo2sketch", batches, num_steps):
            photo, style = _channels_last(batch.photo), batch.style
            with torch.no_grad():
                wanted = _drawn_before(before, photo, style)
            faint = network(photo, style)
            drawn = clean_paper(faint, threshold)
            judged = judge(disturb.before_judging(drawn), style)
            cleaned = clean_paper(wanted, threshold)
            training.step(
                losses.generator_gan_loss(judged)
                + LAMBDA_BLURRED * losses.imitation_loss(_blurred(drawn), _blurred(cleaned))
                + LAMBDA_FAINT * losses.imitation_loss(faint, wanted)
            )
            both = disturb.before_judging(torch.cat([batch.sketch, drawn.detach()]))
            training.step_judge(judge(both, style.repeat(2)))
        training.finish()
        network.paper_threshold = threshold

    def train_photos(self, batches: Iterator[Batch], num_steps: int) -> None:
        """Train sketch2photo on what photo2sketch draws, and leave it at its average over steps."""
        model, before = self._model, self._before["sketch2photo"]
        network, judge = model.gen_sketch2photo, model.disc_photo
        training = _Training(network, judge, num_steps)
        for batch, disturb in self._steps("sketch2photo", batches, num_steps):
            with torch.no_grad():
                drawn = model.gen_photo2sketch(_channels_last(batch.photo), batch.style)
                wanted = before(_channels_last(batch.shown))
            both = network(_channels_last(torch.cat([disturb.before_return(drawn), batch.shown])))
            came_back, made = both.chunk(2)
            translated = Translated(made, drawn, came_back, rec_sketch=batch.sketch)
            parts = model.generator_losses(batch, translated, disturb.before_judging)
            taught = LAMBDA_TEACHER * losses.imitation_loss(made, wanted)
            training.step(torch.stack(list(parts.values())).sum() + taught)
            both = disturb.before_judging(torch.cat([batch.photo, made.detach()]))
            training.step_judge(judge(both))
        training.finish()

    def _steps(
        self, title: str, batches: Iterator[Batch], num_steps: int
    ) -> Iterator[tuple[Batch, Disturbances]]:
        with progress_bar() as progress:
            for number, batch in enumerate(progress.track(batches, num_steps, description=title)):
                numbers = range(number * len(batch), (number + 1) * len(batch))
                yield batch, Disturbances(self._config, numbers, torch.device("cpu"))


class _Training:
    """Optimizers of a generator and its discriminator, and the generator's average over steps."""

    def __init__(self, network: nn.Module, judge: nn.Module, num_steps: int) -> None:
        self._network = network
        self._judge = [p for p in judge.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, BETAS)
        self._disc_optimizer = torch.optim.Adam(self._judge, DISC_LEARNING_RATE, BETAS)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: learning_rate_factor(step, num_steps, DECAY_START)
        )
        self._average = {name: v.clone() for name, v in network.state_dict().items()}
        self._count = 0

    def step(self, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        self._count += 1
        decay = min(DECAY, self._count / (self._count + 10))
        for name, value in self._network.state_dict().items():
            self._average[name].lerp_(value, 1 - decay)

    def step_judge(self, judged: Tensor) -> None:
        """Learn from judgements of as many real as generated images, real ones first."""
        loss = losses.discriminator_loss(*judged.chunk(2))
        self._disc_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._disc_optimizer.step()

    def finish(self) -> None:
        self._network.load_state_dict(self._average)


def _batches(domains: Domains, config: TrainConfig, num_steps: int) -> Iterator[Batch]:
    for loaded in make_loader(domains, config, num_steps=num_steps):
        if loaded.batch is None:
            raise SystemExit(loaded.error)
        yield loaded.batch


def _padded_by_zeros(network: nn.Module) -> nn.Module:
    for name in "stem", "down1":
        network.get_submodule(name).padding_mode = "zeros"  # type: ignore[assignment]
    return network


def _drawn_before(network: nn.Module, photo: Tensor, style: Tensor) -> Tensor:
    """Draw photos and mirrored ones; half the mean of both, half the darker at each place."""
    views = photo, photo.flip(3)
    drawn, mirrored = (_unframed(network, view, style) for view in views)
    mirrored = mirrored.flip(3)
    return ((drawn + mirrored) / 2 + torch.minimum(drawn, mirrored)) / 2


def _unframed(network: nn.Module, photo: Tensor, style: Tensor) -> Tensor:
    """Draw photos, the outermost pixels as if they went on, mirrored, beyond their border."""
    wider = network(F.pad(photo, (MARGIN,) * 4, mode="reflect"), style)
    beyond = wider[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    depth = torch.arange(photo.shape[-1])  # photos are square
    depth = torch.minimum(depth, depth.flip(0))
    border = ((BORDER + FADE - torch.minimum(depth[:, None], depth)) / FADE).clamp(0, 1)
    return torch.lerp(network(photo, style), beyond, border)


def _blurred(drawings: Tensor) -> Tensor:
    stds = torch.full((len(drawings),), STD)
    return gaussian_blur(drawings, stds, reach=4)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
