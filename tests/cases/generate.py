#!/usr/bin/env python3
"""Writes the golden cases of this folder (format: README.md): small networks with exact float64 values.

    generate.py [CASE...]           writes all cases, or those named
    generate.py --verify [CASE...]  recomputes them and compares with what is stored; writes nothing

Values come from torch in float64 by double backward, at the weights and data as stored.  Every Hv is compared with an
8th-order central difference of the gradient, the Hessian with its own transpose, the objective with torch's mean; a
case whose numbers are not beyond doubt (an eigenvalue near the inertia threshold, a unit near its kink) is refused.
"""
import fnmatch
import json
import math
import os
import sys
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.func import functional_call

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "scripts"))
from export_torch import (IGNORED, describe, loss_sum, read_safetensors, weight_decay_of, write_json,  # noqa: E402
                          write_safetensors)

THRESHOLD = 1e-9            # of inertia, relative to max|eigenvalue|
GAP = (1e-11, 1e-8)         # no eigenvalue may lie in this relative range: the threshold must not decide
COEFFICIENTS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)   # 8th-order central difference


@dataclass
class Case:
    name: str
    module: nn.Module
    x: torch.Tensor
    y: torch.Tensor
    spec: dict                               # loss, weight_decay, label_smoothing, class_weights, input_scale
    notes: str
    dtype: torch.dtype = torch.float32       # of the stored weights
    trainable: list = None                   # globs; None = all
    curvature: str = None                    # expected_curvature where the numbers leave no doubt
    verdict: str = None                      # expected_verdict likewise
    order: int = None                        # of a higher-order saddle
    critical: bool = False                   # the gradient must vanish to rounding
    extra: dict = field(default_factory=dict)


class Residual(nn.Module):
    """body(x) + shortcut(x); no shortcut is the identity."""

    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


# ---- the objective as a function of one flat vector -------------------------------------------------------------

class Objective:
    """L of the active parameters as one float64 vector in canonical order (sorted names)."""

    def __init__(self, case):
        self.case, self.spec = case, case.spec
        self.module = case.module.double().eval()
        self.constants = {k: t.detach().double() for k, t in self.module.state_dict().items()
                          if not k.endswith("num_batches_tracked")}
        every = sorted(name for name, _ in self.module.named_parameters())
        globs = case.trainable or ["*"]
        self.names = [name for name in every if any(fnmatch.fnmatchcase(name, g) for g in globs)]
        self.shapes = [tuple(self.constants[name].shape) for name in self.names]
        self.theta = self.flatten({name: self.constants[name] for name in self.names})
        self.x = case.x.double() * case.spec.get("input_scale", 1.0)
        self.y = case.y if case.y.dtype == torch.int64 else case.y.double()

    def flatten(self, tensors):
        return torch.cat([tensors[name].reshape(-1) for name in self.names])

    def split(self, theta):
        parts, at = {}, 0
        for name, shape in zip(self.names, self.shapes):
            size = math.prod(shape)
            parts[name] = theta[at:at + size].reshape(shape)
            at += size
        return parts

    def output(self, theta):
        return functional_call(self.module, {**self.constants, **self.split(theta)}, (self.x,))

    def head(self, output):
        total, count = loss_sum(output, self.y, self.spec)
        return total / count

    def decay(self, theta):
        """lambda/2 |p|^2 over all parameters: frozen ones add a constant."""
        rule, value = self.spec.get("weight_decay", 0.0), 0.0
        active = self.split(theta)
        for name, _ in self.module.named_parameters():
            value = value + weight_decay_of(name, rule) / 2 * (active.get(name, self.constants[name]) ** 2).sum()
        return value

    def decay_vector(self):
        rule = self.spec.get("weight_decay", 0.0)
        return self.flatten({name: torch.full(shape, weight_decay_of(name, rule), dtype=torch.float64)
                             for name, shape in zip(self.names, self.shapes)})

    def loss(self, theta):
        return self.head(self.output(theta)) + self.decay(theta)

    def gradient(self, theta, graph=False):
        theta = theta.detach().requires_grad_(True)
        return torch.autograd.grad(self.loss(theta), theta, create_graph=graph)[0], theta

    def hessian(self, theta):
        gradient, at = self.gradient(theta, graph=True)
        rows = [torch.autograd.grad(gradient[i], at, retain_graph=True, allow_unused=True)[0] if gradient.requires_grad
                else None for i in range(len(at))]
        return torch.stack([torch.zeros_like(at) if row is None else row for row in rows]).detach()

    def hessian_product(self, theta, v):
        gradient, at = self.gradient(theta, graph=True)
        return torch.autograd.grad(gradient @ v, at)[0].detach()

    def gauss_newton_product(self, theta, v):
        """J' (d2 loss / d output2) J v + decay v."""
        output, tangent = torch.func.jvp(self.output, (theta,), (v,))
        _, curved = torch.func.jvp(torch.func.grad(self.head), (output.detach(),), (tangent,))
        at = theta.detach().requires_grad_(True)
        return torch.autograd.grad((self.output(at) * curved.detach()).sum(), at)[0] + self.decay_vector() * v


