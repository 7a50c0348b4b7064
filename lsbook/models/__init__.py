"""The networks, each a `base.Classifier`.

They offer `forward(x) -> logits`, `penultimate(x) -> activations` and a last linear layer `output`, whose weight rows,
with the biases appended, are the class templates (section 2 of the paper).
"""
