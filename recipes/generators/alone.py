"""Let drawings leave out what is behind people, and stay as they are.

    python recipes/generators/alone.py runs/drawn runs/alone --data DATA --steps 700

Nothing comes back through drawings here, and nothing judges them: photo2sketch imitates itself, but
for what is behind people. Those before a plain wall are put before the backgrounds of others, and
the drawing of them before the wall is wanted there (`backgrounds.py`). The face counts most.

Before clean paper nothing lighter than `WHITE` is asked for: all that light becomes paper anyway.

Writes a run like that of average.py.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import torch
from backgrounds import Backgrounds
from refine import Training, away, channels_last, load_run, make_batches

from facesketch import checkpoint
from facesketch.console import progress_bar
from facesketch.data.dataset import find_domains
from facesketch.export import trained_generator
from facesketch.models.layers import clean_paper

LAMBDA_IMITATION = 10.0
WHITE = 0.95  # before clean paper, which takes even darker for paper


def main() -> None:
    """Train photo2sketch and write the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, required=True)
    args = parser.parse_args()
    run = load_run(parser, args.run, args.out)
    threshold = run.settings.clean_paper
    changes = {"data": args.data, "seed": run.settings.seed + 2}
    config = run.settings.model_copy(update=changes)
    domains = find_domains(config)
    network, before = (trained_generator(run, "photo2sketch") for _ in range(2))
    for each in network, before:
        each.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        each.paper_threshold = 0.0
    training, backgrounds = Training(network, args.steps), Backgrounds(config.seed)
    with progress_bar() as progress, closing(make_batches(domains, config, args.steps)) as batches:
        for batch in progress.track(batches, args.steps, description="photo2sketch"):
            with torch.no_grad():
                drawn = before(channels_last(batch.photo), batch.style)
            clean = clean_paper(drawn, threshold)
            scene = backgrounds.change(batch.photo, clean)
            wanted, wanted_clean = (1 - scene.person * (1 - image) for image in (drawn, clean))
            made = network(channels_last(scene.photo), batch.style)
            faint = away(made.clamp(max=WHITE), wanted.clamp(max=WHITE), scene.weight)
            inked = away(clean_paper(made, threshold), wanted_clean, scene.weight)
            training.step(LAMBDA_IMITATION * (faint + inked))
    training.finish()
    averages = {f"photo2sketch.{name}": v for name, v in network.state_dict().items()}
    back = run.generator_state("sketch2photo")
    averages |= {f"sketch2photo.{name}": v for name, v in back.items()}
    print(checkpoint.save(args.out, **run.with_averages(averages)))


if __name__ == "__main__":
    main()
