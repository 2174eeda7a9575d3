"""Binary networks, with soft weights in few bits or none: the command binary."""
