/* exp, tanh, log(1 + u) and the normal tail without branches, table look-ups or calls, so that loops over
 * them vectorise; float and double. Included inside a kernel file, once per instruction-set level (levels.h).
 *
 * exp      n = round(x / ln 2), e^x = 2^n e^r, |r| <= ln 2 / 2, e^r by a polynomial; 2^n in two factors, so
 * that results may be subnormal or overflow to infinity. tanh     |x| < 5/8: x + x^3 P(x^2); else (1 - e) /
 * (1 + e), e = exp(-2 |x|). log1p    2 atanh(s), s = u / (2 + u) <= 1/3, by s + s^3 P(s^2). tail     Phi(-a)
 * = exp(-a^2 / 2) G(q) / (1 + a), q = (a - 4) / (a + 4), G a polynomial on all of [0, inf); the rounding
 * error of a^2 is carried along, so the tail keeps its relative accuracy.
 *
 * The coefficients are minimax fits (Remez exchange in 60 digits); relative fit errors: exp 4e-9 and 6e-18,
 * tanh 5e-9 and 5e-19, log1p 1e-10 and 1e-21, tail 2e-9 and 1e-18. Rounding included, the largest errors seen
 * against the next wider type are held by tests/backend/test_vector_math.c. */

#if SS_LEVEL_FMA
#define SS_FMA(a, b, c)  __builtin_fma((a), (b), (c))
#define SS_FMAF(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define SS_FMA(a, b, c)  ((a) * (b) + (c))
#define SS_FMAF(a, b, c) ((a) * (b) + (c))
#endif

/* Horner's rule with a constant number of coefficients, the lowest first. */
#define SS_HORNER(type, fma, result, table, x)                                                               \
    type result = (table)[sizeof(table) / sizeof(type) - 1];                                                 \
    _Pragma("GCC unroll 32") for (int i_ = (int)(sizeof(table) / sizeof(type)) - 2; i_ >= 0; i_--) result =  \
        fma(result, (x), (table)[i_]);

/* 2^n for an integral n from -1000 to 1000 (float: -120 to 127): n + bias moves into the low bits of the
 * mantissa by the addition of 1.5 2^52, and from there into the exponent. */
static inline double SS_LEVEL(ss_power2)(double n)
{
    uint64_t bits;
    double   shifted = n + (0x1.8p52 + 1023.0);
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 52;
    memcpy(&shifted, &bits, sizeof bits);
    return shifted;
}

static inline float SS_LEVEL(ss_power2f)(float n)
{
    uint32_t bits;
    float    shifted = n + (0x1.8p23f + 127.0f);
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 23;
    memcpy(&shifted, &bits, sizeof bits);
    return shifted;
}

static inline double SS_LEVEL(ss_exp)(double x)
{
    static const double P[] = { 0x1.0000000000005p-1,  0x1.555555555555ep-3,  0x1.555555555196cp-5,
                                0x1.111111110dee9p-7,  0x1.6c16c18174dd2p-10, 0x1.a01a01b8ab4f6p-13,
                                0x1.a0199f843d4b2p-16, 0x1.71dde38bf60c9p-19, 0x1.28a9af7bb7779p-22,
                                0x1.af810c641a37dp-26 };
    double              low = x < -750.0 ? -750.0 : x, c = low > 710.0 ? 710.0 : low;
    double              n = (c * 0x1.71547652b82fep+0 + 0x1.8p52) - 0x1.8p52;
    /* ln 2 = high + low, high of 32 bits: n high is exact */
    double r = SS_FMA(n, -0x1.62e42feep-1, c);
    r = SS_FMA(n, -0x1.a39ef35793c76p-33, r);
    SS_HORNER(double, SS_FMA, q, P, r)
    double half = (n * 0.5 + 0x1.8p52) - 0x1.8p52;
    double y = 1.0 + SS_FMA(r * r, q, r);
    return y * SS_LEVEL(ss_power2)(half) * SS_LEVEL(ss_power2)(n - half);
}

static inline float SS_LEVEL(ss_expf)(float x)
{
    static const float P[] = { 0x1.0p-1f, 0x1.5554900p-3f, 0x1.5554620p-5f, 0x1.123bf20p-7f,
                               0x1.6db3680p-10f };
    float              low = x < -110.0f ? -110.0f : x, c = low > 89.0f ? 89.0f : low;
    float              n = (c * 0x1.715476p+0f + 0x1.8p23f) - 0x1.8p23f;
    float              r = SS_FMAF(n, -0x1.62e4p-1f, c);
    r = SS_FMAF(n, -0x1.7f7d1cp-20f, r);
    SS_HORNER(float, SS_FMAF, q, P, r)
    float half = (n * 0.5f + 0x1.8p23f) - 0x1.8p23f;
    float y = 1.0f + SS_FMAF(r * r, q, r);
    return y * SS_LEVEL(ss_power2f)(half) * SS_LEVEL(ss_power2f)(n - half);
}

static inline double SS_LEVEL(ss_tanh)(double x)
{
    static const double P[] = { -0x1.5555555555552p-2,  0x1.1111111110be3p-3,   -0x1.ba1ba1b9caf01p-5,
                                0x1.664f486f3b2d9p-6,   -0x1.226e329c6ea38p-7,  0x1.d6d351f568470p-9,
                                -0x1.7d9bc48bd4be0p-10, 0x1.3507b950dbdc7p-11,  -0x1.f0e7677bf3ed3p-13,
                                0x1.7f7c2b2089ab2p-14,  -0x1.f830e715e37b9p-16, 0x1.915d463b2b92fp-18 };
    double              a = fabs(x), z = x * x;
    z = z > 0.4 ? 0.4 : z; /* the polynomial's value is not used there; keep it finite */
    SS_HORNER(double, SS_FMA, q, P, z)
    double small = SS_FMA(x * z, q, x);
    double e = SS_LEVEL(ss_exp)(-2.0 * a), large = copysign((1.0 - e) / (1.0 + e), x);
    return a < 0.625 ? small : large;
}

