"""What each entry point of a model needs of its data, and how its outputs lie.

May import: floors 0-1, `specs`, `observed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bl_compiler.ir.graph import Module, PlateInfo
from bl_compiler.ir.walk import walk
from bl_compiler.training.observed import ObservedSite, has_local_latents, observed_sites
from bl_compiler.training.specs import InputSpec, input_specs


@dataclass(frozen=True, slots=True)
class Needs:
    """A model as data handling sees it.

    Attributes:
        inputs: All inputs.
        plate: The plate whose elements are the examples: the first; None for a model without plates.
        sites: The observations.
        of_entry: The names of the inputs that each entry point reads.
        output_axes: For each output of prediction the axis of its examples.
        local_latents: Whether examples have latent variables of their own.
        local_draws: Whether a prediction draws something for each example.
    """

    inputs: Mapping[str, InputSpec]
    plate: PlateInfo | None
    sites: tuple[ObservedSite, ...]
    of_entry: Mapping[str, tuple[str, ...]]
    output_axes: Mapping[str, int | None]
    local_latents: bool
    local_draws: bool

    @staticmethod
    def of(model: Module, entries: Module) -> Needs:
        """Read off the module as lowered and the module with its entry points."""
        plate = model.plates[0] if model.plates else None
        names = {
            name: tuple(node.attrs.text("key") for node in graph.of("model.input"))
            for name, graph in entries.functions.items()
        }
        axes: dict[str, int | None] = {}
        if "predict" in entries.functions:
            for output in entries.functions["predict"].outputs:
                dims = output.value.tensor.dims
                axes[output.name] = next(
                    (i for i, dim in enumerate(dims) if dim.is_plate and plate and dim.name == plate.name), None
                )
        local_draws = "predict" in entries.functions and any(
            dim.is_plate and plate is not None and dim.name == plate.name
            for node in walk(entries.functions["predict"])
            if node.op.name == "random.draw"
            for dim in node.result.tensor.dims
        )
        local_latents = has_local_latents(model)
        return Needs(input_specs(model), plate, observed_sites(model), names, axes, local_latents, local_draws)

    def specs(self, *entries: str) -> list[InputSpec]:
        """The inputs that these entry points read, in the order of the source."""
        wanted = {name for entry in entries for name in self.of_entry.get(entry, ())}
        return [spec for name, spec in self.inputs.items() if name in wanted]

    @property
    def batch(self) -> int:
        """The examples of one step; 1 for a model without plates."""
        if self.plate is None:
            return 1
        assert isinstance(self.plate.size, int), self.plate
        return self.plate.size
