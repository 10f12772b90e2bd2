"""The Python twin of bayesian_cnn_digits.blg: both lower to the same IR."""

import bl_compiler as bl

with bl.Model("bayesian_cnn_digits") as model:
    bayesian = bl.option("bayesian", True)
    batch = bl.plate("batch", 128, of=1437)
    x = bl.input("x", bl.f32[batch, 64])
    y = bl.input("y", bl.i32[batch])
    with bl.believe(kernel=bl.Normal(0, 1).by(bl.mean_field), when=bayesian):
        logits = (
            x
            | bl.reshape(8, 8, 1)
            | bl.conv2d(16, kernel_size=3, padding="same")
            | bl.batch_norm
            | bl.relu
            | bl.conv2d(32, kernel_size=3, strides=2, padding="same")
            | bl.batch_norm
            | bl.relu
            | bl.flatten
            | bl.dense(10)
        )
    bl.observe(y, bl.Categorical(logits=logits))
    bl.objective(bl.elbo(kl_weight=0.03))
    bl.optimize(bl.adam(learning_rate=bl.cosine_decay_schedule(1e-2, decay_steps=1500)))
