"""What the comparisons share: the network and data, our program as a child process, interleaving, and rows of CSV."""
import datetime
import os
import platform
import subprocess
import sys
import time

import torch
from torch import nn

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from results_table import ROOT, append, version  # noqa: E402, F401 (for those that import this module)
sys.path.insert(0, os.path.join(ROOT, "scripts"))
PAUSE = 0.02        # seconds before a measurement: threads that spin after the last one have gone to sleep


def parse(parser):
    """(arguments, those behind "--", which go to our program as they are)."""
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    return parser.parse_args(sys.argv[1:at]), sys.argv[at + 1:]


def mlp(widths, seed):
    """tanh network in float32 with torch's own initialisation."""
    torch.manual_seed(seed)
    layers = []
    for a, b in zip(widths[:-1], widths[1:]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def random_data(widths, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, widths[0], generator=generator),
            torch.randint(0, widths[-1], (batch,), generator=generator))


def flops(widths, batch):
    """(gradient, Hessian-vector product with everything cached) in flops of matrix products.

    A gradient is x W', y_a' x and, behind the first layer, y_a W. A product adds no primal pass: tangent forward
    W x_t + W_t x, tangent backward y_at' x + y_a' x_t and W' y_at + W_t' y_a; the first layer has x_t = 0 and no x_a."""
    gradient = product = 0
    for layer, (a, b) in enumerate(zip(widths[:-1], widths[1:])):
        unit = 2 * a * b * batch
        gradient += unit * (3 if layer else 2)
        product += unit * (6 if layer else 2)
    return gradient, product


class Program:
    """saddlescope bench --interactive: a child that runs one task per line and answers with its seconds."""

    def __init__(self, program, folder, options):
        self.process = subprocess.Popen([program, "bench", folder, "--interactive", "--quiet", *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        line = self.process.stdout.readline().strip()
        if line != "ready":
            raise SystemExit(f"{program} bench --interactive answered {line!r}")

    def seconds(self, task):
        """Seconds of one `hvp`, `ggn`, `gradient` or `loss`, by the child's own clock."""
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"saddlescope bench ended during {task} with status {self.process.wait()}")
        return float(line)

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit("saddlescope bench did not end well")


def clock(function):
    """A timed version of a function without arguments."""
    def timed():
        start = time.perf_counter()
        function()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter() - start
    return timed


def interleave(tasks, rounds, warm=2):
    """{name: [seconds per round]}: each round runs every task once, starting with another one each time."""
    names, seconds = list(tasks), {name: [] for name in tasks}
    for i in range(-warm, rounds):
        for j in range(len(names)):
            name = names[(i + j) % len(names)]
            time.sleep(PAUSE)
            took = tasks[name]()
            if i >= 0:
                seconds[name].append(took)
        if sys.stderr.isatty():
            print(f"round {max(i + 1, 0)} of {rounds}", end="\r", file=sys.stderr)
    return seconds


def quartiles(values):
    """(median, lower quartile, upper quartile)."""
    ordered = sorted(values)
    n = len(ordered)
    return ordered[n // 2], ordered[n // 4], ordered[n - 1 - n // 4]


def machine():
    """What a row has to say about where it was taken."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"date": datetime.date.today().isoformat(), "cpu": model, "cores": len(os.sched_getaffinity(0))}
