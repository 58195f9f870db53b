"""Pictures of the built site for the README: python tools/screenshots.py (needs Chromium on the PATH)."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
TARGET = ROOT / "book" / "_static" / "pictures"
PAGES = {"chapter": ("extrapolation/xu2021_extrapolation.html", 1150), "ledger": ("ledger.html", 900)}


def main() -> None:
    """Write one PNG per page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or not HTML.exists():
        sys.exit("this needs Chromium on the PATH and a built site (make book)")
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, (page, height) in PAGES.items():
        with tempfile.TemporaryDirectory() as profile:
            command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
            command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
            command += [f"--user-data-dir={profile}", f"--window-size=1280,{height}", "--virtual-time-budget=5000"]
            command += [f"--screenshot={TARGET / name}.png", (HTML / page).as_uri()]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
