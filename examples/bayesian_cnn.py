"""The Python twin of bayesian_cnn.blg: both lower to the same IR."""

import bl_compiler as bl

with bl.Model("bayesian_cnn") as model:
    bayesian = bl.option("bayesian", True)
    batch = bl.plate("batch", 256, of=50_000)
    images = bl.input("images", bl.f32[batch, 32, 32, 3])
    labels = bl.input("labels", bl.i32[batch])
    with bl.believe(kernel=bl.Normal(0, 1).by(bl.mean_field), when=bayesian):
        logits = (
            images
            | bl.conv2d(32, kernel_size=5, padding="same")
            | bl.batch_norm
            | bl.relu
            | bl.conv2d(32, kernel_size=5, strides=2, padding="same")
            | bl.batch_norm
            | bl.relu
            | bl.flatten
            | bl.dense(10)
        )
    bl.observe(labels, bl.Categorical(logits=logits))
