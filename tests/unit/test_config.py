from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from facesketch.config import (
    PRESETS,
    TrainConfig,
    build_config,
    field_extra,
    fields,
)
from facesketch.errors import ConfigError
from facesketch.settings import load_toml

BAD_VALUES: list[tuple[str, object]] = [
    ("image_size", 0),
    ("image_size", 31),
    ("image_size", "large"),
    ("image_size", 250),
    ("load_scale", 0.5),
    ("load_scale", "nan"),
    ("flip", "perhaps"),
    ("augment_sketches", "some"),
    ("num_workers", -1),
    ("generator", "unet"),
    ("upsample", "bilinear"),
    ("sketch_channels", 2),
    ("disc_filters", 0),
    ("lambda_cycle", -1),
    ("lambda_cycle", "inf"),
    ("lambda_identity", -0.1),
    ("lambda_paired", -1),
    ("lambda_r1", -1),
    ("r1_every", 0),
    ("cycle_noise", -0.1),
    ("cycle_noise", 2),
    ("cycle_blur", -1),
    ("clean_paper", 0.6),
    ("diff_augment", "colour"),
    ("styles", "line,Thick"),
    ("styles", "line,"),
    ("styles", "../line"),
    ("lambda_structure", -1),
    ("lambda_features", -1),
    ("lambda_nce", -1),
    ("lambda_teacher", -1),
    ("discriminator", "pixel"),
    ("diff_augment", "cutout,cutout"),
    ("pool_size", -1),
    ("epochs", 0),
    ("steps", 0),
    ("steps", 1.5),
    ("decay_start", 1.1),
    ("batch_size", 0),
    ("accumulate", 0),
    ("accumulate", 3),
    ("learning_rate", 0),
    ("learning_rate", "nan"),
    ("learning_rate", "inf"),
    ("disc_learning_rate", 0),
    ("beta1", 1),
    ("beta2", -0.5),
    ("ema_decay", 1),
    ("seed", -1),
    ("seed", 2**32),
    ("device", "gpu"),
    ("device", "cuda:x"),
    ("precision", "float16"),
    ("compile", "maybe"),
    ("max_minutes", 0),
    ("max_minutes", "an hour"),
    ("checkpoint_every", 0),
    ("keep_checkpoints", 1),
    ("validate_every", -1),
    ("sample_every", 0),
    ("log_every", 0),
    ("data", 5),
    ("no_such_setting", 1),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_gets_one_sentence_that_names_the_setting(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config("compact", {name: value})
    text = str(caught.value)
    assert name in text
    assert str(value) in text or name == "no_such_setting"
    assert "\n" not in text
    assert text.endswith(".")
    assert ";" not in text.removeprefix("no_such_setting: is not a setting;")


def test_every_setting_has_a_bad_value_in_the_table_or_takes_any_text() -> None:
    tested = {name for name, _ in BAD_VALUES}
    assert set(fields()) - tested <= {
        *("photos", "sketches", "val_photos", "val_sketches", "teacher", "out", "init_from"),
        *("training_data", "licence"),
    }


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config("compact", {"epochs": 0, "seed": -1})
    assert "epochs" in str(caught.value)
    assert "seed" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"data": "x", "photos": "a", "sketches": "b"}, "not both"),
        ({"photos": "a"}, "go together"),
        ({"sketches": "a"}, "go together"),
        ({"photos": "a", "sketches": "b", "val_photos": "c"}, "val_sketches go together"),
        ({"photos": "a", "sketches": "b", "val_sketches": "c"}, "val_sketches go together"),
        ({"data": "x", "val_photos": "c", "val_sketches": "d"}, "wants photos and sketches"),
    ],
)
def test_folders_that_contradict_each_other_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build_config("compact", values)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("image_size", "128", 128),
        ("learning_rate", "1e-3", 1e-3),
        ("steps", "7", 7),
        ("flip", "false", False),
        ("data", "some/where", "some/where"),
        ("device", "cuda:1", "cuda:1"),
        ("max_minutes", "0.5", 0.5),
    ],
)
def test_text_from_the_command_line_becomes_a_value(
    name: str, value: str, expected: object
) -> None:
    assert getattr(build_config("compact", {name: value}), name) == expected


