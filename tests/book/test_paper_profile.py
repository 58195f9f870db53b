"""The paper profile's code, every branch a GPU would take, at sizes a processor can do.

The chapter's own text runs with ``profile = "paper"``; only counts and steps are cut.
"""

import json
import os
import subprocess
import sys

from replib.build.layout import Layout

from tests.conftest import ROOT

XU = Layout(ROOT).chapter("xu2021_extrapolation").read_text(encoding="utf-8")

CUT = """
def _cut(s, **k):
    return s | dict(steps=4, halve=2, every=2, width=8) | k
sizes.seeds = sizes.graph_seeds = 2
sizes.train, sizes.val, sizes.test, sizes.rays = 100, 50, 60, 5
sizes.mlp = _cut(sizes.mlp)
sizes.mlp_of = {n: _cut(s) | ({"train": 100} if "train" in s else {}) for n, s in sizes.mlp_of.items()}
sizes.support = _cut(sizes.support, train=100)
sizes.degree = _cut(sizes.degree, train=64, val=18, test=18)
sizes.path = _cut(sizes.path, train=36, val=18, test=18)
sizes.nbody = _cut(sizes.nbody, train=100, val=40, test=40, videos=(10, 10))
"""


def test_every_branch_of_the_paper_profile_runs(tmp_path):
    code = XU.replace('profile = "quick"', 'profile = "paper"', 1)
    line = 'sizes = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}[profile]\n'
    assert code.count(line) == 1
    code = code.replace(line, line + CUT)
    old = 'LARGE = not FULL or device.type == "cuda"'
    assert code.count(old) == 1
    code = code.replace(old, "LARGE = True")
    code += "\nimport json\nprint(json.dumps([c.id for c in chapter.record().claims if not c.quantities]))\n"
    path = tmp_path / "paper.py"
    path.write_text(code, encoding="utf-8")
    environment = os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads(result.stdout.splitlines()[-1]) == []  # every claim is measured
