/* Long vectors, conversions, random numbers, memory and the dense eigenproblem on every device. */
#include "device.h"

static const int64_t lengths[] = { 1, 15, 16, 17, 1000, 4096, 4097, 20011 };

enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* V (k columns ldv apart) as a matrix whose rows are the columns. */
static tensor columns(device *d, int64_t k, int64_t n, int64_t padding)
{
    return tensor_random(d, 1, k, n, n + padding, 0);
}

Test(vectors, dots, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        for (int i = 0; i < LENGTHS; i++) {
            int64_t n = lengths[i], k = 1 + i % 6;
            tensor  v = columns(&d, k, n, 5), w = columns(&d, 1, n, 0);
            double  h[8], one[8], single;
            for (int threads = 1; threads <= 3; threads++) {
                ss_test_require(ss_context_set_threads(ss_test_context, threads));
                ss_test_require(d.b->class->block_dot(d.b, NULL, n, k, v.m.data, v.m.ld, w.m.data, h));
                if (threads == 1) memcpy(one, h, sizeof h);
                cr_assert(memcmp(one, h, (size_t)k * sizeof *h) == 0, "threads change a dot");
            }
            for (int64_t j = 0; j < k; j++) {
                double sum = 0, scale = 0;
                for (int64_t l = 0; l < n; l++) {
                    sum += *tensor_at(&v, 0, j, l) * w.host[l];
                    scale += fabs(*tensor_at(&v, 0, j, l) * w.host[l]);
                }
                /* float64 accumulation in both real types */
                cr_assert(fabs(h[j] - sum) <= 1e-15 * scale * sqrt((double)n), "%g %g", h[j], sum);
            }
            ss_test_require(d.b->class->dot(d.b, NULL, n, v.m.data, w.m.data, &single));
            cr_assert(single == h[0]);
            tensor_free(&d, &v);
            tensor_free(&d, &w);
        }
    }
}

Test(vectors, block_axpy_and_axpby, .init = ss_test_begin, .fini = ss_test_end)
{
    static const double h[7] = { 1, -0.5, 0.25, 2, 0.125, -1, 0.75 };
    DEVICE_EACH(d)
    {
        for (int i = 0; i < LENGTHS; i++)
            for (int beta = 0; beta < 3; beta++) {
                int64_t n = lengths[i], k = i % 8;
                tensor  v = columns(&d, k + 1, n, 3);
                tensor  w = beta ? columns(&d, 1, n, 0) : tensor_output(&d, 1, 1, n, n, 0);
                double  b = beta == 2 ? -1.5 : beta, *before = NULL;
                ss_test_require(ss_allocate(ss_test_context, n, sizeof *before, (void **)&before));
                memcpy(before, w.host, (size_t)n * sizeof *before);
                ss_test_require(d.b->class->block_axpy(d.b, NULL, n, k, v.m.data, v.m.ld, h, b, w.m.data));
                tensor_get(&d, &w);
                for (int64_t l = 0; l < n; l++) {
                    double want = b != 0 ? b * before[l] : 0;
                    for (int64_t j = 0; j < k; j++) want += h[j] * *tensor_at(&v, 0, j, l);
                    cr_assert(device_near(&d, w.host[l], want, 4, 16), "%g %g", w.host[l], want);
                }
                memcpy(w.host, before, (size_t)n * sizeof *before);
                tensor_put(&d, &w);
                const void *x = k % 3 ? v.m.data : NULL;
                ss_test_require(d.b->class->axpby(d.b, NULL, n, -0.75, x, b, w.m.data));
                tensor_get(&d, &w);
                for (int64_t l = 0; l < n; l++) {
                    double want = (x ? -0.75 * v.host[l] : 0) + (b != 0 ? b * before[l] : 0);
                    cr_assert(device_near(&d, w.host[l], want, 1, 4), "%g %g", w.host[l], want);
                }
                ss_free(ss_test_context, before);
                tensor_free(&d, &v);
                tensor_free(&d, &w);
            }
    }
}

