"""Gradients and products of one model, ours and PyTorch's: the tasks, their check against float64, and the table of ratios."""
import gc
import os
import subprocess

import torch

from common import Program, append, clock, interleave, machine, quartiles, version, ROOT
from export_torch import read_safetensors, write_safetensors


def vector(model):
    """The vector of all products, {parameter: tensor}: the same on every device."""
    return {name: torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).to(p.device)
            for i, (name, p) in enumerate(model.named_parameters())}


def torch_tasks(model, loss, tangent, compiled=True, kept=True):
    """{name: (function, note)} of PyTorch's ways to a gradient and a product.

    `loss(call)` is the mean loss, where call(*arguments) evaluates the model at the parameters in question; without `kept`
    none of them holds a graph between its calls, which on a device is memory that the others lack."""
    parameters = list(model.parameters())
    v = list(tangent.values())
    point = {name: p.detach() for name, p in model.named_parameters()}

    def loss_at(p):
        return loss(lambda *a: torch.func.functional_call(model, p, a))

    def gradient():
        return torch.autograd.grad(loss(model), parameters)

    def double_backward():
        first = torch.autograd.grad(loss(model), parameters, create_graph=True)
        return torch.autograd.grad(first, parameters, v)

    graph = torch.autograd.grad(loss(model), parameters, create_graph=True) if kept else None

    def double_backward_kept():
        return torch.autograd.grad(graph, parameters, v, retain_graph=True)

    def forward_over_reverse():
        return torch.func.jvp(torch.func.grad(loss_at), (point,), (tangent,))[1]

    def reverse_over_reverse(p, t):
        return torch.func.vjp(torch.func.grad(loss_at), p)[1](t)[0]

    def jvp_of_grad(p, t):
        return torch.func.jvp(torch.func.grad(loss_at), (p,), (t,))[1]

    tasks = {"torch gradient": (gradient, ""), "torch double backward": (double_backward, "graph rebuilt each time"),
             "torch jvp of grad": (forward_over_reverse, "as curvlinops does")}
    if kept:
        tasks["torch double backward, graph kept"] = (double_backward_kept, "as PyHessian does for one batch")
    for name, function in (("torch compiled double backward", reverse_over_reverse),
                           ("torch compiled jvp of grad", jvp_of_grad)) if compiled else ():
        try:
            fast = torch.compile(function)
            fast(point, tangent)
            tasks[name] = (lambda c=fast: c(point, tangent), "torch.compile, first call not timed")
        except Exception as error:      # the compiler may lack a compiler, or the operator a rule
            print(f"{name}: does not run here: {str(error).strip().splitlines()[0][:150]}")
    return tasks


def forget():
    """Gives torch's unused device memory back, so that our program, which plans with what is free, finds it."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def reference_product(model, loss, v):
    """The product in float64 by torch's double backward, at the weights as stored."""
    double = {name: p.detach().double().requires_grad_(True) for name, p in model.named_parameters()}
    value = loss(lambda *a: torch.func.functional_call(
        model, double, tuple(x.double() if x.is_floating_point() else x for x in a)))
    first = torch.autograd.grad(value, list(double.values()), create_graph=True)
    return torch.autograd.grad(first, list(double.values()), [v[name].double() for name in double])


def difference(product, reference):
    """||product - reference|| / ||reference|| over all parameters together."""
    square = sum(float(((a.detach().double().to(b.device) - b) ** 2).sum()) for a, b in zip(product, reference))
    return (square / sum(float((b ** 2).sum()) for b in reference)) ** 0.5


def our_products(options, folder, arguments, v):
    """{precision: our product, in the order of v's names}."""
    path, out = os.path.join(folder, "v.safetensors"), os.path.join(folder, "hv.safetensors")
    products = {}
    write_safetensors(path, v)
    for precision in options.precision:
        subprocess.run([options.program, "hvp", folder, *arguments, "--precision", precision, "--vector", path, "--output", out,
                        "--quiet"], check=True, stdout=subprocess.DEVNULL)
        found = read_safetensors(out)
        products[precision] = [found[name] for name in v]
    return products


def is_product(name):
    return any(word in name for word in ("hvp", "double", "jvp"))


def check(ours, model, loss, timed, v):
    """Refuses to go on when a product, ours of a precision or one of torch's in any, is not the product.

    One product at a time is there beside the reference, which takes twice the memory of anything timed later."""
    reference = reference_product(model, loss, v)
    forget()
    for precision, product in ours.items():
        demand(f"saddlescope hvp, {precision}", product, reference, precision)
        set_precision(precision)
        for name, (function, _) in timed.items():
            if is_product(name):
                found = function()
                demand(f"{name}, {precision}", [found[n] for n in v] if isinstance(found, dict) else found, reference, precision)
                del found
                forget()


