"""The feedback experiments: every way to send the error back, in the same networks."""
