"""Deep networks with approximate products (Adelman et al., arXiv 1805.08079): the commands mlp, cnn and cifar."""
