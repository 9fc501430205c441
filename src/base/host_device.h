/* Functions of shared headers that compile as C11 and, for host and device, as CUDA C++. */
#ifndef SS_BASE_HOST_DEVICE_H
#define SS_BASE_HOST_DEVICE_H

#ifdef __CUDACC__
#define SS_HOST_DEVICE __host__ __device__
#else
#define SS_HOST_DEVICE
#endif

#endif
