"""Trains the network that tells photos from sketches and writes its ONNX file; see README.md.

python recipes/domain/train.py SOURCE OUT.onnx

Photos come from faces/train and from `dead_leaves`, sketches from fs2k/train/sketches, from line
drawings made of faces/train, and from `scribble`. The real people of the FS2K photos are never
learned from.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import torch
from pictures import VIEW, Pictures
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facesketch.images import is_image_name
from facesketch.onnx_runtime import ort

# --- the network -------------------------------------------------------------------------------


class DomainNet(nn.Module):
    """Six convolutions on standardised luma; the logit is positive for sketches."""

    # (channels, stride): most of the work is at 32x32, where strokes and edges differ
    LAYERS = ((12, 2), (24, 2), (24, 1), (32, 2), (32, 1), (32, 2))

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width, stride in self.LAYERS:
            layers += [
                nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(2 * channels, 1)
        self.temperature = nn.Buffer(torch.ones(()))

    def forward(self, luma: Tensor) -> Tensor:
        """Judge views.

        Args:
            luma: Shape (B, 1, 128, 128), range [0, 1].

        Returns:
            Logits of "is a sketch", shape (B,).
        """
        centred = luma - luma.mean((2, 3), keepdim=True)
        spread = centred.square().mean((2, 3), keepdim=True).sqrt()
        maps = self.features(centred / (spread + 0.01))  # paper tone and contrast drop out
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        logits: Tensor = self.head(pooled).squeeze(1) / self.temperature
        return logits

    def fused(self) -> DomainNet:
        """Return a copy in eval mode with the batch norms folded into the convolutions."""
        twin = DomainNet()
        twin.load_state_dict(self.state_dict())
        twin.eval()
        layers = list(twin.features)
        fused: list[nn.Module] = []
        for conv, norm, act in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
            assert isinstance(conv, nn.Conv2d)  # noqa: S101  # built above
            assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101
            fused += [fuse_conv_bn_eval(conv, norm), act]
        twin.features = nn.Sequential(*fused)
        return twin


# --- training ----------------------------------------------------------------------------------


def fit(net: DomainNet, pictures: Pictures, steps: int, batch_size: int) -> None:
    """Adam with one cosine cycle, on pictures that are never seen twice."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    net.train()
    started, running = time.perf_counter(), 0.7
    for step in range(1, steps + 1):
        luma, targets = pictures.batch(batch_size)
        loss = F.binary_cross_entropy_with_logits(net(luma), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        running += 0.02 * (loss.item() - running)
        if step % 100 == 0:
            print(f"{step}/{steps} loss {running:.4f} {time.perf_counter() - started:.0f} s")


def calibrate(net: DomainNet, pictures: Pictures, count: int = 4000) -> None:
    """Set the temperature that makes the probabilities of held-out pictures honest."""
    net.eval()
    luma, targets = pictures.batch(count)
    keep = targets != 0.5
    with torch.no_grad():
        logits, labels = net(luma)[keep], targets[keep].round()
        temperatures = torch.logspace(-1, 1, 201)
        losses = [F.binary_cross_entropy_with_logits(logits / t, labels) for t in temperatures]
        best = int(torch.stack(losses).argmin())
        net.temperature.copy_(temperatures[best])
    accuracy = ((logits > 0) == (labels > 0.5)).float().mean()
    print(f"held-out views: accuracy {accuracy:.4f}, temperature {net.temperature:.2f}")


def export(net: DomainNet, path: Path) -> None:
    """Write the ONNX file and check it against PyTorch."""
    fused = net.fused()
    example = torch.rand(2, 1, VIEW, VIEW)
    program = torch.onnx.export(
        fused,
        (example,),
        dynamo=True,
        opset_version=18,
        input_names=["luma"],
        output_names=["sketch_logit"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None  # noqa: S101  # the dynamo exporter returns one
    model = program.model_proto
    for part in (model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]  # stack traces
    for node in model.graph.node:
        node.doc_string = ""
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    luma = torch.rand(7, 1, VIEW, VIEW)
    (answer,) = session.run(None, {"luma": luma.numpy()})
    with torch.no_grad():
        gap = float(np.abs(net(luma).numpy() - answer).max())
    if gap > 1e-4:
        path.unlink()
        raise SystemExit(f"{path} differs from PyTorch by {gap:.1e}")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, differs from PyTorch by {gap:.1e}")


def load(paths: list[Path], mode: str) -> list[npt.NDArray[np.uint8]]:
    """Decode pictures."""
    return [np.asarray(Image.open(path).convert(mode)) for path in paths]


def main() -> None:
    """Train, calibrate, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    faces, sheets = (
        sorted(path for path in (args.data / name).iterdir() if is_image_name(path.name))
        for name in ("faces/train", "fs2k/train/sketches")
    )
    faces = faces[::2]
    photos = load(faces, "RGB")
    drawings = [sheet.astype(np.float32) / 255 for sheet in load(sheets, "L")]
    # Every tenth picture is kept out for the calibration.
    learn = Pictures(
        [p for i, p in enumerate(photos) if i % 10],
        [d for i, d in enumerate(drawings) if i % 10],
        np.random.default_rng(0),
    )
    net = DomainNet()
    print(f"{sum(p.numel() for p in net.parameters()):,} parameters")
    fit(net, learn, args.steps, batch_size=64)
    calibrate(net, Pictures(photos[::10], drawings[::10], np.random.default_rng(1)))
    export(net, args.out)


if __name__ == "__main__":
    main()
