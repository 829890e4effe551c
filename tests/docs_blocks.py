"""The fenced blocks of README and docs: where each stands, and which commands a shell would run for it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "benchmarks" / "README.md",
        *(ROOT / "gcp_stand_ins").glob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
GOOGLE_CLOUD = "google-cloud"
"""Stands behind the language of a block that is for Google Cloud: it is parsed, and not run."""
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)```$", flags=re.MULTILINE | re.DOTALL
)
PROGRAMS = (
    *("genops", "make", "airflow", "gcloud", "curl", "git", "head", "uv", "pre-commit"),
    *(".venv/bin/python", ".venv/bin/pytest", ".venv/bin/ruff", ".venv/bin/pre-commit"),
)
"""What blocks may run."""
_DRY = """
# Each program writes down its words and does nothing: what a shell would run, with its quotes and substitutions.
# In one piece: the two sides of a pipe write at the same time.
note() {{ printf '%s\\0' "$@" $'\\36' >> "$NOTES"; }}
{functions}
command_not_found_handle() {{ note "?" "$@"; }}
PATH=
ADMIN=${{ADMIN:-http://127.0.0.1:8080}}
{text}
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    @property
    def for_google_cloud(self) -> bool:
        """Whether it says that it is for Google Cloud."""
        return GOOGLE_CLOUD in self.marks

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages; of these languages, if any are given."""
    found = [block for page in PAGES for block in blocks_of(page)]
    return [one for one in found if not languages or one.language in languages]


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of one page."""
    content = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(content):
        language, *marks = match["info"].split() or [""]
        text = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(page, content.count("\n", 0, match.start()) + 1, language, tuple(marks), text)


def commands_of(text: str, folder: Path, environment: Mapping[str, str] | None = None) -> list[list[str]]:
    """Return the commands that bash would run for `text`, word by word; none of them is run.

    Args:
        text: of a block.
        folder: an empty one, where redirections write.
        environment: the variables that the text may read.
    """
    notes = folder / "notes"
    notes.touch()
    functions = "\n".join(f'function {name} {{ note "{name}" "$@"; }}' for name in PROGRAMS)
    done = subprocess.run(
        ["/bin/bash", "-uc", _DRY.format(functions=functions, text=text)],
        cwd=folder,
        env={"NOTES": str(notes), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"bash cannot run it: {done.stderr}"
    words = notes.read_text(encoding="utf-8").split("\0")[:-1]
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "\36":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands[:-1]
