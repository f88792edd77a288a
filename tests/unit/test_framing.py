"""Faces where they are: portraits and whole pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facesketch
from face_pictures import GREY, eyes, eyes_of_sample, sample, scene
from facesketch.alignment import CANONICAL_KEYPOINTS, EYE_DISTANCE
from facesketch.errors import ImageError, ImageTooLargeError, UsageError
from facesketch.faces import FaceDetector
from facesketch.framing import NO_FACE, Framing, translate_back, translate_faces
from facesketch.images import Float32Array
from facesketch.translator import Prepared, Translator
from facesketch.weights_info import DIRECTIONS, Direction
from weights_helpers import IMAGE_SIZE, write_generator

SAMPLES = Path(facesketch.__file__).parent / "samples"
CROWD = (1500, 700), (50, 300, 150), (300, 100, 400), (900, 200, 250)


class WatchingTranslator(Translator):
    """Keeps what was sent to the networks."""

    runs: list[list[Prepared]]

    def __init__(self, weights: Path) -> None:
        super().__init__(weights)
        self.runs = []

    def run_prepared(self, prepared: Sequence[Prepared]) -> list[Float32Array]:
        self.runs.append(list(prepared))
        return super().run_prepared(prepared)


@pytest.fixture
def translator(weights_dir: Path) -> WatchingTranslator:
    return WatchingTranslator(weights_dir)


@pytest.mark.parametrize("roll", [0, 30])
def test_a_portrait_has_the_framing_that_the_generators_learned(
    translator: Translator, roll: int
) -> None:
    image = scene((1200, 800), (500, 250, 300), roll=roll)
    framed = translate_faces(translator, image, "photo2sketch", "portrait", size=256)
    (portrait,) = framed.pictures
    assert (portrait.mode, portrait.size) == ("L", (256, 256))
    assert (framed.framing, framed.note, len(framed.faces)) == ("portrait", None, 1)
    (face,) = FaceDetector().find(portrait)
    assert np.abs(eyes(face) - 256 * CANONICAL_KEYPOINTS[:2]).max() < 6


def test_every_face_gets_a_portrait_in_one_run(translator: WatchingTranslator) -> None:
    framed = translate_faces(translator, scene(*CROWD), "photo2sketch", "portrait", faces="all")
    assert len(framed.pictures) == len(framed.faces) == 3
    assert [len(run) for run in translator.runs] == [3]
    sizes = [picture.width for picture in framed.pictures]
    assert sizes == sorted(sizes, reverse=True)


def test_of_several_faces_the_largest_is_taken(translator: Translator) -> None:
    framed = translate_faces(translator, scene(*CROWD), "photo2sketch", "portrait")
    assert len(framed.pictures) == 1
    assert len(framed.faces) == 3
    assert np.abs(eyes(framed.faces[0]) - eyes_of_sample(300, 100, 400)).max() < 15


def test_a_portrait_has_the_resolution_of_its_face_within_limits(weights_dir: Path) -> None:
    translator = Translator(weights_dir)
    for side, expected in ((40, IMAGE_SIZE), (300, 300), (1500, 1024)):
        image = scene((max(400, side), max(300, side)), (0, 0, side))
        (portrait,) = translate_faces(translator, image, "sketch2photo", "portrait").pictures
        assert (portrait.mode, portrait.width) == ("RGB", portrait.height)
        assert portrait.width == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("size", [(300, 900), (1600, 500)])
def test_a_whole_picture_keeps_its_size_and_what_is_in_it(
    translator: Translator, size: tuple[int, int]
) -> None:
    image = scene(size, (20, 150, 250))
    framed = translate_faces(translator, image, "photo2sketch", "whole")
    (result,) = framed.pictures
    assert (result.size, framed.framing) == (size, "whole")
    luma = np.asarray(image.convert("L"), dtype=float)
    assert np.abs(np.asarray(result, dtype=float) - luma).mean() < 4


@pytest.mark.parametrize("side", [480, 560, 680])
def test_the_network_sees_a_face_as_large_as_it_learned_it(
    translator: WatchingTranslator, side: int
) -> None:
    translate_faces(translator, scene((800, 700), (50, 0, side)), "photo2sketch", "whole")
    ((tile, *_),) = translator.runs
    margin = IMAGE_SIZE // 8
    expected = 700 * IMAGE_SIZE / side + 2 * margin
    assert tile.working_size[1] == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(
    ("size", "side", "seen"),
    [
        ((200, 150), 100, (800, 600)),  # 4 times, where the face asks for 5
        ((1500, 1000), 300, (1225, 816)),  # a million pixels, where it asks for more
    ],
    ids=["a small face", "a large picture"],
)
def test_for_the_network_a_picture_is_enlarged_within_limits(
    tmp_path: Path, size: tuple[int, int], side: int, seen: tuple[int, int]
) -> None:
    write_generator(tmp_path, "photo2sketch", changes={"image_size": 512})
    image = scene(size, (0, 0, side))
    framed = translate_faces(Translator(tmp_path), image, "photo2sketch", "whole")
    assert framed.working_size == seen


def test_a_whole_picture_goes_back_at_the_scale_at_which_it_was_made(
    translator: WatchingTranslator,
) -> None:
    image = scene((800, 700), (50, 0, 600))
    framed = translate_faces(translator, image, "photo2sketch", "whole")
    (back,) = translate_back(translator, framed, "sketch2photo")
    there, again = ([tile.working_size for tile in run] for run in translator.runs)
    assert again == there
    red = np.asarray(back, int)[..., 0]  # the tint leaves it as bright as the drawing
    assert np.abs(red - np.asarray(image.convert("L"), int)).mean() < 8


def test_large_pictures_go_through_the_network_in_small_tiles(
    translator: WatchingTranslator,
) -> None:
    translate_faces(translator, scene((2400, 1600), (900, 600, 200)), "photo2sketch", "whole")
    (tiles,) = translator.runs
    assert len(tiles) > 20
    assert {tile.planes.shape for tile in tiles} == {tiles[0].planes.shape}
    assert max(tiles[0].working_size) <= 2 * IMAGE_SIZE


@pytest.mark.parametrize("place", [(300, 100, 400), (900, 200, 250), (50, 300, 150)])
def test_with_all_faces_each_is_seen_at_its_own_scale(
    translator: WatchingTranslator, place: tuple[int, int, int]
) -> None:
    image = scene(*CROWD)
    framed = translate_faces(translator, image, "photo2sketch", "whole", faces="all")
    assert [len(run) for run in translator.runs][-1] == 2  # all but the largest, in one run
    (result,) = framed.pictures
    found = [eyes(face) for face in FaceDetector().find(result)]
    expected = eyes_of_sample(*place)
    assert min(np.abs(each - expected).max() for each in found) < 0.06 * place[2]
    assert np.abs(np.asarray(result, int) - np.asarray(image.convert("L"), int)).mean() < 3


@pytest.mark.parametrize("framing", ["portrait", "whole"])
def test_drawings_in_colour_keep_it_in_tiles_and_where_faces_are_laid_on(
    coloured_dir: Path, framing: Framing
) -> None:
    image = scene(*CROWD)
    translator = Translator(coloured_dir)
    framed = translate_faces(translator, image, "photo2sketch", framing, faces="all")
    assert {picture.mode for picture in framed.pictures} == {"RGB"}
    if framing == "whole":
        (result,) = framed.pictures
        assert np.abs(np.asarray(result, int) - np.asarray(image, int)).mean() < 3


@pytest.mark.parametrize("has_more", [False, True])
def test_of_a_drawing_on_an_empty_sheet_the_portrait_alone_is_converted(has_more: bool) -> None:
    sheet = Image.new("RGB", (1000, 800), "white")
    drawing = Image.open(SAMPLES / "drawing_1.png").convert("RGB").resize((256, 256))
    sheet.paste(drawing, (60, 80))
    if has_more:
        sheet.paste("black", (700, 500, 900, 700))
    framed = translate_faces(Translator(), sheet, "sketch2photo", "whole")
    photo = np.asarray(framed.pictures[0]).astype(int)
    far = photo[400:480, 20:600]
    assert bool((far == far[0, 0]).all()) is not has_more
    assert photo[180:230, 170:220].std() > 10


def test_a_turned_face_is_turned_upright_for_the_network_and_back(
    translator: WatchingTranslator,
) -> None:
    image = scene((700, 500), (200, 100, 300), roll=35)
    (result,) = translate_faces(translator, image, "photo2sketch", "whole").pictures
    (upright,) = translator.runs[-1]
    (face,) = FaceDetector().find(
        Image.fromarray(np.uint8((upright.planes.transpose(1, 2, 0) + 1) * 127.5))
    )
    across = eyes(face)[1] - eyes(face)[0]
    assert abs(across[1]) < 0.12 * across[0]
    assert across[0] == pytest.approx(EYE_DISTANCE * IMAGE_SIZE, rel=0.15)
    difference = np.asarray(result, int) - np.asarray(image.convert("L"), int)
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("framing", ["auto", "portrait", "whole"])
def test_where_there_is_no_face_the_picture_is_converted_as_it_is(
    translator: Translator, framing: Framing
) -> None:
    image = Image.new("RGB", (300, 200), GREY)
    framed = translate_faces(translator, image, "photo2sketch", framing)
    assert (framed.framing, framed.faces, framed.note) == ("none", (), NO_FACE)
    assert np.array_equal(framed.pictures[0], translator.to_sketch(image))


@pytest.mark.parametrize("shape", [(256, 256), (256, 400), (512, 512), (400, 256)])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_framed_portrait_is_converted_as_it_is_unless_asked(
    translator: Translator, shape: tuple[int, int], direction: Direction
) -> None:
    side = min(shape)
    image = scene(shape, ((shape[0] - side) // 2, (shape[1] - side) // 2, side))
    framed = translate_faces(translator, image, direction)
    assert (framed.framing, len(framed.faces), framed.note) == ("none", 1, None)
    (expected,) = translator.translate([image], direction)
    assert np.array_equal(framed.pictures[0], expected)


@pytest.mark.parametrize(
    ("place", "roll"),
    [((900, 300, 250), 0), ((200, 0, 780), 40), ((0, -200, 1200), 0)],
    ids=["small", "turned", "too near"],
)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_face_that_is_not_framed_gets_its_scale_unless_asked(
    translator: Translator, place: tuple[int, int, int], roll: int, direction: Direction
) -> None:
    image = scene((1200, 800), place, roll=roll)
    framed = translate_faces(translator, image, direction)
    assert (framed.framing, framed.note) == ("whole", None)
    (expected,) = translate_faces(translator, image, direction, "whole").pictures
    assert np.array_equal(framed.pictures[0], expected)


def test_where_all_faces_are_asked_for_a_framed_one_is_no_reason_to_stop(
    translator: Translator,
) -> None:
    image = scene((600, 400), (0, 0, 400), (430, 100, 120))
    assert translate_faces(translator, image, "photo2sketch").framing == "none"
    framed = translate_faces(translator, image, "photo2sketch", faces="all")
    expected = translate_faces(translator, image, "photo2sketch", "whole", faces="all")
    assert framed.framing == "whole"
    assert np.array_equal(framed.pictures[0], expected.pictures[0])


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_the_shipped_samples_are_framed(translator: Translator, path: Path) -> None:
    for direction in DIRECTIONS:
        assert translate_faces(translator, path, direction).framing == "none"


def test_a_face_at_the_border_gives_a_portrait_without_a_black_edge(
    translator: Translator,
) -> None:
    image = scene((600, 400), (-90, -20, 300))
    (portrait,) = translate_faces(translator, image, "photo2sketch", "portrait").pictures
    assert np.asarray(portrait).min(axis=0)[:20].min() > 10


def test_beyond_its_border_a_photo_is_mirrored_and_a_drawing_is_plain_paper(
    translator: Translator,
) -> None:
    image = scene((600, 400), (-90, 50, 300))
    (sketch,) = translate_faces(translator, image, "photo2sketch", "portrait").pictures
    (photo,) = translate_faces(translator, image, "sketch2photo", "portrait").pictures
    beyond = [np.asarray(picture)[:, :20].astype(int) for picture in (sketch, photo)]
    assert beyond[0].std() > 5
    assert np.ptp(beyond[1], axis=(0, 1)).max() == 0


def test_a_picture_that_was_decoded_smaller_answers_in_pixels_of_the_original(
    translator: Translator,
) -> None:
    image = scene((600, 400), (200, 60, 300))
    framed = translate_faces(translator, image, "photo2sketch", "whole", original_size=(1800, 1200))
    assert framed.pictures[0].size == (1800, 1200)
    assert np.abs(eyes(framed.faces[0]) - 3 * eyes_of_sample(200, 60, 300)).max() < 40


def test_a_file_is_taken(translator: Translator, tmp_path: Path) -> None:
    image = scene((600, 400), (200, 60, 300))
    image.save(tmp_path / "holiday.png")
    framed = translate_faces(translator, tmp_path / "holiday.png", "photo2sketch", "whole")
    (expected,) = translate_faces(translator, image, "photo2sketch", "whole").pictures
    assert np.array_equal(framed.pictures[0], expected)


def test_size_is_the_shorter_side_of_the_result(translator: Translator) -> None:
    image = scene((600, 400), (200, 60, 300))
    (portrait,) = translate_faces(translator, image, "photo2sketch", "portrait", size=99).pictures
    (whole,) = translate_faces(translator, image, "photo2sketch", "whole", size=200).pictures
    assert (portrait.size, whole.size) == ((99, 99), (300, 200))


@pytest.mark.parametrize("framing", ["portrait", "whole"])
def test_bad_requests_are_refused_with_a_sentence(translator: Translator, framing: Framing) -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        translate_faces(translator, sample(), "photo2sketch", framing, size=0)
    with pytest.raises(ImageTooLargeError, match="choose a smaller size"):
        translate_faces(translator, sample(), "photo2sketch", framing, size=20_000)
    with pytest.raises(ImageError, match="is no picture"):
        translate_faces(translator, b"face.jpg", "photo2sketch", framing)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"face\.jpg does not exist"):
        translate_faces(translator, "face.jpg", "photo2sketch", framing)


def test_a_misspelt_choice_is_refused_with_the_right_ones(translator: Translator) -> None:
    with pytest.raises(UsageError, match="direction must be photo2sketch or sketch2photo, not 'a"):
        translate_faces(translator, sample(), "art", "whole")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="framing must be auto or portrait or whole, not 'hole'"):
        translate_faces(translator, sample(), "photo2sketch", "hole")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="faces must be largest or all, not 'al'"):
        translate_faces(translator, sample(), "photo2sketch", "whole", faces="al")  # type: ignore[arg-type]


def test_the_package_offers_it_with_its_own_generators() -> None:
    photo = scene((700, 400), (300, 50, 280))
    translator = facesketch.Translator(num_threads=1)
    framed = facesketch.translate_faces(translator, photo, "photo2sketch", "whole")
    drawing = np.asarray(framed.pictures[0])
    assert drawing.shape == (400, 700)
    assert drawing.mean() > 180
    assert drawing.min() < 80
