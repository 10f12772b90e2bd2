"""The Python twin of regression.blg: both lower to the same IR."""

import bl_compiler as bl

with bl.Model("regression") as model:
    patient = bl.plate("patient", 128, of=354)
    x = bl.input("x", bl.f32[patient, 10])
    y = bl.input("y", bl.f32[patient])
    noise = bl.param("noise", bl.f32[()], 1.0, bl.positive)
    with bl.believe(("kernel", "bias"), bl.Normal(0, 1).by(bl.mean_field)):
        mean = x | bl.dense(50) | bl.relu | bl.dense(1) | bl.squeeze
    bl.observe(y, bl.Normal(mean, noise))
    bl.optimize(bl.adam(learning_rate=1e-2))
