/* Types, enumerators and flags of the CUDA runtime that Saddlescope uses, with CUDA's names and values, and
 * the vector types of kernels. What is not here the emulator does not know: using it fails to compile. */
#ifndef SS_EMULATOR_TYPES_H
#define SS_EMULATOR_TYPES_H

#include <stddef.h>
#include <stdint.h>

#define CUDART_VERSION 13000

/* ---- Errors: enumerator, value, text ---- */
/* clang-format off */
#define SS_EMULATOR_ERROR_TABLE(row) \
    row(cudaSuccess, 0, "no error") \
    row(cudaErrorInvalidValue, 1, "invalid argument") \
    row(cudaErrorMemoryAllocation, 2, "out of memory") \
    row(cudaErrorInitializationError, 3, "initialization error") \
    row(cudaErrorInvalidConfiguration, 9, "invalid configuration argument") \
    row(cudaErrorInvalidPitchValue, 12, "invalid pitch argument") \
    row(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy") \
    row(cudaErrorStubLibrary, 34, "CUDA driver is a stub library") \
    row(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version") \
    row(cudaErrorDevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable") \
    row(cudaErrorInvalidDeviceFunction, 98, "invalid device function") \
    row(cudaErrorNoDevice, 100, "no CUDA-capable device is detected") \
    row(cudaErrorInvalidDevice, 101, "invalid device ordinal") \
    row(cudaErrorDeviceUninitialized, 201, "invalid device context") \
    row(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device") \
    row(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error encountered") \
    row(cudaErrorUnsupportedPtxVersion, 222, "the provided PTX was compiled with an unsupported toolchain.") \
    row(cudaErrorOperatingSystem, 304, "OS call failed or operation not supported on this OS") \
    row(cudaErrorInvalidResourceHandle, 400, "invalid resource handle") \
    row(cudaErrorNotReady, 600, "device not ready") \
    row(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered") \
    row(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch") \
    row(cudaErrorLaunchTimeout, 702, "the launch timed out and was terminated") \
    row(cudaErrorHostMemoryAlreadyRegistered, 712, "part or all of the requested memory range is already mapped") \
    row(cudaErrorHostMemoryNotRegistered, 713, "pointer does not correspond to a registered memory region") \
    row(cudaErrorAssert, 710, "device-side assert triggered") \
    row(cudaErrorMisalignedAddress, 716, "misaligned address") \
    row(cudaErrorLaunchFailure, 719, "unspecified launch failure") \
    row(cudaErrorNotPermitted, 800, "operation not permitted") \
    row(cudaErrorNotSupported, 801, "operation not supported") \
    row(cudaErrorSystemNotReady, 802, "system not yet initialized") \
    row(cudaErrorSystemDriverMismatch, 803, "system has unsupported display driver / cuda driver combination") \
    row(cudaErrorStreamCaptureUnsupported, 900, "operation not permitted when stream is capturing") \
    row(cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous error during capture") \
    row(cudaErrorStreamCaptureMerge, 902, "operation would result in a merge of separate capture sequences") \
    row(cudaErrorStreamCaptureUnmatched, 903, "capture was not initiated in this stream") \
    row(cudaErrorStreamCaptureUnjoined, 904, "capturing stream has unjoined work") \
    row(cudaErrorStreamCaptureIsolation, 905, "dependency created on uncaptured work in another stream") \
    row(cudaErrorStreamCaptureImplicit, 906, "operation would make the legacy stream depend on a capturing blocking stream") \
    row(cudaErrorCapturedEvent, 907, "operation not permitted on an event last recorded in a capturing stream") \
    row(cudaErrorStreamCaptureWrongThread, 908, "attempt to terminate a thread-local capture sequence from another thread") \
    row(cudaErrorUnknown, 999, "unknown error")
/* clang-format on */
typedef enum cudaError {
#define SS_EMULATOR_ROW(name, value, text) name = value,
    SS_EMULATOR_ERROR_TABLE(SS_EMULATOR_ROW)
#undef SS_EMULATOR_ROW
} cudaError_t;

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4
};

enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone = 0,
    cudaStreamCaptureStatusActive = 1,
    cudaStreamCaptureStatusInvalidated = 2
};

enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal = 0,
    cudaStreamCaptureModeThreadLocal = 1,
    cudaStreamCaptureModeRelaxed = 2
};

enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};

enum cudaMemoryType {
    cudaMemoryTypeUnregistered = 0,
    cudaMemoryTypeHost = 1,
    cudaMemoryTypeDevice = 2,
    cudaMemoryTypeManaged = 3
};

