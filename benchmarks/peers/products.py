"""Gradients and products of one model, ours and PyTorch's: the tasks, their check against float64, and the table of ratios."""
import os
import subprocess

import torch

from common import append, clock, interleave, machine, quartiles, version, ROOT
from export_torch import read_safetensors, write_safetensors


def torch_tasks(model, loss, compiled=True):
    """{name: (function, note)} of PyTorch's ways to a gradient and a product, and the vector {parameter: tensor}.

    `loss(call)` is the mean loss, where call(*arguments) evaluates the model at the parameters in question."""
    parameters = list(model.parameters())
    names = [name for name, _ in model.named_parameters()]
    v = [torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).to(p.device) for i, p in enumerate(parameters)]
    point = {name: p.detach() for name, p in model.named_parameters()}
    tangent = dict(zip(names, v))

    def loss_at(p):
        return loss(lambda *a: torch.func.functional_call(model, p, a))

    def gradient():
        return torch.autograd.grad(loss(model), parameters)

    def double_backward():
        first = torch.autograd.grad(loss(model), parameters, create_graph=True)
        return torch.autograd.grad(first, parameters, v)

    kept = torch.autograd.grad(loss(model), parameters, create_graph=True)

    def double_backward_kept():
        return torch.autograd.grad(kept, parameters, v, retain_graph=True)

    def forward_over_reverse():
        return torch.func.jvp(torch.func.grad(loss_at), (point,), (tangent,))[1]

    def reverse_over_reverse(p, t):
        return torch.func.vjp(torch.func.grad(loss_at), p)[1](t)[0]

    def jvp_of_grad(p, t):
        return torch.func.jvp(torch.func.grad(loss_at), (p,), (t,))[1]

    tasks = {"torch gradient": (gradient, ""), "torch double backward": (double_backward, "graph rebuilt each time"),
             "torch double backward, graph kept": (double_backward_kept, "as PyHessian does for one batch"),
             "torch jvp of grad": (forward_over_reverse, "as curvlinops does")}
    for name, function in (("torch compiled double backward", reverse_over_reverse),
                           ("torch compiled jvp of grad", jvp_of_grad)) if compiled else ():
        try:
            fast = torch.compile(function)
            fast(point, tangent)
            tasks[name] = (lambda c=fast: c(point, tangent), "torch.compile, first call not timed")
        except Exception as error:      # the compiler may lack a compiler, or the operator a rule
            print(f"{name}: does not run here: {str(error).strip().splitlines()[0][:150]}")
    return tasks, tangent


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


def our_product(program, folder, arguments, names, v):
    """Our product, in the order of `names`."""
    path, out = os.path.join(folder, "v.safetensors"), os.path.join(folder, "hv.safetensors")
    write_safetensors(path, v)
    subprocess.run([program, "hvp", folder, *arguments, "--vector", path, "--output", out, "--quiet"],
                   check=True, stdout=subprocess.DEVNULL)
    found = read_safetensors(out)
    return [found[name] for name in names]


def is_product(name):
    return any(word in name for word in ("hvp", "double", "jvp"))


def check(ours, model, loss, timed, v, options):
    """Refuses to go on when a product, ours or one of torch's, is not the product."""
    reference = reference_product(model, loss, v)
    products = {"saddlescope hvp": ours}
    for name, (function, _) in timed.items():
        if is_product(name):
            found = function()
            products[name] = [found[n] for n in v] if isinstance(found, dict) else found
    for name, product in products.items():
        error = difference(product, reference)
        print(f"{name}: differs from torch's product in float64 by {error:.1e}")
        if not error < (1e-4 if options.precision == "fp32" else 1e-2):
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


def report(name, options, seconds, timed, work, gemm_flops, columns):
    """Prints the table of ratios to torch's gradient and appends a row per task to benchmarks/results/<name>.csv,
    or <name>_gpu.csv.

    `work` = flops of (gradient, product); `columns` go into every row behind the versions."""
    of_gradient, of_product = work
    unit, gemm = seconds["torch gradient"], quartiles(seconds["torch matrix product"])[0] / gemm_flops
    rows, place, ours = [], machine(), version(options.program)
    if options.device != "cpu":
        name += "_gpu"
        place.update(device=torch.cuda.get_device_name(0), precision=options.precision)
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
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32"))
    parser.add_argument("--note", default="")
    parser.add_argument("--no-record", action="store_true", help="print, but write no row")


def prepare(options):
    """Sets torch up as the options say; returns the options that do the same for our program."""
    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
    return ["--precision", options.precision, "--device", options.device, "--threads", str(options.threads)]
