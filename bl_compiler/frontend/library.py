"""Names that are neither layers nor distributions: posteriors, estimators, objectives, optimizers, what is planned.

May import: the standard library.
"""

from __future__ import annotations

POSTERIORS: dict[str, tuple[str, ...]] = {
    "point": (),
    "mean_field": ("family", "init_scale", "tied_mean", "empirical_bayes"),
    "full_rank": ("init_scale",),
    "low_rank": ("rank", "init_scale"),
    "matrix_normal": ("init_scale",),
    "rank1": ("components", "prior_scale", "init_scale"),
    "batch_ensemble": ("members", "init_scale"),
    "hyper_batch_ensemble": ("members", "low", "high", "init_scale"),
    "dropout": ("rate",),
    "variational_dropout": ("init_scale",),
    "hierarchical": ("global_scale", "init_scale"),
    "horseshoe": ("global_scale", "init_scale"),
}
"""Posteriors with their arguments in order."""

PLANNED_POSTERIORS = ("flow",)

ESTIMATORS: dict[str, tuple[str, ...]] = {
    "auto": (),
    "shared": (),
    "grouped": ("groups",),
    "flipout": (),
    "local_reparameterization": ("approximate",),
    "deterministic": ("approximate",),
}
"""Estimators with their arguments in order."""

OBJECTIVES: dict[str, tuple[str, ...]] = {
    "elbo": ("samples", "kl_weight"),
    "iwae": ("samples",),
    "map": (),
    "mle": (),
}

CONSTRAINT_WORDS = ("real", "positive", "unit_interval", "simplex", "lower_cholesky", "interval")

PLANNED_LAYERS = (
    *("lstm", "lstm_cell", "lstm_state", "gru", "gru_cell", "gru_state", "rnn", "simple_rnn"),
    *("attention", "multi_head_attention", "local_attention_1d", "transformer_block", "scaled_dot_product_attention"),
    *("gp", "gaussian_process", "sparse_gp", "rbf", "matern12", "matern32", "matern52", "linear_kernel", "periodic"),
    *("real_nvp", "made", "maf", "iaf", "act_norm", "coupling", "glow", "spline_coupling", "reverse_order"),
    *("mixture_of_logistics", "discretize", "heteroscedastic", "spectral_norm", "random_features"),
)
"""Layers of the road ahead: they parse, and get one clear message."""

OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "adabelief": ("learning_rate", "b1", "b2", "eps", "eps_root"),
    "adagrad": ("learning_rate", "initial_accumulator_value", "eps"),
    "adam": ("learning_rate", "b1", "b2", "eps", "eps_root"),
    "adamax": ("learning_rate", "b1", "b2", "eps"),
    "adamw": ("learning_rate", "b1", "b2", "eps", "eps_root", "weight_decay"),
    "adafactor": ("learning_rate", "min_dim_size_to_factor", "decay_rate", "momentum", "weight_decay_rate", "eps"),
    "amsgrad": ("learning_rate", "b1", "b2", "eps", "eps_root"),
    "lamb": ("learning_rate", "b1", "b2", "eps", "eps_root", "weight_decay"),
    "lion": ("learning_rate", "b1", "b2", "weight_decay"),
    "nadam": ("learning_rate", "b1", "b2", "eps", "eps_root"),
    "nadamw": ("learning_rate", "b1", "b2", "eps", "eps_root", "weight_decay"),
    "radam": ("learning_rate", "b1", "b2", "eps", "eps_root", "threshold"),
    "rmsprop": ("learning_rate", "decay", "eps", "initial_scale", "centered", "momentum", "nesterov"),
    "sgd": ("learning_rate", "momentum", "nesterov"),
    "yogi": ("learning_rate", "b1", "b2", "eps"),
}
"""optax optimizers with the parameters that take numbers or booleans."""

SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant_schedule": ("value",),
    "cosine_decay_schedule": ("init_value", "decay_steps", "alpha", "exponent"),
    "exponential_decay": (
        "init_value",
        "transition_steps",
        "decay_rate",
        "transition_begin",
        "staircase",
        "end_value",
    ),
    "linear_schedule": ("init_value", "end_value", "transition_steps", "transition_begin"),
    "polynomial_schedule": ("init_value", "end_value", "power", "transition_steps", "transition_begin"),
    "warmup_cosine_decay_schedule": (
        "init_value",
        "peak_value",
        "warmup_steps",
        "decay_steps",
        "end_value",
        "exponent",
    ),
    "warmup_exponential_decay_schedule": (
        "init_value",
        "peak_value",
        "warmup_steps",
        "transition_steps",
        "decay_rate",
        "transition_begin",
        "staircase",
        "end_value",
    ),
}
"""optax schedules, usable as `learning_rate`."""

FORMS = frozenset(
    {
        *(name for name in POSTERIORS if name != "dropout"),  # which is a layer as well
        *PLANNED_POSTERIORS,
        *(*ESTIMATORS, *OBJECTIVES, *CONSTRAINT_WORDS, *OPTIMIZERS, *SCHEDULES, "anneal"),
    }
)
"""What is read where it stands and has no value: it cannot be held by a `let`."""