def difference_error(objective, theta, v, product):
    """(smallest relative error of Hv against the 8th-order difference, its step)."""
    scale = max(float(product.norm()), 1e-3 * float(v.norm()))
    best = (math.inf, 0.0)
    for step in (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
        value = sum(c / step * (objective.gradient(theta + k * step * v)[0] - objective.gradient(theta - k * step * v)[0])
                    for k, c in enumerate(COEFFICIENTS, 1))
        best = min(best, (float((value - product).norm()) / scale, step))
    return best


def kink_margin(case, objective):
    """Smallest |input| of a piecewise linear unit, relative to the rms of its layer; inf without such units."""
    margins, hooks = [math.inf], []

    def look(_, inputs, __):
        value = inputs[0].detach()
        margins.append(float(value.abs().min() / value.pow(2).mean().sqrt()))

    for module in objective.module.modules():
        if isinstance(module, (nn.ReLU, nn.LeakyReLU)):
            hooks.append(module.register_forward_hook(look))
    objective.output(objective.theta)
    for hook in hooks:
        hook.remove()
    return min(margins)


class Refused(Exception):
    """A case whose numbers are in doubt; the next seed may do."""


def require(case, condition, text):
    if not condition:
        raise Refused(f"{case.name}: {text}")


def torch_mean(objective):
    """The data term by torch's own reduction='mean', as an independent definition of the objective."""
    output, y, spec = objective.output(objective.theta), objective.y, objective.spec
    if spec["loss"] == "mse":
        return nn.functional.mse_loss(output, y)
    if spec["loss"] == "bce_with_logits":
        return nn.functional.binary_cross_entropy_with_logits(output, y)
    weights = torch.tensor(spec["class_weights"], dtype=torch.float64) if "class_weights" in spec else None
    return nn.functional.cross_entropy(output, y, weights, ignore_index=IGNORED,
                                       label_smoothing=spec.get("label_smoothing", 0.0))


def compute(case):
    """(case.json, expected.safetensors, network.json, weights, data) of a case."""
    with torch.no_grad():       # what is stored is what is differentiated
        for p in case.module.parameters():
            p.copy_(p.to(case.dtype).to(p.dtype))
    stored = {k: t.detach().to(case.dtype) for k, t in case.module.state_dict().items()}
    objective = Objective(case)
    theta, n = objective.theta, len(objective.theta)
    generator = torch.Generator().manual_seed(sum(map(ord, case.name)))
    u, v = (torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(2))
    loss, gradient = float(objective.loss(theta)), objective.gradient(theta)[0]
    data_term = float(torch_mean(objective))
    require(case, abs(loss - float(objective.decay(theta)) - data_term) <= 1e-14 * max(1, abs(data_term)),
            "the objective is not torch's mean")
    hessian = objective.hessian(theta)
    product, gauss_newton = objective.hessian_product(theta, v), objective.gauss_newton_product(theta, v)
    scale = float(hessian.abs().max())
    asymmetry = float((hessian - hessian.T).abs().max()) / max(scale, 1e-300)
    hessian = (hessian + hessian.T) / 2
    eigenvalues = torch.linalg.eigvalsh(hessian)
    largest = float(eigenvalues.abs().max())
    relative = eigenvalues.abs() / max(largest, 1e-300)
    error, step = difference_error(objective, theta, v, product)
    require(case, asymmetry <= 1e-12, f"the Hessian is not symmetric ({asymmetry:.1e})")
    require(case, error <= 1e-9, f"Hv misses the difference quotient by {error:.1e}")
    require(case, float((hessian @ v - product).norm()) <= 1e-12 * max(float(product.norm()), 1e-12), "Hv is not H v")
    require(case, not bool(((relative > GAP[0]) & (relative < GAP[1])).any()),
            f"an eigenvalue lies near the inertia threshold: {relative[(relative > GAP[0]) & (relative < GAP[1])]}")
    margin = kink_margin(case, objective)
    require(case, margin >= 1e-4, f"a unit lies {margin:.1e} from its kink")
    if case.critical:
        require(case, float(gradient.norm()) <= 1e-13, f"not critical: |g| = {float(gradient.norm()):.1e}")
    threshold = THRESHOLD * largest
    inertia = {"negative": int((eigenvalues < -threshold).sum()), "zero": int((eigenvalues.abs() <= threshold).sum()),
               "positive": int((eigenvalues > threshold).sum())}
    statement = ("flat" if inertia["zero"] == n else "no_negative" if not inertia["negative"] else
                 "no_positive" if not inertia["positive"] else "indefinite")
    if not case.critical and not case.verdict:
        # d of VERDICT 2 against its limit, with a factor of ten to spare, L_lower taken as 0 (which is in favour)
        damped = eigenvalues.abs() + 1e-3 * largest
        decrease = float((torch.linalg.eigh(hessian)[1].T @ gradient).square().div(damped).sum()) / 2
        case.verdict = "not_critical" if decrease > 1e-2 * loss else None
    if not case.curvature and min(-float(eigenvalues[0]), float(eigenvalues[-1])) > 1e-2 * largest:
        case.curvature = "indefinite"
    if case.curvature:
        require(case, statement == case.curvature, f"curvature is {statement}, not {case.curvature}")
    second = objective.gauss_newton_product(theta, u)
    description = {
        "name": case.name, "family": "sequential", "network": "network.json", "weights": "weights.safetensors",
        "data": "data.safetensors", **case.spec, "reduction": "mean over counted targets", "notes": case.notes,
        **({"trainable": case.trainable} if case.trainable else {}), **case.extra,
        "n_parameters": n, "loss_value": loss, "gradient_norm": float(gradient.norm()),
        "checks": {
            "symmetry_H": float((u @ product - v @ objective.hessian_product(theta, u)).abs()
                                / max(float(u.norm() * product.norm()), 1e-300)),
            "symmetry_G": float((u @ gauss_newton - v @ second).abs()
                                / max(float(u.norm() * gauss_newton.norm()), 1e-300)),
            "finite_difference_relative_error": error, "finite_difference_step": step, "dense_asymmetry": asymmetry,
            **({"kink_margin": margin} if math.isfinite(margin) else {})},
        "parameters": objective.names, "vHv": float(v @ product), "vGv": float(v @ gauss_newton),
        "Hv_norm": float(product.norm()), "eigenvalues_low": eigenvalues[:5].tolist(),
        "eigenvalues_high": eigenvalues[-5:].tolist(), "trace": float(hessian.trace()), "inertia": inertia,
        **({"expected_curvature": case.curvature} if case.curvature else {}),
        **({"expected_verdict": case.verdict} if case.verdict else {}),
        **({"expected_order": case.order} if case.order else {})}
    expected = {"eigenvalues": eigenvalues}
    for key, vector in (("gradient", gradient), ("v", v), ("Hv", product), ("Gv", gauss_newton)):
        for name, part in objective.split(vector).items():
            expected[f"{key}/{name}"] = part.detach()
    return description, expected, describe(case.module, case.x.shape[1:]), stored, {"x": case.x, "y": case.y}


# ---- critical points --------------------------------------------------------------------------------------------

def descend(case, steps):
    """L-BFGS from where the module stands."""
    objective = Objective(case)
    theta = objective.theta.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([theta], max_iter=steps, tolerance_grad=1e-10, tolerance_change=0, history_size=50,
                                  line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = objective.loss(theta)
        loss.backward()
        return loss

    optimiser.step(closure)
    return put(objective, theta.detach())


def solve(case, steps=200):
    """Levenberg-Marquardt on |g|^2 from where the module stands: to the nearest critical point of any kind."""
    objective = Objective(case)
    theta, damping = objective.theta.clone(), 1e-2
    gradient = objective.gradient(theta)[0]
    for _ in range(steps):
        hessian = objective.hessian(theta)
        values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
        trial = theta - vectors @ ((vectors.T @ gradient) * values / (values ** 2 + damping ** 2))
        following = objective.gradient(trial)[0]
        if following.norm() < gradient.norm():
            theta, gradient, damping = trial, following, max(damping / 5, 1e-9)
        else:
            damping *= 4
        if gradient.norm() < 1e-15 or damping > 1e6:
            break
    return put(objective, theta)


def put(objective, theta):
    with torch.no_grad():
        for name, part in objective.split(theta).items():
            dict(objective.module.named_parameters())[name].copy_(part)
    return objective


# ---- the cases --------------------------------------------------------------------------------------------------

CASES = {}


def case(function):
    """Registers a case under the name of its function; it is called with the seed set."""
    CASES[function.__name__] = function
    return function


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64).float()


def spread(module, gain=1.6):
    """Default initialisation is nearly linear: widens it, and moves norms off their (1, 0)."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.dim() > 1:
                p.mul_(gain)
            else:
                p.add_(0.3 * torch.randn_like(p))
    return module


@case
def relu_bce():
    m = spread(nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 5), nn.LeakyReLU(0.07), nn.Linear(5, 3)))
    return Case("", m, normal(11, 7), (torch.rand(11, 3) < 0.4).float(), {"loss": "bce_with_logits"},
                "ReLU, LeakyReLU, three binary targets")


@case
def bce_soft_targets():
    m = spread(nn.Sequential(nn.Linear(3, 6), nn.Softplus(beta=1.0, threshold=20.0), nn.Linear(6, 1)))
    return Case("", m, 2 * normal(17, 3), torch.rand(17, 1), {"loss": "bce_with_logits", "weight_decay": 0.01},
                "targets of bce between 0 and 1, one output, weight decay")


@case
def gelu_mse():
    m = spread(nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 7), nn.GELU(approximate="tanh"),
                             nn.Linear(7, 2, bias=False)))
    return Case("", m, normal(13, 5), normal(13, 2), {"loss": "mse"}, "both forms of GELU, a Linear without bias",
                curvature="indefinite")


@case
def silu_tanh_sigmoid():
    m = spread(nn.Sequential(nn.Linear(6, 7), nn.SiLU(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 6), nn.Sigmoid(),
                             nn.Linear(6, 4)), 2.5)
    return Case("", m, normal(19, 6), torch.randint(0, 4, (19,)), {"loss": "cross_entropy"},
                "SiLU, Tanh, Sigmoid, class ids", curvature="indefinite")


@case
def elu_softplus():
    m = spread(nn.Sequential(nn.Linear(4, 9), nn.ELU(alpha=0.7), nn.Linear(9, 6), nn.Softplus(beta=2.5, threshold=3.0),
                             nn.Linear(6, 3)), 2.0)
    return Case("", m, normal(15, 4), normal(15, 3), {"loss": "mse"},
                "ELU with alpha 0.7; Softplus with beta 2.5 and a threshold of 3 that some units exceed")


@case
def layer_norms():
    m = spread(nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.Tanh(), nn.Linear(9, 8),
                             nn.LayerNorm(8, eps=1e-3, elementwise_affine=False), nn.GELU(), nn.Linear(8, 5),
                             nn.LayerNorm(5, bias=False), nn.Linear(5, 3)))
    return Case("", m, normal(12, 6), torch.randint(0, 3, (12,)), {"loss": "cross_entropy"},
                "LayerNorm with gain and bias, with neither, without bias; two values of eps")


@case
def layer_norm_two_axes():
    m = spread(nn.Sequential(nn.Linear(4, 3), nn.SiLU(), nn.LayerNorm([5, 3]), nn.Flatten(), nn.Linear(15, 3)))
    return Case("", m, normal(7, 5, 4), normal(7, 3), {"loss": "mse"},
                "samples of shape [5,4]: Linear on the last axis, LayerNorm over two axes, Flatten")


@case
def residuals():
    inner = Residual(nn.Sequential(nn.Linear(6, 6), nn.Tanh()))
    outer = Residual(nn.Sequential(nn.LayerNorm(7), nn.Linear(7, 6), nn.GELU(), inner, nn.Dropout(0.3)),
                     nn.Sequential(nn.Linear(7, 6, bias=False)))
    plain = Residual(nn.Sequential(nn.Linear(6, 4), nn.SiLU(), nn.Linear(4, 6)))
    m = spread(nn.Sequential(nn.Linear(5, 7), nn.Tanh(), outer, nn.Dropout(0.5), plain, nn.Linear(6, 3)), 1.2)
    return Case("", m, normal(10, 5), torch.randint(0, 3, (10,)), {"loss": "cross_entropy"},
                "Residual inside Residual, with and without shortcut; Dropout as the identity")


@case
def residual_shortcut_only():
    m = spread(nn.Sequential(Residual(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()),
                                      nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4))),
                             nn.ELU(), nn.Linear(4, 2)))
    return Case("", m, normal(9, 4), normal(9, 2), {"loss": "mse", "weight_decay": 1e-3},
                "the network begins with a Residual whose shortcut has two layers")


@case
def soft_targets():
    m = spread(nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)))
    y = torch.softmax(1.5 * torch.randn(14, 4), 1)
    return Case("", m, normal(14, 5), y, {"loss": "cross_entropy"}, "cross-entropy of class probabilities F32 [B,C]")


@case
def soft_targets_smoothed():
    m = spread(nn.Sequential(nn.Linear(5, 6), nn.SiLU(), nn.Linear(6, 4)))
    y = torch.softmax(2 * torch.randn(9, 4), 1)
    return Case("", m, normal(9, 5), y,
                {"loss": "cross_entropy", "label_smoothing": 0.2, "class_weights": [1.0, 0.25, 2.0, 0.5]},
                "class probabilities with label smoothing and class weights (torch divides by the samples)")


@case
def smoothing_weights_ignored():
    m = spread(nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 5)))
    y = torch.randint(0, 5, (21,))
    y[::4] = IGNORED
    return Case("", m, normal(21, 4), y,
                {"loss": "cross_entropy", "label_smoothing": 0.1, "class_weights": [1.0, 0.5, 2.0, 0.0, 1.5]},
                "class ids with smoothing, class weights (one of them 0) and labels -100")


@case
def ignored_labels():
    m = spread(nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)), 2.0)
    y = torch.tensor([0, IGNORED, 2, 1, IGNORED, IGNORED, 2, 0, IGNORED, 1, 1])
    return Case("", m, normal(11, 3), y, {"loss": "cross_entropy"}, "4 of 11 labels are -100: the mean is over 7")


@case
def class_weights():
    m = spread(nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3)), 2.0)
    return Case("", m, normal(16, 6), torch.randint(0, 3, (16,)),
                {"loss": "cross_entropy", "class_weights": [0.2, 3.0, 1.0]}, "class weights: mean = sum w l / sum w")


@case
def decay_by_glob():
    m = spread(nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3)))
    return Case("", m, normal(12, 5), normal(12, 3),
                {"loss": "mse", "weight_decay": {"*": 0.05, "*.bias": 0.0, "1.*": 0.0, "3.weight": 0.2}},
                "weight decay by glob, later globs win")


@case
def frozen_layers():
    m = spread(nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 4)), 2.0)
    return Case("", m, normal(14, 5), torch.randint(0, 4, (14,)), {"loss": "cross_entropy", "weight_decay": 0.01},
                "only 2.* and 4.weight are parameters; frozen ones count as constants, also in the decay",
                trainable=["2.*", "4.weight"])


@case
def first_layer_only():
    m = spread(nn.Sequential(nn.Linear(6, 5), nn.SiLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2)), 2.0)
    return Case("", m, normal(13, 6), normal(13, 2), {"loss": "mse"}, "only the first layer is active",
                trainable=["0.*"])


@case
def bf16_weights():
    m = spread(nn.Sequential(nn.Linear(7, 8), nn.GELU(approximate="tanh"), nn.Linear(8, 5)))
    return Case("", m, normal(12, 7), torch.randint(0, 5, (12,)), {"loss": "cross_entropy"},
                "weights stored in bfloat16", dtype=torch.bfloat16)


@case
def f16_weights():
    m = spread(nn.Sequential(nn.Linear(7, 8), nn.SiLU(), nn.LayerNorm(8), nn.Linear(8, 3)))
    return Case("", m, normal(12, 7), normal(12, 3), {"loss": "mse"}, "weights stored in float16",
                dtype=torch.float16)


@case
def uint8_images():
    m = spread(nn.Sequential(nn.Flatten(), nn.Linear(20, 6), nn.Tanh(), nn.Linear(6, 4)), 2.0)
    x = torch.randint(0, 256, (15, 1, 4, 5), dtype=torch.uint8)
    return Case("", m, x, torch.randint(0, 4, (15,)), {"loss": "cross_entropy", "input_scale": 1 / 255},
                "uint8 images of shape [1,4,5]; the network sees x / 255")


@case
def float64_data():
    m = spread(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    return Case("", m.double(), torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64),
                {"loss": "mse"}, "weights and data stored in float64", dtype=torch.float64)


@case
def one_sample():
    m = spread(nn.Sequential(nn.Linear(1, 3), nn.Sigmoid(), nn.Linear(3, 1)), 2.0)
    return Case("", m, normal(1, 1) + 1, normal(1, 1), {"loss": "mse"}, "one sample, one input, one output")


@case
def linear_regression():
    m = nn.Sequential(nn.Linear(6, 2)).double()
    c = Case("", m, normal(20, 6), normal(20, 2), {"loss": "mse"}, "a single Linear layer at the least-squares solution",
             dtype=torch.float64, curvature="no_negative", verdict="minimum", critical=True)
    solve(c)
    return c


@case
def softmax_regression():
    m = nn.Sequential(nn.Linear(3, 4)).double()
    c = Case("", m, normal(40, 3), torch.randint(0, 4, (40,)), {"loss": "cross_entropy"},
             "softmax regression at its minimum: convex; the shift of all classes gives 4 exact zeros",
             dtype=torch.float64, curvature="no_negative", verdict="minimum", critical=True)
    solve(c)
    return c


@case
def minimum_strict():
    m = spread(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))).double()
    x = normal(30, 4)
    c = Case("", m, x, (x[:, :3].argmax(1)), {"loss": "cross_entropy", "weight_decay": 0.02},
             "strict local minimum with weight decay", dtype=torch.float64, curvature="no_negative",
             verdict="minimum", critical=True)
    descend(c, 3000)
    solve(c)
    return c


@case
def saddle_decay():
    m = spread(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), 1.0).double()
    x = normal(40, 4)
    c = Case("", m, x, torch.where(torch.rand(40) < 0.3, torch.randint(0, 3, (40,)), x[:, :3].argmax(1)),
             {"loss": "cross_entropy", "weight_decay": 0.01}, "critical point with negative curvature, weight decay",
             dtype=torch.float64, curvature="indefinite", verdict="saddle", critical=True)
    solve(c)
    return c


@case
def saddle_equal_units():
    """Two equal hidden units stay equal under descent: critical in the whole space, minimal only among equals."""
    m = spread(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))).double()
    with torch.no_grad():
        m[0].weight[1], m[0].bias[1] = m[0].weight[0], m[0].bias[0]
        m[2].weight[:, 1] = m[2].weight[:, 0]
    x = normal(32, 3)
    y = torch.stack([torch.tanh(2 * x[:, 0]), x[:, 1] * 0.5 + torch.tanh(x[:, 2])], 1)
    c = Case("", m, x, y, {"loss": "mse", "weight_decay": 0.003}, "two equal hidden units, converged together",
             dtype=torch.float64, curvature="indefinite", verdict="saddle", critical=True)
    for _ in range(20):
        descend(c, 50)
        with torch.no_grad():
            for t in (m[0].weight, m[0].bias):
                t.copy_(t.mean(0, keepdim=True).expand_as(t))
            m[2].weight.copy_(m[2].weight.mean(1, keepdim=True).expand_as(m[2].weight))
    solve(c)
    return c


def linear_chain(layers, d, widths, keep, samples, values):
    """(module, x, y): critical point of a deep linear network that carries the singular directions `keep`.

    Whitened x; y = x A' with A = V diag(values) U'; W = (orthonormal) diag(s^(1/L)) (orthonormal)' in each layer."""
    x = torch.linalg.qr(torch.randn(samples, d, dtype=torch.float64))[0] * math.sqrt(samples)
    u, v = (torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0] for _ in range(2))
    y = x @ (u * values) @ v.T
    chain, right = [], u[:, keep]
    for layer in range(layers):
        size = widths[layer + 1]
        left = v[:, keep] if layer == layers - 1 else torch.linalg.qr(
            torch.randn(size, size, dtype=torch.float64))[0][:, :len(keep)]
        linear = nn.Linear(widths[layer], size, bias=False).double()
        with torch.no_grad():
            linear.weight.copy_((left * values[keep] ** (1 / layers)) @ right.T)
        chain.append(linear)
        right = left
    return nn.Sequential(*chain), x, y


