/* The CUDA backend as the rest of the program sees it; its code is in cuda/, in builds with SS_WITH_CUDA. */
#ifndef SS_BACKEND_CUDA_H
#define SS_BACKEND_CUDA_H

#include "backend/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens device `index` (0 = the first that CUDA_VISIBLE_DEVICES shows). SS_ERROR_REFUSED with the reason when
 * there is no driver, no such device, or no code for it in this build. */
ss_status ss_cuda_open(ss_context *context, int index, ss_real real, ss_backend **backend);

#ifdef __cplusplus
}
#endif
#endif
