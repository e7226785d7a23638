"""Products by oneDNN are those of torch, with their gradients, in every layout; without it torch's own take over."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hare.model import products

SIZES = st.integers(1, 40)


def matrix(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(SIZES, SIZES, SIZES, st.booleans(), st.booleans())
def test_products_are_torchs_in_every_layout(rows: int, inner: int, columns: int, left: bool, right: bool) -> None:
    one = matrix(inner, rows, 0).t() if left else matrix(rows, inner, 0)
    other = matrix(inner, columns, 1).t() if right else matrix(columns, inner, 1)
    expected = one.double() @ other.double().t()
    torch.testing.assert_close(products.times_transposed(one, other).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (7, 3), (2, 4, 3)])
def test_a_linear_layer_and_its_gradients_are_torchs(shape: tuple[int, ...]) -> None:
    tensor = matrix(int(torch.Size(shape).numel()), 6, 0).view(*shape, 6).requires_grad_()
    weight = matrix(9, 6, 1).requires_grad_()
    ours, theirs = products.linear(tensor, weight), F.linear(tensor, weight)
    torch.testing.assert_close(ours, theirs)
    towards = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(2))
    for gradient, expected in zip(
        torch.autograd.grad(ours, (tensor, weight), towards), torch.autograd.grad(theirs, (tensor, weight), towards),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected)


def test_what_onednn_is_not_for_goes_torchs_way(monkeypatch: pytest.MonkeyPatch) -> None:
    double, empty = matrix(3, 4, 0).double(), torch.empty(0, 4)
    assert torch.equal(products.linear(double, double), F.linear(double, double))
    assert products.linear(empty, matrix(2, 4, 0)).shape == (0, 2)
    half = matrix(3, 4, 0).bfloat16()
    assert products.times_transposed(half, half).dtype == torch.bfloat16
    monkeypatch.setattr(products, "_kernel", lambda: None)
    single = matrix(3, 4, 0)
    assert torch.equal(products.times_transposed(single, single), single @ single.t())
    assert torch.equal(products.linear(single, single), F.linear(single, single))


def test_a_build_without_onednn_or_another_processor_has_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products.platform, "machine", lambda: "arm64")
    assert products._kernel.__wrapped__() is None
    monkeypatch.setattr(products.platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert products._kernel.__wrapped__() is None