@case
def linear_saddle():
    values = torch.tensor([1.5, 1.0, 0.4], dtype=torch.float64)
    m, x, y = linear_chain(2, 3, [3, 4, 3], [1], 12, values)
    return Case("", m, x, y, {"loss": "mse"}, "two-layer linear network that carries the second singular direction",
                dtype=torch.float64, curvature="indefinite", verdict="saddle", critical=True)


@case
def linear_minimum_flat():
    values = torch.tensor([1.5, 1.0, 0.4], dtype=torch.float64)
    m, x, y = linear_chain(2, 3, [3, 2, 3], [0, 1], 12, values)
    return Case("", m, x, y, {"loss": "mse"},
                "two-layer linear network of rank 2 at its global minimum, loss not zero; 4 flat directions (GL(2))",
                dtype=torch.float64, curvature="no_negative", verdict="minimum", critical=True)


@case
def linear_saddle_higher_order():
    values = torch.tensor([1.6, 0.9, 0.5], dtype=torch.float64)
    m, x, y = linear_chain(3, 3, [3, 3, 4, 3], [0], 12, values)
    return Case("", m, x, y, {"loss": "mse"},
                "three-layer linear network that carries the leading direction only: no negative curvature, but a saddle",
                dtype=torch.float64, curvature="no_negative", verdict="saddle", order=3, critical=True)


