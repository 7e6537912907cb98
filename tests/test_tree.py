"""What lies in a folder: links, loops, names of any bytes; a folder's hash sees all of it."""

import os

import pytest

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import as_text
from aa_utils.runner import record


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_access_is_one_sentence(tmp_path):
    fill(tmp_path / "closed", "photo").chmod(0)
    try:
        with pytest.raises(InputError, match="closed' cannot be read: Permission denied"):
            files.tree(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)


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