def test_the_defaults_are_the_compact_preset() -> None:
    assert build_config("compact") == TrainConfig()
    assert TrainConfig().generator == "compact"


def test_the_paper_preset_has_the_settings_of_the_paper() -> None:
    paper = build_config("paper")
    assert paper.model_dump(include=set(PAPER)) == PAPER
    assert round(paper.image_size * paper.load_scale) == 286


PAPER = {
    "generator": "resnet9",
    "upsample": "transpose",
    "image_size": 256,
    "sketch_channels": 3,
    "disc_filters": 64,
    "lambda_cycle": 10.0,
    "lambda_identity": 5.0,
    "pool_size": 50,
    "batch_size": 1,
    "epochs": 200,
    "decay_start": 0.5,
    "learning_rate": 2e-4,
    "beta1": 0.5,
}


def test_the_small_preset_is_128_px_and_40_epochs() -> None:
    small = build_config("small")
    assert (small.image_size, small.epochs) == (128, 40)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_a_layer_over_it_wins(name: str) -> None:
    assert build_config(name, {"epochs": 3}, {"epochs": 4}).epochs == 4


@pytest.mark.parametrize("name", ["huge", "", 5, ["compact"]])
def test_an_unknown_preset_is_answered_with_the_known_ones(name: Any) -> None:
    with pytest.raises(ConfigError, match="choose from compact, paper, small"):
        build_config(name)


def test_epochs_given_last_replace_steps_and_the_other_way_round() -> None:
    assert build_config("compact", {"steps": 9}, {"epochs": 3}).steps is None
    assert build_config("compact", {"epochs": 3}, {"steps": 9}).steps == 9
    assert build_config("compact", {"steps": 9, "epochs": 3}).steps == 9


def test_folders_given_last_replace_the_ones_before() -> None:
    pair = {"photos": Path("a"), "sketches": Path("b")}
    assert build_config("compact", {"data": "x"}, pair).data is None
    aside = {"val_photos": Path("c"), "val_sketches": Path("d")}
    replaced = build_config("compact", pair | aside, {"data": "x"})
    assert replaced.photos is replaced.sketches is replaced.val_photos is None
    assert build_config("compact", {"data": "x"}).has_data()
    assert build_config("compact", pair).has_data()
    assert not build_config("compact").has_data()


def test_every_setting_has_a_sentence_of_help_a_group_and_a_unit() -> None:
    for name, info in fields().items():
        assert info.description, name
        assert info.description.endswith("."), name
        assert set(field_extra(name)) == {"group", "unit", "resume"}, name
        assert not info.is_required(), name


def test_settings_cannot_be_changed_after_validation() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainConfig().epochs = 5


def test_settings_survive_json() -> None:
    config = build_config("paper", {"photos": "ä b", "sketches": "c", "max_minutes": 1.5})
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_a_toml_file_gives_settings(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('preset = "small"\nepochs = 3\ndata = "süß"\nflip = false\n', encoding="utf-8")
    assert load_toml(path) == {"preset": "small", "epochs": 3, "data": "süß", "flip": False}


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe", b"epochs = 1\nepochs = 2"])
def test_a_broken_toml_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.toml is not valid TOML"):
        load_toml(path)


def test_a_missing_toml_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml cannot be read"):
        load_toml(tmp_path / "no.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_toml(tmp_path)


def test_a_file_may_name_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, "/home/ada")
    config = build_config("small", {"photos": "~/faces", "sketches": "~/drawings", "out": "~/run"})
    assert [config.photos, config.sketches, config.out] == [
        Path("/home/ada") / name for name in ("faces", "drawings", "run")
    ]
    assert build_config("small", {"data": "~/set"}).data == str(Path("/home/ada/set"))
    assert build_config("small", {"data": "s3://bucket/~/set"}).data == "s3://bucket/~/set"
