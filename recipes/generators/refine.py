"""Let the strokes of drawings be an artist's, each where it was; teach photos of such drawings.

    python recipes/generators/refine.py runs/refined runs/again --judges runs/stage14 \
        --data DATA --drawing-steps 800 --photo-steps 700

Through a cycle drawings take on ink, as that is what comes back from them. Here nothing comes back
through them: photo2sketch learns from its discriminator, and keeps, blurred by STD, to what it drew
before, so that strokes stay in their places and are free in what they look like. What it keeps to
is the mean of its drawings of a photo and of the mirrored one, and around the head more of that is
taken for paper: there is much to draw, and little of who it is. Then sketch2photo learns of these
drawings, which do not change any more: first with its discriminator and near to the photos it made
before, then as many steps of likeness alone, which leave skin smooth. The mean of both in weights
has nearly the likeness of the second, and is nearer to real photos. The face, which is in the same
place of every photo, counts most in what drawings keep to and in photos that come back.

Drawings are wanted as if the photo went on, mirrored, beyond its border: else the border itself is
drawn, as a frame that no discriminator minds.

Writes a run like that of average.py.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import torch
import torch.nn.functional as F
from backgrounds import FACE_CENTRE, FACE_RADII
from torch import Tensor, nn

from facesketch import checkpoint, losses
from facesketch.checkpoint import Checkpoint
from facesketch.config import TrainConfig
from facesketch.console import progress_bar
from facesketch.cyclegan import CycleGAN, Translated
from facesketch.data.batch import Batch
from facesketch.data.dataset import Domains, find_domains, make_loader
from facesketch.data.workers import reading
from facesketch.disturbances import Disturbances, gaussian_blur
from facesketch.export import trained_generator
from facesketch.models.layers import clean_paper
from facesketch.train_state import learning_rate_factor
from facesketch.weights_info import DIRECTIONS

STD = 1.5  # of the blur, pixels
LAMBDA_BLURRED = 30.0
LAMBDA_FAINT = 3.0  # of drawings before clean paper, where faint ink has a gradient
LAMBDA_FEATURES, LAMBDA_TEACHER = 12.0, 10.0  # of photos
FACE, AROUND = 3.0, 0.4  # how much places count, before the mean is 1
FACE_EDGE = 4.8  # how steep the way between is
HEAD, HEAD_EDGE = 1.5, 6.0  # times the radii of the face, with hair, ears and chin
AROUND_PAPER = 0.3  # the setting `clean_paper` around the head
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
    parser.add_argument("--photo-steps", type=int, required=True, help="of either part, or 0")
    args = parser.parse_args()
    run, judges = load_run(parser, args.run, args.out), checkpoint.load_latest(args.judges)
    weights = {"lambda_nce": 0.0, "lambda_features": LAMBDA_FEATURES}
    changes = weights | {"data": args.data, "seed": run.settings.seed + 1}
    config = judges.settings.model_copy(update=changes)
    domains = find_domains(config)
    refiner = Refiner(run, judges, config)
    with closing(make_batches(domains, config, args.drawing_steps)) as batches:
        refiner.train_drawings(batches, args.drawing_steps)
    drawn = checkpoint.save(args.out, **run.with_averages(refiner.averages()))
    if args.photo_steps == 0:
        print(drawn)
        return
    ends = []
    with closing(make_batches(domains, config, 2 * args.photo_steps)) as batches:
        for likeness_alone in False, True:
            refiner.train_photos(batches, args.photo_steps, likeness_alone=likeness_alone)
            ends.append(refiner.averages())
    mean = {name: torch.lerp(value, ends[1][name], 0.5) for name, value in ends[0].items()}
    print(checkpoint.save(args.out, **run.with_averages(mean)))


def load_run(parser: argparse.ArgumentParser, run: Path, out: Path) -> Checkpoint:
    """Load a run that draws on clean paper, if its successor has a place to go to."""
    if checkpoint.list_checkpoints(out):
        parser.error(f"{out} holds a run already; give another folder")
    loaded = checkpoint.load_latest(run)
    if not loaded.settings.clean_paper:
        parser.error(f"{run} leaves paper gray; set it with average.py --clean-paper")
    return loaded


class Refiner:
    """Two generators in training, what they were, and the discriminators of another run."""

    def __init__(self, run: Checkpoint, judges: Checkpoint, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self._config, self._paper = config, run.settings.clean_paper
        self._model = CycleGAN(config)
        kept = self._model.state_dict()
        state = {name: value for name, value in judges.state["model"].items() if name in kept}
        self._model.load_state_dict(state)
        self._before: dict[str, nn.Module] = {}
        for direction in DIRECTIONS:
            self._model.generators()[direction].load_state_dict(run.generator_state(direction))
            self._before[direction] = trained_generator(run, direction)
        for network in self._model, *self._before.values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def averages(self) -> dict[str, Tensor]:
        """Return the tensors of both generators, as a checkpoint's `ema` has them."""
        state = nn.ModuleDict(self._model.generators()).state_dict()
        return {name: value.clone() for name, value in state.items()}

    def train_drawings(self, batches: Iterator[Batch], num_steps: int) -> None:
        """Train photo2sketch, and leave it at its average over steps."""
        network, before = self._model.gen_photo2sketch, self._before["photo2sketch"]
        judge, threshold = _Judge(self._model.disc_sketch), self._paper
        network.paper_threshold = before.paper_threshold = 0.0  # type: ignore[assignment]
        training = Training(network, num_steps)
        for batch, disturb in self._steps("photo2sketch", batches, num_steps):
            photo, style = channels_last(batch.photo), batch.style
            with torch.no_grad():
                faint_wanted, wanted = _cleaned(_drawn_before(before, photo, style), threshold)
            faint = network(photo, style)
            drawn = clean_paper(faint, threshold)
            judged = judge.network(disturb.before_judging(drawn), style)
            training.step(
                losses.generator_gan_loss(judged)
                + LAMBDA_BLURRED * away(_blurred(drawn), _blurred(wanted))
                + LAMBDA_FAINT * away(faint, faint_wanted)
            )
            both = disturb.before_judging(torch.cat([batch.sketch, drawn.detach()]))
            judge.step(both, style.repeat(2))
        training.finish()
        network.paper_threshold = threshold

    def train_photos(
        self, batches: Iterator[Batch], num_steps: int, *, likeness_alone: bool
    ) -> None:
        """Train sketch2photo on what photo2sketch draws, and leave it at its average over steps."""
        model, before = self._model, self._before["sketch2photo"]
        network, judge = model.gen_sketch2photo, _Judge(model.disc_photo)
        training = Training(network, num_steps)
        for batch, disturb in self._steps("sketch2photo", batches, num_steps):
            with torch.no_grad():
                drawn = model.gen_photo2sketch(channels_last(batch.photo), batch.style)
            both = network(channels_last(torch.cat([disturb.before_return(drawn), batch.shown])))
            came_back, made = both.chunk(2)
            translated = Translated(made, drawn, came_back, rec_sketch=batch.sketch)
            likeness = self._likeness(batch, translated)
            if likeness_alone:
                training.step(likeness)
                continue
            with torch.no_grad():
                wanted = before(channels_last(batch.shown))
            judged = judge.network(disturb.before_judging(made))
            taught = LAMBDA_TEACHER * losses.imitation_loss(made, wanted)
            training.step(likeness + losses.generator_gan_loss(judged) + taught)
            judge.step(disturb.before_judging(torch.cat([batch.photo, made.detach()])))
        training.finish()

    def _likeness(self, batch: Batch, t: Translated) -> Tensor:
        """Compare photos with those that came back, and that were made of their own drawings."""
        config, weight = self._config, face_weight(batch.photo.shape[-1])
        cycle = losses.cycle_consistency_loss(weight * t.rec_photo, weight * batch.photo)
        paired = losses.paired_loss(t.fake_photo, batch.photo, batch.is_pair)
        features = self._model.feature_losses(batch, t, weight)
        parts = [config.lambda_cycle * cycle, config.lambda_paired * paired, *features.values()]
        return torch.stack(parts).sum()

    def _steps(
        self, title: str, batches: Iterator[Batch], num_steps: int
    ) -> Iterator[tuple[Batch, Disturbances]]:
        with progress_bar() as progress:
            part = itertools.islice(batches, num_steps)
            for number, batch in enumerate(progress.track(part, num_steps, description=title)):
                numbers = range(number * len(batch), (number + 1) * len(batch))
                yield batch, Disturbances(self._config, numbers, torch.device("cpu"))