Test(vectors, block_combine, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        for (int i = 0; i < LENGTHS; i++) {
            int64_t n = lengths[i], k = 1 + i, l = (k + 1) / 2;
            tensor  v = columns(&d, k, n, 2);
            double  s[64], *before = NULL;
            for (int64_t j = 0; j < k * l; j++) s[j] = device_random(&d);
            ss_test_require(ss_allocate(ss_test_context, v.span, sizeof *before, (void **)&before));
            memcpy(before, v.host, (size_t)v.span * sizeof *before);
            ss_test_require(d.b->class->block_combine(d.b, NULL, n, k, l, v.m.data, v.m.ld, s));
            tensor_get(&d, &v);
            for (int64_t j = 0; j < l; j++)
                for (int64_t r = 0; r < n; r++) {
                    double want = 0;
                    for (int64_t c = 0; c < k; c++) want += before[c * v.m.ld + r] * s[c * l + j];
                    cr_assert(device_near(&d, *tensor_at(&v, 0, j, r), want, 8, 16));
                }
            ss_free(ss_test_context, before);
            tensor_free(&d, &v);
        }
    }
}

Test(vectors, random_normal, .init = ss_test_begin, .fini = ss_test_end)
{
    const ss_segment segments[] = { { 0, 0, 65 }, { 128, 65, 1 }, { 192, 66, 700 } };
    const ss_layout  layout = { .n = 766, .padded = 960, .n_segments = 3, .segments = segments };
    DEVICE_EACH(d)
    {
        tensor x = tensor_output(&d, 1, 1, 960, 960, 0);
        ss_test_require(d.b->class->random_normal(d.b, NULL, &layout, 42, SS_STREAM_TEST, x.m.data));
        tensor_get(&d, &x);
        for (int64_t i = 0; i < 960; i++) {
            double want = 0; /* padding */
            for (int s = 0; s < 3; s++)
                if (i >= segments[s].offset && i < segments[s].offset + segments[s].length)
                    want = ss_random_normal(42, SS_STREAM_TEST,
                                            (uint64_t)(segments[s].canonical + i - segments[s].offset));
            /* the same numbers everywhere; a device's logarithm and cosine may round in their own way */
            bool same = x.host[i] == device_round(&d, want);
            cr_assert(same || (!device_is_cpu(d.b->name) && device_near(&d, x.host[i], want, 1, 8)),
                      "element %lld", (long long)i);
        }
        tensor_free(&d, &x);
    }
}

Test(vectors, searches, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        for (int i = 0; i < LENGTHS; i++) {
            int64_t n = lengths[i], index, count, want = 0;
            tensor  x = columns(&d, 1, n, 0), y = columns(&d, 1, n, 0);
            for (int64_t j = 0; j < n; j++) want += (x.host[j] > 0) != (y.host[j] > 0);
            ss_test_require(d.b->class->count_sign_changes(d.b, NULL, n, x.m.data, y.m.data, &count));
            cr_assert(count == want);
            ss_test_require(d.b->class->find_nonfinite(d.b, NULL, n, x.m.data, &index));
            cr_assert(index == -1);
            x.host[n - 1] = (double)INFINITY;
            x.host[n / 2] = (double)NAN;
            tensor_put(&d, &x);
            ss_test_require(d.b->class->find_nonfinite(d.b, NULL, n, x.m.data, &index));
            cr_assert(index == n / 2, "%lld", (long long)index);
            tensor_free(&d, &x);
            tensor_free(&d, &y);
        }
    }
}

