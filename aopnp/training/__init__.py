"""What trains: rules that fill the gradients, the loop, saving."""
