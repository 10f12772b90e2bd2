"""The table of NumPy rules: one for every op of the IR.

Invariant: `ARRAY_RULES` holds the pure ops between arrays, which constant folding may evaluate too; `NUMPY` holds all.
May import: floors 0-1, `frame`, the `rules_*` files.
"""

from __future__ import annotations

from bl_compiler.backends.reference.frame import ArrayRule, Rule, lift
from bl_compiler.backends.reference.rules_dist import DIST_RULES
from bl_compiler.backends.reference.rules_math import MATH_RULES
from bl_compiler.backends.reference.rules_model import MODEL_RULES
from bl_compiler.backends.reference.rules_moments import MOMENT_RULES
from bl_compiler.backends.reference.rules_region import REGION_RULES
from bl_compiler.backends.reference.rules_tensor import TENSOR_RULES
from bl_compiler.backends.reference.rules_windows import WINDOW_RULES
from bl_compiler.ir.tables import RuleTable

ARRAY_RULES: RuleTable[ArrayRule] = RuleTable("numpy arrays", MATH_RULES, TENSOR_RULES, WINDOW_RULES, MOMENT_RULES)

_LIFTED: dict[str, Rule] = {name: lift(rule) for name, rule in ARRAY_RULES.items()}

NUMPY: RuleTable[Rule] = RuleTable("numpy", _LIFTED, DIST_RULES, MODEL_RULES, REGION_RULES)
