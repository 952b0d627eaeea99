import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import names
from contract.errors import ErrorCode, PermanentError


@pytest.mark.parametrize(
    ("key", "output"),
    [
        ("a.jpg", "a.png"),
        ("a.JPEG", "a.png"),
        ("a.png", "a.png"),
        ("shoes/red.left/a.b.tiff", "shoes/red.left/a.b.png"),
        ("shoes.jpg/a", "shoes.jpg/a.png"),
        ("größe 42+%2F/ü.webp", "größe 42+%2F/ü.png"),
        (".jpg", ".jpg.png"),
        ("a/.hidden.jpg", "a/.hidden.png"),
        ("a..jpg", "a..png"),
        ("a.jpg .jpg", "a.jpg .png"),
        ("a\n.jpg", "a\n.png"),
    ],
)
def test_the_output_keeps_the_folders_and_has_the_extension_png(key: str, output: str):
    assert names.output_key(key) == output


PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(PARTS.filter(lambda p: p not in {".", ".."}), min_size=1, max_size=4).map("/".join))
def test_every_safe_key_has_a_safe_output_in_the_same_folder(key: str):
    output = names.output_key(names.check_key(key))
    assert names.check_key(output) == output
    assert output.endswith(".png")
    assert output.rpartition("/")[0] == key.rpartition("/")[0]


@pytest.mark.parametrize("key", ["a", "a/b", "a b", "...", "..a", "a..", "a/.../b", "~", "\\", "ü"])
def test_a_plain_path_is_a_safe_key(key: str):
    assert names.check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/.", "a/..", "a/../b", "a\0b"]
)
def test_a_key_that_is_not_a_plain_path_is_unsafe(key: str):
    with pytest.raises(PermanentError) as caught:
        names.check_key(key)
    assert caught.value.code is ErrorCode.UNSAFE_KEY


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        *(
            (f"a.{extension}", True)
            for extension in ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif", "mpo"]
        ),
        ("a/b.JPG", True),
        ("a.heic", True),  # so that it fails by name
        ("a.avif", True),
        ("a.txt", False),
        ("a.jpg.txt", False),
        ("a.svg", False),
        ("a", False),
        (".jpg", False),
        ("photos.jpg/readme", False),
        ("Thumbs.db", False),
    ],
)
def test_a_photograph_is_recognised_by_its_extension(key: str, answer: bool):
    assert names.is_image(key) is answer


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("_cutout/b/report.csv", True),
        ("_cutout", True),
        ("_review/shoes/a.png", True),
        ("_cutouts/a", False),
        ("a/_cutout/b", False),
    ],
)
def test_the_reserved_folder_is_recognised(key: str, answer: bool):
    assert names.is_reserved(key) is answer


IDS = st.tuples(st.integers(0, 10**15 - 1), st.integers(0, 10**6 - 1))


@given(IDS, IDS)
def test_outcome_segments_sort_like_their_row_ids(one: tuple[int, int], other: tuple[int, int]):
    first, second = (names.outcomes_key("b", 0, f"{ms}-{n}", f"{ms}-{n}") for ms, n in (one, other))
    assert (first < second, first == second) == (one < other, one == other)
    later = names.outcomes_key("b", 1, "0-0", "0-0")
    assert max(first, second) < later
    assert names.outcomes_epoch(later) == 1
    assert first.startswith(names.outcomes_prefix("b"))


@given(st.integers(0, 999_999), st.integers(0, 999_999))
def test_manifest_segments_sort_by_number(one: int, other: int):
    assert (names.manifest_key("b", one) < names.manifest_key("b", other)) == (one < other)


def test_every_batch_file_is_in_the_reserved_folder_and_is_not_an_image():
    for key in [
        names.manifest_key("b", 1), names.outcomes_key("b", 0, "1-0", "2-0"),
        names.report_key("b", "csv"),
        names.report_key("b", "jsonl.gz"), names.summary_key("b"),
    ]:  # fmt: skip
        assert names.is_reserved(names.check_key(key))
        assert not names.is_image(key)


@pytest.mark.parametrize(
    "key",
    [
        "._a.jpg", "shoes/._a.jpg", "__MACOSX/a.jpg", "x/__MACOSX/._a.jpg", "@eaDir/a.jpg/b.jpg",
        "shoes/@eaDir/a.jpg", ".thumbnails/large/a.png", ".Trash/a.jpg", ".Trash-1000/files/a.jpg",
        "x/.Trashes/501/a.jpg", ".DS_Store", "shoes/.DS_Store",
    ],
)  # fmt: skip
def test_companion_files(key: str):
    assert names.is_companion(key)


@pytest.mark.parametrize(
    "key",
    [
        "a.jpg", "_a.jpg", ".a.jpg", "a._b.jpg", "a/b._c.jpg", "__MACOSX.jpg", "x__MACOSX/a.jpg",
        "@eaDir.jpg", "eaDir/a.jpg", "thumbnails/a.jpg", "Trash/a.jpg", "a.Trash/b.jpg",
        "._folder/a.jpg", ".DS_Store/a.jpg",
    ],
)  # fmt: skip
def test_photographs_are_no_companion_files(key: str):
    assert not names.is_companion(key)
