"""The pages that a newcomer reads first: every command works or is at least one, every link leads somewhere."""

import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import papermill
import pytest

from hare.commands import parser
from hare.core.paths import NOTEBOOKS, REPOSITORY
from hare.core.profile import known_profiles, load_profile

PAGES = ("README.md", "ARTIFACT.md")
_CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+(?:\n[^`\n]+)?)`", re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_STANDS_FOR = {
    "P": "smoke", "N": "7", "NN": "05", "DIR": "results/laptop", "FILE": "b.tar",
    "mine.yaml": str(REPOSITORY / "tests/toy.yaml"),
}
# Run here on recorded results; the others take a machine for minutes, or change what is committed.
_CHEAP = ("--help", "verify --against results/laptop", "power", "status", "train --profile cluster --dry-run")


def _codes(page: str) -> Iterator[str]:
    """Every line of a code block and every piece of inline code, comments removed."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for block, inline in _CODE.findall(text):
        for line in block.splitlines() or [" ".join(inline.split())]:
            for command in line.split("#")[0].split("&&"):
                yield command.strip()


def _variants(command: str) -> Iterator[list[str]]:
    """A command with none and with each of its options in brackets, placeholders filled in."""
    plain = re.sub(r"\[[^\]]*\]", "", command)
    for option in ("", *re.findall(r"\[([^\]]*)\]", command)):
        words = shlex.split(f"{plain} {option.replace('…', '')}")
        yield [_STANDS_FOR.get(word, word) for word in words if word != "stage"]


HARE = sorted({
    (page, tuple(words[1:])) for page in PAGES for command in _codes(page)
    if re.match(r"(?:\.venv/bin/)?hare [a-z-]", command) for words in _variants(command)
})


def test_the_pages_name_commands_at_all() -> None:
    assert {words[0] for _, words in HARE} >= {"reproduce", "figures", "verify", "site", "status", "doctor", "train"}


@pytest.mark.parametrize("words", sorted({words for _, words in HARE} - {("--help",)}), ids=" ".join)
def test_a_command_of_a_page_is_one(words: tuple[str, ...]) -> None:
    assert callable(parser().parse_args(words).run)


@pytest.mark.parametrize("command", _CHEAP)
def test_a_cheap_command_runs(command: str, tmp_path: Path) -> None:
    environment = os.environ | {"HARE_WORK": str(tmp_path)}
    environment.pop("HARE_RESULTS", None)
    process = subprocess.run([sys.executable, "-m", "hare.cli", *command.split()], capture_output=True, text=True,
                             cwd=REPOSITORY, env=environment, timeout=300)
    assert process.returncode == 0 and process.stdout.strip(), process.stderr


def test_make_has_every_target_that_a_page_names() -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {match[1] for page in PAGES for code in _codes(page) if (match := re.search(r"\bmake (\w[\w-]*)", code))}
    assert named and named <= targets


def test_every_extra_that_a_page_names_exists() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = " ".join(code for page in PAGES for code in _codes(page))
    named = set(re.findall(r"\.?\[(\w+)\]", " ".join(re.findall(r"pip install [^`]*|\.\[\w+\]|^\[\w+\]", text))))
    assert named <= set(project["optional-dependencies"])


def test_papermill_takes_the_parameters_that_a_page_turns() -> None:
    lines = [code for page in PAGES for code in _codes(page) if code.startswith("papermill ")]
    assert lines
    for words in map(shlex.split, lines):
        known = papermill.inspect_notebook(str(REPOSITORY / words[1]))
        turned = [name for flag, name in itertools.pairwise(words) if flag == "-p"]
        assert turned and set(turned) <= set(known), words


def test_the_table_of_profiles_holds_their_numbers_and_no_others() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|((?: [\d,]+ \|){4}) (.*) \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] and {name for name, _, _ in rows} == set(known_profiles())
    for name, numbers, purpose in rows:
        profile = load_profile(name)
        training = profile.training
        tokens = training.train_steps * training.global_batch * profile.tokens.sequence_length
        expected = [len(training.arms), len(training.training_seeds), tokens, training.processes]
        assert [int(number.replace(",", "")) for number in numbers.split(" |")[:-1]] == expected, name
        assert not re.search(r"\d", purpose), f"{name}: a number that nothing holds"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_path_of_a_page_leads_to_a_file(page: str) -> None:
    links = [link for link in _LINK.findall((REPOSITORY / page).read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in links if not (REPOSITORY / link.split("#")[0]).exists()]
    named = re.findall(r"`((?:hare|results|paper|notebooks|tests)/[\w./-]+)`", (REPOSITORY / page).read_text("utf-8"))
    missing += [path for path in named if not (REPOSITORY / path).exists()]
    assert not missing
    assert page != "README.md" or {f"{path.stem[:2]}" for path in NOTEBOOKS.glob("*.ipynb")} <= {
        Path(link).name[:2] for link in links}
