"""Settings of training that are off by default: alone, and all at once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from train_helpers import (
    EVERYTHING,
    assert_same_end,
    differences,
    into_styles,
    logged,
    options,
    resume,
    run_cli,
    styled_batch,
    tiny_config,
    write_pictures,
)

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from facesketch.cyclegan import CycleGAN  # noqa: E402
from facesketch.data.batch import Batch  # noqa: E402
from facesketch.errors import CheckpointError, NonFiniteLossError, WeightsError  # noqa: E402
from facesketch.init_weights import load_teacher  # noqa: E402
from facesketch.train_state import TrainState  # noqa: E402
from facesketch.training import train  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("one_thread")]

NAMES = {
    *("gan_sketch", "gan_photo", "cycle_photo", "cycle_sketch"),
    *("identity_photo", "identity_sketch", "paired_photo", "paired_sketch"),
    "structure",
    "features_cycle",
    "features_paired",
    "nce",
    *("disc_photo", "disc_sketch", "r1_photo", "r1_sketch"),
    *("grad_norm_gen", "grad_norm_disc"),
}


def plain(seed: int) -> Batch:
    """Photos and sketches alone."""
    everything = styled_batch(seed)
    return Batch.of(everything.photo, everything.sketch)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_pictures(tmp_path_factory.mktemp("pairs") / "set", num_photos=6, num_sketches=5)
    return into_styles(root, "line", "hatch")


# All of them together


def test_a_run_with_everything_on_resumes_to_the_bit(pairs: Path, tmp_path: Path) -> None:
    kind = EVERYTHING | {"data": pairs, "steps": 6, "batch_size": 2}
    train(tiny_config(**kind, out=tmp_path / "whole"))
    train(tiny_config(**kind, out=tmp_path / "run", max_minutes=1e-9))
    for _ in range(2):
        resume(tmp_path / "run", max_minutes=1e-9)
    assert resume(tmp_path / "run").step == 6
    assert_same_end(tmp_path / "run", tmp_path / "whole")
    seen = logged(tmp_path / "run")
    assert [set(line) >= NAMES for line in seen] == [False, True] * 3  # R1 in every second step
    assert all(set(line) >= NAMES - {"r1_photo", "r1_sketch"} for line in seen)


def test_a_batch_in_parts_gives_the_same_step_with_everything_on() -> None:
    whole = TrainState(tiny_config(**EVERYTHING), 10)
    parts = TrainState(tiny_config(**EVERYTHING, accumulate=2), 10)
    for seed in range(2):  # the second with R1
        a, b = (state.train_step(styled_batch(seed)) for state in (whole, parts))
        assert a == pytest.approx(b, rel=1e-3)


def test_a_step_that_is_given_up_changes_nothing_with_everything_on() -> None:
    state, undisturbed = (TrainState(tiny_config(**EVERYTHING), 10) for _ in range(2))
    spoilt = styled_batch(9)
    spoilt.photo[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteLossError, match="step 0"):
        state.train_step(spoilt)
    for seed in range(2):
        assert state.train_step(styled_batch(seed)) == undisturbed.train_step(styled_batch(seed))
    ends = [copy.deepcopy(one.state_dict()) for one in (state, undisturbed)]
    assert not list(differences(*ends))


def test_everything_works_in_bfloat16() -> None:
    exact, rough = (
        TrainState(tiny_config(**EVERYTHING | {"precision": precision, "r1_every": 1}), 10)
        for precision in ("float32", "bfloat16")
    )
    heads = [p.detach().clone() for p in rough.model.contrast.parameters()]
    a, b = (state.train_step(styled_batch(0)) for state in (exact, rough))
    assert set(a) == set(b) == NAMES
    assert not any(map(torch.equal, heads, rough.model.contrast.parameters()))
    assert a == pytest.approx(b, rel=0.1)
    assert a["r1_photo"] == pytest.approx(b["r1_photo"], rel=1e-4)  # in float32 in both


def test_projected_discriminators_resume_to_the_bit_and_take_parts(
    pairs: Path, tmp_path: Path
) -> None:
    kind = EVERYTHING | {"discriminator": "projected"}
    settings = kind | {"data": pairs, "steps": 3, "batch_size": 2}
    train(tiny_config(**settings, out=tmp_path / "whole"))
    train(tiny_config(**settings, out=tmp_path / "run", max_minutes=1e-9))
    assert resume(tmp_path / "run").step == 3
    assert_same_end(tmp_path / "run", tmp_path / "whole")
    whole, parts = (TrainState(tiny_config(**kind, accumulate=n), 10) for n in (1, 2))
    for seed in range(2):  # the second with R1
        a, b = (state.train_step(styled_batch(seed)) for state in (whole, parts))
        assert a == pytest.approx(b, rel=5e-3)


# One by one


def test_a_teacher_is_imitated_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_pictures(tmp_path / "set")
    kind = {"data": data, "generator": "resnet6", "sketch_channels": 3, "image_size": 32}
    train(tiny_config(**kind, steps=1, out=tmp_path / "teacher"))
    pupil = {"data": data, "teacher": tmp_path / "teacher", "steps": 4}
    train(tiny_config(**pupil, out=tmp_path / "whole"))
    train(tiny_config(**pupil, out=tmp_path / "run", max_minutes=1e-9))
    monkeypatch.chdir(tmp_path)
    assert resume(tmp_path / "run", teacher="teacher").step == 4
    assert_same_end(tmp_path / "run", tmp_path / "whole")
    assert "teacher is" not in caplog.text
    resume(tmp_path / "teacher", steps=2)
    resume(tmp_path / "run", steps=5)
    assert "teacher is step 2, " in caplog.text
    state = TrainState(tiny_config(lambda_teacher=1000), 10)
    state.model.teacher = load_teacher(state.config, tmp_path / "teacher")
    first, *_, last = [state.train_step(plain(0)) for _ in range(10)]
    for name in ("teacher_photo", "teacher_sketch"):
        assert last[name] < 0.8 * first[name]


def test_a_teacher_of_other_styles_is_refused(pairs: Path, tmp_path: Path) -> None:
    train(tiny_config(data=pairs, styles="line,hatch", steps=1, out=tmp_path / "teacher"))
    pupil = tiny_config(data=pairs, styles="hatch,line", steps=1, teacher=tmp_path / "teacher")
    with pytest.raises(WeightsError, match="draws in the styles line, hatch; set styles"):
        train(pupil.model_copy(update={"out": tmp_path / "run"}))


def test_a_teacher_that_takes_no_pictures_of_this_size_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, teacher = write_pictures(tmp_path / "set"), tmp_path / "teacher"
    train(tiny_config(data=data, steps=1, out=teacher))
    pupil = options(data=data, generator="resnet6", image_size=36, teacher=teacher)
    code, _, err = run_cli(capsys, "train", *pupil, "--dry-run")
    assert code == 1
    assert f"the teacher in {teacher} (compact) takes sides of a multiple of 16 px" in err


def test_a_teacher_that_is_gone_is_asked_for(tmp_path: Path) -> None:
    pupil = tiny_config(data=write_pictures(tmp_path / "set"), teacher=tmp_path / "gone")
    with pytest.raises(CheckpointError, match=r"teacher cannot be loaded: .*gone .* --teacher\."):
        train(pupil.model_copy(update={"out": tmp_path / "run"}))


def test_the_frozen_network_follows_what_it_sees_to_the_device() -> None:
    model = CycleGAN(tiny_config(lambda_features=1.0, discriminator="projected")).to("meta")
    images = Batch.of(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)).each(
        lambda x: x.to("meta")
    )
    seen = model.generator_losses(images, model(images))
    assert {loss.device.type for loss in seen.values()} == {"meta"}


def test_the_judge_of_sketches_sees_clean_ones_as_real() -> None:
    state = TrainState(tiny_config(pool_size=0, batch_size=4, styles="line,hatch"), 10)
    seen: list[torch.Tensor] = []
    state.model.disc_sketch.register_forward_pre_hook(lambda _net, args: seen.append(args[0]))
    state.train_step(styled_batch(0))
    [fake, both] = seen
    assert torch.equal(both, torch.cat([styled_batch(0).sketch, fake.detach()]))


def test_r1_comes_every_so_many_steps() -> None:
    state = TrainState(tiny_config(lambda_r1=1.0, r1_every=3), 10)
    seen = [state.train_step(plain(step)) for step in range(6)]
    assert ["r1_photo" in values for values in seen] == [False, False, True] * 2
    assert all(0 < values["r1_sketch"] < 100 for values in seen[2::3])


def learning_rates(**settings: float) -> Iterator[tuple[float, float]]:
    state = TrainState(tiny_config(learning_rate=2e-4, **settings), 4)
    for step in range(4):
        state.train_step(plain(step))
        gen, disc = (state.optimizers[name].param_groups[0]["lr"] for name in ("gen", "disc"))
        yield gen, disc


def test_discriminators_have_a_learning_rate_of_their_own_where_it_is_set() -> None:
    assert list(learning_rates()) == [(2e-4, 2e-4)] * 3 + [(1e-4, 1e-4)]
    apart = [(2e-4, 8e-4)] * 3 + [(1e-4, 4e-4)]
    assert list(learning_rates(disc_learning_rate=8e-4)) == apart
