"""Where faces are found, and where not."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from face_pictures import eyes, eyes_of_sample, sample, scene
from facesketch.faces import FaceDetector


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """How far the eyes are off, in eye distances."""
    distance = np.hypot(*(expected[1] - expected[0]))
    return float(np.hypot(*(found - expected).T).max() / distance)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_portrait_has_one_face_with_its_eyes_where_they_are(
    detector: FaceDetector, mode: str
) -> None:
    (face,) = detector.find(sample(512).convert(mode))
    assert face.score > 0.8
    assert off(eyes(face), eyes_of_sample(0, 0, 512)) < 0.1
    (_, _), (_, _), nose, mouth, left_ear, right_ear = face.keypoints
    assert left_ear[0] < nose[0] < right_ear[0]
    assert nose[1] < mouth[1]


@pytest.mark.parametrize("side", [120, 200, 400, 900])
def test_a_small_face_in_a_large_picture_is_found(detector: FaceDetector, side: int) -> None:
    (face,) = detector.find(scene((3000, 2000), (1700, 700, side)))
    assert off(eyes(face), eyes_of_sample(1700, 700, side)) < 0.15


def test_several_faces_come_largest_first(detector: FaceDetector) -> None:
    faces = detector.find(scene((1500, 700), (50, 300, 150), (300, 100, 400), (900, 200, 250)))
    assert len(faces) == 3
    places = [(300, 100, 400), (900, 200, 250), (50, 300, 150)]
    for face, place in zip(faces, places, strict=True):
        assert off(eyes(face), eyes_of_sample(*place)) < 0.15


@pytest.mark.parametrize("roll", [-45, -20, 20, 45])
def test_a_turned_head_is_found_and_its_turn_is_known(detector: FaceDetector, roll: int) -> None:
    (face,) = detector.find(scene((900, 600), (300, 150, 300), roll=roll))
    across, down = eyes(face)[1] - eyes(face)[0]
    assert math.degrees(math.atan2(down, across)) == pytest.approx(-roll, abs=4)


def test_a_face_that_is_cut_off_is_found_with_points_outside(detector: FaceDetector) -> None:
    (face,) = detector.find(scene((600, 400), (-110, 50, 300)))
    assert off(eyes(face), eyes_of_sample(-110, 50, 300)) < 0.2
    assert face.box[0] < 0


def test_a_face_at_another_size_has_all_of_it_scaled(detector: FaceDetector) -> None:
    (face,) = detector.find(sample())
    doubled = face.scaled(2)
    assert doubled.box == tuple(2 * value for value in face.box)
    assert np.array_equal(eyes(doubled), 2 * eyes(face))
    assert doubled.area == pytest.approx(4 * face.area)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (4000, 9), (640, 480)])
@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_blank_sheet_of_any_shape_has_no_face(
    detector: FaceDetector, size: tuple[int, int], tone: int
) -> None:
    assert detector.find(Image.new("RGB", size, (tone, tone, tone))) == []


def test_noise_and_shuffled_pieces_of_a_face_are_no_face(detector: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (300, 400, 3), np.uint8))
    pieces = np.asarray(sample(256)).reshape(8, 32, 8, 32, 3).swapaxes(1, 2).reshape(64, 32, 32, 3)
    mixed = rng.permutation(pieces).reshape(8, 8, 32, 32, 3).swapaxes(1, 2).reshape(256, 256, 3)
    for image in (noise, Image.fromarray(np.ascontiguousarray(mixed))):
        assert detector.find(image) == []


def test_a_real_photo_has_its_face(detector: FaceDetector) -> None:
    data = pytest.importorskip("skimage.data")
    (face,) = detector.find(Image.fromarray(data.astronaut()))
    assert eyes(face) == pytest.approx(np.array([(205, 101), (248, 104)]), abs=6)


@pytest.mark.parametrize(("size", "num_looks"), [((256, 256), 1), ((2000, 1500), 2)])
def test_a_picture_that_was_seen_whole_is_not_looked_at_again(
    detector: FaceDetector,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    num_looks: int,
) -> None:
    looks: list[int] = []
    candidates = detector._candidates

    def watched(image: Image.Image, near_pixels: int) -> np.ndarray:
        looks.append(near_pixels)
        return candidates(image, near_pixels)

    monkeypatch.setattr(detector, "_candidates", watched)
    assert detector.find(Image.new("RGB", size, "teal")) == []
    assert len(looks) == num_looks


def test_threads_share_a_detector(detector: FaceDetector) -> None:
    pictures = [sample(), scene((500, 300), (100, 20, 200)), Image.new("L", (50, 90))] * 5
    alone = [detector.find(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.find, pictures)) == alone
