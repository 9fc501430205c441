/* How attention is cut into blocks on a device (cuda/attention.cu), and what workspace that takes: here, so
 * that memory can be planned for a device that is not there (cpu-check). C11 and C++.
 *
 * A block is some queries of a chunk of heads against the one range of keys that the causal mask and the
 * window leave to them; its scores, and what becomes of them, lie in buffers [batch, key heads, members,
 * rows, ld], a member being one of the query heads that share a key head. All follows from the shape alone.
 * The workspace grows with the number of tokens, never with its square. */
#ifndef SS_BACKEND_ATTENTION_BLOCKS_H
#define SS_BACKEND_ATTENTION_BLOCKS_H

#include "backend/backend.h"

#ifndef SS_CUDA_EMULATOR
#define SS_ATTENTION_ROWS  256                 /* queries of a block: few blocks, keys not read too often */
#define SS_ATTENTION_REALS ((int64_t)24 << 20) /* of all buffers, if one head takes no more */
#define SS_ATTENTION_NEAR  ((int64_t)12 << 20) /* ... if one product takes no more: the second cache */
#else
/* The tests' small shapes go through many blocks and chunks. */
#define SS_ATTENTION_ROWS  32
#define SS_ATTENTION_REALS ((int64_t)24 << 9)
#define SS_ATTENTION_NEAR  ((int64_t)12 << 9)
#endif
#define SS_ATTENTION_BATCH ((int64_t)1 << 15) /* problems of a product at most */

/* The buffers, as bits: P, tanh under a cap, U_a, and of one lane P_t and U_at. */
enum {
    SS_SCORES_P = 1,
    SS_SCORES_TANH = 2,
    SS_SCORES_U_A = 4,
    SS_SCORES_P_T = 8,
    SS_SCORES_U_AT = 16,
    SS_SCORES_COUNT = 5
};

typedef struct ss_attention_blocks {
    int     buffers;                   /* of SS_SCORES_... */
    bool    along_heads;               /* a product runs along the key heads of a chunk; false: its batch */
    int64_t rows, ld;                  /* of a block at most; ld is a multiple of 4 */
    int64_t batch, key_heads, members; /* of a chunk at most */
    int64_t buffer;                    /* reals of one buffer */
    int64_t workspace;                 /* reals of all */
} ss_attention_blocks;

static inline int64_t ss_attention_multiple(int64_t n, int64_t of)
{
    return (n + of - 1) / of * of;
}

/* n in equal parts of at most `most`. */
static inline int64_t ss_attention_part(int64_t n, int64_t most)
{
    int64_t part = ss_max64(1, ss_min64(most, n)), parts = (n + part - 1) / part;
    return (n + parts - 1) / parts;
}

static inline int ss_attention_buffers(const ss_attention *p)
{
    int tanh = p->cap > 0 ? SS_SCORES_TANH : 0;
    switch (p->sweep) {
    case SS_FORWARD: return SS_SCORES_P;
    case SS_TANGENT_FORWARD: return SS_SCORES_P | tanh | SS_SCORES_P_T;
    case SS_BACKWARD: return SS_SCORES_P | tanh | SS_SCORES_U_A;
    default: return SS_SCORES_P | tanh | SS_SCORES_U_A | SS_SCORES_P_T | SS_SCORES_U_AT;
    }
}

/* Looks at sweep, cap, causal, window and the extents of q and k. */
static inline ss_attention_blocks ss_attention_cut(const ss_attention *p)
{
    int64_t             tokens = p->q.tokens, batch = p->q.batch, key_heads = p->k.heads, count = 0;
    ss_attention_blocks b = { ss_attention_buffers(p), false, 0, 0, 0, 0, 0, 0, 0 };
    if (batch < 1 || tokens < 1 || key_heads < 1) return b;
    for (int bits = b.buffers; bits != 0; bits &= bits - 1) count++;
    b.rows = ss_min64(ss_attention_multiple(ss_attention_part(tokens, SS_ATTENTION_ROWS), 16), tokens);
    int64_t seen = p->causal && p->window > 0 ? ss_min64(p->window, tokens) + b.rows - 1 : tokens;
    b.ld = ss_attention_multiple(ss_min64(seen, tokens), 4);
    int64_t head = count * b.rows * b.ld, heads = p->q.heads / key_heads;
    b.along_heads = key_heads >= batch;
    int64_t along = ss_attention_part(b.along_heads ? key_heads : batch,
                                      ss_min64(SS_ATTENTION_REALS / head, SS_ATTENTION_BATCH));
    b.members = ss_attention_part(heads, SS_ATTENTION_NEAR / (head * along));
    int64_t other =
        ss_attention_part(b.along_heads ? batch : key_heads, SS_ATTENTION_NEAR / (head * along * b.members));
    b.batch = b.along_heads ? other : along;
    b.key_heads = b.along_heads ? along : other;
    b.buffer = b.batch * b.key_heads * b.members * b.rows * b.ld;
    b.workspace = count * b.buffer;
    return b;
}

/* Scores of all blocks: more than those that are seen, at the border of the causal triangle or the window. */
static inline double ss_attention_area(const ss_attention *p)
{
    int64_t tokens = p->q.tokens, rows = ss_attention_cut(p).rows;
    double  area = 0;
    for (int64_t first = 0; rows > 0 && first < tokens; first += rows) {
        int64_t end = ss_min64(first + rows, tokens), begin = p->window > 0 ? first - p->window + 1 : 0;
        area += (double)(end - first) * (double)((p->causal ? end : tokens) - ss_max64(begin, 0));
    }
    return area * (double)(p->q.batch * p->q.heads);
}

#endif
