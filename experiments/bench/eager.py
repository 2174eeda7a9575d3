"""The opponents in PyTorch, eager, as its users write them; nothing here runs where torch is not installed."""

import importlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from aopnp.arrays.backend import Array
from experiments.bench.steps import Work


def import_torch() -> Any:
    """Return torch on one thread, or None where it is not installed."""
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return None
    torch.set_num_threads(1)
    return torch


def mlp_step(torch: Any, x: Array, labels: Array, widths: Sequence[int], lr: float) -> Work:
    """Return an exact training step with autograd: linear layers with ReLU between, cross-entropy, SGD."""
    layers: list[Any] = []
    for n, p in itertools.pairwise(widths):
        layers += [torch.nn.Linear(n, p), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.SGD(network.parameters(), lr)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(labels)

    def one_step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimiser.step()

    return one_step


def conv_weight_gradient(
    torch: Any, x: Array, g: Array, kernel: int, padding: int, layout: str
) -> Callable[[], Any]:
    """Return the exact weight gradient of images [M, H, W, C] and g [M, I, J, P], which lie in torch's `layout`."""
    in_memory = getattr(torch, layout)
    images, gradients = (
        torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=in_memory) for a in (x, g)
    )
    shape = g.shape[-1], x.shape[-1], kernel, kernel
    return lambda: torch.nn.grad.conv2d_weight(images, shape, gradients, padding=padding)


def selector(torch: Any, policy: str, K: int, M: int) -> Callable[[Any, Any], Any]:
    """Return (A, B) -> the K kept rows, by the squared norm of their outer products or by chance."""
    if policy == "randk":
        return lambda a, b: torch.randperm(M)[:K]

    def by_score(a: Any, b: Any) -> Any:
        scores = a.square().sum(1) * b.square().sum(1)
        return torch.topk(scores, K).indices if policy == "topk" else torch.multinomial(scores, K)

    return by_score


class MnistByHand:
    """The paper's mnist step (one dense layer, double softmax, manual gradient, SGD) without autograd."""

    def __init__(
        self, torch: Any, images: Array, labels: Array, policy: str, memory: str, k: int, M: int
    ) -> None:
        self.torch, self.x, self.t, self.M, self.lr = (
            torch,
            torch.from_numpy(images),
            torch.from_numpy(labels),
            M,
            0.01,
        )
        self.w, self.b = 0.01 * torch.randn(784, 10), torch.zeros(10)
        self.exact, self.remembers = policy == "exact", memory == "row"
        self.select = None if self.exact else selector(torch, policy, k, M)
        self.a_mem, self.b_mem = torch.zeros(M, 784), torch.zeros(M, 10)
        self.order, self.at = torch.randperm(len(images)), 0

    def step(self) -> None:
        """Take the next minibatch and move the weights."""
        with self.torch.no_grad():
            rows = self.order[self.at : self.at + self.M]
            self.at = (self.at + self.M) % (len(self.order) - self.M)
            x, t = self.x[rows], self.t[rows]
            g = self._output_gradient(x, t)
            self.b.sub_(self.lr * g.sum(0))
            self._update(x, g)

    def _output_gradient(self, x: Any, t: Any) -> Any:
        torch = self.torch
        y = torch.softmax(torch.addmm(self.b, x, self.w), 1)
        torch.nn.functional.cross_entropy(y, t)  # the loss that a training loop records
        d = torch.softmax(y, 1)
        d[torch.arange(self.M), t] -= 1
        d /= self.M
        return y * (d - (d * y).sum(1, keepdim=True))

    def _update(self, x: Any, g: Any) -> None:
        if self.select is None:
            self.w.addmm_(x.T, g, alpha=-self.lr)
            return
        a, b = (self.a_mem.add_(x), self.b_mem.add_(g)) if self.remembers else (x, g)
        kept = self.select(a, b)
        self.w.addmm_(a[kept].T, b[kept], alpha=-self.lr)
        if self.remembers:
            a[kept], b[kept] = 0, 0