@case
def linear_origin():
    m = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        for p in m.parameters():
            p.zero_()
    return Case("", m, normal(6, 2), normal(6, 2), {"loss": "mse"}, "three-layer linear network at 0: the Hessian is 0",
                dtype=torch.float64, curvature="flat", verdict="saddle", order=3, critical=True)


@case
def maximum():
    """h = W x; output = sum of bumps tanh(h_i + 1) - tanh(h_i - 1), largest at W = 0, and above the targets there."""
    m = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1, bias=False)).double()
    with torch.no_grad():
        m[0].weight.zero_()
        m[1].weight.copy_(torch.tensor([[1., 0.], [1., 0.], [0., 1.], [0., 1.]]))
        m[1].bias.copy_(torch.tensor([1., -1., 1., -1.]))
        m[3].weight.copy_(torch.tensor([[1., -1., 1., -1.]]))
    return Case("", m, normal(9, 2), torch.full((9, 1), -0.5), {"loss": "mse"},
                "only the first layer is active; the output is largest where it is zero: a maximum of the loss",
                dtype=torch.float64, trainable=["0.*"], curvature="no_positive", verdict="maximum", critical=True)


@case
def nested_sequential():
    inner = nn.Sequential(nn.Linear(5, 6), nn.Sequential(nn.Tanh(), nn.Linear(6, 4)))
    m = nn.Sequential()
    m.add_module("stem", inner)
    m.add_module("act", nn.SiLU())
    m.add_module("keep", nn.Identity())
    m.add_module("head", nn.Linear(4, 3))
    return Case("", spread(m), normal(8, 5), torch.randint(0, 3, (8,)), {"loss": "cross_entropy"},
                "Sequential inside Sequential, layers with names, Identity")


