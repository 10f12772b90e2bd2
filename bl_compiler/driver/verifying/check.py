"""All that is checked of one entry point after a pass.

1. `reference`: in float64, outputs that depend on no draw, and all outputs where the draws are the same.
2. `emission`: the emitted JAX program against the reference, given the same draws.
3. `gradient of kl`, where it depends on no draw.
4. `draw by draw`: outputs and gradients of the emitted programs for the same keys. If they agree, the two are the same
   function of the same draws, and their laws are equal. The other one may also be what an earlier pass made.
5. Otherwise the laws: means, variances and covariances within a unit (see `layout`), means of what averages over
   examples and of gradients. The two sides run on different seeds, because that is valid whatever draws a pass made,
   while equal keys give equal streams at the sites it left alone and others elsewhere, a correlation of unknown size.

Invariant: the unoptimized graph is the yardstick of all of it. May import: floors 0-3, numpy, the rest of the package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bl_compiler.driver.verifying.emitted import GRADIENT, EntryProgram, keys_of
from bl_compiler.driver.verifying.exact import (
    compare_draws,
    compare_emission,
    compare_gradients,
    compare_log_joint,
    compare_runs,
    reference_runs,
)
from bl_compiler.driver.verifying.feeds import Feeds, trained_paths
from bl_compiler.driver.verifying.graphs import (
    draws_of,
    heaviest,
    is_approximate,
    is_drawn_as,
    random_outputs,
    terms_of,
)
from bl_compiler.driver.verifying.layout import blocks_of
from bl_compiler.driver.verifying.measure import Measure, joined, measure_laws, measure_means, measure_summaries
from bl_compiler.driver.verifying.report import Check
from bl_compiler.driver.verifying.statistic import scores, threshold
from bl_compiler.ir.graph import Graph, Module

GROUPS = 256
"""Draws are averaged in at most so many groups; a score is at most the root of their number."""
PILOT = 64
FEW = 4
"""Draws that are compared one by one, if a group has more and programs are compiled twice."""
HEAVY = 2**26
"""If all draws of one value are more numbers than this, programs are compiled well, too, and not just fast."""
RUNS = 3
"""Runs of the reference."""
ROOM = 2**24
"""The most numbers that one value, or one gradient of all parameters, may have for the draws of a group."""

Groups = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is drawn, and how sure a verdict is.

    Attributes:
        draws: The draws of each side.
        seed: Of the draws.
        alarm: The probability that a correct pipeline is blamed.
        tests: How many entry points are compared after how many passes: what `alarm` is divided among.
    """

    draws: int
    seed: int
    alarm: float
    tests: int

    def stream(self, number: int) -> int:
        """A seed for one purpose."""
        return int(np.random.SeedSequence([0x626C63, self.seed, number]).generate_state(1)[0])


class _What(Enum):
    """What is measured: the outputs, in `train` also what the likelihood makes of each example, or summaries."""

    OUTPUTS = auto()
    TERMS = auto()
    SUMMARIES = auto()


_SAME, _PILOT, _BEFORE, _AFTER = range(4)


