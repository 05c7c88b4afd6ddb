"""`make address URL=https://github.com/OWNER/NAME`: say where the repository lives, everywhere it is said.

The one value is `[project.urls] Repository` in pyproject.toml. Launch buttons, the Colab set-up cell of each
notebook, README.md, CITATION.cff and the start page repeat it, because they are read where pyproject.toml is
not. This command rewrites them all; `strays` finds a link that differs.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+?)(?:\.git)?/?")

# Every way a page names a repository: what stands before OWNER/NAME.  LAUNCHERS run or install something.
LAUNCHERS = r"git\+https://github\.com|colab\.research\.google\.com/github|mybinder\.org/v2/gh"
HOSTS = rf"(?P<host>{LAUNCHERS}|github\.com|raw\.githubusercontent\.com)/"
LINK = re.compile(HOSTS + r"(?P<owner>[\w-]+)/(?P<name>[\w.-]*[\w-])")
PLACEHOLDERS = {"you", "OWNER"}  # the owners in instructions


def repository(root: Path = ROOT) -> str:
    """The repository's address, without a slash at its end."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def parse(url: str) -> tuple[str, str]:
    """(owner, name) of a repository's address; ValueError with one sentence for anything else."""
    match = ADDRESS.fullmatch(url.strip())
    if match is None:
        raise ValueError(f"The address must look like https://github.com/OWNER/NAME, not {url!r}.")
    return match[1], match[2]


def site(url: str) -> str:
    """Where GitHub Pages publishes the repository at `url`, with a slash at its end."""
    owner, name = parse(url)
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def texts(root: Path = ROOT) -> dict[str, str]:
    """Every text file that git would commit, by its path below `root`, except the lock files."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"{root} is not a git checkout, so its files cannot be listed.") from None
    found = {}
    for path in sorted(set(listed.split("\0")) - {"", "package-lock.json", "requirements.lock"}):
        if (root / path).is_file():
            try:
                found[path] = (root / path).read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                continue  # a picture, weights
    return found


def rewrite(text: str, old: str, new: str) -> str:
    """`text` with every link to the repository and site at `old` pointing to `new`."""
    repository_end, site_end = r"(?![\w-]|\.(?!git\b)\w)", r"(?![\w-])"
    old_pair, new_pair = ("/".join(parse(url)) for url in (old, new))
    text = re.sub(HOSTS + re.escape(old_pair) + repository_end, rf"\g<host>/{new_pair}", text)
    old_site, new_site = (site(url).removeprefix("https://").rstrip("/") for url in (old, new))
    return re.sub(r"(?<![\w.-])" + re.escape(old_site) + site_end, new_site, text)


def strays(files: dict[str, str], url: str) -> list[str]:
    """'PATH:LINE: LINK' for each link in `files` that should name the repository at `url` and does not.

    Links that run or install something must be ours. So must every other link in the files at the root and in
    folders with a dot. Elsewhere a page may point to other repositories, unless one half of it is as in ours.
    """
    owner, name = parse(url)
    our_site = site(url).removeprefix("https://").rstrip("/")
    found = []
    for path, text in files.items():
        strict = "/" not in path or path.startswith(".")
        for match in LINK.finditer(text):
            theirs = (match["owner"], match["name"].removesuffix(".git"))
            if theirs == (owner, name) or theirs[0] in PLACEHOLDERS:
                continue
            launches = re.fullmatch(LAUNCHERS, match["host"])
            if strict or launches or theirs[0] == owner or theirs[1] == name:
                found.append((path, match))
        for match in re.finditer(rf"[\w-]+\.github\.io/{re.escape(name)}(?![\w-])", text):
            if match[0] != our_site:
                found.append((path, match))
    return [f"{path}:{match.string.count(chr(10), 0, match.start()) + 1}: {match[0]}" for path, match in found]


def move(url: str, root: Path = ROOT) -> list[str]:
    """Rewrite every file below `root` to the address `url`; returns the paths that changed."""
    old, new = repository(root), "https://github.com/" + "/".join(parse(url))
    changed = []
    for path, text in texts(root).items():
        if path.startswith("tests/"):
            continue  # addresses there are examples
        after = rewrite(text, old, new)
        if after != text:
            (root / path).write_bytes(after.encode("utf-8"))
            changed.append(path)
    return changed


def main(argv: list[str] | None = None) -> int:
    """Rewrite the address; one line and exit status 2 for anything that is not one."""
    argv = sys.argv[1:] if argv is None else argv
    if len(argv) != 1 or not argv[0]:
        print("Give one address: make address URL=https://github.com/OWNER/NAME", file=sys.stderr)
        return 2
    try:
        changed = move(argv[0])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for path in changed:
        print(path)
    print(f"The repository is at {repository()}, the site at {site(repository())}", end="")
    print(f" ({len(changed)} files changed)." if changed else " already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
