"""Water: from masks to states and events. Pure: no I/O, no threads, no frameworks."""
