"""The mistakes people bring along from Python, Stan and other languages, and what to say to them.

Invariant: a hint looks at a failure and either leaves the report alone and returns False, or completes it and returns
True; the first that does wins. May import: floor 0, `words`, `failure`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from bl_compiler.frontend.failure import OPENERS, Failure, Repair, Report, span_at
from bl_compiler.frontend.words import (
    ITEM_KEYWORDS,
    KEYWORDS,
    PYTHON_CONSTANTS,
    STATEMENT_KEYWORDS,
    keyword_of,
    keyword_terminal,
)
from bl_compiler.suggest import did_you_mean

Hint = Callable[[Failure, Report], bool]

# Words with which other languages start what this one says differently.
_FOREIGN = {
    "def": "a function of layers is written `layer name(params) { … return … }`",
    "fn": "a function of layers is written `layer name(params) { … return … }`",
    "function": "a function of layers is written `layer name(params) { … return … }`",
    "class": "a model is written `model name { … }`",
    "module": "a model is written `model name { … }`",
    "for": "a loop is written `repeat N from h = x { … next h }` or `scan x in xs over axis from … { … }`",
    "while": "all sizes are known at compile time: a loop is written `repeat N from h = x { … next h }`",
    "elif": "it is written `else if`",
    "var": "a name for a value is written `let x = …`",
    "val": "a name for a value is written `let x = …`",
    "const": "a name for a value is written `let x = …`, a compile-time constant `option x = …`",
    "data": "what the caller feeds is written `input x: f32[…]`",
    "parameters": "a trained value is written `param x: f32[…] = …`, a latent variable `sample z ~ … by …`",
    "latent": "a latent variable is written `sample z ~ PRIOR by POSTERIOR`",
    "target": "what adds to the log density is written `observe x ~ …` or `sample x ~ … by …`",
    "transformed": "a name for a value is written `let x = …`",
    "generated": "a named output of prediction is written `predict x = …`",
    "real": "what the caller feeds is written `input x: f32[…]`, a trained value `param x: f32[…] = …`",
    "int": "what the caller feeds is written `input x: i32[…]`",
    "vector": "what the caller feeds is written `input x: f32[…]`, a trained value `param x: f32[…] = …`",
    "matrix": "what the caller feeds is written `input x: f32[…]`, a trained value `param x: f32[…] = …`",
    "include": 'another file\'s layers are brought in by `import "file.blg"`',
    "use": 'another file\'s layers are brought in by `import "file.blg"`',
    "print": "a named output of prediction is written `predict x = …`",
    "lambda": "a function of layers is written `layer name(params) { … return … }`",
}

_SYMBOLS = {
    "&": "`and`",
    "&&": "`and`",
    "|": "`|>` for a pipe, `or` for a condition",
    "||": "`or`",
    "!": "`not`",
    "^": "`**` for a power",
    "'": "double quotes",
}


def _unterminated_string(failure: Failure, said: Report) -> bool:
    if not failure.text.startswith('"') or failure.terminal:
        return False
    said.code, said.message = "BLC0104", "unterminated string"
    end = failure.start + len(failure.source.text[failure.start :].split("\n", 1)[0].rstrip())
    said.span = span_at(failure.source, failure.start, end)
    said.help('a string ends with `"` on the same line; a line break in it is written `\\n`')
    return True


def _single_quotes(failure: Failure, said: Report) -> bool:
    if failure.text[:1] != "'":
        return False
    match = re.compile(r"'((?:[^'\\\n\"]|\\[^\n])*)'").match(failure.source.text, failure.start)
    if match is None:
        said.help("strings are written in double quotes")
        return True
    said.message = "string in single quotes"
    said.span = span_at(failure.source, match.start(), match.end())
    fixed = match[1].replace("\\'", "'")
    said.help("strings are written in double quotes", replace=(said.span, f'"{fixed}"'), sure=True)
    if "STRING" in failure.accepts:
        said.repair = Repair(match.end(), "STRING")
    return True


def _semicolon(failure: Failure, said: Report) -> bool:
    if failure.text != ";":
        return False
    said.help("a statement ends where the next one starts", replace=(failure.span, ""), sure=True)
    said.repair = Repair(failure.end)
    return True


def _python_constant(failure: Failure, said: Report) -> bool:
    spelled = PYTHON_CONSTANTS.get(failure.text)
    if spelled is None or keyword_terminal(spelled) not in failure.accepts:
        return False
    said.message = f"unknown constant `{failure.text}`"
    said.help(f"it is spelled `{spelled}`", replace=(failure.span, spelled), sure=True)
    said.repair = Repair(failure.end, keyword_terminal(spelled))
    return True


def _foreign_letter(failure: Failure, said: Report) -> bool:
    if failure.terminal or failure.text.isascii():
        return False
    name = unicodedata.name(failure.text[0], "")
    greek = re.fullmatch(r"GREEK (?:SMALL|CAPITAL) LETTER (\w+)", name)
    plain = unicodedata.normalize("NFKD", failure.text).encode("ascii", "ignore").decode()
    if greek and len(failure.text) == 1:
        said.help(f"names use the letters a to z: write `{greek[1].lower()}`", replace=(failure.span, greek[1].lower()))
    elif failure.text[0].isalpha():
        begun = re.search(r"\w*\Z", failure.line_before)
        name = (begun[0] if begun else "") + failure.text
        said.message = f"unexpected letters in `{name}`"
        said.span = span_at(failure.source, failure.end - len(name), failure.end)
        said.help("names use the letters a to z, digits and `_`")
    elif plain or name:
        said.help(f"this is {name}; operators and quotes are ASCII characters")
    return True


def _walrus(failure: Failure, said: Report) -> bool:
    around = failure.source.text[max(failure.start - 1, 0) : failure.end + 1]
    for spelled in (":=", "<-", "+=", "-=", "*=", "/="):
        place = around.find(spelled)
        if place < 0 or not (failure.text in spelled or failure.text[:1] in spelled):
            continue
        start = max(failure.start - 1, 0) + place
        said.message = f"unexpected `{spelled}`"
        said.span = span_at(failure.source, start, start + 2)
        if spelled in {":=", "<-"}:
            said.help("a name for a value is written `let x = …`", replace=(said.span, "="))
        else:
            said.help(f"names are not reassigned: write `let x = x {spelled[0]} …` in an inner block, or another name")
        return True
    return False


def _tilde_and_equals(failure: Failure, said: Report) -> bool:
    if failure.text == "=" and "TILDE" in failure.accepts and failure.statement in {"sample", "observe"}:
        said.help("a distribution is stated with `~`", replace=(failure.span, "~"), sure=True)
        said.repair = Repair(failure.end, "TILDE")
        return True
    if failure.text == "==" and "_ASSIGN" in failure.accepts:
        said.help("a name is given its value with `=`", replace=(failure.span, "="), sure=True)
        said.repair = Repair(failure.end, "_ASSIGN")
        return True
    if failure.text == "=" and "COMPARE" in failure.accepts and "TILDE" not in failure.accepts:
        said.help("a comparison is written `==`", replace=(failure.span, "=="))
        return True
    if failure.text == "~" and failure.statement in {"let", "param", "predict"}:
        said.help("a random variable is written `sample z ~ PRIOR by POSTERIOR`, data `observe x ~ DISTRIBUTION`")
        return True
    return False


def _comments(failure: Failure, said: Report) -> bool:
    text = failure.source.text
    if '"""' in text[max(failure.start - 2, 0) : failure.start + 3]:
        said.help("comments start with `#`")
        return True
    line = re.sub(r'"[^"]*"', lambda match: " " * len(match[0]), failure.line_before)
    for mark in ("//", "/*", "--"):
        starts_here = text.startswith(mark, failure.start)
        place = line.find(mark)
        if not starts_here and (place < 0 or failure.terminal not in {"NAME", "STRING", "NUMBER", "PRODUCT_OP", ""}):
            continue
        start = failure.start if starts_here else failure.start - len(line) + place
        if starts_here:
            said.message = f"unexpected `{mark}`"
        note = "; `//` is integer division" if mark == "//" else ""
        said.help(f"comments start with `#`{note}", replace=(span_at(failure.source, start, start + 2), "#"))
        return True
    return False


