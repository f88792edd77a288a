"""What metrics.json holds."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from facesketch.evaluation.statistics import Value

Group = Literal["photo2sketch", "sketch2photo", "cycle_photo", "cycle_sketch"]

GROUPS: dict[Group, str] = {
    "photo2sketch": "Photo to sketch",
    "sketch2photo": "Sketch to photo",
    "cycle_photo": "Photo to sketch and back",
    "cycle_sketch": "Sketch to photo and back",
}


class Metric(NamedTuple):
    """How a figure is shown and read."""

    label: str
    unit: str
    better: Literal["lower", "higher", "like real"]
    decimals: int
    meaning: str


METRICS: dict[str, Metric] = {
    "kid_mobilenetv2": Metric(
        "KID (MobileNetV2)",
        "",
        "lower",
        4,
        "How far the generated pictures are, as a set, from the real ones: squared MMD of "
        "MobileNetV2 features, 0 for equal distributions. Not comparable with KID by Inception.",
    ),
    "kid_inception": Metric(
        "KID (Inception)",
        "",
        "lower",
        4,
        "The same by the features of the standard Inception network, as others report it.",
    ),
    "fid": Metric(
        "FID",
        "",
        "lower",
        2,
        "Frechet distance of Inception features by the standard weights. Only to be compared with "
        "figures from as many pictures: fewer give a higher one.",
    ),
    "ssim": Metric("SSIM", "", "higher", 3, "Structure shared with the picture's pair, 1 at most."),
    "psnr": Metric("PSNR", "dB", "higher", 2, "Pixels shared with the pair."),
    "fsim": Metric("FSIM", "", "higher", 3, "Edges and features shared with the pair, 1 at most."),
    "feature_distance_mobilenetv2": Metric(
        "Feature distance (MobileNetV2)",
        "",
        "lower",
        3,
        "Distance from the pair in features at five resolutions; LPIPS without learned weights.",
    ),
    "rank1": Metric(
        "Right person",
        "%",
        "higher",
        1,
        "Share of pictures whose own photo is the nearest of all photos by dlib's face embedding, "
        "in the framing of the photo's landmarks.",
    ),
    "cycle_error": Metric(
        "Cycle error", "of 255", "lower", 2, "Mean absolute difference after the round trip."
    ),
    "cycle_error_degraded": Metric(
        "Cycle error, nothing hidden",
        "of 255",
        "lower",
        2,
        "The same where the picture in between was blurred by 1 px and saved as JPEG 75, which "
        "takes away what a generator hides in it.",
    ),
    "rank1_degraded": Metric(
        "Right person, nothing hidden",
        "%",
        "higher",
        1,
        "Share of round trips through that blur and JPEG whose own photo is nearest.",
    ),
    "colour_shift": Metric(
        "Colour shift",
        "ΔE",
        "lower",
        2,
        "Between the mean colours (CIELAB) of generated and real pictures; in round trips, of a "
        "picture and what came back.",
    ),
    "checkerboard": Metric(
        "Checkerboard energy",
        "dB",
        "like real",
        2,
        "Power at periods of 2 and 4 px over what is beside them in the spectrum; 0 is no pattern.",
    ),
    "latency": Metric(
        "Latency",
        "ms",
        "lower",
        1,
        "Median time of one picture on one CPU thread, batch 1, beside all else the machine did. "
        "Sets are timed one after the other: small differences say nothing.",
    ),
}


class Column(BaseModel):
    """What was measured of one set of generators, of a filter, or of the real pictures."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["weights", "baseline", "real"]
    weights: str | None = Field(default=None, description="Folder.")
    files: dict[str, str] = Field(default={}, description="SHA-256 of each generator's file.")
    about: dict[str, str] = Field(
        default={}, description="Architecture, step and data of each generator."
    )
    values: dict[Group, dict[str, Value]]
    skin_tones: dict[str, dict[str, Value]] = Field(
        default={}, description="Values of the photos of each skin tone, light to dark."
    )


class Folder(BaseModel):
    """The pictures of one domain."""

    model_config = ConfigDict(frozen=True)

    path: str
    num_images: int


class Results(BaseModel):
    """One evaluation, as metrics.json has it."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    created: str = Field(description="UTC, ISO 8601.")
    command: str
    versions: dict[str, str]
    machine: str
    size: int = Field(description="Side in px that all pictures were brought to.")
    subset_size: int = Field(description="Pictures in a subset of KID.")
    extractors: dict[str, str] = Field(description="SHA-256 of each extractor's file.")
    photos: Folder
    sketches: Folder
    num_pairs: int
    num_photos_without_face: int | None = Field(
        default=None, description="Left out of identification; none if it was not asked for."
    )
    columns: list[Column]
    notes: list[str] = Field(default=[], description="What was left out, and why.")
