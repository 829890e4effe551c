"""Measure validation of a large training file: `python -m benchmarks.validation [--megabytes 1000] [--json FILE]`.

Each way of reading the file runs in a process of its own, so that its peak memory is its own. Beside the validation run
two floors: reading the file and splitting it into lines, and decoding each line to plain objects with msgspec. What
others do on the machine stretches the wall clock, hardly the processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "banking77" / "train.jsonl"
MODEL = "gemini-2.5-flash"
CHUNK_BYTES = 8 * 1024 * 1024
"""As much as is read from the bucket at a time."""
MAX_SECONDS, MAX_MEGABYTES = 20, 150
MAX_SECONDS_OF_A_LONG_LINE = 10
LONG_LINE_MEGABYTES = 8.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the file; 10^6 bytes each")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(_measure(WAYS[given.way], given.file)))
        return
    with tempfile.TemporaryDirectory(prefix="genops-bench-") as folder:
        file = Path(folder) / "train.jsonl"
        lines = _write(file, given.megabytes * 1_000_000)
        figures = {way: _in_own_process(way, file) for way in WAYS}
        size = file.stat().st_size
    _show(figures, lines=lines, size=size)
    if given.json:
        given.json.write_text(json.dumps({"lines": lines, "bytes": size, "ways": figures}, indent=2) + "\n")
    found = figures["validate"]
    if found["cpu_seconds"] > MAX_SECONDS or found["peak_mb"] > MAX_MEGABYTES:
        sys.exit(f"over the limit of {MAX_SECONDS} core-seconds or {MAX_MEGABYTES} MB")
    if figures["long_line"]["cpu_seconds"] > MAX_SECONDS_OF_A_LONG_LINE:
        sys.exit(f"one bad line took over {MAX_SECONDS_OF_A_LONG_LINE} core-seconds")


def _write(file: Path, size: int) -> int:
    """Write the lines of the example again and again, no two alike, up to `size` bytes; return their number."""
    heads = []
    for line in EXAMPLES.read_bytes().splitlines():
        example = json.loads(line)
        question = example["contents"][0]["parts"][0]
        question["text"] += " (case \0)"
        heads.append(json.dumps(example).encode().split(b"\\u0000"))
    written = lines = 0
    with file.open("wb") as out:
        while True:
            head, tail = heads[lines % len(heads)]
            line = head + b"%d" % lines + tail + b"\n"
            if written + len(line) > size:
                return lines
            written += out.write(line)
            lines += 1


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb", buffering=0) as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk


def _split(file: Path) -> int:
    rest, lines = b"", 0
    for chunk in _chunks(file):
        *whole, rest = (rest + chunk).split(b"\n")
        lines += len(whole)
    return lines


def _decode(file: Path) -> int:
    import msgspec

    decode = msgspec.json.Decoder().decode
    rest, lines = b"", 0
    for chunk in _chunks(file):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            decode(line)
        lines += len(whole)
    return lines


def _validate(file: Path) -> int:
    from genops_events.training.validator import load_limits, validate

    report = validate(_chunks(file), limits=load_limits(MODEL))
    assert report.valid, report.summary
    assert report.duplicates == 0, report.warnings
    return report.lines


def _long_line(_file: Path) -> int:
    """Validate one line of 8 MB whose last key is not known, behind millions of values."""
    from genops_events.training.validator import load_limits, validate

    head, tail = b'{"generationConfig": {"a": [', b'0]}, "unknown": 1}'
    limits = load_limits(MODEL)
    line = head + b"[]," * ((limits.max_line_bytes - len(head) - len(tail)) // 3) + tail
    report = validate([EXAMPLES.read_bytes(), line], limits=limits)
    assert report.problems_by_reason == {"unknown_key": 1}, report.summary
    assert report.problems[0].column == line.index(b'"unknown"') + 1
    return report.lines


WAYS: dict[str, Callable[[Path], int]] = {
    "split": _split,
    "decode": _decode,
    "validate": _validate,
    "long_line": _long_line,
}


def _measure(way: Callable[[Path], int], file: Path) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    lines = way(file)
    return {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "lines": lines,
    }


def _in_own_process(way: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.validation", "--way", way, "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _show(figures: dict[str, dict[str, float]], *, lines: int, size: int) -> None:
    console = Console(highlight=False)
    load = os.getloadavg()[0]
    console.print(
        f"{size / 1e6:,.0f} MB, {lines:,} lines; {os.cpu_count()} cores, load {load:.1f}, "
        f"Python {platform.python_version()}"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "core seconds", "seconds", "MB per core second", "peak MB"):
        table.add_column(heading, justify="left" if not heading else "right")
    words = {
        "split": "read and split",
        "decode": "decode with msgspec",
        "validate": "validate",
        "long_line": "validate one bad line of 8 MB",
    }
    for way, found in figures.items():
        cpu = found["cpu_seconds"]
        megabytes = LONG_LINE_MEGABYTES if way == "long_line" else size / 1e6
        row = (f"{cpu:.1f}", f"{found['wall_seconds']:.1f}", f"{megabytes / cpu:.0f}", f"{found['peak_mb']:.0f}")
        table.add_row(words[way], *row)
    console.print(table)


if __name__ == "__main__":
    main()
