"""Break a chapter's method on purpose: its verdict must change. A verdict that survives would prove nothing.

Each case runs a chapter's own text, cut to the part that matters, once as published elsewhere (the committed
record says replicated) and once broken.
"""

import json
import os
import subprocess
import sys

import pytest
from replib.press.layout import Layout
from replib.record import read

from tests.conftest import ROOT

LAYOUT = Layout(ROOT)
XU = LAYOUT.chapter("xu2021_extrapolation").read_text(encoding="utf-8")


def between(text, start, end):
    return text[text.index(start) : text.index(end)]


def verdict(code, claim, controls, tmp_path):
    """The verdict on one claim after running this code; controls it does not measure are left out."""
    code += (
        f"\nclaim = chapter._claims[{claim!r}]\n"
        f"controls = {{c: chapter._controls[c] for c in {controls!r}}}\n"
        "import json\n"
        "from replib.claims import final_verdict\n"
        "print(json.dumps([str(claim.own_verdict()), [str(c.own_verdict()) for c in controls.values()]]))\n"
    )
    path = tmp_path / "mutant.py"
    path.write_text(code, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, path],
        capture_output=True,
        text=True,
        env=os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


def replace(text, old, new):
    assert text.count(old) == 1, f"the chapter has {text.count(old)} times: {old}"
    return text.replace(old, new)


HEAD = XU[: XU.index("# ## Plain networks")]
PLAIN = between(XU, "TARGETS = {", "# The controls of the ray test")
KERNEL = between(XU, "def first_layer", "# **Rate (c1t).**")
GRAPHS = between(XU, "def degree_graphs", "s, errors = sizes.degree")
PATH = between(XU, "s = sizes.path\n", "# ## Three bodies")


def test_curved_activation_refutes_c1(tmp_path):
    head = replace(HEAD, "seeds=8, graph_seeds=5,", "seeds=3, graph_seeds=5,")
    head += (
        "\nclass Square(nn.Module):\n    leading_axes = True\n    def forward(self, z):\n        return z.square()\n"
    )
    head += "\nrelu_mlp = mlp\ndef mlp(*a, **k):\n    return relu_mlp(*a, **{'activation': Square} | k)\n"
    assert read(LAYOUT.published("xu2021_extrapolation", "quick")).claims[0].verdict == "replicated"
    # c1 and c2 are measured in the same cell; only c1 is looked at
    assert verdict(head + PLAIN, "c1", [], tmp_path)[0] == "not replicated"


def test_c1_as_written_is_replicated_at_the_same_size(tmp_path):
    head = replace(HEAD, "seeds=8, graph_seeds=5,", "seeds=3, graph_seeds=5,")
    assert verdict(head + PLAIN, "c1", ["in-range-quadratic"], tmp_path) == ["replicated", ["replicated"]]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("np.vstack([q.T, -q.T])", "np.vstack([q.T, q.T[:0]])"),  # no opposite vectors
        ("kernel(x_test, x) @ alpha", "limit.mlp(x_test, x, depth=2).covariance @ alpha"),  # another kernel
    ],
)
def test_another_design_refutes_c4(tmp_path, old, new):
    assert verdict(HEAD + KERNEL, "c4", ["half-basis"], tmp_path) == ["replicated", ["replicated"]]
    assert verdict(HEAD + replace(KERNEL, old, new), "c4", [], tmp_path)[0] == "not replicated"


def test_without_min_pooling_the_aligned_network_loses_its_lead(tmp_path):
    head = replace(HEAD, "seeds=8, graph_seeds=5,", "seeds=8, graph_seeds=3,")
    old = '*variant.split("/"), edge_weights=True)'
    path = replace(PATH, old, old.replace("split", 'replace("min", "sum").split'))
    # the control is measured with both tasks at hand: leave it out
    path = path[: path.index("    ranges = {")] + path[path.index("    others, aligned") :]
    code = head + GRAPHS + "\nerrors = {}\n" + path
    assert verdict(code, "c5-path", [], tmp_path)[0] == "not replicated"


def text(slug):
    assert read(LAYOUT.published(slug, "quick")).slug == slug
    return LAYOUT.chapter(slug).read_text(encoding="utf-8")


def test_another_activation_refutes_the_limit_kernel(tmp_path):
    chapter = text("jacot2018_ntk")
    code = chapter[: chapter.index("# ## During training")]
    code = replace(
        code,
        "4: {64: 400, 128: 400, 256: 400, 512: 200, 1024: 100, 2048: 150}",
        "4: {64: 100, 256: 100, 1024: 60}",
    )
    as_written = verdict(code, "c1", ["wrong-depth"], tmp_path)
    assert as_written[1] == ["replicated"]
    assert as_written[0] != "not replicated"
    old = "yield partial(build, inputs, width, depth, bias=BETA), own"
    code = replace(code, old, old.replace("bias=BETA", "bias=BETA, activation=torch.nn.Softplus"))
    assert verdict(code, "c1", [], tmp_path)[0] == "not replicated"


def test_biases_refute_the_degree_along_rays(tmp_path):
    chapter = text("wu2022_polynomial_nets")
    head = chapter[: chapter.index("# ## Regression in one dimension")]
    only_rays = "c1 = chapter._claims['c1']\nc1.quantities = tuple(q for q in c1.quantities if q.id != 'biases')\n"
    code = f'{head}\n{only_rays}chapter.measure("c1", enough=enough, too_low=too_low)\n'
    assert verdict(code, "c1", ["no-product"], tmp_path) == ["replicated", ["replicated"]]
    old = "partial(PolynomialNet, *shape, n, skip=True)"
    code = replace(code, old, old[:-1] + ', parametrisation="standard")')
    assert verdict(code, "c1", [], tmp_path)[0] == "not replicated"


def test_another_connectivity_refutes_the_calibration(tmp_path):
    chapter = text("zhang2024_oscillation_surrogate")
    code = chapter[: chapter.index("# ## The state in 22 numbers")]
    code = replace(code, "perturbed=3000", "perturbed=100")
    code = replace(code, "ie=Synapse(0.5, s_ie, tau_ie)", "ie=Synapse(0.3, s_ie, tau_ie)")
    assert verdict(code, "c0", [], tmp_path)[0] == "not replicated"
