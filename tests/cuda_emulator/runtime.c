/* Devices, memory and copies of the runtime. */
#include "private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Devices ---- */
static _Thread_local int current_device;

int emu_current_device(void)
{
    return current_device;
}

static bool device_exists(int device)
{
    return device >= 0 && device < emu_set()->devices;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    cudaError_t error = emu_enter("cudaGetDeviceCount", cudaErrorInsufficientDriver, false);
    if (error) {
        if (count) *count = 0;
        return error;
    }
    if (!count) return emu_leave(cudaErrorInvalidValue);
    *count = emu_set()->devices;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaGetDevice(int *device)
{
    cudaError_t error = emu_enter("cudaGetDevice", cudaErrorUnknown, false);
    if (error) return error;
    if (!device) return emu_leave(cudaErrorInvalidValue);
    *device = current_device;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t error = emu_enter("cudaSetDevice", cudaErrorDevicesUnavailable, false);
    if (error) return error;
    if (!device_exists(device)) return emu_leave(cudaErrorInvalidDevice);
    current_device = device;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    cudaError_t error = emu_enter("cudaDeviceGetAttribute", cudaErrorUnknown, false);
    if (error) return error;
    if (!value) return emu_leave(cudaErrorInvalidValue);
    if (!device_exists(device)) return emu_leave(cudaErrorInvalidDevice);
    switch (attr) {
#define ROW(name, number, says)                                                                              \
    case name: *value = says; return emu_leave(cudaSuccess);
        SS_EMULATOR_ATTRIBUTE_TABLE(ROW)
#undef ROW
    }
    return emu_leave(cudaErrorInvalidValue);
}

static int attribute(enum cudaDeviceAttr attr)
{
    switch (attr) {
#define ROW(name, number, says)                                                                              \
    case name: return says;
        SS_EMULATOR_ATTRIBUTE_TABLE(ROW)
#undef ROW
    }
    return 0;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    cudaError_t error = emu_enter("cudaGetDeviceProperties", cudaErrorUnknown, false);
    if (error) return error;
    if (!prop) return emu_leave(cudaErrorInvalidValue);
    if (!device_exists(device)) return emu_leave(cudaErrorInvalidDevice);
    *prop = (struct cudaDeviceProp){
        .totalGlobalMem = (size_t)emu_set()->memory,
        .sharedMemPerBlock = (size_t)attribute(cudaDevAttrMaxSharedMemoryPerBlock),
        .regsPerBlock = attribute(cudaDevAttrMaxRegistersPerBlock),
        .warpSize = attribute(cudaDevAttrWarpSize),
        .memPitch = (size_t)attribute(cudaDevAttrMaxPitch),
        .maxThreadsPerBlock = attribute(cudaDevAttrMaxThreadsPerBlock),
        .maxThreadsDim = { attribute(cudaDevAttrMaxBlockDimX), attribute(cudaDevAttrMaxBlockDimY),
                           attribute(cudaDevAttrMaxBlockDimZ) },
        .maxGridSize = { attribute(cudaDevAttrMaxGridDimX), attribute(cudaDevAttrMaxGridDimY),
                         attribute(cudaDevAttrMaxGridDimZ) },
        .totalConstMem = (size_t)attribute(cudaDevAttrTotalConstantMemory),
        .major = attribute(cudaDevAttrComputeCapabilityMajor),
        .minor = attribute(cudaDevAttrComputeCapabilityMinor),
        .multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount),
        .canMapHostMemory = attribute(cudaDevAttrCanMapHostMemory),
        .concurrentKernels = attribute(cudaDevAttrConcurrentKernels),
        .pciDeviceID = device,
        .asyncEngineCount = attribute(cudaDevAttrAsyncEngineCount),
        .unifiedAddressing = attribute(cudaDevAttrUnifiedAddressing),
        .memoryBusWidth = attribute(cudaDevAttrGlobalMemoryBusWidth),
        .l2CacheSize = attribute(cudaDevAttrL2CacheSize),
        .maxThreadsPerMultiProcessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor),
        .sharedMemPerMultiprocessor = (size_t)attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor),
        .regsPerMultiprocessor = attribute(cudaDevAttrMaxRegistersPerMultiprocessor),
        .sharedMemPerBlockOptin = (size_t)attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
        .maxBlocksPerMultiProcessor = attribute(cudaDevAttrMaxBlocksPerMultiprocessor),
    };
    snprintf(prop->name, sizeof prop->name, "Saddlescope CUDA emulator");
    return emu_leave(cudaSuccess);
}

