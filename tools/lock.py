"""Write requirements.lock: every dependency of pyproject.toml, pinned with hashes, for all platforms.

Needs ``uv`` (``pipx run uv`` will do). Versions already in the lock are kept; ``--upgrade`` moves them.
torch is pinned by hand in tools/torch.lock: its CPU build comes from an index of its own.

rfc3987-syntax is left out. An extra of jsonschema asks for it, for checks of international addresses that nothing here
needs, and jsonschema works without it; but with it each process that imports jsonschema (every notebook, nbformat,
Snakemake) first compiles a grammar, for one to ten seconds.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = ROOT / "tools" / "torch.lock"
LOCK = ROOT / "requirements.lock"
HEADER = "# Made by tools/lock.py; do not edit.\n"


def main() -> None:
    """Run uv and put torch's entry in front of its answer."""
    version = next(line for line in TORCH.read_text().splitlines() if line.startswith("torch=="))
    override = ROOT / ".overrides.txt"
    override.write_text(version.split()[0] + "+cpu\nrfc3987-syntax ; python_version < '3'\n")
    environment = {"UV_FIND_LINKS": "https://download.pytorch.org/whl/cpu/torch/"} | os.environ
    command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--all-extras", "--quiet"]
    command += [
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        "--no-emit-find-links",
    ]
    command += [
        "--no-emit-package",
        "torch",
        "--override",
        str(override),
        "--output-file",
        "requirements.lock",
    ]
    try:
        subprocess.run([*command, *sys.argv[1:], "pyproject.toml"], cwd=ROOT, env=environment, check=True)
    finally:
        override.unlink()
    LOCK.write_text(HEADER + TORCH.read_text() + LOCK.read_text())


if __name__ == "__main__":
    main()
