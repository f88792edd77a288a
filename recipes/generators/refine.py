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

What is behind people is left out: `backgrounds.py` puts them before other backgrounds, and what
was drawn of them alone is wanted there. A new discriminator first learns alone (`--judge-steps`).

Drawings are wanted as if the photo went on, mirrored, beyond its border: else the border itself is
drawn, as a frame that no discriminator minds.

Writes a run like that of average.py.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from backgrounds import FACE_CENTRE, FACE_RADII, Backgrounds
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
    parser.add_argument("--judge-steps", type=int, default=0, help="of the drawings' judge alone")
    parser.add_argument("--drawing-steps", type=int, required=True)
    parser.add_argument("--photo-steps", type=int, required=True, help="of either part, or 0")
    args = parser.parse_args()
    if checkpoint.list_checkpoints(args.out):
        parser.error(f"{args.out} holds a run already; give another folder")
    run, judges = checkpoint.load_latest(args.run), checkpoint.load_latest(args.judges)
    if not run.settings.clean_paper:
        parser.error(f"{args.run} leaves paper gray; set it with average.py --clean-paper")
    weights = {"lambda_nce": 0.0, "lambda_features": LAMBDA_FEATURES}
    changes = weights | {"data": args.data, "seed": run.settings.seed + 1}
    config = judges.settings.model_copy(update=changes)
    domains = find_domains(config)
    if domains is None:
        parser.error(f"{args.data} has no train/photos and train/sketches")
    refiner = Refiner(run, judges, config)
    num_steps = args.judge_steps + args.drawing_steps
    batches = _batches(domains, config, num_steps)
    refiner.train_judge(batches, args.judge_steps)
    refiner.train_drawings(batches, args.drawing_steps)
    drawn = checkpoint.save(args.out, **run.with_averages(refiner.averages()))
    if args.photo_steps == 0:
        print(drawn)
        return
    ends = []
    batches = _batches(domains, config, 2 * args.photo_steps)
    for likeness_alone in False, True:
        refiner.train_photos(batches, args.photo_steps, likeness_alone=likeness_alone)
        ends.append(refiner.averages())
    mean = {name: torch.lerp(value, ends[1][name], 0.5) for name, value in ends[0].items()}
    print(checkpoint.save(args.out, **run.with_averages(mean)))


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

    def train_judge(self, batches: Iterator[Batch], num_steps: int) -> None:
        """Train the discriminator of drawings on those that there are, as a new one has to."""
        network, judge = self._before["photo2sketch"], self._model.disc_sketch
        training = _Training(network, judge, num_steps)
        for batch, disturb in self._steps("judge", batches, num_steps):
            with torch.no_grad():
                drawn = network(_channels_last(batch.photo), batch.style)
            training.step_judge(judge(*_judged(batch, drawn, disturb)))

    def train_drawings(self, batches: Iterator[Batch], num_steps: int) -> None:
        """Train photo2sketch, and leave it at its average over steps."""
        network, before = self._model.gen_photo2sketch, self._before["photo2sketch"]
        judge, threshold = self._model.disc_sketch, self._paper
        network.paper_threshold = before.paper_threshold = 0.0  # type: ignore[assignment]
        training = _Training(network, judge, num_steps)
        backgrounds = Backgrounds(self._config.seed)
        for batch, disturb in self._steps("photo2sketch", batches, num_steps):
            scene, style = backgrounds.change(batch.photo), batch.style
            with torch.no_grad():
                alone = _drawn_before(before, _channels_last(batch.photo), style)
                faint_wanted, wanted = (
                    1 - scene.person * (1 - drawn) for drawn in _cleaned(alone, threshold)
                )
            faint = network(_channels_last(scene.photo), style)
            drawn = clean_paper(faint, threshold)
            judged = judge(disturb.before_judging(drawn), style)
            training.step(
                losses.generator_gan_loss(judged)
                + LAMBDA_BLURRED * _away(_blurred(drawn), _blurred(wanted), scene.weight)
                + LAMBDA_FAINT * _away(faint, faint_wanted, scene.weight)
            )
            training.step_judge(judge(*_judged(batch, drawn.detach(), disturb)))
        training.finish()
        network.paper_threshold = threshold

    def train_photos(
        self, batches: Iterator[Batch], num_steps: int, *, likeness_alone: bool
    ) -> None:
        """Train sketch2photo on what photo2sketch draws, and leave it at its average over steps."""
        model, before = self._model, self._before["sketch2photo"]
        network, judge = model.gen_sketch2photo, model.disc_photo
        training = _Training(network, judge, num_steps)
        for batch, disturb in self._steps("sketch2photo", batches, num_steps):
            with torch.no_grad():
                drawn = model.gen_photo2sketch(_channels_last(batch.photo), batch.style)
            both = network(_channels_last(torch.cat([disturb.before_return(drawn), batch.shown])))
            came_back, made = both.chunk(2)
            translated = Translated(made, drawn, came_back, rec_sketch=batch.sketch)
            likeness = self._likeness(batch, translated)
            if likeness_alone:
                training.step(likeness)
                continue
            with torch.no_grad():
                wanted = before(_channels_last(batch.shown))
            judged = judge(disturb.before_judging(made))
            taught = LAMBDA_TEACHER * losses.imitation_loss(made, wanted)
            training.step(likeness + losses.generator_gan_loss(judged) + taught)
            both = disturb.before_judging(torch.cat([batch.photo, made.detach()]))
            training.step_judge(judge(both))
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

    def step_judge(self, judged: Tensor) -> None:
        """Learn from judgements of as many real as generated images, real ones first."""
        loss = losses.discriminator_loss(*judged.chunk(2))
        self._disc_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._disc_optimizer.step()

    def finish(self) -> None:
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


def _judged(batch: Batch, drawn: Tensor, disturb: Disturbances) -> tuple[Tensor, Tensor]:
    """Return what is judged, real drawings first, and their styles."""
    both = disturb.before_judging(torch.cat([batch.sketch, drawn]))
    return both, batch.style.repeat(2)


def _away(drawn: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean L1 between drawings in which the face counts most, and beside it the given weight."""
    weight = face_weight(drawn.shape[-1]) * weight
    return losses.imitation_loss(weight * drawn, weight * wanted)


def _batches(domains: Domains, config: TrainConfig, num_steps: int) -> Iterator[Batch]:
    for loaded in make_loader(domains, config, num_steps=num_steps):
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


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