# ---- command ----------------------------------------------------------------------------------------------------

def build(name, attempt=0):
    torch.manual_seed(sum(ord(c) * 31 ** i for i, c in enumerate(name)) % 2 ** 31 + attempt)
    made = CASES[name]()
    made.name = name
    return made


def generate(name, attempts=30):
    """The first seed whose numbers are beyond doubt."""
    for attempt in range(attempts):
        try:
            return compute(build(name, attempt))
        except Refused as refused:
            print(f"seed {attempt} refused: {refused}")
    raise SystemExit(f"{name}: no seed of {attempts} will do")


def compare(name, computed):
    """Number of differences between a case and what is stored."""
    description, expected, _, _, _ = computed
    folder = os.path.join(HERE, name)
    with open(os.path.join(folder, "case.json")) as file:
        old = json.load(file)
    stored = read_safetensors(os.path.join(folder, "expected.safetensors"))
    scale = max(float(stored["eigenvalues"].abs().max()), 1e-12)
    worst = abs(old["loss_value"] - description["loss_value"])
    for key, tensor in expected.items():
        worst = max(worst, float((tensor - stored[key]).abs().max()) / max(scale, float(stored[key].abs().max())))
    good = worst <= 1e-10 and old["inertia"] == description["inertia"] and set(stored) == set(expected)
    print(f"{name}: {'same' if good else 'DIFFERS'} ({worst:.1e})")
    return 0 if good else 1


