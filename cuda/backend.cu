/* The classes of the CUDA backend; opening and closing devices, and what can be said against one. */
#include "cuda.cuh"

#include <pthread.h>
#include <stdio.h>

/* Records of all contexts and devices. */
static pthread_mutex_t devices_lock = PTHREAD_MUTEX_INITIALIZER;
static ss_cuda_device *devices;

/* Is there code for this device in the build? The smallest kernel finds out. */
static __global__ void clear_word(int32_t *word)
{
    if (threadIdx.x == 0) *word = 0;
}

static ss_status probe(ss_cuda_device *device)
{
    ss_context *context = device->context;
    SS_CUDA_LAUNCH(context, clear_word, 1, 32, 0, device->queue.stream, device->queue.fault);
    SS_CUDA(context, cudaStreamSynchronize(device->queue.stream), "the first kernel");
    return SS_OK;
}

/* Why the runtime shows no device. */
static ss_status no_device(ss_context *context, cudaError_t error)
{
    int driver = 0, runtime = 0; /* stay 0 where the runtime cannot tell */
    (void)SS_CUDA_ERROR(cudaDriverGetVersion(&driver));
    (void)SS_CUDA_ERROR(cudaRuntimeGetVersion(&runtime));
    if (error == cudaErrorNoDevice || error == cudaSuccess)
        return ss_fail(context, SS_ERROR_REFUSED,
                       "device cuda: the driver shows no device (CUDA_VISIBLE_DEVICES?); use --device cpu");
    if (driver == 0)
        return ss_fail(context, SS_ERROR_REFUSED,
                       "device cuda: no NVIDIA driver on this machine; use --device cpu");
    return ss_fail(context, SS_ERROR_REFUSED,
                   "device cuda: the driver supports CUDA %d.%d, this build needs %d.%d; update the driver",
                   driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

/* Refusals that are known before anything is started. */
static ss_status find_device(ss_context *context, int index, cudaDeviceProp *properties)
{
    int         count = 0;
    cudaError_t error = SS_CUDA_ERROR(cudaGetDeviceCount(&count));
    if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver ||
        (error == cudaSuccess && count == 0))
        return no_device(context, error);
    SS_CUDA(context, error, "devices");
    if (index < 0 || index >= count)
        return ss_fail(context, SS_ERROR_REFUSED, "device cuda:%d: there %s %d device%s, numbered from 0",
                       index, count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
    SS_CUDA(context, cudaGetDeviceProperties(properties, index), "device %d", index);
    return SS_OK;
}

/* Nothing here may change from run to run: the line is part of a checkpoint's configuration. */
static ss_status describe(ss_cuda_device *device, const cudaDeviceProp *properties)
{
    int driver = 0, runtime = 0;
    SS_CUDA(device->context, cudaDriverGetVersion(&driver), "version");
    SS_CUDA(device->context, cudaRuntimeGetVersion(&runtime), "version");
    snprintf(device->line, sizeof device->line,
             "%.100s (compute %d.%d, %d multiprocessors, %.3g GiB), driver for CUDA %d.%d, runtime %d.%d",
             properties->name, properties->major, properties->minor, properties->multiProcessorCount,
             (double)properties->totalGlobalMem / 0x1p30, driver / 1000, driver % 1000 / 10, runtime / 1000,
             runtime % 1000 / 10);
    return SS_OK;
}

/* A new record, ready for use. */
static ss_status device_start(ss_cuda_device *device)
{
    ss_context    *context = device->context;
    cudaDeviceProp properties;
    SS_RETURN(find_device(context, device->index, &properties));
    SS_RETURN(ss_cuda_load_cublas(context)); /* every product needs it: rather refused now than then */
    SS_CUDA(context, cudaSetDevice(device->index), "device %d", device->index);
    SS_RETURN(ss_cuda_queue_open(device, &device->queue));
    ss_status status = probe(device);
    if (status == SS_ERROR_DEVICE) {
        ss_context_clear_message(context);
        return ss_fail(context, SS_ERROR_REFUSED,
                       "device cuda:%d: %s (compute %d.%d) does not run this build's kernels; build with its "
                       "architecture in SS_CUDA_ARCHITECTURES",
                       device->index, properties.name, properties.major, properties.minor);
    }
    SS_RETURN(status);
    return describe(device, &properties);
}

/* Under the lock: releases a record that nobody uses and that is in no list. */
static void device_destroy(ss_cuda_device *device)
{
    if (device->queue.device) {
        SS_CUDA_DROP(device->context, cudaSetDevice(device->index));
        ss_cuda_queue_close(&device->queue);
    }
    ss_free(device->context, device);
}

/* Under the lock: the record of this context and device, made if it is the first. */
static ss_status device_acquire(ss_context *context, int index, ss_cuda_device **acquired)
{
    ss_status       status = SS_OK;
    ss_cuda_device *device = devices;
    while (device && (device->context != context || device->index != index)) device = device->next;
    if (!device) {
        SS_TRY(SS_NEW(context, &device));
        device->context = context;
        device->index = index;
        SS_TRY(device_start(device));
        device->next = devices;
        devices = device;
    }
    device->users++;
    *acquired = device;
    return SS_OK;
fail:
    if (device) device_destroy(device);
    return status;
}

static void device_release(ss_cuda_device *device)
{
    pthread_mutex_lock(&devices_lock);
    if (--device->users == 0) {
        ss_cuda_device **link = &devices;
        while (*link != device) link = &(*link)->next;
        *link = device->next;
        device_destroy(device);
    }
    pthread_mutex_unlock(&devices_lock);
}

static void cuda_close(ss_backend *b)
{
    ss_context *context = b->context;
    device_release(ss_cuda_device_of(b));
    ss_free(context, b);
}

static const char *cuda_describe(ss_backend *b)
{
    return ss_cuda_device_of(b)->line;
}

/* ---- The classes ---- */

template <typename real> static constexpr ss_backend_class make_class()
{
    ss_backend_class c = {};
    c.name = "cuda";
    c.space = SS_MEMORY_DEVICE;
    c.batching = ss_batching SS_GPU_BATCHING;
    c.close = cuda_close;
    c.describe = cuda_describe;
#define SS_CUDA_ENTRY(type, name, arguments) c.name = ss_cuda_##name;
    SS_CUDA_COMMON_PRIMITIVES(SS_CUDA_ENTRY)
#undef SS_CUDA_ENTRY
#define SS_CUDA_ENTRY(name, arguments) c.name = ss_cuda_##name<real>;
    SS_REAL_PRIMITIVES(SS_CUDA_ENTRY)
#undef SS_CUDA_ENTRY
    return c;
}

static constexpr ss_backend_class classes[] = { make_class<float>(), make_class<double>() };
static_assert(SS_FLOAT32 == 0 && SS_FLOAT64 == 1, "classes are in the order of ss_real");

ss_status ss_cuda_open(ss_context *context, int index, ss_real real, ss_backend **backend)
{
    ss_status        status = SS_OK;
    ss_cuda_backend *cuda = nullptr;
    *backend = nullptr;
    SS_TRY(SS_NEW(context, &cuda));
    pthread_mutex_lock(&devices_lock);
    status = device_acquire(context, index, &cuda->device);
    pthread_mutex_unlock(&devices_lock);
    if (status != SS_OK) goto fail;
    cuda->base.class_ = &classes[real];
    cuda->base.context = context;
    cuda->base.real = real;
    snprintf(cuda->base.name, sizeof cuda->base.name, "cuda");
    *backend = &cuda->base;
    return SS_OK;
fail:
    ss_free(context, cuda);
    return status;
}
