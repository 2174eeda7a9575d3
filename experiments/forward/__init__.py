"""Forward gradients beside back-propagation: the commands forward and directions."""