def recompute(name):
    """A stored case as a Case: the network as generated, weights and data as stored."""
    made = build(name)
    folder = os.path.join(HERE, name)
    weights = read_safetensors(os.path.join(folder, "weights.safetensors"))
    made.module.load_state_dict({k: t.to(made.module.state_dict()[k].dtype) for k, t in weights.items()})
    data = read_safetensors(os.path.join(folder, "data.safetensors"))
    made.x, made.y = data["x"], data["y"]
    return made


def main():
    torch.set_num_threads(1)
    arguments = sys.argv[1:]
    verify = "--verify" in arguments
    names = [a for a in arguments if not a.startswith("-")] or list(CASES)
    failures = 0
    for name in names:
        if verify:
            failures += compare(name, compute(recompute(name)))
            continue
        description, expected, network, weights, data = generate(name)
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        write_json(os.path.join(folder, "case.json"), description)
        write_json(os.path.join(folder, "network.json"), network)
        write_safetensors(os.path.join(folder, "weights.safetensors"), weights)
        write_safetensors(os.path.join(folder, "data.safetensors"), data)
        write_safetensors(os.path.join(folder, "expected.safetensors"), expected)
        i = description["inertia"]
        print(f"{name}: n {description['n_parameters']}, loss {description['loss_value']:.6g}, "
              f"|g| {description['gradient_norm']:.2g}, spectrum [{description['eigenvalues_low'][0]:.3g}, "
              f"{description['eigenvalues_high'][-1]:.3g}], inertia {i['negative']}/{i['zero']}/{i['positive']}, "
              f"difference {description['checks']['finite_difference_relative_error']:.1e}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