class _Judge:
    """A discriminator and its optimizer."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        learned = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(learned, DISC_LEARNING_RATE, BETAS)

    def step(self, images: Tensor, *style: Tensor) -> None:
        """Learn from as many real as generated images, real ones first."""
        loss = losses.discriminator_loss(*self.network(images, *style).chunk(2))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()


class Training:
    """Optimizer of a generator, and the generator's average over steps."""

    def __init__(self, network: nn.Module, num_steps: int) -> None:
        self._network = network
        self._optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, BETAS)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: learning_rate_factor(step, num_steps, DECAY_START)
        )
        self._average = {name: v.clone() for name, v in network.state_dict().items()}
        self._count = 0

    def step(self, loss: Tensor) -> None:
        """Learn from a loss, shape ()."""
        if not loss.isfinite():
            raise SystemExit("A loss is no number any more; take runs that are finite.")
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        self._count += 1
        decay = min(DECAY, self._count / (self._count + 10))
        for name, value in self._network.state_dict().items():
            self._average[name].lerp_(value, 1 - decay)

    def finish(self) -> None:
        """Give the generator its average."""
        self._network.load_state_dict(self._average)


@functools.cache
def face_weight(side: int) -> Tensor:
    """How much each place of a photo in the FFHQ framing counts: the face most, 1 in the mean.

    Args:
        side: Of the photo, pixels.

    Returns:
        Shape (1, 1, side, side).
    """
    weight = AROUND + (FACE - AROUND) * _inside(side, 1, FACE_EDGE)
    return weight / weight.mean()


