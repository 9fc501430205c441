/* Attention, second order, point by point: what happens to one score s_ij of query i and key j, and which
 * scores there are. Written once for the CPU and CUDA, float and double (reference 4.1).
 *
 * With U = scale Q K', S = cap(U), P = exp(S - L) (L the logsumexp of the row), O = P V, and per row
 *
 *     mu  = sum_j P S_t                  the tangent of L
 *     D   = sum_j P P_a  = o_a . o       D_t = o_at . o + o_a . o_t
 *
 * the four sweeps are
 *
 *     FORWARD           o    = P v
 *     BACKWARD          P_a  = o_a v'    S_a  = P (P_a - D)     U_a = f' S_a
 *                       q_a  = scale U_a k       k_a = scale U_a' q       v_a = P' o_a
 *     TANGENT_FORWARD   U_t  = scale (q_t k' + q k_t')     S_t = f' U_t
 *                       o_t  = (P S_t) v - mu o + P v_t
 *     TANGENT_BACKWARD  P_t  = P (S_t - mu)      P_at = o_at v' + o_a v_t'
 *                       S_at = P_t (P_a - D) + P (P_at - D_t)     U_at = f'' U_t S_a + f' S_at
 *                       q_at = scale (U_at k + U_a k_t)      k_at = scale (U_at' q + U_a' q_t)
 *                       v_at = P_t' o_a + P' o_at
 *
 * where f is the soft cap c tanh(u / c), f' and f'' its derivatives (1 and 0 without a cap). The rows of P,
 * P_t, U_a, U_at exist tile by tile only (CPU) or for a few queries at a time (CUDA); L and mu are all that
 * is kept of them. Who has a row as a whole takes D and D_t as sums over it, and U_at from U_a:
 *
 *     D    = sum_j P P_a         D_t = sum_j (U_t U_a + P P_at)
 *     U_at = (-2 t U_t / c + f' U_t - mu) U_a + f' P (P_at - D_t),     t = tanh(U / c)
 *
 * The header holds no include guard: every inclusion defines one set. Before it, define
 *
 *     SS_ATTENTION_REAL           float or double
 *     SS_ATTENTION(name)          the function's name
 *     SS_ATTENTION_QUALIFIER      for example `static inline`, or `static __device__ __forceinline__`
 *     SS_ATTENTION_EXP(x), SS_ATTENTION_TANH(x)
 *
 * All are free of branches, so that loops over them vectorise. */

/* ---- Which keys a query sees: query i sees key j, unless it is masked, for low < j - i <= high ---- */

/* window 0 = none */
SS_ATTENTION_QUALIFIER int64_t SS_ATTENTION(attention_low)(int64_t window, int64_t tokens)
{
    return window > 0 ? -window : -tokens;
}

SS_ATTENTION_QUALIFIER int64_t SS_ATTENTION(attention_high)(bool causal, int64_t tokens)
{
    return causal ? 0 : tokens;
}

/* ---- The soft cap: t = tanh(u / c), f = c t, f' = 1 - t^2, f'' = -2 t f' / c ---- */

SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_squash)(SS_ATTENTION_REAL u,
                                                                        SS_ATTENTION_REAL c)
{
    return SS_ATTENTION_TANH(u / c);
}

SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_slope)(SS_ATTENTION_REAL t)
{
    return (1 - t) * (1 + t);
}

SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_bend)(SS_ATTENTION_REAL t,
                                                                      SS_ATTENTION_REAL c)
{
    return -2 * t * SS_ATTENTION(attention_slope)(t) / c;
}

/* ---- Probabilities and their derivatives ---- */

SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_probability)(SS_ATTENTION_REAL s,
                                                                             SS_ATTENTION_REAL L)
{
    return SS_ATTENTION_EXP(s - L);
}

/* P_t */
SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_p_t)(SS_ATTENTION_REAL p,
                                                                     SS_ATTENTION_REAL s_t,
                                                                     SS_ATTENTION_REAL mu)
{
    return p * (s_t - mu);
}

/* S_at, with e = P_a - D */
SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_s_at)(SS_ATTENTION_REAL p,
                                                                      SS_ATTENTION_REAL p_t,
                                                                      SS_ATTENTION_REAL e,
                                                                      SS_ATTENTION_REAL p_at,
                                                                      SS_ATTENTION_REAL D_t)
{
    return p_t * e + p * (p_at - D_t);
}

/* U_at, with s_a = P (P_a - D) */
SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_u_at)(SS_ATTENTION_REAL t,
                                                                      SS_ATTENTION_REAL c,
                                                                      SS_ATTENTION_REAL u_t,
                                                                      SS_ATTENTION_REAL s_a,
                                                                      SS_ATTENTION_REAL s_at)
{
    return SS_ATTENTION(attention_bend)(t, c) * u_t * s_a + SS_ATTENTION(attention_slope)(t) * s_at;
}

/* The same from U_a, for a row that is there as a whole; cap 0 = none, then t = 0 */
SS_ATTENTION_QUALIFIER SS_ATTENTION_REAL SS_ATTENTION(attention_u_at_of_row)(
    SS_ATTENTION_REAL t, SS_ATTENTION_REAL cap, SS_ATTENTION_REAL u_t, SS_ATTENTION_REAL mu,
    SS_ATTENTION_REAL u_a, SS_ATTENTION_REAL p, SS_ATTENTION_REAL p_at, SS_ATTENTION_REAL D_t)
{
    const SS_ATTENTION_REAL slope = SS_ATTENTION(attention_slope)(t), bend = cap > 0 ? -2 * t / cap : 0;
    return ((slope + bend) * u_t - mu) * u_a + slope * p * (p_at - D_t);
}
