"""What lies in a folder: links, loops, names of any bytes; a folder's hash sees all of it."""

import os
import tempfile
import time
from pathlib import Path

import pandas  # noqa: F401  (now: the user below may not be allowed to)
import pytest
from PIL import Image

from aa_utils import files, sources
from aa_utils.benchmarks import image_folder
from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.paths import as_text
from aa_utils.photos import intake, judge  # noqa: F401
from aa_utils.runner import input_paths, record


def names(found, root):
    return [path.relative_to(root).as_posix() for path in found]


def fill(folder, *file_names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in file_names:
        (folder / name).write_bytes(os.fsencode(name))
    return folder


def test_links_are_followed_and_loops_end(tmp_path):
    root = fill(tmp_path / "album", "own")
    fill(tmp_path / "disk/mug", "1", "2")
    fill(root / "z", "deep")
    (root / "mug").symlink_to(tmp_path / "disk/mug")
    (root / "all").symlink_to("../disk")
    (root / "loop").symlink_to(".")
    (root / "z/up").symlink_to("..")
    (root / "a_link").symlink_to("z")
    (root / "world").symlink_to(tmp_path.anchor)
    (root / "dangling").symlink_to("nowhere")
    (tmp_path / "disk/back").symlink_to("../album")
    found = files.tree(root)
    assert names(found.files, root) == ["all/mug/1", "all/mug/2", "dangling", "own", "z/deep"]
    assert sorted(names(found.again, root)) == ["a_link", "all/back", "loop", "mug", "world", "z/up"]


def test_links_among_folders_do_not_multiply(tmp_path):
    for name in "abcdefgh":
        fill(tmp_path / name, "file")
        for other in "abcdefgh":
            if other != name:
                (tmp_path / name / f"to_{other}").symlink_to(f"../{other}")
    assert names(files.tree(tmp_path).files, tmp_path) == [f"{name}/file" for name in "abcdefgh"]


def test_hidden_and_other_names_are_left_out_unread(tmp_path):
    fill(tmp_path / ".git", "config")
    fill(tmp_path / "@eaDir", "thumb")
    fill(tmp_path, "photo", ".DS_Store")
    found = files.tree(tmp_path)
    assert names(found.files, tmp_path) == ["@eaDir/thumb", "photo"]
    assert sorted(names(found.skipped, tmp_path)) == [".DS_Store", ".git"]
    assert names(files.tree(tmp_path, lambda name: name == "@eaDir").files, tmp_path) == [".DS_Store", ".git/config", "photo"]


@pytest.fixture
def mine():
    """A folder of a user who is not root: root reads everything."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        os.seteuid(65534 if root else os.geteuid())
        try:
            yield Path(folder)
        finally:
            os.seteuid(0 if root else os.geteuid())


def album(folder):
    for name in ("mug", "plate"):
        for k in range(3):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.effect_noise((24, 24), 50 + k).save(folder / name / f"{k}.png")
    return folder


def closed_folder(root):
    (root / "mug").chmod(0)


def folder_without_a_list(root):
    (root / "mug").chmod(0o111)


def folder_without_a_way_in(root):
    (root / "mug").chmod(0o444)


def closed_file(root):
    (root / "mug/0.png").chmod(0)


def closed_goal_of_a_link(root):
    (root / "cup").symlink_to(album(root.parent / "disk") / "mug")
    (root.parent / "disk").chmod(0)


def closed_root(root):
    root.chmod(0)


def closed_parent(root):
    root.parent.chmod(0)


def too_deep(root):
    here = os.getcwd()
    os.chdir(root / "mug")
    for _ in range(30):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.chdir(here)


READERS = {
    "intake": lambda root: intake.take_in(root, 16, ["mug", "plate"], root.parent / "out"),
    "image_folder": lambda root: image_folder.load(str(root), 16),
    "images": lambda root: images.load(root, 16),
    "source": lambda root: (
        input_paths.check("folder", "input: a folder", str(root), "artifacts/x"),
        sources.write(sources.choose(root, []), root.parent / "source"),
    ),
    "hash": lambda root: (
        input_paths.check("photos", "input: a folder", str(root), "artifacts/x"),
        record.describe_input("photos", str(root)),
    ),
}
WAYS = [
    closed_folder,
    folder_without_a_list,
    folder_without_a_way_in,
    closed_file,
    closed_goal_of_a_link,
    closed_root,
    closed_parent,
    too_deep,
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("close", WAYS)
def test_what_nobody_may_read_is_one_sentence(mine, close, reader):
    """Never fewer pictures without a word, and no traceback."""
    root = album(mine / "parent/in")
    close(root)
    with pytest.raises(InputError, match=r"cannot be (read|used)|permission denied|no folder"):
        READERS[reader](root)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["lost+found", "System Volume Information"])
def test_what_a_disk_keeps_closed_does_not_matter(mine, reader, name):
    root = album(mine / "in")
    READERS[reader](root)
    (root / name).mkdir(mode=0)
    READERS[reader](root)


def test_links_to_themselves_are_files(tmp_path):
    fill(tmp_path, "own")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    for k in range(5):
        (tmp_path / f"ring{k}").symlink_to(f"ring{(k + 1) % 5}")
    assert names(files.tree(tmp_path).files, tmp_path) == ["own", *(f"ring{k}" for k in range(5)), "self.jpg"]
    assert files.sha256(tmp_path)


@pytest.mark.parametrize("goal", ["nowhere", "mug_link", "/nowhere/at/all"])
def test_a_class_whose_folder_is_not_there_is_named(tmp_path, goal):
    root = album(tmp_path)
    (root / "mug_link").symlink_to(goal)
    with pytest.raises(InputError, match=r"links that lead nowhere \(1\): mug_link"):
        image_folder.load(str(root), 16)


def test_thousands_of_links_take_no_time_of_their_own(tmp_path):
    fill(tmp_path / "a/b", "file")
    for k in range(3000):
        (tmp_path / f"{k:04}").symlink_to("a/b")
    started = time.process_time()
    found = files.tree(tmp_path)
    assert (len(found.files), len(found.again)) == (1, 3000)
    assert time.process_time() - started < 5


@pytest.fixture(params=[b"caf\xe9.jpg", b"\xff\xfe", "übung".encode(), "holiday\u2028beach".encode(), b"new\nline"])
def name(request, tmp_path):
    try:
        (tmp_path / os.fsdecode(request.param)).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / os.fsdecode(request.param)).unlink()
    return os.fsdecode(request.param)


def test_a_folder_of_any_names_has_a_hash(tmp_path, name):
    fill(tmp_path / "in", name, "plain")
    before = files.sha256(tmp_path / "in"), record.describe_input("photos", str(tmp_path / "in"))["sha256"]
    assert (files.sha256(tmp_path / "in"), record.describe_input("photos", str(tmp_path / "in"))["sha256"]) == before
    (tmp_path / "in" / name).rename(tmp_path / "in/other")
    after = files.sha256(tmp_path / "in"), record.describe_input("photos", str(tmp_path / "in"))["sha256"]
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_a_folder_of_any_name_is_an_input(tmp_path, name):
    fill(tmp_path / name, "plain")
    row = record.describe_input("photos", str(tmp_path / name))
    assert record.run_id("code", {"photos": row["path"]}, [row])
    record.write(tmp_path, {"schema": record.SCHEMA, "inputs": [row]})
    assert record.read(tmp_path)["inputs"][0]["path"] == str(tmp_path / name)


def test_a_hash_sees_what_a_link_leads_to(tmp_path):
    fill(tmp_path / "in", "own")
    fill(tmp_path / "disk", "photo")
    (tmp_path / "in/link").symlink_to("../disk")
    before = record.describe_input("photos", str(tmp_path / "in"))["sha256"]
    (tmp_path / "disk/photo").write_text("another")
    assert record.describe_input("photos", str(tmp_path / "in"))["sha256"] != before


def test_names_stay_apart_as_text():
    given = [os.fsdecode(raw) for raw in (b"caf\xe9.jpg", b"caf\xe8.jpg", "café.jpg".encode())]
    assert [as_text(name) for name in given] == ["caf\\xe9.jpg", "caf\\xe8.jpg", "café.jpg"]
