"""Select the K rows of the largest keys of every replica, largest first; ties go to the lower row.

    key_s = alpha log_norms[s] + beta noise[s]
    rows[r, :count[r]] = the count[r] best rows,
                         where row i is better than j if key_i > key_j, or key_i = key_j and i < j

Replicas may keep different counts; a shorter list is padded with its first row, at weight 0 instead
of 1. A key that is NaN counts as the largest of all: comparisons with NaN are false, and a row that
went wrong must stay visible. A log norm of -inf marks an empty slot, which comes last whatever
alpha is.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(
    log_norms: Array, noise: Array, alpha: Array, beta: Array, count: Array, K: int
) -> tuple[Array, Array]:
    """Return (rows, weights), both [R, K], K = max(count).

    log_norms [R, S], noise [R or 1, S], alpha and beta [R or 1], count [R].
    """
    xp = array_module(log_norms, noise, alpha, beta, count)
    with np.errstate(invalid="ignore"):  # 0 * inf is NaN on purpose
        keys = alpha[:, None] * log_norms + beta[:, None] * noise
    keys = xp.where(xp.isnan(keys), np.inf, keys)
    keys = xp.where(xp.isneginf(log_norms), -np.inf, keys)
    rows = xp.argsort(-keys, axis=-1, kind="stable")[:, :K]
    kept = xp.arange(K) < count[:, None]
    return xp.where(kept, rows, rows[:, :1]), kept.astype(np.float64)


def _cpu(
    log_norms: Array,
    noise: Array,
    alpha: Array,
    beta: Array,
    count: Array,
    rows: Array,
    weights: Array,
) -> None:
    # A heap of the best rows so far with the worst of them at its root, in O(S + K log K log(S /
    # K)). Each of the first S steps offers a row to the heap; each of the last K steps moves the
    # root to the end of the list. Both kinds of step put a row at the root and let it sink to its
    # place.
    slots = log_norms.shape[1]
    keys = np.empty(slots + 1)
    for r in range(log_norms.shape[0]):
        for s in range(slots):
            key = alpha[r % alpha.shape[0]] * log_norms[r, s]
            key += beta[r % beta.shape[0]] * noise[r % noise.shape[0], s]
            if log_norms[r, s] == -np.inf:
                key = -np.inf
            elif np.isnan(key):
                key = np.inf
            keys[s] = key
        # A heap that is not full holds row number `slots` in its empty places: worse than every
        # row.
        keys[slots] = -np.inf
        heap, kept = rows[r], count[r]
        heap[:] = slots
        for step in range(slots + kept):
            if step < slots:
                row, size = step, kept
                root = heap[0]
                if keys[row] < keys[root] or (keys[row] == keys[root] and row > root):
                    continue
            else:
                size = kept - 1 - (step - slots)
                row = heap[size]
                heap[size] = heap[0]
            place = 0
            while 2 * place + 1 < size:
                i, j = 2 * place + 1, 2 * place + 2
                child = heap[i]
                if j < size:
                    other = heap[j]
                    if keys[other] < keys[child] or (keys[other] == keys[child] and other > child):
                        i, child = j, other
                if keys[row] < keys[child] or (keys[row] == keys[child] and row > child):
                    break
                heap[place] = child
                place = i
            heap[place] = row
        heap[kept:] = heap[0]
        weights[r, :kept] = 1
        weights[r, kept:] = 0


# Each thread has one key and counts the better keys: this rank is the place of its row. The keys
# pass by in tiles of one key a thread, which the threads of a block load together; threads beyond
# the last key only help to load. The thread of the best row pads the list.
_CUDA = r"""
__device__ double key_of(double log_norm, double noise, double alpha, double beta) {
    const double infinity = -log(0.0), key = alpha * log_norm + beta * noise;
    return log_norm == -infinity ? -infinity : isnan(key) ? infinity : key;
}
extern "C" __global__ void select(
    const double* log_norms, const double* noise, const double* alpha, const double* beta,
    const long long* count, long long* rows, double* weights,
    int R, int S, int K, int noise_R, int alpha_R, int beta_R) {
    __shared__ double tile[128];
    const int s = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    const double* scores = log_norms + r * S;
    const double* noises = noise + (r % noise_R) * S;
    const double scale = alpha[r % alpha_R], noise_scale = beta[r % beta_R];
    const double own = s < S ? key_of(scores[s], noises[s], scale, noise_scale) : 0;
    int rank = 0;
    for (int first = 0; first < S; first += blockDim.x) {
        const int j = first + threadIdx.x, size = min((int)blockDim.x, S - first);
        if (j < S) tile[threadIdx.x] = key_of(scores[j], noises[j], scale, noise_scale);
        __syncthreads();
        for (int i = 0; i < size; ++i)
            rank += tile[i] > own || (tile[i] == own && first + i < s);
        __syncthreads();
    }
    if (s >= S) return;
    const int kept = count[r];
    if (rank < kept) {
        rows[r * K + rank] = s;
        weights[r * K + rank] = 1;
    }
    for (int i = rank == 0 ? kept : K; i < K; ++i) {
        rows[r * K + i] = s;
        weights[r * K + i] = 0;
    }
}
"""

select = Kernel(
    "select",
    "float64 log_norms[R,S], float64 noise[R|1,S],"
    " host float64 alpha[R|1], host float64 beta[R|1], host int64 count[R]"
    " -> int64 rows[R,K], float64 weights[R,K]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["S"] + 127) // 128, n["R"]),
)