static inline float SS_LEVEL(ss_tanhf)(float x)
{
    static const float P[] = { -0x1.5555320p-2f, 0x1.1106fc0p-3f, -0x1.b834180p-5f, 0x1.51e3140p-6f,
                               -0x1.7481840p-8f };
    float              a = fabsf(x), z = x * x;
    z = z > 0.4f ? 0.4f : z;
    SS_HORNER(float, SS_FMAF, q, P, z)
    float small = SS_FMAF(x * z, q, x);
    float e = SS_LEVEL(ss_expf)(-2.0f * a), large = copysignf((1.0f - e) / (1.0f + e), x);
    return a < 0.625f ? small : large;
}

static inline double SS_LEVEL(ss_log1p)(double u)
{
    static const double P[] = { 0x1.5555555555555p-2, 0x1.99999999999b7p-3, 0x1.24924924909e4p-3,
                                0x1.c71c71c895f26p-4, 0x1.745d16e630595p-4, 0x1.3b13c06fbaab1p-4,
                                0x1.110f78b09f90fp-4, 0x1.e21bc9aa8f080p-5, 0x1.ac60157ef2aadp-5,
                                0x1.9cd4e5e6829d5p-5, 0x1.df10d5426c713p-6, 0x1.47570208ee518p-4 };
    double              s = u / (2.0 + u), z = s * s;
    SS_HORNER(double, SS_FMA, q, P, z)
    double t = s + s;
    return SS_FMA(t * z, q, t);
}

static inline float SS_LEVEL(ss_log1pf)(float u)
{
    static const float P[] = { 0x1.5555580p-2f, 0x1.9996c80p-3f, 0x1.25067e0p-3f, 0x1.b70f0e0p-4f,
                               0x1.f0f15a0p-4f };
    float              s = u / (2.0f + u), z = s * s;
    SS_HORNER(float, SS_FMAF, q, P, z)
    float t = s + s;
    return SS_FMAF(t * z, q, t);
}

static inline double SS_LEVEL(ss_normal_tail)(double a)
{
    static const double G[] = { 0x1.e361ea6fba141p-2,   -0x1.8c18f2086e34ap-4,  0x1.cabd72a60f92dp-7,
                                0x1.d4969f10dfef0p-6,   -0x1.07c3c2582c28ap-5,  0x1.25dd7206045d8p-6,
                                -0x1.47d5fc744da80p-8,  -0x1.2b7f5e1676d2ep-12, 0x1.6c538305112d0p-11,
                                -0x1.8c11ad2d12d38p-14, -0x1.707bb30655afep-14, 0x1.64836c0432ef4p-16,
                                0x1.c93fc74857f8dp-17,  -0x1.cc900d9828686p-19, -0x1.5ec3b0d746b0cp-19,
                                0x1.b0554b7a8d7b5p-22,  0x1.28ad3a837f5cfp-21,  0x1.34635baa153e1p-28,
                                -0x1.dd8dc78e58c26p-24, -0x1.8bd5ba3e02929p-26, 0x1.270f007451d6bp-26,
                                0x1.167b23a0eeff7p-27,  -0x1.02929ebc3ceffp-30, -0x1.5dbf9cb7f14fdp-30,
                                -0x1.ea96159da334ap-33 };
    double              c = a > 39.0 ? 39.0 : a, q = (c - 4.0) / (c + 4.0), square = c * c;
#if SS_LEVEL_FMA
    double rest = SS_FMA(c, c, -square);
#else
    uint64_t bits;
    double   high;
    memcpy(&bits, &c, sizeof bits);
    bits &= 0xfffffffff8000000u;
    memcpy(&high, &bits, sizeof high);
    double   low = c - high, rest = ((high * high - square) + 2.0 * high * low) + low * low;
#endif
    SS_HORNER(double, SS_FMA, g, G, q)
    double e = SS_LEVEL(ss_exp)(-0.5 * square);
    return (e - 0.5 * rest * e) * g / (1.0 + c);
}

static inline float SS_LEVEL(ss_normal_tailf)(float a)
{
    static const float G[] = { 0x1.e361ea0p-2f,  -0x1.8c18ee0p-4f,  0x1.cabd380p-7f,  0x1.d494e60p-6f,
                               -0x1.07c3000p-5f, 0x1.25eed00p-6f,   -0x1.47e50e0p-8f, -0x1.3d971c0p-12f,
                               0x1.6a714a0p-11f, -0x1.0860ba0p-14f, -0x1.304f4c0p-14f };
    float              c = a > 15.0f ? 15.0f : a, q = (c - 4.0f) / (c + 4.0f), square = c * c;
#if SS_LEVEL_FMA
    float rest = SS_FMAF(c, c, -square);
#else
    uint32_t bits;
    float    high;
    memcpy(&bits, &c, sizeof bits);
    bits &= 0xfffff000u;
    memcpy(&high, &bits, sizeof high);
    float low = c - high, rest = ((high * high - square) + 2.0f * high * low) + low * low;
#endif
    SS_HORNER(float, SS_FMAF, g, G, q)
    float e = SS_LEVEL(ss_expf)(-0.5f * square);
    return (e - 0.5f * rest * e) * g / (1.0f + c);
}

#undef SS_HORNER
#undef SS_FMA
#undef SS_FMAF
