"""Truncated SVD, effective rank and subspace similarity, with SciPy and scikit-learn to judge."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import entropy
from sklearn.utils.extmath import randomized_svd

from lora_lab.derivations import low_rank

OUT, IN = 7, 5
RANKS = range(min(OUT, IN) + 1)


def normal(*size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator, dtype=torch.float64)


def orthonormal(d, k, seed=0):
    return torch.linalg.qr(normal(d, k, seed=seed)).Q


W = normal(OUT, IN)
SIGMA = torch.linalg.svdvals(W)


@pytest.mark.parametrize("rank", RANKS)
def test_eckart_young_is_the_error_of_the_truncated_svd(rank):
    svd = low_rank.truncated_svd(W, rank)
    assert (svd.U.shape, svd.S.shape, svd.Vh.shape) == ((OUT, rank), (rank,), (rank, IN))
    torch.testing.assert_close(svd.U.T @ svd.U, torch.eye(rank, dtype=W.dtype))
    torch.testing.assert_close(svd.Vh @ svd.Vh.T, torch.eye(rank, dtype=W.dtype))
    error = torch.linalg.norm(W - svd.matrix())
    torch.testing.assert_close(low_rank.eckart_young_error(SIGMA, rank), error)


def test_at_rank_zero_everything_is_lost_and_at_full_rank_nothing():
    torch.testing.assert_close(low_rank.eckart_young_error(SIGMA, 0), torch.linalg.norm(W))
    assert low_rank.eckart_young_error(SIGMA, min(OUT, IN)) == 0
    torch.testing.assert_close(low_rank.truncated_svd(W, min(OUT, IN)).matrix(), W)


@pytest.mark.parametrize("rank", RANKS[1:-1])
def test_no_other_matrix_of_that_rank_comes_closer(rank):
    best = low_rank.eckart_young_error(SIGMA, rank)
    for seed in range(50):
        columns = orthonormal(OUT, rank, seed=seed)
        projected = columns @ columns.T @ W  # the closest matrix with that column space
        assert torch.linalg.norm(W - projected) >= best
        svd = low_rank.truncated_svd(W, rank)
        nearby = (svd.U + 0.01 * normal(OUT, rank, seed=seed)) * svd.S @ svd.Vh
        assert torch.linalg.norm(W - nearby) > best


def test_truncated_svd_is_scikit_learns():
    U, S, Vh = randomized_svd(W.numpy(), n_components=3, n_iter=20, random_state=0)
    torch.testing.assert_close(low_rank.truncated_svd(W, 3).matrix(), torch.from_numpy(U * S @ Vh))


@pytest.mark.parametrize("rank", [-1, min(OUT, IN) + 1])
def test_a_rank_the_matrix_cannot_have_is_refused(rank):
    with pytest.raises(ValueError, match=rf"rank is {rank}.*\(7, 5\).*between 0 and 5"):
        low_rank.truncated_svd(W, rank)
    with pytest.raises(ValueError, match=rf"rank is {rank}.*5 singular values.*between 0 and 5"):
        low_rank.eckart_young_error(SIGMA, rank)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_k_equal_singular_values_have_effective_rank_k_whatever_zeros_follow(k):
    spectrum = torch.cat([torch.full((k,), 0.3), torch.zeros(4)]).double()
    assert low_rank.effective_rank(spectrum).item() == pytest.approx(k)


@given(
    spectrum=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8),
    scale=st.floats(1e-3, 1e3),
)
def test_effective_rank_is_scale_free_between_one_and_the_rank_and_scipys(spectrum, scale):
    sigma = torch.tensor(spectrum, dtype=torch.float64)
    found = low_rank.effective_rank(sigma).item()
    assert 1 - 1e-9 <= found <= len(spectrum) + 1e-9
    assert low_rank.effective_rank(scale * sigma).item() == pytest.approx(found)
    assert found == pytest.approx(np.exp(entropy(spectrum)))


def test_a_zero_matrix_has_no_effective_rank():
    with pytest.raises(ValueError, match="zero matrix.*not defined"):
        low_rank.effective_rank(torch.zeros(3))


@pytest.mark.parametrize(("i", "j"), [(1, 1), (2, 4), (4, 2), (3, 3)])
def test_subspace_similarity_is_the_mean_squared_cosine_of_the_angles(i, j):
    first, second = orthonormal(9, i, seed=1), orthonormal(9, j, seed=2)
    angles = subspace_angles(first.numpy(), second.numpy())
    found = low_rank.subspace_similarity(first, second).item()
    assert 0 <= found <= 1
    assert found == pytest.approx(np.mean(np.cos(angles) ** 2))
    assert found == pytest.approx(low_rank.subspace_similarity(second, first).item())


def test_similarity_is_one_for_containment_and_zero_for_orthogonality():
    basis = orthonormal(8, 6)
    turned = basis[:, :3] @ orthonormal(3, 3, seed=5)  # another basis of the same subspace
    assert low_rank.subspace_similarity(basis[:, :3], turned).item() == pytest.approx(1)
    assert low_rank.subspace_similarity(basis[:, :2], basis).item() == pytest.approx(1)
    apart = low_rank.subspace_similarity(basis[:, :3], basis[:, 3:])
    assert apart.item() == pytest.approx(0, abs=1e-12)


def test_the_grid_holds_every_pair_of_leading_directions():
    first, second = orthonormal(9, 4), orthonormal(9, 6, seed=1)
    grid = low_rank.subspace_similarities(first, second)
    assert grid.shape == (4, 6)
    for i in range(1, 5):
        for j in range(1, 7):
            angles = subspace_angles(first[:, :i].numpy(), second[:, :j].numpy())
            phi = np.sum(np.cos(angles) ** 2) / min(i, j)
            assert grid[i - 1, j - 1].item() == pytest.approx(phi)


@pytest.mark.parametrize(("i", "j"), [(2, 2), (2, 6), (8, 4)])
def test_unrelated_subspaces_overlap_by_max_over_d_on_average(i, j):
    d, draws = 32, 300
    found = torch.stack(
        [
            low_rank.subspace_similarity(
                orthonormal(d, i, seed=2 * n), orthonormal(d, j, seed=2 * n + 1)
            )
            for n in range(draws)
        ]
    )
    standard_error = found.std().item() / draws**0.5
    assert abs(found.mean().item() - max(i, j) / d) < 4 * standard_error


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (orthonormal(5, 2), orthonormal(6, 2), "different spaces: 5 and 6"),
        (torch.zeros(5, 0), orthonormal(5, 2), r"first must be.*\(5, 0\)"),
        (orthonormal(5, 2), torch.zeros(5), r"second must be.*\(5,\)"),
        (2 * orthonormal(5, 2), orthonormal(5, 2), "columns of first are not orthonormal"),
        (orthonormal(5, 2), normal(5, 2), "columns of second are not orthonormal"),
    ],
)
def test_what_is_not_a_pair_of_orthonormal_bases_is_refused(first, second, message):
    for similarity in (low_rank.subspace_similarity, low_rank.subspace_similarities):
        with pytest.raises(ValueError, match=message):
            similarity(first, second)


@pytest.mark.parametrize(("out", "rank", "in_"), [(7, 3, 5), (5, 5, 9), (2, 4, 3)])
def test_a_products_svd_is_found_without_forming_the_product(out, rank, in_):
    B, A = normal(out, rank), normal(rank, in_)
    for k in range(min(out, rank, in_) + 1):
        found = low_rank.truncated_product(B, A, k)
        torch.testing.assert_close(found.matrix(), low_rank.truncated_svd(B @ A, k).matrix())
        assert found.S.shape == (k,) and torch.all(found.S.diff() <= 0)
        identity = torch.eye(k, dtype=B.dtype)
        torch.testing.assert_close(found.U.T @ found.U, identity)
        torch.testing.assert_close(found.Vh @ found.Vh.T, identity)


def test_a_product_cannot_be_cut_to_more_than_its_inner_dimension():
    with pytest.raises(ValueError, match="rank is 4.*inner dimension 3"):
        low_rank.truncated_product(normal(7, 3), normal(3, 5), 4)