class EntryCheck:
    """Compares graphs of one entry point with the unoptimized one.

    Args:
        module: The unoptimized entry points.
        entry: The name of this one.
        feeds: What it runs on.
        effort: How much is drawn.
        programs: The programs of all entry points, so that equal ones are compiled once.
    """

    def __init__(
        self, module: Module, entry: str, feeds: Feeds, effort: Effort, programs: dict[str, EntryProgram]
    ) -> None:
        self.entry = entry
        self.graph = module.functions[entry]
        self._module, self._feeds, self._effort, self._programs = module, feeds, effort, programs
        self.approximate = is_approximate(self.graph)
        self._random = random_outputs(self.graph)
        self._free = frozenset(o.name for o in self.graph.outputs) - self._random
        self._trained = trained_paths(module) if entry == "train" else ()
        self._seeds = range(len(feeds.sites)) if entry == "log_joint" else range(RUNS)
        self._checked = ""
        self._measured: dict[_What, tuple[Measure, Groups]] = {}
        self._verified: list[tuple[Graph, Groups]] = []
        self._number = 0

    @property
    def runnable(self) -> bool:
        """Whether values for all it takes are at hand: `log_joint` takes sites, which `sample` must give."""
        return self.entry != "log_joint" or bool(self._feeds.sites)

    # --- the yardstick -----------------------------------------------------------------------------------------------

    @cached_property
    def _runs(self) -> Any:
        return reference_runs(self._module, self.entry, self.graph, self._feeds, self._seeds)

    @cached_property
    def _program(self) -> EntryProgram:
        return self._emit(self._module, self.graph)

    @cached_property
    def _drawn(self) -> Groups:
        return self._first(self._program)

    @cached_property
    def _pilot(self) -> Groups:
        parts = [self._outputs(self._program, _PILOT, start) for start in range(0, PILOT, self._size)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @cached_property
    def _symbols(self) -> dict[str, int]:
        """Symbolic sizes, from the shapes of inputs."""
        nodes = self.graph.of("model.input")
        dims = [(n.attrs.array_type("type").dims, self._feeds.inputs.get(n.attrs.text("key"))) for n in nodes]
        return {
            d.size: n
            for ds, x in dims
            if x is not None
            for d, n in zip(ds, x.shape, strict=True)
            if isinstance(d.size, str)
        }

    @cached_property
    def _size(self) -> int:
        """The draws of a group: as many as `GROUPS` groups need, or as fit."""
        weights = sum(self._feeds.params[path].size for path in self._trained)
        room = max(1, ROOM // max(heaviest(self.graph, self._symbols), weights))
        return min(-(-self._effort.draws // GROUPS), room)

    @cached_property
    def _heavy(self) -> bool:
        return heaviest(self.graph, self._symbols) * self._effort.draws >= HEAVY

    # --- checks ------------------------------------------------------------------------------------------------------

    def before(self) -> list[Check]:
        """Checks of the unoptimized program itself."""
        # Without observations there are entry points that give nothing.
        if self.entry == "init" or not self.graph.outputs:
            return []
        return self._emission(self._module, self.graph, self._program)

    def after(self, module: Module, graph: Graph | None) -> list[Check]:
        """Checks of the graph that a pass made."""
        summarized = graph is not None and self._is_summarized(graph)
        changed = self._other_outputs(graph, summarized=summarized)
        if graph is None or changed:
            return [Check(self.entry, "outputs", "relative", len(changed), float("inf"), 0.0, ", ".join(changed))]
        exact = self._reference(module, graph, summarized=summarized)
        found = [exact] if exact.compared else []
        if self.entry == "init":
            return found
        program = self._emit(module, graph)
        if program.text in (self._checked, self._program.text):
            return found
        self._checked = program.text
        return [*found, *self._emission(module, graph, program), *self._same_law(graph, program, summarized=summarized)]

    def _is_summarized(self, graph: Graph) -> bool:
        """Whether moments of predictions have taken the place of draws."""
        free = self._random - random_outputs(graph)
        return self.entry == "predict" and any(name.startswith(("mean:", "probs:", "value:")) for name in free)

    def _other_outputs(self, graph: Graph | None, *, summarized: bool) -> list[str]:
        """Names of outputs that came or went; all, if nothing is left."""
        before = {output.name for output in self.graph.outputs}
        after = {output.name for output in graph.outputs} if graph is not None else set()
        # Where draws are integrated out, what the model predicts gets a variance that draws no longer show.
        told = {f"variance:{name.removeprefix('value:')}" for name in before if name.startswith("value:")}
        return sorted((before ^ after) - (told & after if summarized else set()))

    def _reference(self, module: Module, graph: Graph, *, summarized: bool) -> Check:
        runs = reference_runs(module, self.entry, graph, self._feeds, self._seeds)
        if draws_of(graph) == draws_of(self.graph):
            every = compare_runs(self.entry, runs, self._runs, self._free | self._random)
            if every.ok:
                return every
        free = self._free
        if summarized:
            free = frozenset(n for n in free if n.replace("variance:", "mean:") not in self._random)
        return compare_runs(self.entry, runs, self._runs, free)

    def _emission(self, module: Module, graph: Graph, program: EntryProgram) -> list[Check]:
        if self.entry == "log_joint":
            return [] if draws_of(graph) else [compare_log_joint(module, graph, program, self._feeds)]
        drawn = self._drawn if program is self.__dict__.get("_program") else self._first(program)
        free = self._free - random_outputs(graph)
        return [compare_emission(module, self.entry, graph, program, self._feeds, drawn, free)]

    def _same_law(self, graph: Graph, program: EntryProgram, *, summarized: bool) -> Iterator[Check]:
        if self.entry == "log_joint":
            return
        feeds, names = self._feeds, [o.name for o in self.graph.outputs]
        if self._trained and "kl" in self._free:
            after, before = (p.kl_gradient(feeds.params, feeds.inputs, feeds.sizes) for p in (program, self._program))
            yield compare_gradients(self.entry, after, before)
        compared = [*names, *(GRADIENT + path for path in self._trained)]
        found = self._first(program)
        # What a verified graph computes, too, is verified: later passes clean up after those that changed the draws.
        for other, drawn in ((self.graph, self._drawn), *self._verified):
            if draws_of(graph) == draws_of(other):
                check = compare_draws(self.entry, found, drawn, compared)
                if check.ok or not draws_of(self.graph):
                    yield check
                    return
        self._verified = [(graph, found)]
        if self._random and not self.approximate:
            yield from self._laws(graph, program, summarized=summarized)

    # --- laws --------------------------------------------------------------------------------------------------------

    def _measure(self, what: _What) -> Measure:
        if self.entry != "train":
            blocks = blocks_of(self.graph, self._random, self._symbols, self._effort.seed)
            return (measure_summaries if what is _What.SUMMARIES else measure_laws)(blocks, self._pilot)
        ordered = [o.name for o in self.graph.outputs if o.name in self._random]
        named = [*ordered, *(GRADIENT + path for path in self._trained)]
        means = measure_means(named, self._pilot, self._effort.seed)
        if what is not _What.TERMS:
            return means
        terms = Graph("terms", outputs=terms_of(self.graph))
        blocks = blocks_of(terms, frozenset(o.name for o in terms.outputs), self._symbols, self._effort.seed)
        return joined(means, measure_laws(blocks, self._pilot))

    def _yardstick(self, what: _What) -> tuple[Measure, Groups]:
        """What is measured, and what the unoptimized program gives."""
        if what not in self._measured:
            measure = self._measure(what)
            self._measured[what] = measure, self._groups(self._program, measure, _BEFORE)
        return self._measured[what]

    def _what(self, graph: Graph, *, summarized: bool) -> _What:
        """What can be measured of a graph."""
        terms = [[(o.name, o.value.type) for o in terms_of(each)] for each in (graph, self.graph)]
        if self.entry == "train" and terms[0] and terms[0] == terms[1] and is_drawn_as(graph, self.graph):
            return _What.TERMS
        return _What.SUMMARIES if summarized else _What.OUTPUTS

    def _laws(self, graph: Graph, program: EntryProgram, *, summarized: bool) -> Iterator[Check]:
        measure, before = self._yardstick(self._what(graph, summarized=summarized))
        # Every pass gets draws of its own, so that none is judged by what another has already been judged by.
        self._number += 1
        after = self._groups(program, measure, _AFTER + self._number)
        limit = threshold(measure.count * self._effort.tests, self._effort.alarm)
        worst: dict[str, tuple[float, str, int]] = {}
        for key, statistic in measure.statistics.items():
            found = scores(after[key], before[key], statistic.allowance)
            at = np.unravel_index(int(np.argmax(found)), found.shape)
            value, _, count = worst.get(statistic.kind, (-1.0, "", 0))
            if found[at] > value:
                place = statistic.place(tuple(int(i) for i in at))
                worst[statistic.kind] = (float(found[at]), place, count + found.size)
            else:
                worst[statistic.kind] = (*worst[statistic.kind][:2], count + found.size)
        for kind, (value, place, count) in worst.items():
            yield Check(self.entry, kind, "score", count, value, limit, place)

    def _groups(self, program: EntryProgram, measure: Measure, stream: int) -> Groups:
        """The statistics of all groups of draws, along the first axis."""
        count = max(1, self._effort.draws // self._size)
        parts = [
            {k: np.asarray(v) for k, v in measure.apply(self._raw(program, stream, i * self._size)).items()}
            for i in range(count)
        ]
        return {key: np.stack([part[key] for part in parts]) for key in parts[0]}

    # --- running -----------------------------------------------------------------------------------------------------

    def _emit(self, module: Module, graph: Graph) -> EntryProgram:
        made = EntryProgram(module, self.entry, graph, self._trained)
        return self._programs.setdefault(made.text, made)

    def _first(self, program: EntryProgram) -> Groups:
        """A few draws, for what is compared draw by draw."""
        feeds, keys = self._feeds, keys_of(self._effort.stream(_SAME), FEW if self._heavy else self._size)
        found = program.drawn(feeds.params, feeds.inputs, feeds.sizes, keys, quick=True)
        return {name: np.asarray(x) for name, x in found.items()}

    def _outputs(self, program: EntryProgram, stream: int, start: int) -> Groups:
        return {name: np.asarray(x) for name, x in self._raw(program, stream, start).items()}

    def _raw(self, program: EntryProgram, stream: int, start: int) -> Mapping[str, Any]:
        keys = keys_of(self._effort.stream(stream), self._size, start)
        feeds = self._feeds
        return program.drawn(feeds.params, feeds.inputs, feeds.sizes, keys, quick=not self._heavy)
