#!/usr/bin/env python3
"""The check of CUDA calls finds planted unchecked calls and launches, and accepts checked ones."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# a line inside a function, is it accepted
CASES = [
    ('SS_CUDA(context, cudaSetDevice(0), "device %d", 0);', True),
    ('SS_CUDA_TRY(context,\n    cudaMemsetAsync(p, 0, (size_t)(n + 1), q->stream),\n    "%lld bytes", (long long)n);', True),
    ("if (p) SS_CUDA_DROP(context, cudaFree(p));", True),
    ("cudaError_t e = fails(context) ? cudaErrorUnknown : SS_CUDA_ERROR(cudaGetDeviceCount(&n));", True),
    ('SS_CUDA(context, cublasSetStream(blas, stream), "a queue");', True),
    ("/* cudaFree(p); */ puts(\"cudaFree(p)\"); // cudaFree(p)", True),
    ("puts(cudaGetErrorName(error));", True),
    ("cudaSetDevice(0);", False),
    ("(void)cudaFree(p);", False),
    ("cudaError_t e = cudaMalloc(&p, 8);", False),
    ("if (cublasCreate(&blas) != CUBLAS_STATUS_SUCCESS) return;", False),
    ('SS_CUDA(context, cudaSetDevice(0), "device"); cusolverDnCreate(&solver);', False),
    ("cudaGetLastError();", False),
    ("kernel<<<1, 32>>>(p);", False),
    ("SS_LAUNCH(kernel, 1, 32, 0, stream, p);", False),
    ("SS_CUDA_LAUNCH(context, kernel, 1, 32, 0, stream, p);", True),
]


def accepted(line):
    with tempfile.TemporaryDirectory() as name:
        cuda = pathlib.Path(name) / "cuda"
        cuda.mkdir()
        for file in ("check.cuh", "check.cu", "launch.cuh"):
            shutil.copy(ROOT / "cuda" / file, cuda)
        (cuda / "a.cu").write_text("void f(void)\n{\n    " + line + "\n}\n")
        run = subprocess.run([sys.executable, ROOT / "scripts/check_cuda_calls.py", name], capture_output=True, text=True)
        return run.returncode == 0, run.stdout


wrong = 0
for line, wanted in CASES:
    found, output = accepted(line)
    if found != wanted:
        print(f"{line}: expected {'accepted' if wanted else 'refused'}\n{output}")
        wrong += 1
# Headers that lack names which cuda/ uses.
with tempfile.TemporaryDirectory() as name:
    (pathlib.Path(name) / "cuda_runtime_api.h").write_text("cudaError_t cudaMalloc(void **, size_t);\n")
    run = subprocess.run([sys.executable, ROOT / "scripts/check_cuda_calls.py", "--headers", name], capture_output=True, text=True)
    if run.returncode != 1 or "\n  cudaFree\n" not in run.stdout or "\n  cudaMalloc\n" in run.stdout:
        print(f"headers without cudaFree: {run.stdout}")
        wrong += 1
print(f"{len(CASES) + 1} cases, {wrong} wrong")
sys.exit(1 if wrong else 0)
