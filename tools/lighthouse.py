"""Measure the built site with Lighthouse, as a phone on a slow network sees it: python tools/lighthouse.py [RUNS].

Needs Node 18.16 or newer with npm, and Chromium or Chrome. Lighthouse is installed from tools/lighthouse
into the build folder. Landing page, ledger and the heaviest chapter are loaded RUNS times (3 by default) from
a compressed server; the median of each score must be at least 95. Reports are left in _build/lighthouse.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import serve

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "_build" / "lighthouse"
LEAST = 95


def install() -> Path:
    """Lighthouse from its lock file; the program's path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tools" / "lighthouse" / name, FOLDER / name)
    command = ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=FOLDER, check=True)
    return FOLDER / "node_modules" / ".bin" / "lighthouse"


def pages() -> list[str]:
    """Landing page, ledger, and the heaviest chapter."""
    chapters = [p for p in serve.HTML.glob("*/*.html") if "_static" not in p.parts]
    heaviest = max(chapters, key=lambda p: p.stat().st_size)
    return ["index.html", "ledger.html", heaviest.relative_to(serve.HTML).as_posix()]


def measure(program: Path, browser: str, url: str, report: Path) -> dict[str, float]:
    """Scores of one load, 0 to 100, and what hangs on them."""
    command = [str(program), url, "--quiet", "--output=json", "--output=html", f"--output-path={report}"]
    command += ["--chrome-flags=--headless=new --no-sandbox"]
    subprocess.run(command, check=True, env=os.environ | {"CHROME_PATH": browser}, capture_output=True)
    result = json.loads(report.with_name(f"{report.name}.report.json").read_text(encoding="utf-8"))
    scores = {name: 100 * category["score"] for name, category in result["categories"].items()}
    return scores | {"kB transferred": result["audits"]["total-byte-weight"]["numericValue"] / 1000}


def main() -> None:
    """Print a table; fail if a median is below the least."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    browser = serve.browser()
    if shutil.which("npm") is None or browser is None or not (serve.HTML / "index.html").exists():
        sys.exit("this needs npm, Chromium or Chrome, and a built site (make book)")
    program = install()
    failed = False
    with serve.server(0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for page in pages():
            url = f"http://127.0.0.1:{server.server_address[1]}/{page}"
            report = FOLDER / Path(page).stem
            found = [measure(program, browser, url, report) for _ in range(runs)]
            medians = {name: statistics.median(f[name] for f in found) for name in found[0]}
            failed |= any(score < LEAST for name, score in medians.items() if name != "kB transferred")
            print(page, "; ".join(f"{name} {value:.0f}" for name, value in medians.items()), sep=": ", flush=True)
        server.shutdown()
    if failed:
        sys.exit(f"a score is below {LEAST}: see the reports in {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
