"""Runtime: what keeps services running and reports on them."""