/* Attribute, value in CUDA's header, what the emulated device says. */
/* clang-format off */
#define SS_EMULATOR_ATTRIBUTE_TABLE(row) \
    row(cudaDevAttrMaxThreadsPerBlock, 1, 1024) \
    row(cudaDevAttrMaxBlockDimX, 2, 1024) \
    row(cudaDevAttrMaxBlockDimY, 3, 1024) \
    row(cudaDevAttrMaxBlockDimZ, 4, 64) \
    row(cudaDevAttrMaxGridDimX, 5, 2147483647) \
    row(cudaDevAttrMaxGridDimY, 6, 65535) \
    row(cudaDevAttrMaxGridDimZ, 7, 65535) \
    row(cudaDevAttrMaxSharedMemoryPerBlock, 8, 49152) \
    row(cudaDevAttrTotalConstantMemory, 9, 65536) \
    row(cudaDevAttrWarpSize, 10, 32) \
    row(cudaDevAttrMaxPitch, 11, 2147483647) \
    row(cudaDevAttrMaxRegistersPerBlock, 12, 65536) \
    row(cudaDevAttrClockRate, 13, 1000000) \
    row(cudaDevAttrMultiProcessorCount, 16, 4) \
    row(cudaDevAttrIntegrated, 18, 0) \
    row(cudaDevAttrCanMapHostMemory, 19, 1) \
    row(cudaDevAttrComputeMode, 20, 0) \
    row(cudaDevAttrConcurrentKernels, 31, 1) \
    row(cudaDevAttrEccEnabled, 32, 0) \
    row(cudaDevAttrPciBusId, 33, 0) \
    row(cudaDevAttrPciDeviceId, 34, 0) \
    row(cudaDevAttrMemoryClockRate, 36, 1000000) \
    row(cudaDevAttrGlobalMemoryBusWidth, 37, 1024) \
    row(cudaDevAttrL2CacheSize, 38, 4194304) \
    row(cudaDevAttrMaxThreadsPerMultiProcessor, 39, 2048) \
    row(cudaDevAttrAsyncEngineCount, 40, 2) \
    row(cudaDevAttrUnifiedAddressing, 41, 1) \
    row(cudaDevAttrPciDomainId, 50, 0) \
    row(cudaDevAttrComputeCapabilityMajor, 75, 9) \
    row(cudaDevAttrComputeCapabilityMinor, 76, 0) \
    row(cudaDevAttrMaxSharedMemoryPerMultiprocessor, 81, 233472) \
    row(cudaDevAttrMaxRegistersPerMultiprocessor, 82, 65536) \
    row(cudaDevAttrManagedMemory, 83, 0) \
    row(cudaDevAttrPageableMemoryAccess, 88, 0) \
    row(cudaDevAttrCooperativeLaunch, 95, 0) \
    row(cudaDevAttrMaxSharedMemoryPerBlockOptin, 97, 232448) \
    row(cudaDevAttrHostRegisterSupported, 99, 1) \
    row(cudaDevAttrMaxBlocksPerMultiprocessor, 106, 32) \
    row(cudaDevAttrReservedSharedMemoryPerBlock, 111, 1024)
/* clang-format on */
enum cudaDeviceAttr {
#define SS_EMULATOR_ROW(name, value, says) name = value,
    SS_EMULATOR_ATTRIBUTE_TABLE(SS_EMULATOR_ROW)
#undef SS_EMULATOR_ROW
};

#define cudaHostAllocDefault     0x00
#define cudaHostAllocPortable    0x01
#define cudaHostAllocMapped      0x02
#define cudaHostRegisterDefault  0x00
#define cudaHostRegisterPortable 0x01
#define cudaHostRegisterReadOnly 0x08
#define cudaStreamDefault        0x00
#define cudaStreamNonBlocking    0x01
#define cudaStreamLegacy         ((cudaStream_t)0x1)
#define cudaEventDefault         0x00
#define cudaEventBlockingSync    0x01
#define cudaEventDisableTiming   0x02
#define cudaEventRecordDefault   0x00
#define cudaEventWaitDefault     0x00

typedef struct CUstream_st    *cudaStream_t;
typedef struct CUevent_st     *cudaEvent_t;
typedef struct CUgraph_st     *cudaGraph_t;
typedef struct CUgraphExec_st *cudaGraphExec_t;
typedef struct CUgraphNode_st *cudaGraphNode_t;

typedef struct CUuuid_st {
    char bytes[16];
} cudaUUID_t;

struct cudaDeviceProp {
    char       name[256];
    cudaUUID_t uuid;
    size_t     totalGlobalMem;
    size_t     sharedMemPerBlock;
    int        regsPerBlock;
    int        warpSize;
    size_t     memPitch;
    int        maxThreadsPerBlock;
    int        maxThreadsDim[3];
    int        maxGridSize[3];
    size_t     totalConstMem;
    int        major, minor;
    int        multiProcessorCount;
    int        integrated;
    int        canMapHostMemory;
    int        concurrentKernels;
    int        ECCEnabled;
    int        pciBusID, pciDeviceID, pciDomainID;
    int        asyncEngineCount;
    int        unifiedAddressing;
    int        memoryBusWidth;
    int        l2CacheSize;
    int        maxThreadsPerMultiProcessor;
    size_t     sharedMemPerMultiprocessor;
    int        regsPerMultiprocessor;
    int        managedMemory;
    int        pageableMemoryAccess;
    int        cooperativeLaunch;
    size_t     sharedMemPerBlockOptin;
    int        maxBlocksPerMultiProcessor;
};

struct cudaFuncAttributes {
    size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int    maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion;
    int    maxDynamicSharedSizeBytes;
};

struct cudaPointerAttributes {
    enum cudaMemoryType type;
    int                 device;
    void               *devicePointer;
    void               *hostPointer;
};

/* ---- Vector types ---- */
typedef struct uint3 {
    unsigned x, y, z;
} uint3;

typedef struct dim3 {
    unsigned x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
#endif
} dim3;

#endif
