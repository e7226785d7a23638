"""One file for a machine without network: the code, and all that the steps from 05 on read.

It holds the tracked files of the repository, the artifacts and results of the steps before, the members of archives
that the benchmarks are read from, and the names (or, on request, the files) of the packages. Whoever opens it compares
the code with its own and each file with its digest first.
"""

import ast
import dataclasses
import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hare.benchmarks.registry import SPECS
from hare.benchmarks.sources import REQUESTS_FILE, requests_without_prompts
from hare.core.chain import CHAIN, Step
from hare.core.errors import HareError
from hare.core.files import naming_disk_errors, written_whole
from hare.core.manifest import MANIFEST, read_manifest
from hare.core.paths import REPOSITORY, Workspace, cache_folder
from hare.core.profile import Profile
from hare.core.progress import track
from hare.core.provenance import COMMIT_FILE, git_commit
from hare.core.stage import PARAMETERS
from hare.data.archives import archive_of, noting_reads, read_member
from hare.driver.keys import archives_read
from hare.driver.notebooks import read_cells
from hare.driver.state import damage, read_state, sealed_state, state_path
from hare.synthesis.engines import smollm2
from hare.tokens.vocabulary import mistral_model

FIRST = "05"
LISTING = "bundle.json"
READ_ME = "README.txt"
_COMPARED = ("hare/", "notebooks/", "requirements.lock")
_LEFT_OUT = ("tests/", "results/")
_HOW = """HARE, steps {first} and later of profile {profile}, for a machine without network. Commit: {commit}
Needed: Python 3.11 to 3.13 with the packages of packages.txt (in wheels/, where it is there) and torch 2.11 or newer.
  python -m zipfile -e {name} hare-bundle && cd hare-bundle/code
  python -m hare.cli reproduce --profile {profile} --from {first} --bundle ../../{name}
"""


def make_bundle(profile: Profile, path: Path, wheels: Path | None) -> Path:
    """Write the bundle of a profile whose steps before 05 have run; ``wheels`` is a folder of wheels to take along.

    Raises:
        HareError: an earlier step has not run to its end, or the code is not tracked by git.
    """
    files = {**_code(profile), **_earlier(profile)}
    packages = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    names = "".join(f"{line.split()[0]}\n" for line in packages.splitlines() if "==" in line)
    listed = sorted(wheels.glob("*.whl")) if wheels else []
    if wheels and not listed:
        raise HareError(f"{wheels} holds no wheel.", "fill it: pip download -r requirements.lock -d FOLDER")
    files |= {f"wheels/{wheel.name}": wheel for wheel in listed}
    text = _HOW.format(first=FIRST, profile=profile.source, name=path.name, commit=git_commit() or "unknown")
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as bundle:
        digests = {}
        for name, source in track(sorted(files.items()), "bundle", "files", len(files)):
            data = source if isinstance(source, bytes) else source.read_bytes()
            digests[name] = hashlib.sha256(data).hexdigest()
            bundle.writestr(_member(name), data, zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_LZMA)
        for name, data in {**_excerpts(profile), "packages.txt": names.encode(), READ_ME: text.encode(),
                     f"code/{COMMIT_FILE}": git_commit().encode()}.items():
            digests[name] = hashlib.sha256(data).hexdigest()
            bundle.writestr(_member(name), data, zipfile.ZIP_LZMA)
        listing = json.dumps({"profile": profile.name, "first": FIRST, "files": digests}, indent=1)
        bundle.writestr(_member(LISTING), listing, zipfile.ZIP_LZMA)
    return path


def _member(name: str) -> zipfile.ZipInfo:
    """Without the time, which a clock that stands before 1980 cannot give, and which the same bundle has no need of."""
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o644 << 16
    return member


def open_bundle(profile: Profile, path: Path) -> None:
    """Put a bundle's artifacts, results and excerpts of archives where this clone looks for them, or nothing at all.

    Raises:
        HareError: the file is no bundle, is damaged, is of another profile or of other code.
    """
    workspace = Workspace(profile.name)
    roots = {"work": workspace.work, "results": workspace.results, "excerpts": cache_folder() / "archives"}
    for name, data in _brought(profile, path, tuple(roots)).items():
        root, _, rest = name.partition("/")
        with naming_disk_errors(roots[root] / rest), written_whole(roots[root] / rest) as temporary:
            temporary.write_bytes(data)


def _brought(profile: Profile, path: Path, roots: tuple[str, ...]) -> dict[str, bytes]:
    """Files of the bundle that are to be put in a place, all of them checked before the first is."""
    try:
        with zipfile.ZipFile(path) as bundle:
            listing = json.loads(bundle.read(LISTING))
            _refuse_other(profile, path, listing)
            names = [name for name in listing["files"] if name.split("/")[0] in roots and ".." not in name]
            files = {name: bundle.read(name) for name in names}
        damaged = [name for name, data in files.items() if hashlib.sha256(data).hexdigest() != listing["files"][name]]
    except HareError:
        raise
    except Exception as error:  # a flipped bit shows as any of a dozen: lzma's, zipfile's, json's, KeyError …
        raise HareError(
            f"{path} cannot be read as a bundle: {type(error).__name__}: {error}.",
            "copy it again, or make it: hare bundle --profile P",
        ) from error
    if damaged:
        raise HareError(f"{damaged[0]} in {path} is damaged.", "copy the bundle again")
    return files


