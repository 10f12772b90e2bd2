"""Words of the language: which are keywords, which of those are reserved, and what messages call each terminal.

Invariant: the terminal of a keyword is its upper-case spelling, with a leading `_` where the tree drops the token.
May import: the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable

ITEM_KEYWORDS = frozenset({"import", "option", "layer", "model"})

STATEMENT_KEYWORDS = frozenset(
    {
        *("plate", "input", "param", "let", "sample", "observe", "believe", "predict", "objective", "optimize"),
        *("mesh", "shard", "if", "next", "emit", "return", "repeat", "scan"),
    }
)

CLAUSE_KEYWORDS = frozenset({"of", "in", "by", "using", "where", "when", "else", "from", "over"})

OPERATOR_KEYWORDS = frozenset({"or", "and", "not"})

KEYWORDS = ITEM_KEYWORDS | STATEMENT_KEYWORDS | CLAUSE_KEYWORDS | OPERATOR_KEYWORDS | {"true", "false", "none"}

# Keywords that the grammar accepts where an expression starts; a variable of such a name could not be read back.
RESERVED = OPERATOR_KEYWORDS | {"true", "false", "none", "repeat", "scan"}

PYTHON_CONSTANTS = {"True": "true", "False": "false", "None": "none"}

OPERATORS = frozenset({"PIPE", "OR", "AND", "COMPARE", "PLUS", "MINUS", "PRODUCT_OP", "POWER"})

_EXPRESSION_STARTS = frozenset(
    {"NAME", "NUMBER", "STRING", "LPAR", "LSQB", "MINUS", "NOT", "REPEAT", "SCAN", "_TRUE", "_FALSE", "_NONE"}
)

# The order of this table is the order in which a message lists what it expected.
TERMINAL_WORDS: dict[str, str] = {
    "RPAR": "`)`",
    "RSQB": "`]`",
    "LPAR": "`(`",
    "LSQB": "`[`",
    "LBRACE": "`{`",
    "COMMA": "`,`",
    "DOT": "`.`",
    "COLON": "`:`",
    "TILDE": "`~`",
    "_ASSIGN": "`=`",
    "ARROW": "`->`",
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
    "ELLIPSIS": "`...`",
    **{
        ("" if word in {"or", "and", "not", "repeat", "scan"} else "_") + word.upper(): f"`{word}`"
        for word in sorted(KEYWORDS)
    },
    "PIPE": "`|>`",
    "COMPARE": "a comparison",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "PRODUCT_OP": "`*` or `/`",
    "POWER": "`**`",
    "RBRACE": "`}`",
    "$END": "the end of the file",
}

_ORDER = {terminal: place for place, terminal in enumerate(TERMINAL_WORDS)}


def keyword_terminal(word: str) -> str:
    """The terminal of a keyword: `let` gives `_LET`, `scan` gives `SCAN`."""
    upper = word.upper()
    return upper if upper in TERMINAL_WORDS else f"_{upper}"


def keyword_of(terminal: str) -> str | None:
    """The keyword that a terminal stands for, or None."""
    word = terminal.lstrip("_").lower()
    return word if word in KEYWORDS and keyword_terminal(word) == terminal else None


def is_name(text: str) -> bool:
    """Whether a declaration may use this name."""
    return text.isascii() and text.isidentifier() and text not in RESERVED and text not in PYTHON_CONSTANTS


def expected_words(terminals: Iterable[str]) -> list[str]:
    """What the parser accepts, in words: operators, expressions and statements are one phrase each."""
    left = set(terminals)
    groups: list[str] = []
    if {"NAME", "NUMBER", "STRING"} <= left:
        left -= _EXPRESSION_STARTS
        groups.append("an expression")
    elif {"NUMBER", "STRING"} <= left:
        left -= _EXPRESSION_STARTS
        groups.append("a literal")
    if "PIPE" in left:
        left -= OPERATORS | {"LPAR", "LSQB", "DOT"}
        groups.append("an operator")
    statements = {keyword_terminal(word) for word in STATEMENT_KEYWORDS}
    if statements <= left:
        left -= statements
        groups.append("a statement")
    closers = sorted(left & {"RBRACE", "$END"}, key=_ORDER.__getitem__)
    rest = sorted(left - set(closers), key=_ORDER.__getitem__)
    return [*(TERMINAL_WORDS[t] for t in rest), *groups, *(TERMINAL_WORDS[t] for t in closers)]


def human_list(words: list[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