cudaError_t cudaDeviceGetPCIBusId(char *pciBusId, int len, int device)
{
    cudaError_t error = emu_enter("cudaDeviceGetPCIBusId", cudaErrorUnknown, false);
    if (error) return error;
    if (!pciBusId || len < 13) return emu_leave(cudaErrorInvalidValue);
    if (!device_exists(device)) return emu_leave(cudaErrorInvalidDevice);
    snprintf(pciBusId, (size_t)len, "0000:00:%02x.0", (unsigned)device & 0xffu);
    return emu_leave(cudaSuccess);
}

cudaError_t cudaDeviceReset(void)
{
    cudaError_t error = emu_enter("cudaDeviceReset", cudaErrorUnknown, true);
    if (error) return error;
    emu_drain_all();
    return emu_leave(cudaSuccess);
}

static cudaError_t version(const char *name, int *out)
{
    cudaError_t error = emu_enter(name, cudaErrorUnknown, true);
    if (error) return error;
    if (!out) return emu_leave(cudaErrorInvalidValue);
    *out = CUDART_VERSION;
    return emu_leave(cudaSuccess);
}

cudaError_t cudaDriverGetVersion(int *driverVersion)
{
    return version("cudaDriverGetVersion", driverVersion);
}
cudaError_t cudaRuntimeGetVersion(int *runtimeVersion)
{
    return version("cudaRuntimeGetVersion", runtimeVersion);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *leastPriority, int *greatestPriority)
{
    cudaError_t error = emu_enter("cudaDeviceGetStreamPriorityRange", cudaErrorUnknown, false);
    if (error) return error;
    if (leastPriority) *leastPriority = 0;
    if (greatestPriority) *greatestPriority = -5;
    return emu_leave(cudaSuccess);
}

/* ---- Memory. Allocating is illegal while a capture is under way; freeing waits for the device. ---- */
cudaError_t cudaMalloc(void **devPtr, size_t size)
{
    cudaError_t error = emu_enter("cudaMalloc", cudaErrorMemoryAllocation, false);
    if (error) return error;
    if (!devPtr) return emu_leave(cudaErrorInvalidValue);
    if (emu_capture_forbids()) return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureUnsupported));
    return emu_leave(emu_memory_allocate(devPtr, size));
}

cudaError_t cudaFree(void *devPtr)
{
    cudaError_t error = emu_enter("cudaFree", cudaErrorUnknown, true);
    if (error) return error;
    if (emu_capture_forbids()) return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureUnsupported));
    emu_drain_all();
    return emu_leave(emu_memory_free(devPtr));
}

static cudaError_t host_allocate(const char *name, void **host, size_t size, unsigned flags)
{
    cudaError_t error = emu_enter(name, cudaErrorMemoryAllocation, false);
    if (error) return error;
    if (!host || flags > 7) return emu_leave(cudaErrorInvalidValue);
    if (emu_capture_forbids()) return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureUnsupported));
    return emu_leave(emu_pinned_allocate(host, size));
}

cudaError_t cudaMallocHost(void **ptr, size_t size)
{
    return host_allocate("cudaMallocHost", ptr, size, 0);
}

cudaError_t cudaHostAlloc(void **pHost, size_t size, unsigned int flags)
{
    return host_allocate("cudaHostAlloc", pHost, size, flags);
}

cudaError_t cudaFreeHost(void *ptr)
{
    cudaError_t error = emu_enter("cudaFreeHost", cudaErrorUnknown, true);
    if (error) return error;
    if (emu_capture_forbids()) return emu_leave(emu_capture_breaks(cudaErrorStreamCaptureUnsupported));
    emu_drain_all();
    return emu_leave(emu_pinned_free(ptr));
}

cudaError_t cudaHostRegister(void *ptr, size_t size, unsigned int flags)
{
    cudaError_t error = emu_enter("cudaHostRegister", cudaErrorMemoryAllocation, false);
    if (error) return error;
    (void)flags;
    return emu_leave(emu_pinned_register(ptr, size));
}