Test(vectors, convert_and_place, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { MANY = 5000 };
    DEVICE_EACH(d)
    {
        /* int16 at an odd address, bfloat16 (upper halves of float32), uint8 images, and the real type itself
         */
        char     raw[2 * MANY + 1];
        int16_t  whole[MANY];
        uint16_t upper[MANY];
        for (int i = 0; i < MANY; i++) {
            float    f = (float)(i - 100) * 0.5f;
            uint32_t bits;
            memcpy(&bits, &f, sizeof bits);
            upper[i] = (uint16_t)(bits >> 16);
            whole[i] = (int16_t)(i * 7 - 2000);
        }
        memcpy(raw + 1, whole, sizeof whole);
        char  *from = device_bytes(&d, raw, sizeof raw);
        tensor to = tensor_output(&d, 1, 1, MANY, MANY, 0), direction = columns(&d, 1, MANY, 0);
        ss_test_require(d.b->class->convert(d.b, NULL, to.m.data, d.real, from + 1, SS_I16, MANY, 0.125, -3));
        tensor_get(&d, &to);
        for (int i = 0; i < MANY; i++) cr_assert(to.host[i] == 0.125 * whole[i] - 3);
        ss_test_require(d.b->class->upload(d.b, NULL, from, upper, sizeof upper));
        ss_test_require(d.b->class->place(d.b, NULL, to.m.data, from, SS_BF16, MANY, 0.25, direction.m.data));
        tensor_get(&d, &to);
        for (int i = 0; i < MANY; i++) {
            uint32_t bits = (uint32_t)upper[i] << 16;
            float    f;
            memcpy(&f, &bits, sizeof f);
            cr_assert(device_near(&d, to.host[i], (double)f + 0.25 * direction.host[i], 1, 2));
        }
        ss_test_require(
            d.b->class->place(d.b, NULL, to.m.data, direction.m.data, ss_real_type(d.real), MANY, 7, NULL));
        tensor_get(&d, &to);
        cr_assert(memcmp(to.host, direction.host, MANY * sizeof(double)) == 0);

        /* into the other real type */
        ss_real other = d.real == SS_FLOAT32 ? SS_FLOAT64 : SS_FLOAT32;
        char    back[MANY * 8];
        void   *memory = device_allocate(&d, sizeof back);
        ss_test_require(
            d.b->class->convert(d.b, NULL, memory, other, to.m.data, ss_real_type(d.real), MANY, 1, 0));
        ss_test_require(d.b->class->download(d.b, NULL, back, memory, MANY * (int64_t)ss_real_size(other)));
        for (int i = 0; i < MANY; i++) {
            double got =
                other == SS_FLOAT32 ? (double)((float *)(void *)back)[i] : ((double *)(void *)back)[i];
            cr_assert(got == (double)(float)to.host[i]);
        }
        d.b->class->release(d.b, memory);
        d.b->class->release(d.b, from);
        tensor_free(&d, &to);
        tensor_free(&d, &direction);
    }
}

Test(vectors, bytes_queues_events, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        const ss_backend_class *c = d.b->class;
        ss_queue               *queue = NULL;
        ss_event               *event = NULL;
        unsigned char           bytes[300], back[300];
        for (int i = 0; i < 300; i++) bytes[i] = (unsigned char)i;
        ss_test_require(c->queue_create(d.b, &queue));
        ss_test_require(c->event_create(d.b, &event));
        char *first = device_allocate(&d, 300), *second = device_allocate(&d, 300);
        void *nothing = device_allocate(&d, 0);
        cr_assert((uintptr_t)first % 256 == 0 && (uintptr_t)second % 256 == 0);
        ss_test_require(c->upload(d.b, queue, first, bytes, 300));
        ss_test_require(c->event_record(d.b, event, queue));
        ss_test_require(c->queue_wait(d.b, NULL, event));
        ss_test_require(c->copy(d.b, NULL, second + 3, first + 1, 200));
        ss_test_require(c->zero(d.b, NULL, second + 100, 50));
        ss_test_require(c->download(d.b, NULL, back, second + 3, 200));
        ss_test_require(c->queue_synchronize(d.b, queue));
        for (int i = 0; i < 200; i++)
            cr_assert(back[i] == (i + 3 >= 100 && i + 3 < 150 ? 0 : bytes[i + 1]), "byte %d", i);
        tensor t = tensor_random(&d, 1, 1, 9, 9, 0);
        ss_test_require(c->poison(d.b, NULL, t.m.data, 9 * (int64_t)ss_real_size(d.real)));
        tensor_get(&d, &t);
        for (int i = 0; i < 9; i++) cr_assert(isnan(t.host[i]));
        tensor_free(&d, &t);
        c->release(d.b, first);
        c->release(d.b, second);
        c->release(d.b, nothing);
        c->release(d.b, NULL);
        c->event_destroy(d.b, event);
        c->queue_destroy(d.b, queue);
        cr_assert(c->memory_available(d.b) > 0);
        cr_assert(strlen(c->describe(d.b)) > 10);
    }
}

