/* A planted data race: the thread sanitizer's build must fail on it, or that build proves nothing. */
#include <stdio.h>

int main(void)
{
    int count = 0;
#pragma omp parallel for num_threads(4)
    for (int i = 0; i < 4000; i++) count++;
    printf("%d\n", count);
    return 0;
}