def _refuse_other(profile: Profile, path: Path, listing: dict[str, Any]) -> None:
    if listing["profile"] != profile.name:
        raise HareError(f"{path} is of profile {listing['profile']}.", f"run with --profile {listing['profile']}")
    theirs = {name: digest for name, digest in listing["files"].items() if name.startswith("code/")}
    other = [
        name for name, digest in theirs.items()
        if name.removeprefix("code/").startswith(_COMPARED) and _digest_here(name.removeprefix("code/")) != digest
    ]
    if other:
        shown = ", ".join(name.removeprefix("code/") for name in sorted(other)[:4])
        raise HareError(
            f"{path} was made by other code: {len(other)} files differ ({shown}{' …' if len(other) > 4 else ''}).",
            "run the code that it holds (its README.txt says how), or make the bundle from this clone",
        )


def _digest_here(name: str) -> str:
    file = REPOSITORY / name
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _code(profile: Profile) -> dict[str, Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if not listed.stdout:
        raise HareError(
            f"git does not say what is code in {REPOSITORY}: {' '.join(listed.stderr.split())}", "clone it with git"
        )
    names = listed.stdout.splitlines()
    kept = [name for name in names if not name.startswith(_LEFT_OUT) or name.startswith("results/published/")]
    file = Path(profile.source)
    files = {f"code/{name}": REPOSITORY / name for name in kept if (REPOSITORY / name).is_file()}
    return {**files, f"code/{file.name}": file} if file.is_file() else files


def _earlier(profile: Profile) -> dict[str, Path | bytes]:
    """Artifacts that the steps from 05 on name, and the records of the steps that made them."""
    workspace = Workspace(profile.name)
    later = [step for step in CHAIN if step.number >= FIRST and not step.on_request]
    wanted = {text for step in later for text in _texts(step)}
    earlier = [step for step in CHAIN if step.number < FIRST and any(step.stage in one.needs for one in later)]
    files: dict[str, Path | bytes] = {}
    for step in earlier:
        state, manifest = read_state(step, workspace), read_manifest(workspace, step.stage)
        harm = damage(step, workspace, state) if state else None
        if state is None or manifest is None or harm:
            why = f"{harm} is gone or was changed" if harm else f"{step.notebook} has not run to its end"
            raise HareError(
                f"{why}, and a bundle brings what it made.",
                f"run `hare reproduce {profile.option} --only {step.number}` first",
            )
        files |= {f"work/{step.stage}/{name}": workspace.work / step.stage / name for name in (MANIFEST, PARAMETERS)}
        for artifact in manifest:
            if _is_wanted(f"{step.stage}/{artifact}", wanted):
                files |= dict(_files_of(workspace.work / step.stage / artifact, f"work/{step.stage}/{artifact}"))
        files |= dict(_files_of(workspace.results / step.stage, f"results/{step.stage}"))
    for step in earlier:
        state = read_state(step, workspace)
        assert state is not None
        tops = {top: known for top, known in state.files.items() if any(_is_in(name, top) for name in files)}
        sealed = sealed_state(dataclasses.replace(state, files=tops))
        files[f"work/steps/{state_path(step, workspace).name}"] = json.dumps(sealed, indent=1).encode()
    return files


def _is_in(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}/")


def _texts(step: Step) -> Iterator[str]:
    """Texts in a notebook's code, beginnings of f-strings among them."""
    for cell in read_cells(step):
        if cell["cell_type"] == "code":
            lines = ("" if line.lstrip().startswith(("%", "!")) else line for line in cell["source"].splitlines())
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and "/" in node.value:
                    yield node.value


def _is_wanted(artifact: str, texts: set[str]) -> bool:
    return any(text == artifact or (text.endswith("/") and artifact.startswith(text)) for text in texts)


def _files_of(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        yield (f"{name}/{file.relative_to(path).as_posix()}" if path.is_dir() else name), file


def _excerpts(profile: Profile) -> dict[str, bytes]:
    """Of each archive that the later steps may ask for, a zip of the members that the benchmarks are read from, and the
    weights of the peer where notebook 07 asks it."""
    with noting_reads() as noted:
        mistral_model()
        for spec in SPECS.values():
            for subset in spec.subsets():
                for source in spec.sources.values():
                    place = source(subset)
                    if place is not None and not place.extra:
                        next(iter(place.read()), None)
    if profile.leakage.leakage_peer_samples:
        noted.add((smollm2.PACKAGE, smollm2.MEMBER))
    later = [step for step in CHAIN if step.number >= FIRST and not step.on_request]
    excerpts = {}
    for package in sorted({package for step in later for package in archives_read(step)}):
        archive, held = archive_of(package), io.BytesIO()
        with zipfile.ZipFile(held, "w") as excerpt:  # the bundle compresses it, as a whole
            for member in sorted(member for owner, member in noted if owner == package):
                excerpt.writestr(member, _needed(member, read_member(archive, member)))
        excerpts[f"excerpts/{archive.excerpt.name}"] = held.getvalue()
    return excerpts


def _needed(member: str, data: bytes) -> bytes:
    return requests_without_prompts(data) if member.endswith(REQUESTS_FILE) else data
