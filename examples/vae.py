"""The Python twin of vae.blg: both lower to the same IR."""

import bl_compiler as bl

with bl.Model("vae") as model:
    image = bl.plate("image", 128, of=1437)
    x = bl.input("x", bl.f32[image, 64])
    noise = bl.param("noise", bl.f32[()], 0.3, bl.positive)
    h = x | bl.dense(128) | bl.relu
    z = bl.sample(
        "z",
        bl.Normal(0, 1),
        by=bl.Normal(h | bl.dense(8), h | bl.dense(8) | bl.softplus),
        type=bl.f32[image, 8],
    )
    pixels = z | bl.dense(128) | bl.relu | bl.dense(64) | bl.sigmoid
    bl.observe(x, bl.Normal(pixels, noise))
    bl.optimize(bl.adam(learning_rate=2e-3))
