"""The interaction network of xu2021_extrapolation, taken from the chapter's text, against a plain loop over pairs."""

import torch
from replib.models.mlp import mlp
from replib.press.layout import Layout
from torch import nn

from tests.conftest import ROOT

XU = Layout(ROOT).chapter("xu2021_extrapolation").read_text(encoding="utf-8")


def test_it_equals_a_loop_over_pairs_of_bodies():
    text = XU[XU.index("OTHERS = torch.tensor") : XU.index("def frames(")]
    space = {"torch": torch, "nn": nn, "mlp": mlp}
    exec(text, space)  # noqa: S102  the book's own chapter
    torch.manual_seed(0)
    net = space["InteractionNetwork"](8)
    state, edge = torch.randn(4, 3, 5), torch.randn(4, 3, 2, 2)
    result = net(state, edge)
    for b in range(4):
        for i in range(3):
            effect = torch.zeros(8)
            for k, j in enumerate([n for n in range(3) if n != i]):
                effect = effect + net.relation(torch.cat([state[b, i], state[b, j], edge[b, i, k]]))
            torch.testing.assert_close(result[b, i], net.object(torch.cat([state[b, i], effect])))
