#include "kernels.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <math.h>
Test(positive, sums)
{
    enum { N = 10000 };
    double *x, *s, h[N], r[7];
    for (int i = 0; i < N; i++) h[i] = i % 17;
    double want = 0;
    for (int i = 0; i < N; i++) want += h[i];
    cr_assert_eq(cudaMalloc((void **)&x, sizeof h), 0);
    cr_assert_eq(cudaMalloc((void **)&s, sizeof r), 0);
    cr_assert_eq(cudaMemcpy(x, h, sizeof h, cudaMemcpyHostToDevice), 0);
    cr_assert_eq(test_block_sums(N, x, 7, 96, s, NULL), 0);
    cr_assert_eq(cudaMemcpy(r, s, sizeof r, cudaMemcpyDeviceToHost), 0);
    double got = 0;
    for (int i = 0; i < 7; i++) got += r[i];
    cr_assert_eq(got, want, "%g %g", got, want);
}
