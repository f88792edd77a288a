"""One optimizer step and everything that a checkpoint must hold."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from facesketch.config import TrainConfig
from facesketch.cyclegan import CycleGAN, Generated
from facesketch.data.batch import Batch
from facesketch.devices import pick_device, pick_precision
from facesketch.distributed import ALONE, Ranks
from facesketch.disturbances import Disturbances
from facesketch.errors import NonFiniteLossError
from facesketch.image_pool import ImagePool
from facesketch.memory_layout import pick_layout


def learning_rate_factor(step: int, num_steps: int, decay_start: float) -> float:
    """Return the share of the base learning rate in a step: 1, then linearly to 0.

    Args:
        step: Step about to be done, from 0.
        num_steps: Steps in all.
        decay_start: Share of all steps after which the rate falls.
    """
    first = decay_start * num_steps
    if step < first:
        return 1.0
    return max(0.0, (num_steps - step) / max(1.0, num_steps - first))


def schedule_text(config: TrainConfig, num_steps: int) -> str:
    """Describe the learning rate in one line."""
    first = min(round(config.decay_start * num_steps), num_steps)
    last = learning_rate_factor(num_steps - 1, num_steps, config.decay_start)
    return (
        f"{config.learning_rate:g} up to step {first}, then linearly down to "
        f"{config.learning_rate * last:.2g} in step {num_steps - 1}"
    )


class TrainState:
    """Networks, running averages, optimizers and pools, advanced one step at a time."""

    def __init__(self, config: TrainConfig, num_steps: int, ranks: Ranks = ALONE) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.num_steps = num_steps
        self.ranks = ranks
        self.step = 0
        self.device = pick_device(config.device, ranks)
        self.precision = pick_precision(config.precision, self.device)
        if self.device.type == "cuda" and self.device.index is not None:
            torch.cuda.set_device(self.device)
        # Batches have few shapes, so it pays to try cuDNN's algorithms once for each.
        torch.backends.cudnn.benchmark = self.device.type == "cuda"
        self.layout = pick_layout(config.generator, self.device, self.precision)
        self.model = CycleGAN(config).to(self.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(nn.ModuleDict(self.model.generators())).requires_grad_(False)
        generators = self.model.generators().values()
        discriminators = self.model.discriminators().values()
        self._gen_params: list[Tensor] = [p for net in generators for p in net.parameters()]
        self._disc_params: list[Tensor] = [p for net in discriminators for p in net.parameters()]
        self._loss_params: list[Tensor] = [
            p for net in self.model.loss_networks() for p in net.parameters()
        ]
        self._ema_params: list[Tensor] = list(self.ema.parameters())
        self.optimizers = {
            "gen": self._adam([*self._gen_params, *self._loss_params], config.learning_rate),
            "disc": self._adam(self._disc_params, self._disc_learning_rate),
        }
        # A share of the history for each rank, so that images grow as old on any number of them.
        pool_size = -(-config.pool_size // ranks.size)
        pool_seed = 2 * (config.seed + ranks.rank)
        self.pools = {
            "photo": ImagePool(pool_size, seed=pool_seed),
            "sketch": ImagePool(pool_size, seed=pool_seed + 1),
        }
        if config.compile:
            for net in (*generators, *discriminators):
                net.compile(dynamic=False)  # two or three batch sizes, each for all steps

    def _adam(self, params: list[Tensor], learning_rate: float) -> torch.optim.Adam:
        betas = (self.config.beta1, self.config.beta2)
        return torch.optim.Adam(params, learning_rate, betas, fused=self._is_fused)

    @property
    def _is_fused(self) -> bool:
        """Whether Adam runs as one kernel, which not every device has."""
        return self.device.type in ("cpu", "cuda")

    @property
    def learning_rate(self) -> float:
        """Learning rate of the generators in the step about to be done."""
        return self.config.learning_rate * self._rate_factor

    @property
    def _rate_factor(self) -> float:
        return learning_rate_factor(self.step, self.num_steps, self.config.decay_start)

    @property
    def _disc_learning_rate(self) -> float:
        """Learning rate of the discriminators in the first step (Heusel et al. 2017)."""
        return self.config.disc_learning_rate or self.config.learning_rate

    def autocast(self) -> AbstractContextManager[None]:
        """Compute networks in the chosen precision; weights and losses stay float32."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def to_device(self, tensor: Tensor) -> Tensor:
        """Move to the device, images (B, C, H, W) in the layout of the networks."""
        moved = tensor.to(self.device, non_blocking=True)
        return moved.contiguous(memory_format=self.layout) if moved.ndim == 4 else moved

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Do one step: generators, then discriminators, both judged before either moves.

        Args:
            batch: This rank's share of the samples; gradients and losses are those of all ranks.

        Returns:
            Every loss by name, weighted as in `losses`, and the two gradient norms.

        Raises:
            NonFiniteLossError: If a loss or gradient is NaN or infinite; nothing has changed then.
        """
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        num_parts = self.config.accumulate
        totals: dict[str, Tensor] = {}
        number = (self.step * self.ranks.size + self.ranks.rank) * len(batch)
        for part in batch.split(num_parts):
            numbers = range(number, number := number + len(part))
            disturb = Disturbances(self.config, numbers, self.device)
            styles = part.style.tolist()  # before it moves: a GPU would be waited for
            for name, loss in self._backward(
                part.each(self.to_device), styles, disturb, weight=1 / num_parts
            ).items():
                totals[name] = totals.get(name, torch.zeros_like(loss)) + loss / num_parts
        everything = (*self._gen_params, *self._loss_params, *self._disc_params)
        gradients = [p.grad for p in everything if p.grad is not None]
        self.ranks.average([*gradients, *totals.values()])
        totals["grad_norm_gen"] = _grad_norm([*self._gen_params, *self._loss_params])
        totals["grad_norm_disc"] = _grad_norm(self._disc_params)
        values = dict(zip(totals, torch.stack(list(totals.values())).tolist(), strict=True))
        bad = [name for name, value in values.items() if not abs(value) < float("inf")]
        if bad:
            for pool in self.pools.values():
                pool.discard()
            raise NonFiniteLossError(f"{', '.join(bad)} became non-finite in step {self.step}")
        self._advance()
        return values

    def _backward(
        self, batch: Batch, styles: list[int], disturb: Disturbances, weight: float
    ) -> dict[str, Tensor]:
        """Add the gradients of one part of the batch; returns detached losses."""
        model = self.model
        _set_requires_grad(self._disc_params, False)
        with self.autocast():
            made = model(batch, disturb.before_return)
            gen_losses = model.generator_losses(
                batch, made, disturb.before_judging, disturb.choose_places
            )
        (torch.stack(list(gen_losses.values())).sum() * weight).backward()  # type: ignore[no-untyped-call]
        _set_requires_grad(self._disc_params, True)
        old_photo, _ = self.pools["photo"].query(made.fake_photo.detach(), styles)
        old_sketch, old_styles = self.pools["sketch"].query(made.fake_sketch.detach(), styles)
        del made
        old = Generated(old_photo, old_sketch, self.to_device(torch.tensor(old_styles)))
        with self.autocast():
            disc_losses = model.discriminator_losses(batch, old, disturb.before_judging)
        # Counted as in the logs, from 1, so that some of these steps are logged.
        if self.config.lambda_r1 and (self.step + 1) % self.config.r1_every == 0:
            disc_losses |= model.r1_losses(batch, disturb.before_judging)
        (torch.stack(list(disc_losses.values())).sum() * weight).backward()  # type: ignore[no-untyped-call]
        return {name: loss.detach() for name, loss in (gen_losses | disc_losses).items()}

    def _advance(self) -> None:
        """Commit the pools, step both optimizers, follow with the running averages."""
        for pool in self.pools.values():
            pool.commit()
        rates = {"gen": self.config.learning_rate, "disc": self._disc_learning_rate}
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rates[name] * self._rate_factor
            optimizer.step()
        # Warm-up (as in Tensorflow's EMA): an average reaches back over about a ninth of the steps
        # done, so that it forgets what it started with, and in the end over 1 / (1 - ema_decay).
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self._ema_params, self._gen_params, 1 - decay)
        self.step += 1

    def restart_averages(self) -> None:
        """Set the running averages to the generators as they are."""
        for direction, network in self.model.generators().items():
            self.ema[direction].load_state_dict(network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next steps of this rank depend on."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
            "pools": {name: pool.state_dict() for name, pool in self.pools.items()},
        }

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """Continue from what `state_dict` returned after `step` steps.

        Args:
            state: That of the first rank; `pools_of_others` lists the `pools` of the others.
            step: Steps done.
        """
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        for name, optimizer in self.optimizers.items():
            saved = state["optimizers"][name]
            # The device that wrote it may have fused, and this one not; step counts move with it.
            groups = [group | {"fused": self._is_fused} for group in saved["param_groups"]]
            optimizer.load_state_dict(saved | {"param_groups": groups})
        for name, pool in self.pools.items():
            saved_pools = [pools[name] for pools in all_pools(state)]
            pool.load_share(saved_pools, self.ranks.rank, self.ranks.size, self.device)
        self.step = step


def new_schedule_text(state: TrainState, former_steps: int) -> str:
    """Say how the learning rate goes on in a resumed run that had `former_steps` planned."""
    step, decay_start = state.step, state.config.decay_start
    before = state.config.learning_rate * learning_rate_factor(step, former_steps, decay_start)
    now = state.learning_rate
    change = f"is still {now:.3g}" if now == before else f"goes from {before:.3g} to {now:.3g}"
    falls = max(step, round(decay_start * state.num_steps))
    return (
        f"The run now has {state.num_steps} steps, not {former_steps}. Up to step {step} learning "
        f"rates stay as they were; there it {change}, falls from step {falls} on and reaches 0 at "
        f"step {state.num_steps}."
    )


def all_pools(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pools in a checkpoint's state, in the order of the ranks that filled them."""
    return [state["pools"], *state.get("pools_of_others", [])]


def _set_requires_grad(params: Iterable[Tensor], value: bool) -> None:
    for param in params:
        param.requires_grad_(value)


def _grad_norm(params: list[Tensor]) -> Tensor:
    grads = [p.grad for p in params if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))  # type: ignore[no-any-return]
