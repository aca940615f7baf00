"""Capture: from a camera to usable frames in its mailbox."""