/* A = Q diag(w) Q' for a Householder reflection Q: eigenvalues and eigenvectors are known. */
static void known_matrix(int64_t n, double *a, double *v)
{
    double norm = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] = ss_random_normal(5, SS_STREAM_TEST, (uint64_t)i);
        norm += v[i] * v[i];
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            a[i * n + j] = 0;
            for (int64_t k = 0; k < n; k++)
                a[i * n + j] += ((i == k) - 2 * v[i] * v[k] / norm) * (double)(k - 3) *
                                ((j == k) - 2 * v[j] * v[k] / norm);
            if (j < i) a[i * n + j] = (double)NAN; /* the lower triangle is not read */
        }
}

Test(vectors, symmetric_eigen, .init = ss_test_begin, .fini = ss_test_end)
{
    enum { N = 37 };
    double a[N * N], w[N], v[N], norm = 0;
    known_matrix(N, a, v);
    ss_test_require(ss_small_eigen(ss_test_context, N, a, false, w));
    for (int i = 0; i < N; i++) cr_assert(fabs(w[i] - (i - 3)) < 1e-12);
    for (int i = 0; i < N; i++) norm += v[i] * v[i];
    ss_test_require(ss_small_eigen(ss_test_context, 0, a, true, w));
    DEVICE_EACH(d)
    {
        known_matrix(N, a, v);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < i; j++) a[i * N + j] = 0; /* device memory that is all defined */
        void *memory = device_bytes(&d, a, sizeof a);
        ss_test_require(d.b->class->symmetric_eigen(d.b, NULL, N, memory, true, w));
        ss_test_require(d.b->class->download(d.b, NULL, a, memory, sizeof a));
        for (int i = 0; i < N; i++) {
            double cosine = 0;
            for (int j = 0; j < N; j++) cosine += a[i * N + j] * ((i == j) - 2 * v[i] * v[j] / norm);
            cr_assert(fabs(w[i] - (i - 3)) < 1e-12 && fabs(fabs(cosine) - 1) < 1e-12);
        }
        d.b->class->release(d.b, memory);
    }
}

/* Every allocation of opening, allocating, scratch and eigenproblem fails once: a clean error, nothing leaks.
 */
Test(vectors, every_allocation_fails_once, .init = ss_test_begin, .fini = ss_test_end)
{
    for (int number = 0; number < device_kinds(); number++)
        for (int64_t nth = 1;; nth++) {
            ss_backend *b = NULL;
            void       *memory = NULL;
            double      h, a[9] = { 2, 0, 0, 0, 1, 0, 0, 0, 3 }, w[3];
            int64_t     before = ss_context_memory_now(ss_test_context);
            ss_context_fail_allocation(ss_test_context, nth);
            ss_status status =
                ss_backend_open(ss_test_context, ss_test_backends()[number / 2], (ss_real)(number % 2), &b);
            if (status == SS_OK) status = b->class->allocate(b, 4096, &memory);
            if (status == SS_OK) status = b->class->zero(b, NULL, memory, 4096);
            if (status == SS_OK) status = b->class->dot(b, NULL, 100, memory, memory, &h);
            if (status == SS_OK) status = ss_small_eigen(ss_test_context, 3, a, true, w);
            if (memory) b->class->release(b, memory);
            ss_backend_close(b);
            ss_context_fail_allocation(ss_test_context, 0);
            cr_assert(ss_context_memory_now(ss_test_context) == before, "leak after allocation %lld failed",
                      (long long)nth);
            ss_context_clear_message(ss_test_context);
            if (status == SS_OK) break; /* nth was beyond the last allocation */
            cr_assert(status == SS_ERROR_MEMORY, "allocation %lld: status %d", (long long)nth, (int)status);
            cr_assert(nth < 200);
        }
}

/* The comparison of dots sees the precision of float32 accumulation. */
Test(vectors, injected_error_is_seen, .init = ss_test_begin, .fini = ss_test_end)
{
    DEVICE_EACH(d)
    {
        tensor x = columns(&d, 1, 1000, 0);
        double sum = 0, h;
        float  narrow = 0;
        for (int i = 0; i < 1000; i++) {
            sum += x.host[i] * x.host[i];
            narrow += (float)x.host[i] * (float)x.host[i];
        }
        ss_test_require(d.b->class->dot(d.b, NULL, 1000, x.m.data, x.m.data, &h));
        cr_assert(fabs(h - sum) <= 1e-14 * sum && fabs((double)narrow - sum) > 1e-14 * sum);
        tensor_free(&d, &x);
    }
}
