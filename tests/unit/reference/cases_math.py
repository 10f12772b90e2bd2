"""Cases of the elementwise ops and reductions, computed with Python's `math` or by hand.

Invariant: every op of `ir/ops_math.py` has a case.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bl_compiler.ir.types import DType
from tests.unit.reference.build import Case, Typed, case

REAL = np.array([-3.7, -2.5, -1.0, -0.3, 0.0, 0.2, 0.5, 1.0, 1.5, 2.5, 4.2])
POSITIVE = np.array([1e-3, 0.2, 0.5, 1.0, 1.7, 3.0, 12.0])
UNIT = np.array([-1.0, -0.6, 0.0, 0.3, 1.0])
INTEGERS = np.array([-7, -2, 0, 1, 5])


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _phi(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _digamma(x: float) -> float:
    """By recurrence to large arguments, where the asymptotic series holds (Abramowitz and Stegun 6.3.18)."""
    shift = 0.0
    while x < 20:
        shift -= 1 / x
        x += 1
    return shift + math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6)


UNARY: dict[str, tuple[Callable[[float], float], np.ndarray]] = {
    "exp": (math.exp, REAL),
    "expm1": (math.expm1, REAL),
    "log": (math.log, POSITIVE),
    "log1p": (math.log1p, POSITIVE),
    "sqrt": (math.sqrt, POSITIVE),
    "rsqrt": (lambda x: x**-0.5, POSITIVE),
    "sin": (math.sin, REAL),
    "cos": (math.cos, REAL),
    "tan": (math.tan, REAL),
    "arcsin": (math.asin, UNIT),
    "arccos": (math.acos, UNIT),
    "arctan": (math.atan, REAL),
    "sinh": (math.sinh, REAL),
    "cosh": (math.cosh, REAL),
    "tanh": (math.tanh, REAL),
    "sigmoid": (_sigmoid, REAL),
    "log_sigmoid": (lambda x: math.log(_sigmoid(x)), REAL),
    "softplus": (lambda x: math.log(1 + math.exp(x)), REAL),
    "erf": (math.erf, REAL),
    "lgamma": (math.lgamma, POSITIVE),
    "digamma": (_digamma, POSITIVE),
    "silu": (lambda x: x * _sigmoid(x), REAL),
    "selu": (lambda x: 1.05070098735548 * (x if x > 0 else 1.67326324235438 * math.expm1(x)), REAL),
    "neg": (lambda x: -x, REAL),
    "abs": (abs, REAL),
    "sign": (lambda x: float((x > 0) - (x < 0)), REAL),
    "floor": (math.floor, REAL),
    "ceil": (math.ceil, REAL),
    "round": (round, REAL),
    "square": (lambda x: x * x, REAL),
    "relu": (lambda x: max(x, 0.0), REAL),
    "stop_gradient": (lambda x: x, REAL),
}
BINARY: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "max": max,
    "min": min,
    "mod": lambda a, b: a % b,
    "floor_div": lambda a, b: a // b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: abs(a) ** b,
    "arctan2": math.atan2,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
LEFT = np.array([[-2.5], [1.5], [2.0]])
RIGHT = np.array([-1.5, 0.7, 1.5, 2.0])
GRID = np.array([[1.0, -2.0, 3.0], [4.0, 0.5, -1.0]])
TRUTH = np.array([[True, False], [True, True]])
_E = math.exp

MATH_CASES: dict[str, list[Case]] = {
    **{f"math.{n}": [case(x, gives=np.array([float(f(v)) for v in x.tolist()]))] for n, (f, x) in UNARY.items()},
    **{
        f"math.{n}": [case(np.abs(LEFT) if n == "pow" else LEFT, RIGHT, gives=np.vectorize(f)(LEFT, RIGHT))]
        for n, f in BINARY.items()
    },
    "math.and": [case(TRUTH, np.array([True, False]), gives=[[True, False], [True, False]])],
    "math.or": [case(TRUTH, np.array([True, False]), gives=[[True, False], [True, True]])],
    "math.not": [case(TRUTH, gives=[[False, True], [False, False]])],
    "math.select": [
        case(TRUTH, np.array([1.0, 2.0]), np.array([[3.0], [4.0]]), gives=[[1.0, 3.0], [1.0, 2.0]]),
        case(TRUTH, np.array(7), 0.5, gives=[[7.0, 0.5], [7.0, 7.0]]),
    ],
    "math.gelu": [
        case(REAL, approximate=False, gives=np.array([x * _phi(x) for x in REAL])),
        case(
            REAL,
            approximate=True,
            gives=np.array([x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) for x in REAL]),
        ),
    ],
    "math.elu": [case(REAL, alpha=0.7, gives=np.array([x if x > 0 else 0.7 * (_E(x) - 1) for x in REAL]))],
    "math.leaky_relu": [case(REAL, slope=0.2, gives=np.array([x if x > 0 else 0.2 * x for x in REAL]))],
    "math.sum": [
        case(GRID, axes=(1,), gives=[2.0, 3.5]),
        case(GRID, axes=(0, 1), keepdims=True, gives=[[5.5]]),
        case(GRID, axes=(), gives=GRID),
        case(TRUTH, axes=(0, 1), gives=3),
        case(Typed([200, 100], DType.U8), axes=(0,), gives=300),
    ],
    "math.mean": [case(GRID, axes=(0,), gives=[2.5, -0.75, 1.0]), case(np.array([1, 2]), axes=(0,), gives=1.5)],
    "math.prod": [case(GRID, axes=(1,), gives=[-6.0, -2.0])],
    "math.reduce_max": [case(GRID, axes=(0,), gives=[4.0, 0.5, 3.0]), case(INTEGERS, axes=(0,), gives=5)],
    "math.reduce_min": [case(GRID, axes=(0,), keepdims=True, gives=[[1.0, -2.0, -1.0]])],
    "math.logsumexp": [
        case(GRID, axes=(1,), gives=[math.log(_E(1) + _E(-2) + _E(3)), math.log(_E(4) + _E(0.5) + _E(-1))]),
        case(np.array([1000.0, 1000.0]), axes=(0,), gives=1000 + math.log(2)),
        case(np.array([-np.inf, -np.inf]), axes=(0,), gives=-np.inf),
        case(np.array([-np.inf, np.inf]), axes=(0,), gives=np.inf),
    ],
    "math.any": [case(TRUTH, axes=(1,), gives=[True, True])],
    "math.all": [case(TRUTH, axes=(1,), gives=[False, True])],
    "math.argmax": [case(GRID, axis=1, gives=[2, 0]), case(np.array([3.0, 3.0]), axis=0, gives=0)],
    "math.argmin": [case(GRID, axis=0, gives=[0, 0, 1])],
    "math.softmax": [
        case(np.array([[0.0, math.log(3)], [5.0, 5.0]]), axis=1, gives=[[0.25, 0.75], [0.5, 0.5]]),
        case(np.array([1000.0, -np.inf]), axis=0, gives=[1.0, 0.0]),
    ],
    "math.log_softmax": [
        case(np.array([[0.0], [math.log(3)]]), axis=0, gives=[[-math.log(4)], [math.log(0.75)]]),
        case(np.array([0.0, -1e4]), axis=0, gives=[0.0, -1e4]),
    ],
    "math.cumsum": [
        case(GRID, axis=1, gives=[[1.0, -1.0, 2.0], [4.0, 4.5, 3.5]]),
        case(TRUTH, axis=0, gives=[[1, 0], [2, 1]]),
    ],
    "math.cast": [
        case(np.array([-1.7, 1.7, np.nan, 1e30, -1e30]), dtype=DType.I32, gives=[-1, 1, 0, 2**31 - 1, -(2**31)]),
        case(np.array([-1.0, 2.9, 300.0]), dtype=DType.U8, gives=[0, 2, 255]),
        case(Typed([-1, 300], DType.I32), dtype=DType.U8, gives=[255, 44]),
        case(np.array([1e30, -1e30]), dtype=DType.I64, gives=[2**63 - 1, -(2**63)]),
        case(np.array([0.0, 0.1]), dtype=DType.BOOL, gives=[False, True]),
        case(TRUTH, dtype=DType.F32, gives=[[1.0, 0.0], [1.0, 1.0]]),
        case(np.array([0.1]), dtype=DType.BF16, gives=[0.1]),
    ],
}

MATH_CASES["math.add"] += [
    case(TRUTH, TRUTH, gives=[[2, 0], [2, 2]]),
    case(Typed(200, DType.U8), Typed(100, DType.U8), gives=44),
    case(np.array(2), np.array(0.5), gives=2.5),
]
MATH_CASES["math.sub"].append(case(Typed(1, DType.U8), Typed(2, DType.U8), gives=255))
MATH_CASES["math.mul"].append(case(Typed(2**30, DType.I32), Typed(2, DType.I32), gives=-(2**31)))
MATH_CASES["math.mod"].append(case(np.array([-7, 7]), np.array([3, -3]), gives=[2, -2]))
MATH_CASES["math.floor_div"].append(case(np.array([-7, 7]), np.array([3, -3]), gives=[-3, -3]))
MATH_CASES["math.div"].append(case(np.array([1, 3]), np.array(2), gives=[0.5, 1.5]))
MATH_CASES["math.pow"].append(case(np.array(2), np.array(-1), gives=0.5))
MATH_CASES["math.max"].append(case(np.array([np.nan, 1.0]), np.array([0.0, 2.0]), gives=[np.nan, 2.0]))
MATH_CASES["math.exp"].append(case(np.array([0, 1]), gives=[1.0, math.e]))
MATH_CASES["math.floor"].append(case(INTEGERS, gives=INTEGERS))
MATH_CASES["math.neg"].append(case(Typed([1, 0], DType.U8), gives=[255, 0]))
MATH_CASES["math.softplus"].append(case(np.array([-800.0, 800.0]), gives=[0.0, 800.0]))
MATH_CASES["math.log_sigmoid"].append(case(np.array([-800.0, 800.0]), gives=[-800.0, 0.0]))
MATH_CASES["math.selu"].append(case(np.array([800.0, -800.0]), gives=[800 * 1.05070098735548, -1.7580993408473766]))
