"""Low-rank approximation: truncated SVD, its error, and how to compare subspaces."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class TruncatedSVD(NamedTuple):
    """The best rank-k approximation ``W_k = U diag(S) Vh``."""

    U: Tensor  # (out, k), orthonormal columns
    S: Tensor  # (k,), descending
    Vh: Tensor  # (k, in), orthonormal rows

    def matrix(self) -> Tensor:
        """``U diag(S) Vh``. Shape (out, in)."""
        return (self.U * self.S) @ self.Vh


def truncated_svd(W: Tensor, rank: int) -> TruncatedSVD:
    """Keep the ``rank`` largest singular values of ``W`` (out, in).

    Raises:
        ValueError: ``rank`` outside 0 .. min(out, in).
    """
    _check_rank(rank, min(W.shape), f"a matrix of shape {tuple(W.shape)}")
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return TruncatedSVD(U[:, :rank], S[:rank], Vh[:rank])


def truncated_product(B: Tensor, A: Tensor, rank: int) -> TruncatedSVD:
    """``truncated_svd(B @ A, rank)`` without ever forming the product.

    With ``B = Q_B R_B`` and ``A^T = Q_A R_A`` it is ``B A = Q_B (R_B R_A^T) Q_A^T``: the SVD of
    the small matrix in the middle, (r, r), turned by two orthonormal bases.

    Args:
        B: (out, r).
        A: (r, in).
        rank: 0 .. r.

    Raises:
        ValueError: ``rank`` outside 0 .. r.
    """
    _check_rank(rank, A.shape[0], f"a product of inner dimension {A.shape[0]}")
    left, right = torch.linalg.qr(B), torch.linalg.qr(A.T)
    U, S, Vh = truncated_svd(left.R @ right.R.T, min(rank, *left.R.shape, *right.R.shape))
    return TruncatedSVD(left.Q @ U, S, Vh @ right.Q.T)


def eckart_young_error(singular_values: Tensor, rank: int) -> Tensor:
    """Smallest Frobenius error of any rank-k approximation: ``sqrt(sum_{i>k} sigma_i^2)``.

    Eckart and Young (1936): no matrix of rank k comes closer to W than its truncated SVD.

    Args:
        singular_values: all singular values of W, descending, (n,).
        rank: k, in 0 .. n.
    """
    _check_rank(rank, singular_values.numel(), f"{singular_values.numel()} singular values")
    return singular_values[rank:].square().sum().sqrt()


def effective_rank(singular_values: Tensor) -> Tensor:
    """``exp`` of the entropy of the normalised singular values (Roy and Vetterli 2007).

    Equals k for k equal singular values and lies between 1 and the rank for any other
    spectrum. Scale-free: doubling W changes nothing.

    Raises:
        ValueError: all singular values are zero, so there is no distribution to speak of.
    """
    total = singular_values.sum()
    if not total > 0:
        raise ValueError(
            "The effective rank of a zero matrix is not defined: every singular value is 0. "
            "Before training, B A = 0; measure the update after training."
        )
    p = singular_values / total
    return torch.special.entr(p).sum().exp()


def subspace_similarity(first: Tensor, second: Tensor) -> Tensor:
    """phi = ``||first^T second||_F^2 / min(i, j)``, in [0, 1] (Hu et al. 2021, eq. 4).

    1 where one subspace contains the other, 0 where they are orthogonal. For i and j random
    directions in d dimensions it is about ``max(i, j) / d``: that, not 0, is "no relation".

    Args:
        first: (d, i), orthonormal columns.
        second: (d, j), orthonormal columns.

    Raises:
        ValueError: different d, no columns, or columns that are not orthonormal.
    """
    _check_bases(first, second)
    return (first.T @ second).square().sum() / min(first.shape[1], second.shape[1])


def subspace_similarities(first: Tensor, second: Tensor) -> Tensor:
    """``subspace_similarity`` of the first i and the first j columns, for every i and j at once.

    With directions in order of strength this is the grid of Hu et al. 2021, figure 3.

    Args:
        first, second: as for ``subspace_similarity``.

    Returns:
        Shape (columns of first, columns of second); entry [i - 1, j - 1] is phi(i, j).
    """
    _check_bases(first, second)
    overlap = (first.T @ second).square().cumsum(0).cumsum(1)
    i, j = (torch.arange(1, n + 1, device=overlap.device) for n in overlap.shape)
    return overlap / torch.minimum(i[:, None], j)


def _check_bases(first: Tensor, second: Tensor) -> None:
    for name, basis in (("first", first), ("second", second)):
        if basis.ndim != 2 or basis.shape[1] == 0:
            raise ValueError(
                f"{name} must be (d, k) with k >= 1 columns, got {tuple(basis.shape)}."
            )
        gram = basis.T @ basis
        identity = torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
        if (gram - identity).abs().max() > 1e-3:
            raise ValueError(
                f"The columns of {name} are not orthonormal. Pass singular vectors "
                "(or torch.linalg.qr(M).Q), not the matrix itself."
            )
    if first.shape[0] != second.shape[0]:
        raise ValueError(
            f"The subspaces live in different spaces: {first.shape[0]} and {second.shape[0]} rows."
        )


def _check_rank(rank: int, largest: int, of_what: str) -> None:
    if not 0 <= rank <= largest:
        raise ValueError(f"rank is {rank}; for {of_what} it must be between 0 and {largest}.")