@functools.cache
def _inside(side: int, scale: float, edge: float) -> Tensor:
    """Share of each place that lies in the face's ellipse, enlarged, shape (1, 1, side, side)."""
    place = (torch.arange(side) + 0.5) / side
    radii = (scale * radius for radius in FACE_RADII)
    across, down = ((place - c) / r for c, r in zip(FACE_CENTRE, radii, strict=True))
    return torch.sigmoid(edge * (1 - across**2 - down[:, None] ** 2))[None, None]


def away(drawn: Tensor, wanted: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Mean L1 between drawings in which the face counts most, times the weight of each place."""
    weight = weight * face_weight(drawn.shape[-1])
    return losses.imitation_loss(weight * drawn, weight * wanted)


def make_batches(domains: Domains, config: TrainConfig, num_steps: int) -> Generator[Batch]:
    """Yield batches of a data set until it is closed; a step without one ends the program."""
    with reading(make_loader(domains, config, num_steps=num_steps)) as read:
        for loaded in read:
            if loaded.batch is None:
                raise SystemExit(loaded.error)
            for broken in loaded.broken:
                print(f"Skipped a broken image: {broken.reason}", file=sys.stderr)
            yield loaded.batch


def _drawn_before(network: nn.Module, photo: Tensor, style: Tensor) -> Tensor:
    """Draw photos and mirrored ones, and take the mean."""
    drawn, mirrored = (_unframed(network, view, style) for view in (photo, photo.flip(3)))
    return (drawn + mirrored.flip(3)) / 2


def _cleaned(faint: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Clean the paper of drawings, more around the head; also as they are, but around the head."""
    head = _inside(faint.shape[-1], HEAD, HEAD_EDGE)
    around = clean_paper(faint, AROUND_PAPER)
    return torch.lerp(around, faint, head), torch.lerp(around, clean_paper(faint, threshold), head)


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


def channels_last(images: Tensor) -> Tensor:
    """Return images in the layout that convolutions of a CPU like."""
    return images.contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
