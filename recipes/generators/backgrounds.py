"""Put people in front of the backgrounds of others, so that drawings learn to leave those out.

A framed face is always in the same place, so GrabCut (Rother et al. 2004) finds hair and shoulders
from there with nothing learned: well before a plain wall, less well before leaves. A wall also
leaves nothing to draw. So of a person before a wall both are known, where the person ends and how
to draw them alone, and before leaves from another photo that drawing is what is wanted. Of people
who stood before leaves all along only what is far from them is wanted white, as hair may be missed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CUT_SIDE = 128  # pixels, at which people are cut out
CUT_STEPS = 4
HEAD_CENTRE, HEAD_RADII = (0.5, 0.5), (0.40, 0.48)  # with hair; across and down, of the side
FACE_CENTRE, FACE_RADII = (0.5, 0.566), (0.265, 0.321)  # without
SHOULDERS = 0.8  # share of the height from which on they may be
WALL = 0.02  # mean change from pixel to pixel, of 2, below which a background is plain
STRIP = 0.2  # share of the width, from one side, of which backgrounds are made
OUTLINE = 4  # pixels around a person that still belong to the drawing
HAIR_CENTRE, HAIR_RADII = (0.5, 0.45), (0.44, 0.5)  # where hair may be that was left out
FAR = 16  # pixels from a person to where, but for such hair, the background is for sure
MISSED = 0.02  # ink behind a person, from which on something of the person must be there
BEYOND, BEYOND_OWN = 4.0, 2.0  # how much a new background counts, and one that was there
CONTRAST, LIGHT = 0.3, 0.3  # by how much at most a new one is changed
KEPT = 64  # backgrounds to choose from, the newest
SHARE_LEFT = 0.3  # of people before a wall, who stay there


def cut_out(photos: Tensor) -> Tensor:
    """Find the people of photos in the FFHQ framing.

    Args:
        photos: (B, 3, H, W), range [-1, 1], square.

    Returns:
        1 where there is a person, else 0, (B, 1, H, W), soft at the edge.
    """
    side = photos.shape[-1]
    small = F.interpolate(photos, (CUT_SIDE, CUT_SIDE), mode="bilinear", antialias=True)
    pixels = ((small + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    masks = [_cut_out(photo.permute(1, 2, 0).contiguous().numpy()) for photo in pixels]
    people = torch.from_numpy(np.stack(masks))[:, None].float()
    return F.interpolate(people, (side, side), mode="bilinear").clamp(0, 1)


def _cut_out(photo: NDArray[np.uint8]) -> NDArray[np.bool_]:
    place = (np.arange(CUT_SIDE) + 0.5) / CUT_SIDE
    from_middle, down = np.abs(place[None] - 0.5), place[:, None]
    shoulders = (down > SHOULDERS) & (from_middle < 0.2 + 1.5 * (down - SHOULDERS))
    chest = (down > 0.88) & (from_middle < 0.15)
    corners = (down < 0.02) & (from_middle > 0.25)
    sides = (down < 0.6) & (from_middle > 0.47)
    labels = np.full(photo.shape[:2], cv2.GC_PR_BGD, np.uint8)
    labels[corners | sides] = cv2.GC_BGD
    labels[_ellipse(CUT_SIDE, HEAD_CENTRE, HEAD_RADII) | shoulders] = cv2.GC_PR_FGD
    labels[_ellipse(CUT_SIDE, FACE_CENTRE, FACE_RADII) | chest] = cv2.GC_FGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(photo, labels, (0, 0, 1, 1), *models, CUT_STEPS, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def unrest(photos: Tensor, people: Tensor) -> Tensor:
    """Mean change from pixel to pixel behind each person, shape (B,); 0 where nothing is seen."""
    beyond = 1 - widened(people, 8).ceil()
    gray = photos.mean(1, keepdim=True)
    across = F.pad((gray[..., 1:] - gray[..., :-1]).abs(), (1, 0))
    down = F.pad((gray[..., 1:, :] - gray[..., :-1, :]).abs(), (0, 0, 1, 0))
    return mean_where(across + down, beyond)


def mean_where(images: Tensor, places: Tensor) -> Tensor:
    """Mean of each image over the places that are 1, shape (B,); 0 where none is."""
    return (images * places).sum((1, 2, 3)) / places.sum((1, 2, 3)).clamp_min(1)


def widened(people: Tensor, pixels: int) -> Tensor:
    """Let people reach further by a number of pixels, or less far if it is below zero."""
    sign, size = (1, 2 * pixels + 1) if pixels > 0 else (-1, 1 - 2 * pixels)
    return sign * F.max_pool2d(sign * people, size, stride=1, padding=size // 2)


def background(photo: Tensor, people: Tensor) -> Tensor | None:
    """Carry on what is seen beside a person, mirrored again and again, over the whole picture.

    Args:
        photo: (3, H, W).
        people: (1, H, W).

    Returns:
        The same shape as the photo, or None where the person leaves neither side free.
    """
    side = photo.shape[-1]
    height, width = side // 2, round(STRIP * side)  # shoulders are below
    for seen, person in (photo, people), (photo.flip(2), people.flip(2)):
        if not widened(person, 4)[..., :height, :width].any():
            strip = seen[..., :height, :width]
            tile = torch.cat([strip, strip.flip(1)], dim=1)
            tiles = torch.cat([tile, tile.flip(2)], dim=2)
            return tiles.repeat(1, 1, -(-side // tiles.shape[2]))[..., :side]
    return None


@dataclass(frozen=True)
class Scene:
    """Photos to draw, and what is known of the places in them.

    Attributes:
        photo: (B, 3, H, W), some before another background.
        person: What of the drawing of the photo as it was is wanted, 0 to 1, (B, 1, H, W).
        weight: How much places count, (B, 1, H, W).
    """

    photo: Tensor
    person: Tensor
    weight: Tensor


class Backgrounds:
    """Puts some people before backgrounds of photos that it has seen.

    Args:
        seed: Of the choices.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._seen: deque[Tensor] = deque(maxlen=KEPT)

    def change(self, photos: Tensor, drawn: Tensor) -> Scene:
        """Put most of the people who stand before a wall before something else.

        Args:
            photos: (B, 3, H, W), range [-1, 1], square.
            drawn: Drawings of them on white paper, (B, 1, H, W), range [-1, 1]. Where more is drawn
                than a wall has, a hat, say, was not cut out, and the person stays.
        """
        people = cut_out(photos)
        beyond = 1 - widened(people, OUTLINE).ceil()
        missed = mean_where((1 - drawn) / 2, beyond)
        walls = ((unrest(photos, people) < WALL) & (missed < MISSED)).tolist()
        scenes = [self._change(*one) for one in zip(photos, people, walls, strict=True)]
        return Scene(*(torch.stack(part) for part in zip(*scenes, strict=True)))

    def _change(self, photo: Tensor, person: Tensor, wall: bool) -> tuple[Tensor, Tensor, Tensor]:
        outline, everywhere = widened(person, OUTLINE), torch.ones_like(person)
        if not wall:
            seen = background(photo, person)
            if seen is not None:
                self._seen.append(seen)
            hair = torch.from_numpy(_ellipse(photo.shape[-1], HAIR_CENTRE, HAIR_RADII)).float()
            near = torch.maximum(widened(person, FAR), hair)
            return photo, near, torch.maximum(outline, BEYOND_OWN * (1 - near))
        if not self._seen or self._rng.random() < SHARE_LEFT:
            return photo, everywhere, everywhere
        other = self._seen[self._rng.integers(len(self._seen))]
        if self._rng.random() < 0.5:
            other = other.flip(2)
        contrast = 1 + self._rng.uniform(-CONTRAST, CONTRAST)
        other = (contrast * other + self._rng.uniform(-LIGHT, LIGHT)).clamp(-1, 1)
        before = torch.lerp(other, photo, widened(person, -1))
        return before, outline, BEYOND + (1 - BEYOND) * outline


def _ellipse(
    side: int, centre: tuple[float, float], radii: tuple[float, float]
) -> NDArray[np.bool_]:
    place = (np.arange(side) + 0.5) / side
    across, down = ((place - c) / r for c, r in zip(centre, radii, strict=True))
    return np.asarray(across[None] ** 2 + down[:, None] ** 2 < 1)