def demand(name, product, reference, precision):
    error = difference(product, reference)
    print(f"{name}: differs from torch's product in float64 by {error:.1e}")
    if not error < (1e-4 if precision == "fp32" else 1e-2):
        raise SystemExit("that is not the product; nothing was timed")


def matrix_product(rows, device):
    """(task, flops) of one large float32 matrix product of torch's: the rate that floors are priced at."""
    left, right = torch.randn(rows, 1024, device=device), torch.randn(1024, 1024, device=device)
    return clock(lambda: left @ right), 2 * rows * 1024 * 1024


def measure(timed, child, gemm_task, rounds):
    """{name: [seconds per round]} of torch's tasks, the matrix product and ours, interleaved."""
    tasks = {name: clock(function) for name, (function, _) in timed.items()}
    tasks["torch matrix product"] = gemm_task
    for task in ("gradient", "hvp", "ggn", "loss"):
        tasks[f"saddlescope {task}"] = lambda t=task: child.seconds(t)
    return interleave(tasks, rounds)


def compare(name, options, folder, arguments, ours_options, timed, work, rows, columns):
    """Times everything in each precision and reports it. Our program is started, and takes its memory, before torch's
    tasks have run in that precision."""
    for precision in options.precision:
        set_precision(precision)
        forget()
        child = Program(options.program, folder, [*arguments, "--precision", precision, *ours_options])
        for task in ("hvp", "gradient"):
            child.seconds(task)
        gemm_task, gemm_flops = matrix_product(rows, options.torch_device)
        seconds = measure(timed, child, gemm_task, options.rounds)
        child.close()
        report(name, options, precision, seconds, timed, work, gemm_flops, columns)


def report(name, options, precision, seconds, timed, work, gemm_flops, columns):
    """Prints the table of ratios to torch's gradient and appends a row per task to benchmarks/results/<name>.csv,
    or <name>_gpu.csv.

    `work` = flops of (gradient, product); `columns` go into every row behind the versions."""
    of_gradient, of_product = work
    unit, gemm = seconds["torch gradient"], quartiles(seconds["torch matrix product"])[0] / gemm_flops
    rows, place, ours = [], machine(), version(options.program)
    if options.device != "cpu":
        name += "_gpu"
        place.update(device=torch.cuda.get_device_name(0) if torch.cuda.is_available() else options.device, precision=precision)
    print(f"== {precision}")
    print(f"{'task':36s} {'median s':>10s} {'/ torch gradient':>17s} {'quartiles':>15s} {'floor':>6s} {'x floor time':>13s}")
    for task, values in seconds.items():
        ratio = quartiles([a / b for a, b in zip(values, unit)])
        flops = of_product if is_product(task) else of_gradient if "gradient" in task else None
        median = quartiles(values)
        row = {**place, "threads": options.threads, "saddlescope": ours, "torch": torch.__version__, **columns,
               "task": task, "rounds": options.rounds,
               "median_s": f"{median[0]:.6f}", "quartile_low_s": f"{median[1]:.6f}",
               "quartile_high_s": f"{median[2]:.6f}", "ratio_to_torch_gradient": f"{ratio[0]:.4f}",
               "ratio_quartile_low": f"{ratio[1]:.4f}", "ratio_quartile_high": f"{ratio[2]:.4f}",
               "flop_floor_ratio": f"{flops / of_gradient:.4f}" if flops else "",
               "time_to_gemm_floor": f"{median[0] / (flops * gemm):.4f}" if flops else "",
               "note": "; ".join(t for t in (timed.get(task, ("", ""))[1], options.note) if t)}
        rows.append(row)
        print(f"{task:36s} {median[0]:10.5f} {ratio[0]:17.3f} {ratio[1]:7.3f}-{ratio[2]:.3f} "
              f"{row['flop_floor_ratio'] or '-':>6s} {row['time_to_gemm_floor'] or '-':>13s}")
    if not options.no_record:
        print("appended to", os.path.relpath(append(name, rows), ROOT))


def common_options(parser, rounds):
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "saddlescope"))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--torch-device", choices=("cpu", "cuda"), help="where torch computes, if not beside us: for rehearsals")
    parser.add_argument("--precision", default="fp32", help="fp32, tf32, or both with a comma, one after the other")
    parser.add_argument("--note", default="")
    parser.add_argument("--no-record", action="store_true", help="print, but write no row")


def set_precision(precision):
    """Torch's products as ours."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def prepare(options):
    """Sets torch up as the options say; returns the options that do the same for our program, but for the precision."""
    options.precision = options.precision.split(",")
    options.torch_device = options.torch_device or options.device
    if not set(options.precision) <= {"fp32", "tf32"}:
        raise SystemExit(f"--precision {','.join(options.precision)}: fp32, tf32 or fp32,tf32")
    torch.set_num_threads(options.threads)
    return ["--device", options.device, "--threads", str(options.threads)]
