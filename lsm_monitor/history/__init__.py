"""What was seen: the readings of every zone, finer the newer they are. Never an alert."""