def _symbols(failure: Failure, said: Report) -> bool:
    for symbol in (failure.source.text[failure.start : failure.start + 2], failure.text[:1]):
        if symbol in _SYMBOLS and not failure.terminal:
            said.message = f"unexpected `{symbol}`"
            said.span = span_at(failure.source, failure.start, failure.start + len(symbol))
            said.help(f"write {_SYMBOLS[symbol]}")
            return True
    return False


def _unmatched_closer(failure: Failure, said: Report) -> bool:
    if failure.terminal not in OPENERS.values():
        return False
    opener = failure.opener
    if not (failure.at_item or failure.at_statement or "PIPE" in failure.accepts):
        return True
    if opener is None or (opener.type == "LBRACE" and failure.terminal != "RBRACE"):
        said.message = f"unmatched `{failure.text}`"
        said.repair = Repair(failure.end)
    return True


def _tuple_let(failure: Failure, said: Report) -> bool:
    if failure.text != "," or failure.statement != "let" or "_ASSIGN" not in failure.accepts:
        return False
    match = re.compile(r"\w+(?:\s*,\s*\w+)+(?=\s*=)").search(failure.source.text, failure.tokens[-1].start_pos or 0)
    replace = None
    if match and match.start() <= failure.start:
        replace = (span_at(failure.source, match.start(), match.end()), f"({match[0]})")
    said.help("several names stand in parentheses: `let (a, b) = …`", replace=replace)
    return True


def _foreign_word(failure: Failure, said: Report) -> bool:
    word = failure.word
    if word not in _FOREIGN or not (failure.at_statement or failure.at_item):
        return False
    if failure.looks_like_start:
        said.help(_FOREIGN[word])
        return True
    return False