cudaError_t cudaHostUnregister(void *ptr)
{
    cudaError_t error = emu_enter("cudaHostUnregister", cudaErrorUnknown, true);
    if (error) return error;
    emu_drain_all();
    return emu_leave(emu_pinned_unregister(ptr));
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    cudaError_t error = emu_enter("cudaMemGetInfo", cudaErrorUnknown, false);
    if (error) return error;
    if (!free_bytes || !total) return emu_leave(cudaErrorInvalidValue);
    *total = (size_t)emu_set()->memory;
    *free_bytes = *total - emu_memory_used();
    return emu_leave(cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *ptr)
{
    cudaError_t error = emu_enter("cudaPointerGetAttributes", cudaErrorUnknown, false);
    if (error) return error;
    if (!attributes) return emu_leave(cudaErrorInvalidValue);
    void *address = (void *)(uintptr_t)ptr;
    *attributes = (struct cudaPointerAttributes){ .device = -1, .hostPointer = address };
    if (emu_memory_find((uintptr_t)ptr))
        *attributes =
            (struct cudaPointerAttributes){ .type = cudaMemoryTypeDevice, .devicePointer = address };
    else if (emu_pinned(ptr, 0))
        *attributes = (struct cudaPointerAttributes){ .type = cudaMemoryTypeHost,
                                                      .devicePointer = address,
                                                      .hostPointer = address };
    return emu_leave(cudaSuccess);
}

/* ---- Copies: `height` rows of `width` bytes ---- */
typedef struct copy {
    const void *from;
    void       *to;
    size_t      from_pitch, to_pitch, width, height;
    int         value;  /* memset: from == NULL */
    void       *staged; /* pageable source, as it was when the copy was asked for */
    bool        from_device, to_device;
} copy;

static size_t span(size_t pitch, size_t width, size_t height)
{
    return height ? (height - 1) * pitch + width : 0;
}

static void run_copy(void *data)
{
    copy       *c = data;
    char       *to = c->to;
    const char *from = c->staged ? c->staged : c->from;
    if (c->to_device) to = emu_memory_alias(c->to, span(c->to_pitch, c->width, c->height));
    if (c->from_device) from = emu_memory_alias(c->from, span(c->from_pitch, c->width, c->height));
    if (!to || (!from && c->from)) { /* freed before a graph was replayed */
        emu_report("a copy runs whose device memory has been freed");
        emu_stick(cudaErrorIllegalAddress);
        return;
    }
    for (size_t i = 0; i < c->height; i++)
        if (c->from)
            memmove(to + i * c->to_pitch, from + i * c->from_pitch, c->width);
        else
            memset(to + i * c->to_pitch, c->value, c->width);
}

static void release_copy(void *data)
{
    copy *c = data;
    free(c->staged);
    free(c);
}

/* Which side a pointer is on must agree with the kind; a device range must lie inside one allocation. */
static cudaError_t place(const void *pointer, size_t bytes, bool *device)
{
    if (!pointer) return cudaErrorInvalidValue;
    *device = emu_memory_contains((uintptr_t)pointer);
    if (!*device) return cudaSuccess;
    if (emu_memory_alias(pointer, bytes)) return cudaSuccess;
    char where[300];
    emu_memory_describe((uintptr_t)pointer, where, sizeof where);
    emu_report("a copy of %zu bytes begins at %p, %s, and leaves it", bytes, pointer, where);
    return cudaErrorInvalidValue;
}

static bool kind_agrees(enum cudaMemcpyKind kind, bool from_device, bool to_device)
{
    switch (kind) {
    case cudaMemcpyHostToHost: return !from_device && !to_device;
    case cudaMemcpyHostToDevice: return !from_device && to_device;
    case cudaMemcpyDeviceToHost: return from_device && !to_device;
    case cudaMemcpyDeviceToDevice: return from_device && to_device;
    case cudaMemcpyDefault: return true;
    }
    return false;
}

static cudaError_t copy_or_set(copy model, enum cudaMemcpyKind kind, cudaStream_t stream, bool wait)
{
    cudaError_t error = cudaSuccess;
    if (model.width > model.to_pitch || (model.from && model.width > model.from_pitch)) {
        if (model.height > 1) return cudaErrorInvalidPitchValue;
    }
    if (!emu_stream_valid(stream)) return cudaErrorInvalidResourceHandle;
    if (wait && emu_capture_forbids()) return emu_capture_breaks(cudaErrorStreamCaptureImplicit);
    if (model.width == 0 || model.height == 0) return cudaSuccess;
    if ((error = place(model.to, span(model.to_pitch, model.width, model.height), &model.to_device)))
        return error;
    if (model.from) {
        error = place(model.from, span(model.from_pitch, model.width, model.height), &model.from_device);
        if (error) return error;
        if (!kind_agrees(kind, model.from_device, model.to_device)) return cudaErrorInvalidValue;
    } else if (!model.to_device) {
        return cudaErrorInvalidValue;
    }
    /* Pageable memory: a source is staged before the call returns; a target is there when it returns. */
    bool pageable_from = model.from && !model.from_device &&
                         !emu_pinned(model.from, span(model.from_pitch, model.width, model.height));
    bool pageable_to =
        !model.to_device && !emu_pinned(model.to, span(model.to_pitch, model.width, model.height));
    if (emu_stream_capturing(stream) && (pageable_from || pageable_to)) {
        emu_report("a copy of pageable host memory while the stream is being captured");
        return emu_capture_breaks(cudaErrorStreamCaptureUnsupported);
    }
    if (!wait && (pageable_from || pageable_to)) emu_counts.pageable++;
    copy *own = emu_allocate(sizeof *own);
    *own = model;
    if (pageable_from && !wait) {
        size_t bytes = span(model.from_pitch, model.width, model.height);
        own->staged = emu_allocate(bytes);
        memcpy(own->staged, model.from, bytes);
    }
    error = emu_enqueue(stream, emu_work_make(model.from ? "copy" : "memset", run_copy, release_copy, own));
    if (!error && (wait || pageable_to) && !emu_stream_capturing(stream)) error = emu_stream_drain(stream);
    return error;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind)
{
    cudaError_t error = emu_enter("cudaMemcpy", cudaErrorInvalidValue, false);
    if (error) return error;
    if (count && !src) return emu_leave(cudaErrorInvalidValue);
    copy c = { .from = src, .to = dst, .from_pitch = count, .to_pitch = count, .width = count, .height = 1 };
    return emu_leave(copy_or_set(c, kind, NULL, true));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaMemcpyAsync", cudaErrorInvalidValue, false);
    if (error) return error;
    if (count && !src) return emu_leave(cudaErrorInvalidValue);
    copy c = { .from = src, .to = dst, .from_pitch = count, .to_pitch = count, .width = count, .height = 1 };
    return emu_leave(copy_or_set(c, kind, stream, false));
}

cudaError_t cudaMemcpy2D(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind)
{
    cudaError_t error = emu_enter("cudaMemcpy2D", cudaErrorInvalidValue, false);
    if (error) return error;
    if (width && height && !src) return emu_leave(cudaErrorInvalidValue);
    copy c = {
        .from = src, .to = dst, .from_pitch = spitch, .to_pitch = dpitch, .width = width, .height = height
    };
    return emu_leave(copy_or_set(c, kind, NULL, true));
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaMemcpy2DAsync", cudaErrorInvalidValue, false);
    if (error) return error;
    if (width && height && !src) return emu_leave(cudaErrorInvalidValue);
    copy c = {
        .from = src, .to = dst, .from_pitch = spitch, .to_pitch = dpitch, .width = width, .height = height
    };
    return emu_leave(copy_or_set(c, kind, stream, false));
}

cudaError_t cudaMemset(void *devPtr, int value, size_t count)
{
    cudaError_t error = emu_enter("cudaMemset", cudaErrorInvalidValue, false);
    if (error) return error;
    copy c = { .to = devPtr, .to_pitch = count, .width = count, .height = 1, .value = value };
    return emu_leave(copy_or_set(c, cudaMemcpyDefault, NULL, false));
}

cudaError_t cudaMemsetAsync(void *devPtr, int value, size_t count, cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaMemsetAsync", cudaErrorInvalidValue, false);
    if (error) return error;
    copy c = { .to = devPtr, .to_pitch = count, .width = count, .height = 1, .value = value };
    return emu_leave(copy_or_set(c, cudaMemcpyDefault, stream, false));
}

cudaError_t cudaMemset2DAsync(void *devPtr, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream)
{
    cudaError_t error = emu_enter("cudaMemset2DAsync", cudaErrorInvalidValue, false);
    if (error) return error;
    copy c = { .to = devPtr, .to_pitch = pitch, .width = width, .height = height, .value = value };
    return emu_leave(copy_or_set(c, cudaMemcpyDefault, stream, false));
}
