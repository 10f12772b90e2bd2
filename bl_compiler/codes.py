"""The table of diagnostic codes. Each has a page `docs/codes/CODE.md`, which `blc explain CODE` prints.

Codes go by phase: 00 files and data, 01 syntax, 02 names, values and shapes, 03 distributions and statistics,
04 passes, 05 sharding, 06 backend, 09 artifacts. A code is never reused.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """What a code stands for; `lint` and `group` are set for warnings only."""

    title: str
    lint: str = ""
    group: str = ""


CODES: dict[str, Code] = {
    # 00: files, options, data
    "BLC0001": Code("file cannot be read"),
    "BLC0002": Code("import cycle"),
    "BLC0003": Code("unknown option"),
    "BLC0004": Code("option value of the wrong type"),
    "BLC0005": Code("no such model in the file"),
    "BLC0006": Code("text is not UTF-8"),
    "BLC0010": Code("data file cannot be read"),
    "BLC0011": Code("array missing from the data"),
    "BLC0012": Code("array of the wrong shape"),
    "BLC0013": Code("array of the wrong dtype"),
    "BLC0014": Code("array holds NaN or infinity"),
    "BLC0015": Code("arrays disagree about the number of examples"),
    "BLC0016": Code("value outside the support of its distribution"),
    "BLC0017": Code("training diverged"),
    "BLC0018": Code("checkpoint cannot be written or read"),
    "BLC0019": Code("checkpoint belongs to another model"),
    "BLC0020": Code("data of another size than its plate", "plate-size", "default"),
    # 01: syntax
    "BLC0101": Code("unexpected token"),
    "BLC0102": Code("unexpected character"),
    "BLC0103": Code("unexpected end of file"),
    "BLC0104": Code("malformed literal"),
    "BLC0105": Code("IR text does not parse"),
    # 02: names, values, shapes
    "BLC0201": Code("unknown name"),
    "BLC0202": Code("name defined twice"),
    "BLC0203": Code("argument out of range"),
    "BLC0204": Code("wrong arguments"),
    "BLC0205": Code("wrong kind of value"),
    "BLC0206": Code("shapes do not fit"),
    "BLC0207": Code("dtypes do not fit"),
    "BLC0208": Code("not known at compile time"),
    "BLC0209": Code("statement not allowed here"),
    "BLC0210": Code("not supported yet"),
    "BLC0211": Code("layer instance used with another input shape"),
    "BLC0212": Code("import brings in a model"),
    "BLC0213": Code("two weights or sites of one name"),
    "BLC0214": Code("unknown type or dimension"),
    "BLC0215": Code("nesting too deep"),
    # 03: distributions and statistics
    "BLC0301": Code("not a distribution"),
    "BLC0302": Code("distribution parameter outside its constraint"),
    "BLC0303": Code("posterior cannot be used here"),
    "BLC0304": Code("estimator cannot be used here"),
    "BLC0305": Code("posterior without a reparameterized sampler"),
    "BLC0306": Code("objective cannot be used here"),
    "BLC0307": Code("model has nothing to train on"),
    "BLC0308": Code("layer is not reversible"),
    "BLC0351": Code("posterior support wider than the prior's", "posterior-support", "probabilistic"),
    "BLC0352": Code("site never reaches the objective", "unused-site", "probabilistic"),
    "BLC0353": Code("input observed twice", "observed-twice", "probabilistic"),
    "BLC0354": Code("scale not constrained positive", "unconstrained-scale", "probabilistic"),
    "BLC0355": Code("unused option", "unused-option", "default"),
    "BLC0356": Code("unused name", "unused-name", "pedantic"),
    "BLC0357": Code("unused input", "unused-input", "default"),
    "BLC0358": Code("believe statement matches no weight", "unused-belief", "default"),
    "BLC0359": Code("KL estimated by Monte Carlo", "monte-carlo-kl", "pedantic"),
    "BLC0360": Code("improper or missing prior", "improper-prior", "pedantic"),
    "BLC0361": Code("covariance of very many numbers", "large-covariance", "default"),
    # 04: passes
    "BLC0401": Code("IR does not verify"),
    "BLC0402": Code("unknown pass or malformed pipeline"),
    "BLC0403": Code("pass changed the meaning of the program"),
    "BLC0404": Code("verification found a fault"),
    # 06: backend
    "BLC0601": Code("unknown target"),
    "BLC0602": Code("target not available here"),
    "BLC0603": Code("XLA refused the program"),
    "BLC0604": Code("numerical failure while running"),
    "BLC0605": Code("inputs do not fit the program"),
    # 09: artifacts
    "BLC0901": Code("artifact of another version"),
    "BLC0902": Code("not an artifact of blc"),
    "BLC0903": Code("output cannot be written"),
}