def _misspelt_keyword(failure: Failure, said: Report) -> bool:
    if not failure.word or failure.word in KEYWORDS or failure.word in _FOREIGN:
        return False
    accepted = [word for terminal in failure.accepts if (word := keyword_of(terminal))]
    lowered = failure.word.lower()
    meant = lowered if lowered in accepted else did_you_mean(failure.word, accepted)
    follows = re.match(r"[ \t]*(\n|[\w\"({\[-]|$)", failure.rest)
    if meant is None or follows is None or failure.rest.startswith("("):
        return False
    starts = meant in STATEMENT_KEYWORDS | ITEM_KEYWORDS
    if (
        starts
        and re.match(r"[ \t]*\(", failure.rest)
        and meant not in {"let", "next", "emit", "return", "observe", "if"}
    ):
        return False
    said.help(f"did you mean `{meant}`?", replace=(failure.span, meant))
    said.repair = Repair(failure.end, keyword_terminal(meant))
    return True


def _bare_statement(failure: Failure, said: Report) -> bool:
    if not failure.word or failure.word in KEYWORDS or not (failure.at_statement or failure.at_item):
        return False
    follows = re.match(r"\s*(~|=(?!=)|:=?|<-|[-+*/]=)", failure.rest)
    if follows is None or not failure.looks_like_start:
        return False
    match follows[1], failure.at_statement:
        case "~", _:
            said.help(
                f"data are written `observe {failure.word} ~ …`, a latent variable `sample {failure.word} ~ … by …`"
            )
        case "=", True:
            said.help("a name for a value is written with `let`", replace=(failure.span, f"let {failure.word}"))
        case "=", False:
            said.help(
                "a compile-time constant is written with `option`", replace=(failure.span, f"option {failure.word}")
            )
        case ":=" | "<-" | "+=" | "-=" | "*=" | "/=", True:
            said.help("a name for a value is written `let x = …`; names are not reassigned")
        case _:
            said.help(f"what the caller feeds is written `input {failure.word}: …`, a trained value `param`")
    return True


def _misplaced(failure: Failure, said: Report) -> bool:
    word = failure.word
    if word in STATEMENT_KEYWORDS and failure.at_item and not failure.at_statement:
        said.message = f"`{word}` outside a model"
        said.help("statements stand inside `model name { … }` or `layer name(…) { … }`")
        return True
    if word in ITEM_KEYWORDS and failure.at_statement:
        said.message = f"expected `}}`, found keyword `{word}`"
        said.help(f"`{word}` stands at the top level of a file, outside every block")
        return True
    if word == "else":
        said.message = "`else` without `if`"
        return True
    return False


def _chained_comparison(failure: Failure, said: Report) -> bool:
    if failure.terminal != "COMPARE" or "AND" not in failure.accepts:
        return False
    said.message = "chained comparison"
    said.help("join two comparisons with `and`: `a < b and b < c`")
    return True


def _colon_block(failure: Failure, said: Report) -> bool:
    if failure.text == ":" and "LBRACE" in failure.accepts:
        said.help("a block stands in braces: `{ … }`", replace=(failure.span, "{"))
        return True
    if failure.text == ":" and failure.statement == "let" and "_ASSIGN" in failure.accepts:
        said.help("`let` takes no type: the compiler works it out")
        return True
    if failure.text == "{" and {"NUMBER", "STRING"} <= failure.accepts:
        said.help("lists are written `[a, b]`; there are no dictionaries: pass keyword arguments")
        return True
    return False


def _missing_pipe(failure: Failure, said: Report) -> bool:
    if "PIPE" not in failure.accepts or failure.terminal not in {"NAME", "STRING", "NUMBER"} or failure.first_on_line:
        return False
    if failure.word and re.match(r"\s*\(", failure.rest):
        here = span_at(failure.source, failure.start, failure.start)
        said.help("a layer is applied with a pipe: `x |> dense(10)`", replace=(here, "|> "))
    else:
        said.help("two values need an operator, a pipe or a comma between them")
    return True


def _import(failure: Failure, said: Report) -> bool:
    if not (failure.statement == "import" and "STRING" in failure.accepts) and not (
        failure.text == "from" and failure.at_item
    ):
        return False
    said.help('an import names a file, in double quotes: `import "blocks.blg"`')
    return True


def _bare_expression(failure: Failure, said: Report) -> bool:
    if not (failure.at_statement and failure.looks_like_start and {"NAME", "NUMBER"} & {failure.terminal}):
        return False
    said.help("a statement starts with a keyword, such as `let`, `sample` or `observe`")
    return True


HINTS: tuple[Hint, ...] = (
    _unterminated_string,
    _single_quotes,
    _semicolon,
    _python_constant,
    _comments,
    _foreign_letter,
    _walrus,
    _tilde_and_equals,
    _symbols,
    _unmatched_closer,
    _tuple_let,
    _foreign_word,
    _misplaced,
    _misspelt_keyword,
    _bare_statement,
    _chained_comparison,
    _colon_block,
    _import,
    _bare_expression,
    _missing_pipe,
)
