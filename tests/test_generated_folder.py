"""A folder of generated images after bad luck: what is not as it was written is named or made again, never kept without a word."""

import itertools
import shutil

import pytest

from aa_utils import files
from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.generate import generate, made_with

TINY = {"steps": 1, "guidance": 1.0, "batch_size": 4}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_diffusion):
    """(prompts, image folder) of six finished images; treated as read-only."""
    root = tmp_path_factory.mktemp("generated")
    rows = [
        {"id": f"p-{label}-{n}", "label": label, "class_name": name, "text": f"a {name} in {ink} ink"}
        for label, name in enumerate(("digit zero", "digit one"))
        for n, ink in enumerate(("red", "blue", "black"))
    ]
    files.write_jsonl(root / "prompts.jsonl", rows)
    generate(root / "prompts.jsonl", tiny_diffusion, root / "out", **TINY)
    return root / "prompts.jsonl", root / "out"


@pytest.fixture
def out(whole, tmp_path):
    """A copy of the finished folder, to be damaged."""
    return shutil.copytree(whole[1], tmp_path / "out")


def again(whole, tiny_diffusion, out, **options):
    return generate(whole[0], tiny_diffusion, out, **(TINY | options))


def contents(root):
    """All files but locks and what was set aside."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(made_with.ASIDE) and not name.endswith(".lock")}


def pngs(root):
    return sorted(root.glob("*/*.png"))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGED = {
    "a flipped bit": lambda png, other: flip(png),
    "a cut file": lambda png, other: png.write_bytes(png.read_bytes()[:-30]),
    "another image": lambda png, other: png.write_bytes(other.read_bytes()),
    "a web page": lambda png, other: png.write_text("<html></html>"),
}


UNKNOWN = {("without", "another image")}  # without rows nothing says which image it was


@pytest.mark.parametrize(
    ("metadata", "kind"), [pair for pair in itertools.product(["with metadata", "without"], DAMAGED) if pair not in UNKNOWN]
)
def test_a_damaged_image_is_named_and_never_kept(whole, tiny_diffusion, out, kind, metadata):
    if metadata == "without":
        (out / "metadata.jsonl").unlink()
    first, *_, last = pngs(out)
    DAMAGED[kind](last, first)
    with pytest.raises(
        InputError, match=rf"1 of the 6 images that stand in .* cannot be kept: .*{last.name} \(.*delete them, and the same"
    ):
        again(whole, tiny_diffusion, out)
    if metadata == "with metadata":
        with pytest.raises(InputError, match=f"1 of 6 images of .* cannot be read: {last.name}"):
            images.load(out, 16)
    last.unlink()
    assert again(whole, tiny_diffusion, out)["made"] == 1
    assert contents(out) == contents(whole[1])


CUT = {
    "empty": lambda text: "",
    "within a line": lambda text: text[: len(text) // 2],
    "at a line end": lambda text: "".join(text.splitlines(keepends=True)[:-2]),
    "a row twice": lambda text: text + text.splitlines(keepends=True)[0],
    "a row twice in the place of another": lambda text: "".join([*text.splitlines(keepends=True)[:-1], text.splitlines(keepends=True)[0]]),
    "another label": lambda text: text.replace('"label": 0', '"label": 1', 1),
    "zeros": lambda text: "\0" * len(text),
    "other bytes": lambda text: "\udcff" + text,
}


@pytest.mark.parametrize("kind", CUT)
def test_metadata_that_is_not_whole_is_found_and_written_anew(whole, tiny_diffusion, out, kind, capsys):
    path = out / "metadata.jsonl"
    path.write_bytes(CUT[kind](path.read_text(encoding="utf-8")).encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="metadata") as said:
        images.load(out, 16)
    assert "\n" not in str(said.value)
    done = again(whole, tiny_diffusion, out)
    assert (done["made"], done["complete"]) == (0, True)
    assert "counts as absent, and is written anew" in capsys.readouterr().err
    assert contents(out) == contents(whole[1])


ROWS = {"whole": lambda text: text, "cut": CUT["within a line"], "empty": CUT["empty"], "gone": None}


def damage(path, kind):
    if kind is None:
        path.unlink()
    else:
        path.write_text(kind(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("content", ["gone", "", "{", "[]", "{}", "\0" * 99])
def test_lost_settings_set_the_images_aside(whole, tiny_diffusion, out, content, rows, capsys):
    damage(out / made_with.SETTINGS, None if content == "gone" else lambda text: content)
    damage(out / "metadata.jsonl", ROWS[rows])
    assert again(whole, tiny_diffusion, out)["made"] == 6, "nobody knows how the images were made that stand"
    said = capsys.readouterr().err
    assert "its settings were lost, so nobody knows how its images were made" in said
    assert f"'{made_with.SETTINGS}' {'is gone' if content == 'gone' else 'is not whole'}" in said
    assert contents(out) == contents(whole[1])
    assert len(list((out / made_with.ASIDE).rglob("*.png"))) == 6
    assert again(whole, tiny_diffusion, out)["kept"] == 6


@pytest.mark.parametrize("content", [None, "", "{}"])
@pytest.mark.parametrize("option", [{"steps": 2}, {"guidance": 2.0}, {"scheduler": "DPMSolverMultistepScheduler"}])
def test_images_without_settings_whose_rows_say_another_call_are_left_alone(whole, tiny_diffusion, out, content, option):
    damage(out / made_with.SETTINGS, None if content is None else lambda text: content)
    before = contents(out)
    with pytest.raises(InputError, match=f"holds images with {next(iter(option))} .*, and this call has "):
        again(whole, tiny_diffusion, out, **option)
    assert contents(out) == before


def test_images_without_settings_of_other_prompts_are_left_alone(whole, tiny_diffusion, out, tmp_path):
    (out / made_with.SETTINGS).unlink()
    files.write_jsonl(tmp_path / "fewer.jsonl", files.read_jsonl(whole[0])[:-1])
    with pytest.raises(InputError, match="holds images with prompts"):
        generate(tmp_path / "fewer.jsonl", tiny_diffusion, out, **TINY)


def test_lost_settings_of_more_copies_come_back_too(whole, tiny_diffusion, out, capsys):
    again(whole, tiny_diffusion, out, images_per_prompt=2)
    (out / made_with.SETTINGS).unlink()
    assert again(whole, tiny_diffusion, out, images_per_prompt=2)["made"] == 12
    assert "'.settings.json' is gone" in capsys.readouterr().err


@pytest.mark.parametrize("lacking", ["prompt_id", "seed", "model", "sha256"])
def test_rows_of_another_tool_are_never_moved(whole, tiny_diffusion, out, lacking):
    (out / made_with.SETTINGS).unlink()
    (out / ".metadata.json").unlink()
    rows = files.read_jsonl(out / "metadata.jsonl")
    files.write_jsonl(out / "metadata.jsonl", [{name: value for name, value in row.items() if name != lacking} for row in rows])
    before = contents(out)
    with pytest.raises(InputError, match="already holds images that were made elsewhere"):
        again(whole, tiny_diffusion, out)
    assert contents(out) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[1]\n"])
def test_lost_rows_of_a_shard_block_nothing(whole, tiny_diffusion, tmp_path, content):
    again(whole, tiny_diffusion, tmp_path / "out", shard=0, num_shards=2)
    (tmp_path / "out/.shards/0-of-2.jsonl").write_bytes(content)
    assert not again(whole, tiny_diffusion, tmp_path / "out", shard=1, num_shards=2)["complete"]
    done = again(whole, tiny_diffusion, tmp_path / "out", shard=0, num_shards=2)
    assert (done["made"], done["complete"]) == (0, True)
    assert (tmp_path / "out/metadata.jsonl").read_bytes() == (whole[1] / "metadata.jsonl").read_bytes()


def test_scores_stay_when_nothing_is_made(whole, tiny_diffusion, out):
    rows = files.read_jsonl(out / "metadata.jsonl")
    files.write_jsonl(out / "metadata.jsonl", [row | {"clip_score": 0.5} for row in rows])
    before = contents(out)
    assert again(whole, tiny_diffusion, out)["kept"] == 6
    assert contents(out) == before
